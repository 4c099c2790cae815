"""The command line, as processes."""

import itertools
import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sigmamind_mcp import __version__
from sigmamind_mcp.cli import SERVER_FLAGS, build_parser, parse_options
from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.support.processes import COMMAND, environment, run, serving


@pytest.mark.parametrize("command", ["", "serve", "sandbox", "demo", "doctor", "links", "suite"])
def test_help_helps_within_80_columns(command: str) -> None:
    shown = run(*command.split(), "--help", env=environment(COLUMNS="80"))

    assert shown.returncode == 0 and "--" in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80


def test_version_is_the_packages() -> None:
    assert run("--version").stdout == f"sigmamind-mcp {__version__}\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIGMAMIND_BASE_URL", "http://example.com"),
        ("SIGMAMIND_READ_ONLY", "maybe"),
        ("SIGMAMIND_LOG_LEVEL", "loud"),
    ],
)
def test_unusable_setting_is_one_line_that_names_it(variable: str, value: str) -> None:
    refused = run(env=environment(**{variable: value}))

    assert refused.returncode == 2
    assert (
        refused.stderr.startswith(f"sigmamind-mcp: {variable} ") and refused.stderr.count("\n") == 1
    )


def test_unknown_option_is_refused() -> None:
    assert run("--nonsense").returncode == 2


@pytest.mark.parametrize("count", range(len(SERVER_FLAGS) + 1))
def test_options_of_a_plain_start_are_what_the_parser_reads(count: int) -> None:
    for words in itertools.permutations(SERVER_FLAGS, count):
        assert parse_options(words, with_all_options=False) == build_parser().parse_args(words)


def test_options_work_before_and_after_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["serve", "--sandbox"], ["--sandbox", "serve"]):
        with serving(*arguments) as url, urllib.request.urlopen(f"{url}/healthz") as health:
            assert health.read() == b"ok\n"


def test_served_sandbox_prints_its_key_and_keeps_its_data(tmp_path: Path) -> None:
    db = tmp_path / "sandbox.db"
    with serving("sandbox", "--db", str(db)) as url:
        request = urllib.request.Request(f"{url}/v1/agents", headers={"X-API-Key": SANDBOX_KEY})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["totalCount"] == 4

    with sqlite3.connect(db) as stored:
        assert stored.execute("SELECT count(*) FROM agent").fetchone() == (4,)
    stored.close()


def test_file_that_is_not_a_database_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database" * 100, encoding="utf-8")

    refused = run("sandbox", "--port", "0", "--db", str(text))

    assert refused.returncode == 2
    assert "--db" in refused.stderr and "Traceback" not in refused.stderr


def test_serve_warns_that_it_ignores_the_operators_key() -> None:
    with_key = environment(SIGMAMIND_API_KEY="key_canary")
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", env=with_key)

    assert "ignores SIGMAMIND_API_KEY" in refused.stderr
    assert "key_canary" not in refused.stderr


@pytest.mark.parametrize("command", ["demo", "doctor"])
def test_closed_pipe_prints_no_traceback(command: str) -> None:
    """As in `sigmamind-mcp demo | head -1`."""
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "encoding": "utf-8",
        "env": environment(),
    }
    with subprocess.Popen([*COMMAND, "--sandbox", command], **options) as process:  # type: ignore[call-overload]
        assert process.stdout.readline()
        process.stdout.close()

        assert process.wait(30) == 1
        assert process.stderr.read() == ""


BATCH = ["--agent", "agent_mJzLaPEo425lieb9", "batch_0ys2AIVkkpWdoC7P"]
COMMANDS_WITH_OUTPUT = {
    "report": ["report", *BATCH],
    "Markdown": ["report", "--markdown", *BATCH],
    "watch": ["watch", *BATCH],
    "doctor": ["doctor"],
}
POSIX_SHELL = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def run_redirected(words: list[str], redirection: str) -> subprocess.CompletedProcess[str]:
    line = f"{shlex.join([*COMMAND, '--sandbox', *words])} {redirection}"
    return subprocess.run(
        ["sh", "-c", line],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@POSIX_SHELL
@pytest.mark.parametrize("command", COMMANDS_WITH_OUTPUT)
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "stdout is closed")],
)
def test_output_that_cannot_be_written_is_one_line(
    command: str, redirection: str, reason: str
) -> None:
    """The status is never one that a complete or incomplete result has."""
    if "full" in redirection and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")

    ended = run_redirected(COMMANDS_WITH_OUTPUT[command], redirection)

    has_other_statuses = command == "doctor" and "full" in redirection
    assert ended.returncode == (1 if has_other_statuses else 2)
    assert ended.stderr.startswith("sigmamind-mcp: ") and ended.stderr.count("\n") == 1
    assert reason in ended.stderr


