"""`sigmamind-mcp doctor`, as a process: what is wrong, in plain words, and what to do."""

import datetime as dt
import ipaddress
import re
import socket
import ssl
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
from pydantic import SecretStr

from sigmamind_mcp.commands.doctor import CheckResult, ask_api, is_within, judge_key, why
from sigmamind_mcp.errors import ConnectionFailed
from sigmamind_mcp.settings import Settings, check_key
from tests.conftest import KEY
from tests.support.fake_api import AGENT, FakeAPI, page
from tests.support.processes import environment, run

pytestmark = pytest.mark.anyio

AGENTS = "/v1/agents"


def examined(*arguments: str, encoding: str = "utf-8", **variables: str) -> CompletedProcess[str]:
    """What doctor prints, where no proxy of this machine's own is set."""
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
    return found(shown, "problem")


def found(shown: CompletedProcess[str], state: str) -> dict[str, str]:
    """The findings of this state by what they are about, each on one line."""
    unwrapped = re.sub(r"\n {19}", " ", shown.stdout)
    return dict(re.findall(rf"^{state} +(\S+) +(.+)$", unwrapped, re.M))


async def answered(url: str, **settings: Any) -> dict[str, CheckResult]:
    """What doctor says of the API alone, without starting a server."""
    settings = {"api_key": check_key(KEY), "base_url": url, **settings}
    return {
        finding.about: finding async for finding in ask_api(Settings(**settings), by_proxy=False)
    }


@pytest.fixture
def api(fake_api: FakeAPI) -> FakeAPI:
    fake_api.answer("GET", AGENTS, page([AGENT]))
    fake_api.headers["Date"] = format_datetime(dt.datetime.now(dt.UTC), usegmt=True)
    return fake_api


def test_all_is_right_with_two_reads_at_most(api: FakeAPI) -> None:
    api.answer("GET", f"{AGENTS}/{AGENT['agentId']}", AGENT)

    shown = examined(
        SIGMAMIND_API_KEY=KEY, SIGMAMIND_BASE_URL=api.url, SIGMAMIND_AGENT_ID=AGENT["agentId"]
    )

    assert (shown.returncode, shown.stderr, problems(shown)) == (0, "", {})
    assert list(found(shown, "ok")) == [
        "version",
        "packages",
        "settings",
        "key",
        "API",
        "clock",
        "agent",
        "server",
    ]
    assert api.paths == [f"GET {AGENTS}", f"GET {AGENTS}/{AGENT['agentId']}"]
    assert shown.stdout.endswith("\nAll is right.\n")


def test_sandbox_needs_nothing_and_fits_any_terminal() -> None:
    shown = examined("--sandbox", encoding="ascii", SIGMAMIND_AGENT_ID="agent_\u2713")

    assert shown.returncode == 1 and "no agent with the id" in problems(shown)["agent"]
    assert max(len(line) for line in shown.stdout.splitlines() if "/" not in line) <= 80
    assert found(shown, "ok")["server"].startswith(
        "starts over stdio, and shows 16 tools to a client of protocol 2024"
    )


def test_without_a_key_it_says_where_to_get_one_and_asks_nobody(api: FakeAPI) -> None:
    shown = examined(SIGMAMIND_BASE_URL=api.url)

    assert shown.returncode == 1 and list(problems(shown)) == ["key"]
    assert "(Deploy, API Keys)" in problems(shown)["key"]
    assert api.asked == []


