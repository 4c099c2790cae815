"""`sigmamind-mcp doctor`: check what a call needs, and explain how to fix each problem.

Every printed text is ours: no key, no value of a proxy variable and nothing from the API.
"""

import io
import json
import platform
import re
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import anyio

from sigmamind_mcp import __version__
from sigmamind_mcp.commands.install_links import build_module_command, find_server_command
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

NARROWEST, WIDEST = 49, 79
INDENT = 19
CLOCK_SECONDS = 120
START_SECONDS = 30
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
VARIABLES = [f"SIGMAMIND_{name.upper()}" for name in Settings._fields]
OLDEST_PROTOCOL = "2024-11-05"
NEWEST_PROTOCOL = "2026-07-28"
CLIENT_MESSAGES: list[dict[str, object]] = [
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": OLDEST_PROTOCOL,
            "capabilities": {},
            "clientInfo": {"name": "sigmamind-mcp doctor", "version": __version__},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}},
    # The two above are answered from a record, before the libraries load.
    {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "resources/read",
        "params": {"uri": "sigmamind://guide/getting-started"},
    },
]

# OpenSSL, Windows and macOS word the same certificate error differently, and number it differently.
WRONG_TIME = re.compile(r"expired|not yet valid|validity period", re.I)
WRONG_HOST = re.compile(r"mismatch|does not match", re.I)

State = Literal["ok", "problem", "note"]