@pytest.mark.slow
@POSIX_SHELL
@pytest.mark.parametrize("command", ["report", "Markdown", "watch"])
def test_closed_stderr_changes_nothing_on_stdout(command: str) -> None:
    words = COMMANDS_WITH_OUTPUT[command]

    assert run_redirected(words, "2>&-").stdout == run_redirected(words, "").stdout
    unknown = run_redirected([*words[:-1], "batch_none"], "2>&-")
    assert (unknown.returncode, unknown.stdout) == (2, "")


def test_terminal_on_stdin_gets_a_line_that_says_it_waits_for_a_client() -> None:
    pty = pytest.importorskip("pty")  # Windows has none

    outside, inside = pty.openpty()
    with subprocess.Popen(
        COMMAND, stdin=inside, stderr=subprocess.PIPE, encoding="utf-8", env=environment()
    ) as server:
        assert server.stderr and "waiting for an MCP client" in server.stderr.readline()
        server.terminate()
    os.close(outside)
    os.close(inside)


def test_port_that_cannot_be_used_is_one_line_that_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = run("serve", "--sandbox", "--port", str(port))
    impossible = run("serve", "--sandbox", "--port", "99999")

    assert (shown.returncode, impossible.returncode) == (2, 2)
    assert shown.stderr.startswith(f"sigmamind-mcp: Port {port} on 127.0.0.1 cannot be used (")
    assert (
        "Errno" not in shown.stderr
        and shown.stderr.count("(") == 1
        and shown.stderr.count("\n") == 1
    )
    assert "(a port is a number from 0 to 65535)" in impossible.stderr


@pytest.mark.parametrize("pace", ["nan", "inf", "-inf", "-1", "1e400", "1e300", "fast", ""])
def test_pace_that_is_no_factor_is_one_sentence(pace: str) -> None:
    refused = run("sandbox", "--port", "0", f"--pace={pace}")

    assert refused.returncode == 2
    assert refused.stderr.endswith("argument --pace: must be a number from 0 to 100,000\n")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://mcp.example.com/mcp", "must be https"),
        ("http://10.0.0.1/mcp", "must be https"),
        ("http://127.0.0.1.evil.example/mcp", "must be https"),
        ("https://[/mcp", "must be an address such as https://mcp.example.com/mcp"),
        ("https://[::1/mcp", "must be an address"),
        ("https://mcp.example.com:99999/mcp", "must be an address"),
        ("https://mcp.example.com:port/mcp", "must be an address"),
        ("https://mcp example.com/mcp", "must be an address"),
        ("https:///mcp", "must be an address"),
        ("mcp.example.com", "must be an address"),
        ("ftp://mcp.example.com/mcp", "must be an address"),
        ("", "must be an address"),
        ("https://user:secret@mcp.example.com/mcp", "must contain only"),
        ("https://mcp.example.com/mcp?key=secret", "must contain only"),
    ],
)
def test_link_to_an_unusable_address_is_one_sentence(url: str, reason: str) -> None:
    refused = run("links", "--url", url)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"sigmamind-mcp: --url {reason}")
    assert refused.stderr.count("\n") == 1 and "secret" not in refused.stderr


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8765/mcp", "http://localhost/mcp", "http://[::1]:1/mcp"]
)
def test_links_to_loopback_may_use_plain_http(url: str) -> None:
    assert run("links", "--url", url).returncode == 0


def test_help_hides_the_options_for_tests_which_still_work() -> None:
    shown = run("sandbox", "--help").stdout

    assert "--db" in shown and "--pace" not in shown
    for hidden in (["--older-pages"], ["--no-run-list"], ["--live-definitions"], ["--pace", "2"]):
        assert hidden[0] not in shown
        with serving("sandbox", *hidden) as url:
            assert url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("command", ["", "suite", "suite run", "report", "watch"])
def test_descriptions_of_the_help_fit_50_columns(command: str) -> None:
    shown = run(*command.split(), "--help", env=environment(COLUMNS="50"))

    # argparse does not break a long option of the usage.
    _, _, text = shown.stdout.partition("\n\n")
    assert shown.returncode == 0 and text
    assert [line for line in text.splitlines() if len(line) > 50] == []
