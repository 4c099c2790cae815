"""`sigmamind-mcp doctor`: whether everything that a call needs is right, and what to do where it is not.

Whatever it prints is our own words: no key, no value of a proxy variable, nothing that the API said.
"""

import io
import json
import platform
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import anyio

from sigmamind_mcp import __version__
from sigmamind_mcp.commands.install_links import client_command
from sigmamind_mcp.errors import (
    ConfigurationError,
    ConnectionFailed,
    NotAllowed,
    NotFound,
    SigmaMindError,
)
from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.settings import Settings

if TYPE_CHECKING:
    from sigmamind_mcp.api.transport import APITransport

WIDTH = 79
INDENT = 19
CLOCK_SECONDS = 120
START_SECONDS = 30
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
SETTINGS = [f"SIGMAMIND_{name.upper()}" for name in Settings.model_fields]
OLDEST = "2024-11-05"
GREETING: list[dict[str, object]] = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": OLDEST,
            "capabilities": {},
            "clientInfo": {"name": "sigmamind-mcp doctor", "version": __version__},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
]

# How OpenSSL, Windows and macOS put what they found wrong with a certificate; their numbers differ.
NOT_NOW = re.compile(r"expired|not yet valid|validity period", re.I)
NOT_HERE = re.compile(r"mismatch|does not match", re.I)


State = Literal["ok", "problem", "note"]


class CheckResult(NamedTuple):
    """One line: `note` is worth knowing, and only `problem` makes the exit status 1."""

    state: State
    about: str
    said: str

    def __str__(self) -> str:
        head = f"{self.state:<8} {self.about:<9} "
        return textwrap.fill(
            head + self.said,
            WIDTH,
            subsequent_indent=" " * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )


