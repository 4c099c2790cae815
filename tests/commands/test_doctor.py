"""`sigmamind-mcp doctor`, as a process: it names each problem and says what to do."""

import datetime as dt
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import format_datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sigmamind_mcp.commands import doctor
from sigmamind_mcp.commands.doctor import (
    CheckResult,
    check_api,
    check_configured_key,
    explain_api_error,
)
from sigmamind_mcp.commands.install_links import find_server_command
from sigmamind_mcp.errors import ConnectionFailed
from sigmamind_mcp.settings import Settings
from tests.conftest import KEY
from tests.support.fake_api import AGENT, FakeAPI, page
from tests.support.processes import environment, run

pytestmark = pytest.mark.anyio

AGENTS = "/v1/agents"


def run_doctor(*arguments: str, encoding: str = "utf-8", **variables: str) -> CompletedProcess[str]:
    """Run the doctor without the proxies of this machine."""
    env = {
        name: value
        for name, value in environment(**variables).items()
        if name in variables or not _is_proxy(name)
    }
    shown = run("doctor", *arguments, env={**env, "PYTHONIOENCODING": encoding})
    assert "Traceback" not in shown.stdout + shown.stderr
    assert KEY not in shown.stdout + shown.stderr
    return shown


def _is_proxy(name: str) -> bool:
    return name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def problems(shown: CompletedProcess[str]) -> dict[str, str]:
    return results(shown, "problem")


def results(shown: CompletedProcess[str], state: str) -> dict[str, str]:
    """Return the texts of this state by subject, each on one line."""
    unwrapped = re.sub(r"\n {19}", " ", shown.stdout)
    return dict(re.findall(rf"^{state} +(\S+) +(.+)$", unwrapped, re.M))


async def check(url: str, **settings: Any) -> dict[str, CheckResult]:
    """Check the API alone, without starting a server."""
    settings = {"api_key": KEY, "base_url": url, **settings}
    checks = check_api(Settings(**settings), has_proxy=False)
    return {result.subject: result async for result in checks}


@pytest.fixture
def api(fake_api: FakeAPI) -> FakeAPI:
    fake_api.answer("GET", AGENTS, page([AGENT]))
    fake_api.headers["Date"] = format_datetime(dt.datetime.now(dt.UTC), usegmt=True)
    return fake_api


def test_no_problems_after_at_most_two_reads(api: FakeAPI) -> None:
    api.answer("GET", f"{AGENTS}/{AGENT['agentId']}", AGENT)

    shown = run_doctor(
        SIGMAMIND_API_KEY=KEY, SIGMAMIND_BASE_URL=api.url, SIGMAMIND_AGENT_ID=AGENT["agentId"]
    )

    assert (shown.returncode, shown.stderr, problems(shown)) == (0, "", {})
    assert list(results(shown, "ok")) == [
        "version",
        "settings",
        "key",
        "API",
        "clock",
        "agent",
        "server",
    ]
    assert api.paths == [f"GET {AGENTS}", f"GET {AGENTS}/{AGENT['agentId']}"]
    assert shown.stdout.endswith("\nNo problems found.\n")


def test_sandbox_needs_no_settings_and_fits_any_terminal() -> None:
    shown = run_doctor("--sandbox", encoding="ascii", SIGMAMIND_AGENT_ID="agent_\u2713")

    assert shown.returncode == 1 and "no agent with the id" in problems(shown)["agent"]
    assert max(len(line) for line in shown.stdout.splitlines() if "/" not in line) <= 80
    assert results(shown, "ok")["server"].startswith("starts over stdio and lists 18 tools (")


@pytest.mark.parametrize("columns", [50, 55, 80, 200])
def test_text_fits_the_width_and_what_is_to_be_copied_is_one_line(columns: int) -> None:
    shown = run_doctor("--sandbox", COLUMNS=str(columns))

    command, *arguments = find_server_command()
    to_copy = f'"command": {json.dumps(command)}'
    if arguments:
        to_copy += f', "args": {json.dumps(arguments)}'
    lines = shown.stdout.splitlines()
    assert to_copy in lines
    assert max(len(line) for line in lines if line != to_copy) < min(columns, 80)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [50, 80])
def test_text_fits_the_terminal(columns: int) -> None:
    from tests.support.terminals import run_in_terminal

    status, lines = run_in_terminal("doctor", "--sandbox", columns=columns)

    assert status == 0
    assert max(len(line) for line in lines if not line.startswith('"command": ')) < columns


@pytest.mark.parametrize("command", [["/a folder/of mine/bin/sigmamind-mcp"], ["py", "-m", "x"]])
def test_command_to_copy_is_never_wrapped(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    long_command = [*command, "/a very long path with spaces" * 20]
    monkeypatch.setattr(doctor, "find_server_command", lambda: long_command)
    monkeypatch.setattr(doctor, "START_SECONDS", 0)

    for result in doctor._check_server(environment(), Settings(sandbox=True)):
        *_, last = result.format(50).splitlines()
        assert all(word in last for word in (*long_command, "--sandbox"))


def test_installation_that_lists_its_tools_and_cannot_call_them_is_a_problem(
    tmp_path: Path,
) -> None:
    (tmp_path / "mcp.py").write_text("raise ImportError", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *sys.path])

    [result] = doctor._check_server(environment(PYTHONPATH=path), Settings(sandbox=True))

    assert result.state == "problem" and "does not start" in result.text