def test_malformed_key_is_not_shown() -> None:
    finding = judge_key(Settings(api_key=SecretStr(f"{KEY} and")))

    assert finding.state == "problem" and "malformed" in finding.said
    assert KEY not in finding.said


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"message": "key_canary"}, "does not accept the key"),
        (403, {}, "does not let it list agents (403)"),
        (404, {}, "has no list of agents (404). Check SIGMAMIND_BASE_URL"),
        (
            200,
            b"<html>Sign in to the guest network</html>",
            "not JSON; something between here and it",
        ),
        (200, {"agents": []}, "neither a list nor a page"),
        (302, b"", "a redirect (302), which is never followed"),
        (503, b"", "failed (503)"),
    ],
)
async def test_what_the_api_answers_is_explained_after_one_request(
    api: FakeAPI, status: int, body: Any, said: str
) -> None:
    api.answer("GET", AGENTS, body, status)

    findings = await answered(api.url, agent_id=AGENT["agentId"])

    assert (findings["API"].state, findings["clock"].state) == ("problem", "ok")
    assert said in findings["API"].said
    assert api.paths == [f"GET {AGENTS}"]
    assert "canary" not in str(findings)


@pytest.mark.parametrize(
    ("hours", "said"),
    [(-1, "60 minutes ahead of"), (26, "26 hours behind"), (-9600, "400 days ahead of")],
)
async def test_wrong_clock_is_named_by_how_much(api: FakeAPI, hours: int, said: str) -> None:
    api.headers["Date"] = format_datetime(
        dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours), usegmt=True
    )

    findings = await answered(api.url)

    assert findings["clock"].state == "problem" and said in findings["clock"].said


def test_unreachable_api_with_a_proxy_set_says_that_proxies_are_ignored() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

    proxy = "http://person:password@127.0.0.1:1"
    shown = examined(SIGMAMIND_API_KEY=KEY, SIGMAMIND_BASE_URL=url, HTTPS_PROXY=proxy)

    assert problems(shown)["API"].startswith("Nothing listens at http://127.0.0.1:")
    assert "Since proxies are ignored, 127.0.0.1 has to be reachable" in problems(shown)["API"]
    assert found(shown, "note")["proxy"].startswith("HTTPS_PROXY set, and ignored")
    assert "password" not in shown.stdout


async def test_name_that_does_not_exist_points_to_the_network() -> None:
    findings = await answered("https://nothing.invalid")

    assert findings["API"].said.startswith(
        "The name nothing.invalid is not found. Check the network"
    )


async def test_certificate_that_nobody_vouches_for_is_explained(tmp_path: Path) -> None:
    with tls_server(tmp_path) as url:
        findings = await answered(url)

    assert findings["API"].said.startswith(
        "This machine does not trust the certificate of 127.0.0.1."
    )


@pytest.mark.parametrize(
    ("reason", "said"),
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
def test_certificate_that_is_not_for_now_or_here_is_explained(reason: str, said: str) -> None:
    failed = ConnectionFailed("No connection", sent=False)
    failed.__context__ = ssl.SSLCertVerificationError(1, reason)

    assert said in why(failed, Settings(), by_proxy=False)


async def test_http_where_tls_is_expected_is_explained(api: FakeAPI) -> None:
    findings = await answered(api.url.replace("http:", "https:"))

    assert "does not speak TLS" in findings["API"].said


def test_unusable_setting_and_misspelt_name_are_field_lines() -> None:
    shown = examined(
        SIGMAMIND_BASE_URL="http://example.com",
        SIGMAMIND_APIKEY=KEY,
        SIGMAMIND_READ_ONLY="${read_only}",
    )

    assert (
        shown.returncode == 1 and "SIGMAMIND_BASE_URL must be https" in problems(shown)["settings"]
    )
    assert shown.stdout.endswith(
        "\n1 to mend; then ask again.\n"
    )  # the key, the API and the server were not looked at
    assert "SIGMAMIND_APIKEY is not a setting" in shown.stdout
    assert "SIGMAMIND_READ_ONLY holds a placeholder" in shown.stdout


def test_versions_are_held_to_their_limits() -> None:
    limits = "<3,>=2.3"

    assert [is_within(version, limits) for version in ("2.3.0", "2.10", "1.28.1", "2.2.9", "3.0")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """Serve TLS with a certificate that only its maker vouches for."""
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