def run_doctor(environ: Mapping[str, str], **options: object) -> int:
    """Print one finding after the other, and return 0, or 1 when there was a problem."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return anyio.run(_run, environ, options)


async def _run(environ: Mapping[str, str], options: Mapping[str, object]) -> int:
    problems = 0
    try:
        async for finding in _examine(environ, options):
            print(finding, flush=True)
            problems += finding.state == "problem"
    except BrokenPipeError:
        raise
    except (
        Exception
    ) as exc:  # whatever it is, the person who asks what is wrong is not helped by a traceback
        print(
            CheckResult(
                "problem", "doctor", f"It failed itself ({type(exc).__name__}). Please report this."
            )
        )
        problems += 1
    print(f"\n{problems} to mend; then ask again." if problems else "\nAll is right.")
    return 1 if problems else 0


async def _examine(
    environ: Mapping[str, str], options: Mapping[str, object]
) -> AsyncIterator[CheckResult]:
    yield CheckResult(
        "ok", "version", f"sigmamind-mcp {__version__}, Python {platform.python_version()}"
    )
    yield _packages()
    for finding in _unread(environ):
        yield finding
    try:
        settings = Settings.from_env(environ, **options)
    except ConfigurationError as exc:
        yield CheckResult("problem", "settings", str(exc))
        return
    said = [
        f"API at {_address(settings)}",
        "read-only" if settings.read_only else "may create and change",
    ]
    yield CheckResult(
        "ok",
        "settings",
        ", ".join(["the embedded sandbox" if settings.sandbox else said[0], said[1]]),
    )
    key = judge_key(settings)
    yield key
    proxies = _proxies(environ)
    if proxies and not settings.sandbox:
        yield CheckResult(
            "note",
            "proxy",
            f"{' and '.join(proxies)} set, and ignored: a proxy would be shown the key.",
        )
    if key.state == "ok":
        async for finding in ask_api(settings, by_proxy=bool(proxies)):
            yield finding
    else:
        yield CheckResult("note", "API", "Not asked, because there is no usable key.")
    for finding in await anyio.to_thread.run_sync(_server, environ, settings):
        yield finding


def _packages() -> CheckResult:
    """Hold what is installed to what this package asks for: an environment that others share may have changed it."""
    try:
        wanted = metadata.requires("sigmamind-mcp") or []
    except metadata.PackageNotFoundError:
        return CheckResult(
            "note", "packages", "Not checked: this runs from a folder, without being installed."
        )
    wrong, found = [], {}
    for requirement in wanted:
        name, limits = re.fullmatch(r"([\w.-]+)([^;\[]*).*", requirement).groups()  # type: ignore[union-attr] # PEP 508
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if not is_within(found[name], limits):
            wrong.append(f"{name} is {found[name]}, not {limits.strip()}")
    if wrong:
        return CheckResult(
            "problem",
            "packages",
            f"{'; '.join(wrong)}. Install again into an environment of its own.",
        )
    return CheckResult(
        "ok",
        "packages",
        ", ".join(f"{name} {found[name]}" for name in ("mcp", "httpx2", "pydantic")),
    )


def is_within(version: str, limits: str) -> bool:
    """Whether a version fits limits such as `>=2.3,<3`."""
    have = _numbers(version)
    comparisons = {">=": have.__ge__, "<": have.__lt__}
    return all(
        comparisons[sign](_numbers(limit))
        for sign, limit in re.findall(r"(>=|<)\s*([\d.]+)", limits)
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _unread(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """What looks like a setting and is none, or is one that nobody filled in."""
    for name in sorted(environ):
        if (
            name.startswith("SIGMAMIND_")
            and name not in SETTINGS
            and re.fullmatch(r"\w{1,60}", name)
        ):
            yield CheckResult(
                "note", "settings", f"{name} is not a setting; sigmamind-mcp --help lists them."
            )
        elif name in SETTINGS and environ[name].strip().startswith("${"):
            yield CheckResult(
                "note",
                "settings",
                f"{name} holds a placeholder that the client did not fill in: unset.",
            )


def _address(settings: Settings) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(settings.base_url))


def judge_key(settings: Settings) -> CheckResult:
    """Whether there is a key that can be sent; that it is right, only the API can tell."""
    try:
        settings.key()
    except ConfigurationError as exc:
        return CheckResult("problem", "key", str(exc))
    return CheckResult(
        "ok", "key", "none needed in the sandbox" if settings.sandbox else "set, and well-formed"
    )


def _proxies(environ: Mapping[str, str]) -> list[str]:
    # Windows knows no case in these names, so one variable may answer to two of them.
    return list({name.upper(): name for name in reversed(PROXIES) if environ.get(name)}.values())


async def ask_api(settings: Settings, *, by_proxy: bool) -> AsyncIterator[CheckResult]:
    """Read the list of agents, and the default agent if there is one: two requests, neither of them repeated."""
    # Not server.py's way to open it: what is wrong with the mcp package must not keep the API from being looked at.
    from sigmamind_mcp.api.models import AgentRef, Page
    from sigmamind_mcp.api.transport import APITransport

    if settings.sandbox:
        from sigmamind_mcp.sandbox import create_app

        opened = APITransport.to_app(create_app())
    else:
        opened = APITransport(settings.base_url, attempts=1)
    async with opened as transport:
        began = monotonic()
        accepts_key = False
        try:
            reply = await transport.get(
                "v1", "agents", key=settings.key(), query={"page": 0, "size": 1}
            )
            agents = Page.read(reply.data, AgentRef.read)
        except SigmaMindError as exc:
            yield CheckResult("problem", "API", why(exc, settings, by_proxy=by_proxy))
        else:
            accepts_key = True
            count = len(agents.items) if agents.total is None else agents.total
            shown = (
                f"{count} agent{'s' * (count != 1)} to use" if count else "but it may use no agent"
            )
            state: State = "ok" if count else "note"
            does = "answers" if settings.sandbox else "accepts the key"
            yield CheckResult(state, "API", f"{does}; {shown} ({monotonic() - began:.1f} s)")
        if transport.api_date:
            yield _clock(transport.api_date)
        if settings.agent_id and accepts_key:
            yield await _default_agent(transport, settings, settings.agent_id)


async def _default_agent(
    transport: "APITransport", settings: Settings, agent_id: str
) -> CheckResult:
    unknown = "The API has no agent with the id in SIGMAMIND_AGENT_ID. The tool list_agents shows those it has."
    if not re.fullmatch(ID_PATTERN, agent_id):
        return CheckResult("problem", "agent", unknown)
    try:
        await transport.get("v1", "agents", agent_id, key=settings.key())
    except NotFound:
        return CheckResult("problem", "agent", unknown)
    except SigmaMindError as exc:
        return CheckResult("problem", "agent", str(exc))
    return CheckResult("ok", "agent", "the one of SIGMAMIND_AGENT_ID exists")


def _clock(theirs: datetime) -> CheckResult:
    off = (datetime.now(UTC) - theirs).total_seconds()
    if abs(off) <= CLOCK_SECONDS:
        return CheckResult("ok", "clock", "agrees with the API's")
    units = (("days", 86_400), ("hours", 3_600), ("minutes", 60))
    by = next(f"{abs(off) / size:,.0f} {unit}" for unit, size in units if abs(off) >= 2 * size)
    which = "ahead of" if off > 0 else "behind"
    return CheckResult(
        "problem",
        "clock",
        f"This machine's is {by} {which} the API's. Set it, best by network time.",
    )


def why(exc: SigmaMindError, settings: Settings, *, by_proxy: bool) -> str:
    """What to do about a list of agents that did not come; a connection fails for reasons that its causes tell."""
    match exc:
        case NotAllowed():  # what it says otherwise is about the agent that a call names, and none is named here
            return "The API knows the key, but does not let it list agents (403). Make another one in the dashboard."
        case NotFound():
            return f"What answers at {_address(settings)} has no list of agents (404). Check SIGMAMIND_BASE_URL."
        case ConnectionFailed():
            return _unreachable(exc, settings, by_proxy=by_proxy)
    return str(exc)


def _unreachable(exc: ConnectionFailed, settings: Settings, *, by_proxy: bool) -> str:
    host = urlsplit(settings.base_url).hostname
    said = str(exc)
    for cause in _causes(exc):
        match cause:
            case ssl.SSLCertVerificationError() if NOT_NOW.search(str(cause)):
                now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
                said = f"By this machine's clock ({now}) the certificate of {host} is not valid. Check the clock first."
            case ssl.SSLCertVerificationError() if NOT_HERE.search(str(cause)):
                said = f"What answers at {host} has a certificate for another name. Check SIGMAMIND_BASE_URL."
            case ssl.SSLCertVerificationError():
                said = (
                    f"This machine does not trust the certificate of {host}. Where a company inspects TLS, its root"
                    " certificate has to be in the operating system's store; SSL_CERT_FILE is not read."
                )
            case ssl.SSLError():
                said = f"What answers at {host} does not speak TLS. Check SIGMAMIND_BASE_URL."
            case socket.gaierror():
                said = f"The name {host} is not found. Check the network, the DNS and SIGMAMIND_BASE_URL."
            case ConnectionRefusedError():
                said = f"Nothing listens at {_address(settings)}. Check SIGMAMIND_BASE_URL."
            case _:
                continue
        break
    if by_proxy:
        said += f" Since proxies are ignored, {host} has to be reachable from here directly."
    return said


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _server(environ: Mapping[str, str], settings: Settings) -> list[CheckResult]:
    """Start the server as a client would, and greet it as the oldest client there may be."""
    command = [sys.executable, "-m", "sigmamind_mcp", "--log-level", "error"]
    began = monotonic()
    try:
        greeting, listing = _greet(
            [*command, "--sandbox"] if settings.sandbox else command, environ
        )
        spoken, tools = greeting["protocolVersion"], len(listing["tools"])
    except (OSError, ValueError, KeyError):
        said = f"It does not start within {START_SECONDS} s. {_in_terminal()} --sandbox in a terminal may show why."
        return [CheckResult("problem", "server", said)]
    said = f"starts over stdio, and shows {tools} tools to a client of protocol {spoken} ({monotonic() - began:.1f} s)"
    return [
        CheckResult("ok", "server", said),
        CheckResult(
            "note",
            "clients",
            f"Protocols {OLDEST} to 2026-07-28 are spoken. A client of one before 2025-06-18 shows its model the text"
            " of an answer alone, and cannot ask you before a large batch run.",
        ),
        CheckResult("note", "command", f"As a client's JSON takes it: {_in_json()}"),
    ]


def _greet(command: list[str], environ: Mapping[str, str]) -> list[Any]:
    """Return the results of `initialize` and `tools/list`.

    Raises:
        OSError, ValueError, KeyError: it could not be started, ended first, or answered something else.
    """
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }
    with subprocess.Popen(command, env=dict(environ), encoding="utf-8", **pipes) as process:
        hard_limit = threading.Timer(START_SECONDS, process.kill)
        hard_limit.start()
        try:
            assert process.stdin and process.stdout
            for message in GREETING:
                process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            return [json.loads(process.stdout.readline())["result"] for _ in range(2)]
        finally:
            hard_limit.cancel()
            process.terminate()


def _in_json() -> str:
    command, *arguments = client_command()
    return f'"command": {json.dumps(command)}' + (
        f', "args": {json.dumps(arguments)}' if arguments else ""
    )


def _in_terminal() -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in client_command())