class CheckResult(NamedTuple):
    """Hold one check; only `problem` makes the exit status 1.

    `to_copy` is for another program, so it gets a line of its own, however long.
    """

    state: State
    subject: str
    text: str
    to_copy: str = ""

    def format(self, width: int) -> str:
        """Wrap the text to this width, and append what is to be copied unwrapped."""
        wrapped = textwrap.fill(
            f"{self.state:<8} {self.subject:<9} {self.text}",
            width,
            subsequent_indent=" " * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return f"{wrapped}\n{self.to_copy}" if self.to_copy else wrapped


def run_doctor(environ: Mapping[str, str], **options: object) -> int:
    """Print one line per check; return 0, or 1 after a problem."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return anyio.run(_print_results, environ, options)


async def _print_results(environ: Mapping[str, str], options: Mapping[str, object]) -> int:
    problems = 0
    # The last column stays free: some terminals start a new line as soon as it is filled.
    width = min(max(shutil.get_terminal_size().columns - 1, NARROWEST), WIDEST)
    try:
        async for result in _check_all(environ, options):
            print(result.format(width), flush=True)
            problems += result.state == "problem"
    except BrokenPipeError:
        raise
    except Exception as exc:  # a traceback does not help a person who asks what is wrong
        text = f"The doctor itself failed ({type(exc).__name__}). Please report this."
        print(CheckResult("problem", "doctor", text).format(width))
        problems += 1
    if not problems:
        print("\nNo problems found.")
        return 0
    count = "1 problem" if problems == 1 else f"{problems} problems"
    print(f"\n{count} to fix. Then run the doctor again.")
    return 1


async def _check_all(
    environ: Mapping[str, str], options: Mapping[str, object]
) -> AsyncIterator[CheckResult]:
    python = platform.python_version()
    yield CheckResult("ok", "version", f"sigmamind-mcp {__version__}, Python {python}")
    for result in _check_variables(environ):
        yield result
    try:
        settings = Settings.from_env(environ, **options)
    except ConfigurationError as exc:
        yield CheckResult("problem", "settings", str(exc))
        return
    yield _describe_settings(settings)
    key = check_configured_key(settings)
    yield key
    proxies = _find_proxies(environ)
    if proxies and not settings.sandbox:
        names = " and ".join(proxies)
        yield CheckResult("note", "proxy", f"Ignored, because a proxy could see the key: {names}.")
    if key.state == "ok":
        async for result in check_api(settings, has_proxy=bool(proxies)):
            yield result
    else:
        yield CheckResult("note", "API", "Not checked, because there is no usable key.")
    for result in await anyio.to_thread.run_sync(_check_server, environ, settings):
        yield result


def _check_variables(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Report unknown SIGMAMIND_ variables and unfilled placeholders."""
    for name in sorted(environ):
        text = None
        if name in VARIABLES:
            # check_configured_key reports a placeholder of the key.
            is_placeholder = environ[name].strip().startswith("${")
            if is_placeholder and name != "SIGMAMIND_API_KEY":
                text = f"{name} counts as unset: the client did not fill in its placeholder."
        elif re.fullmatch(r"SIGMAMIND_\w{0,50}", name):
            text = f"{name} is not a setting. The option --help lists the settings."
        if text:
            yield CheckResult("note", "settings", text)


def _describe_settings(settings: Settings) -> CheckResult:
    api = "the embedded sandbox" if settings.sandbox else f"API at {_format_origin(settings)}"
    access = "read-only" if settings.read_only else "may create and change"
    return CheckResult("ok", "settings", f"{api}, {access}")


def _format_origin(settings: Settings) -> str:
    parts = urlsplit(settings.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def check_configured_key(settings: Settings) -> CheckResult:
    """Check that a well-formed key is set; only the API knows if it is valid."""
    try:
        settings.key()
    except ConfigurationError as exc:
        return CheckResult("problem", "key", str(exc))
    text = "the sandbox needs none" if settings.sandbox else "set and well-formed"
    return CheckResult("ok", "key", text)


def _find_proxies(environ: Mapping[str, str]) -> list[str]:
    names = [name for name in reversed(PROXIES) if environ.get(name)]
    # Windows ignores the case of a variable's name, so both spellings may name the same variable.
    return list({name.upper(): name for name in names}.values())


async def check_api(settings: Settings, *, has_proxy: bool) -> AsyncIterator[CheckResult]:
    """Read the list of agents and the default agent, one request each, without retries."""
    async with _open_transport(settings) as transport:
        listing = await _check_agents(transport, settings, has_proxy=has_proxy)
        yield listing
        if transport.api_date:
            yield _check_clock(transport.api_date)
        if settings.agent_id and listing.state != "problem":
            yield await _check_default_agent(transport, settings, settings.agent_id)


def _open_transport(settings: Settings) -> "APITransport":
    # backend.select_api would retry.
    from sigmamind_mcp.api.transport import APITransport

    if not settings.sandbox:
        return APITransport(settings.base_url, tries=1)
    from sigmamind_mcp.sandbox import create_app

    return APITransport.to_app(create_app())


async def _check_agents(
    transport: "APITransport", settings: Settings, *, has_proxy: bool
) -> CheckResult:
    from sigmamind_mcp.api.listings import Page
    from sigmamind_mcp.api.models import AgentRef

    start = monotonic()
    query = {"page": 0, "size": 1}
    try:
        reply = await transport.get("v1", "agents", key=settings.key(), query=query)
        agents = Page.read(reply.data, AgentRef)
    except SigmaMindError as exc:
        text = explain_api_error(exc, settings, has_proxy=has_proxy)
        return CheckResult("problem", "API", text)
    seconds = monotonic() - start
    count = len(agents.items) if agents.total is None else agents.total
    status = "answers" if settings.sandbox else "accepts the key"
    if not count:
        return CheckResult("note", "API", f"{status}, but lists no agents ({seconds:.1f} s)")
    noun = "agent" if count == 1 else "agents"
    return CheckResult("ok", "API", f"{status} and lists {count} {noun} ({seconds:.1f} s)")


async def _check_default_agent(
    transport: "APITransport", settings: Settings, agent_id: str
) -> CheckResult:
    unknown = CheckResult(
        "problem",
        "agent",
        "The API has no agent with the id in SIGMAMIND_AGENT_ID. The tool list_agents shows"
        " all agents.",
    )
    if not re.fullmatch(ID_PATTERN, agent_id):
        return unknown
    try:
        await transport.get("v1", "agents", agent_id, key=settings.key())
    except NotFound:
        return unknown
    except SigmaMindError as exc:
        return CheckResult("problem", "agent", str(exc))
    return CheckResult("ok", "agent", "the agent in SIGMAMIND_AGENT_ID exists")


def _check_clock(api_time: datetime) -> CheckResult:
    ahead = (datetime.now(UTC) - api_time).total_seconds()
    if abs(ahead) <= CLOCK_SECONDS:
        return CheckResult("ok", "clock", "agrees with the API's clock")
    difference = _format_duration(abs(ahead))
    direction = "ahead of" if ahead > 0 else "behind"
    return CheckResult(
        "problem",
        "clock",
        f"This machine's clock is {difference} {direction} the API's. Set it, if possible by"
        " network time (NTP).",
    )


def _format_duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 60:,.0f} minutes"


def explain_api_error(exc: SigmaMindError, settings: Settings, *, has_proxy: bool) -> str:
    """Explain why the list of agents could not be read, and what to do."""
    match exc:
        case NotAllowed():  # its own text is about an agent, but this request names none
            return (
                "The API knows the key, but does not let it list agents (403). Create another key"
                " in the dashboard."
            )
        case NotFound():
            return (
                f"The server at {_format_origin(settings)} has no list of agents (404). Check"
                " SIGMAMIND_BASE_URL."
            )
        case ConnectionFailed():
            return _explain_connection(exc, settings, has_proxy=has_proxy)
    return str(exc)


def _explain_connection(exc: ConnectionFailed, settings: Settings, *, has_proxy: bool) -> str:
    explanations = (_explain_cause(cause, settings) for cause in _list_causes(exc))
    text = next(filter(None, explanations), str(exc))
    if has_proxy:
        host = urlsplit(settings.base_url).hostname
        text += f" Proxies are ignored, so this machine must reach {host} directly."
    return text


def _list_causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _explain_cause(cause: BaseException, settings: Settings) -> str | None:
    host = urlsplit(settings.base_url).hostname
    match cause:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(str(cause), host)
        case ssl.SSLError():
            return f"The server at {host} does not speak TLS. Check SIGMAMIND_BASE_URL."
        case socket.gaierror():
            return (
                f"The host name {host} is not found. Check the network, the DNS and"
                " SIGMAMIND_BASE_URL."
            )
        case ConnectionRefusedError():
            return f"Nothing listens at {_format_origin(settings)}. Check SIGMAMIND_BASE_URL."
    return None


def _explain_certificate(reason: str, host: str | None) -> str:
    if WRONG_TIME.search(reason):
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"The certificate of {host} is not valid at the time of this machine's clock ({now})."
            " Check the clock first."
        )
    if WRONG_HOST.search(reason):
        return f"The server at {host} has a certificate for another name. Check SIGMAMIND_BASE_URL."
    return (
        f"This machine does not trust the certificate of {host}. If your company inspects TLS, add"
        " its root certificate to the operating system's store. SSL_CERT_FILE is not read."
    )