@pytest.mark.parametrize("key", ["$SIGMAMIND_API_KEY", "${SIGMAMIND_API_KEY}", "your-key", "None"])
def test_placeholder_is_reported_once_and_sends_no_request(api: FakeAPI, key: str) -> None:
    shown = run_doctor(SIGMAMIND_BASE_URL=api.url, SIGMAMIND_API_KEY=key)

    assert shown.returncode == 1 and list(problems(shown)) == ["key"]
    assert "only a placeholder" in problems(shown)["key"]
    assert "counts as unset" not in shown.stdout
    assert api.asked == []


def test_missing_key_says_where_to_get_one_and_sends_no_request(api: FakeAPI) -> None:
    shown = run_doctor(SIGMAMIND_BASE_URL=api.url)

    assert shown.returncode == 1 and list(problems(shown)) == ["key"]
    assert "(Deploy, API Keys)" in problems(shown)["key"]
    assert api.asked == []


def test_malformed_key_is_not_shown() -> None:
    result = check_configured_key(Settings(api_key=f"{KEY} and"))

    assert result.state == "problem" and "malformed" in result.text
    assert KEY not in result.text


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, {"message": "key_canary"}, "does not accept the key"),
        (403, {}, "does not let it list agents (403)"),
        (404, {}, "has no list of agents (404). Check SIGMAMIND_BASE_URL"),
        (
            200,
            b"<html>Sign in to the guest network</html>",
            "not JSON; a proxy may have answered",
        ),
        (200, {"agents": []}, "neither a list nor a page"),
        (302, b"", "a redirect (302), which is never followed"),
        (503, b"", "failed (503)"),
    ],
)
async def test_what_the_api_answers_is_explained_after_one_request(
    api: FakeAPI, status: int, body: Any, text: str
) -> None:
    api.answer("GET", AGENTS, body, status)

    api_checks = await check(api.url, agent_id=AGENT["agentId"])

    assert (api_checks["API"].state, api_checks["clock"].state) == ("problem", "ok")
    assert text in api_checks["API"].text
    assert api.paths == [f"GET {AGENTS}"]
    assert "canary" not in str(api_checks)


@pytest.mark.parametrize(
    ("hours", "text"),
    [(-1, "60 minutes ahead of"), (26, "26 hours behind"), (-9600, "400 days ahead of")],
)
async def test_wrong_clock_is_reported_with_the_difference(
    api: FakeAPI, hours: int, text: str
) -> None:
    api.headers["Date"] = format_datetime(
        dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours), usegmt=True
    )

    api_checks = await check(api.url)

    assert api_checks["clock"].state == "problem" and text in api_checks["clock"].text


def test_unreachable_api_with_a_proxy_set_says_that_proxies_are_ignored() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

    proxy = "http://person:password@127.0.0.1:1"
    shown = run_doctor(SIGMAMIND_API_KEY=KEY, SIGMAMIND_BASE_URL=url, HTTPS_PROXY=proxy)

    assert problems(shown)["API"].startswith("Nothing listens at http://127.0.0.1:")
    assert "Proxies are ignored, so this machine must reach 127.0.0.1" in problems(shown)["API"]
    assert results(shown, "note")["proxy"].endswith("could see the key: HTTPS_PROXY.")
    assert "password" not in shown.stdout


async def test_unknown_host_name_points_to_the_network() -> None:
    api_checks = await check("https://nothing.invalid")

    assert api_checks["API"].text.startswith(
        "The host name nothing.invalid is not found. Check the network"
    )


async def test_untrusted_certificate_is_explained(tmp_path: Path) -> None:
    with tls_server(tmp_path) as url:
        api_checks = await check(url)

    assert api_checks["API"].text.startswith(
        "This machine does not trust the certificate of 127.0.0.1."
    )


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            "certificate verify failed: certificate has expired (_ssl.c:1006)",
            "Check the clock first",
        ),
        (
            "certificate verify failed: certificate is not yet valid (_ssl.c:1006)",
            "Check the clock first",
        ),
        ("A required certificate is not within its validity period", "Check the clock first"),
        (
            "certificate verify failed: Hostname mismatch, certificate is not valid for 'x'",
            "for another name",
        ),
        ("The certificate's CN name does not match the passed value.", "for another name"),
    ],
)
def test_certificate_for_another_time_or_name_is_explained(reason: str, text: str) -> None:
    failed = ConnectionFailed("No connection", sent=False)
    failed.__context__ = ssl.SSLCertVerificationError(1, reason)

    assert text in explain_api_error(failed, Settings(), has_proxy=False)


async def test_http_where_tls_is_expected_is_explained(api: FakeAPI) -> None:
    api_checks = await check(api.url.replace("http:", "https:"))

    assert "does not speak TLS" in api_checks["API"].text


def test_invalid_setting_and_unknown_variable_are_a_line_each() -> None:
    shown = run_doctor(
        SIGMAMIND_BASE_URL="http://example.com",
        SIGMAMIND_APIKEY=KEY,
        SIGMAMIND_READ_ONLY="${read_only}",
    )

    assert (
        shown.returncode == 1 and "SIGMAMIND_BASE_URL must be https" in problems(shown)["settings"]
    )
    # The doctor checks neither the key nor the API nor the server.
    assert shown.stdout.endswith("\n1 problem to fix. Then run the doctor again.\n")
    assert "SIGMAMIND_APIKEY is not a setting" in shown.stdout
    assert "SIGMAMIND_READ_ONLY counts as unset" in shown.stdout


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """Serve TLS with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=_refuse_each, args=(bound, context))
        thread.start()
        yield f"https://127.0.0.1:{bound.getsockname()[1]}"
        bound.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _refuse_each(bound: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection, _ = bound.accept()
            with suppress(OSError), connection, context.wrap_socket(connection, server_side=True):
                pass