def _check_server(environ: Mapping[str, str], settings: Settings) -> list[CheckResult]:
    """Start the server like a client, and connect as the oldest supported client."""
    command = [*build_module_command(), "--log-level", "error"]
    if settings.sandbox:
        command.append("--sandbox")
    start = monotonic()
    try:
        _, listing, _ = _exchange_messages(command, environ)
        count = len(listing["tools"])
    except (OSError, ValueError, KeyError):
        text = f"It does not start within {START_SECONDS} s. To see why, run this in a terminal:"
        to_copy = f"{_format_shell_command()} --sandbox"
        return [CheckResult("problem", "server", text, to_copy)]
    seconds = monotonic() - start
    # Without the revision: it is the doctor's choice, and no client of today uses it.
    started = f"starts over stdio and lists {count} tools ({seconds:.1f} s)"
    clients = (
        f"Supported protocols: {OLDEST_PROTOCOL} to {NEWEST_PROTOCOL}. Before 2025-06-18 the model"
        " sees only the text of an answer, and the server cannot ask you before a large batch run."
    )
    return [
        CheckResult("ok", "server", started),
        CheckResult("note", "clients", clients),
        CheckResult("note", "command", "For the JSON of a client:", _format_json_command()),
    ]


def _exchange_messages(command: list[str], environ: Mapping[str, str]) -> list[Any]:
    """Return the results of `initialize`, `tools/list` and `resources/read`.

    Raises:
        OSError, ValueError, KeyError: the server does not start, ends early or answers an error.
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
            for message in CLIENT_MESSAGES:
                process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            results = []
            for message in CLIENT_MESSAGES:
                if "id" in message:  # a notification has no answer
                    answer = json.loads(process.stdout.readline())
                    results.append(answer["result"])
            return results
        finally:
            hard_limit.cancel()
            process.terminate()


def _format_json_command() -> str:
    command, *arguments = find_server_command()
    text = f'"command": {json.dumps(command)}'
    if arguments:
        text += f', "args": {json.dumps(arguments)}'
    return text


def _format_shell_command() -> str:
    quoted = []
    for word in find_server_command():
        quoted.append(f'"{word}"' if " " in word else word)
    return " ".join(quoted)
