"""`sigmamind-mcp report`, as a process against the sandbox on a port."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest

from sigmamind_mcp.sandbox import SANDBOX_KEY
from sigmamind_mcp.viewer.page import embed_report
from tests.support.fake_api import AGENT, ERROR, FakeAPI
from tests.support.processes import COMMAND, environment, serving
from tests.support.sample_batches import make_sample_batch, serve_batches

AGENT_ID = "agent_mJzLaPEo425lieb9"
EARLIER, LATER = "batch_2JmWPQEzUXDn5MCZ", "batch_0ys2AIVkkpWdoC7P"
Report = Callable[..., subprocess.CompletedProcess[bytes]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with serving("sandbox", "--pace", "0") as url:
        yield url


def make_settings(url: str, **variables: str) -> dict[str, str]:
    settings = {"SIGMAMIND_BASE_URL": url, "SIGMAMIND_API_KEY": SANDBOX_KEY}
    return environment(**settings, SIGMAMIND_AGENT_ID=AGENT_ID) | variables


@pytest.fixture
def report(sandbox: str) -> Report:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, "report", *arguments],
            env=make_settings(sandbox, **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


def read_data(page: bytes) -> dict[str, Any]:
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_page_is_one_file_that_is_the_same_each_time(report: Report) -> None:
    options = (LATER, "--against", EARLIER, "--history", "--transcripts", "--mask")

    first, second = report(*options), report(*options)

    assert (first.returncode, first.stderr) == (0, b"")
    assert first.stdout == second.stdout
    data = read_data(first.stdout)
    assert first.stdout.decode() == embed_report(data)
    assert (data["batchId"], data["agentId"], data["state"]) == (LATER, AGENT_ID, "finished")
    assert set(data["conversations"]) == {run["jobId"] for run in data["runs"]}
    assert data["comparison"]["baseBatchId"] == EARLIER
    assert [run["batchId"] for run in data["history"][0]["runs"]][-1] == LATER


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_bytes_do_not_depend_on_the_encoding_of_the_terminal(encoding: str, report: Report) -> None:
    page = report(LATER, PYTHONIOENCODING=encoding)
    markdown = report(LATER, "--markdown", PYTHONIOENCODING=encoding)

    assert page.stdout.decode() == embed_report(read_data(page.stdout))
    assert "✗✓✗✗✗✓✓✗✗✗" in markdown.stdout.decode() and b"\r" not in markdown.stdout


def test_markdown_begins_with_the_result_and_has_all_job_ids(report: Report) -> None:
    markdown = report(LATER, "--markdown", "--against", EARLIER).stdout.decode()

    assert markdown.startswith(f"## Batch run `{LATER}`: finished, 16 of 30 passed (53%, ")
    assert "| New appointment | 10 of 10 | 3 of 10 | regressed, proven |  |" in markdown
    assert set(re.findall(r"job_\w+", markdown)) == {
        run["jobId"] for run in read_data(report(LATER).stdout)["runs"]
    }


def test_embedded_sandbox_needs_no_key(report: Report) -> None:
    shown = report("--sandbox", LATER, SIGMAMIND_BASE_URL="", SIGMAMIND_API_KEY="")

    assert (shown.returncode, read_data(shown.stdout)["batchId"]) == (0, LATER)


def test_unknown_id_in_an_embedded_sandbox_says_that_the_sandbox_is_new(report: Report) -> None:
    embedded = report("--sandbox", "batch_gone", SIGMAMIND_BASE_URL="", SIGMAMIND_API_KEY="")
    served = report("batch_gone")

    assert (embedded.returncode, embedded.stdout) == (2, b"")
    assert b"This sandbox is new" in embedded.stderr and b"sandbox --db" in embedded.stderr
    assert b"This sandbox is new" not in served.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        ((), {}, "the following arguments are required: BATCH"),
        (("batch_gone",), {}, "No batch run of agent"),
        (("../agents",), {}, "An id has letters"),
        (("",), {}, "An id has letters"),
        ((LATER, "--agent", "agent_gone"), {}, "No agent called agent_gone"),
        ((LATER,), {"SIGMAMIND_AGENT_ID": ""}, "Use --agent or SIGMAMIND_AGENT_ID"),
        ((LATER,), {"SIGMAMIND_API_KEY": ""}, "No SigmaMind API key is set"),
        ((LATER, "--against", "batch_gone"), {}, "--against batch_gone"),
        ((LATER, "--against", LATER), {}, "another batch run"),
        ((LATER,), {"SIGMAMIND_BASE_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9. Check the"),
        ((LATER,), {"SIGMAMIND_BASE_URL": "http://127.0.0.1:9"}, "'sigmamind-mcp doctor' names"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_no_half_page(
    arguments: tuple[str, ...], variables: dict[str, str], says: str, report: Report
) -> None:
    refused = report(*arguments, **variables)

    assert (refused.returncode, refused.stdout) == (2, b"")
    errors = refused.stderr.decode()
    assert says in errors and "Traceback" not in errors


@pytest.mark.parametrize("status", [400, 402, 409, 500])
def test_reason_that_the_api_gives_is_said_whatever_the_status(
    fake_api: FakeAPI, status: int
) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_1", {"message": "Out of credits"}, status)

    shown = subprocess.run(
        [*COMMAND, "report", "batch_1"],
        env=make_settings(fake_api.url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )

    errors = shown.stderr.decode()
    assert f"({status})" in errors and "the API says" in errors and "Out of credits" in errors


def test_missing_part_is_said_on_stderr_and_in_the_report(fake_api: FakeAPI) -> None:
    serve_batches(fake_api, make_sample_batch("batch_1", [(1, 1)]))
    fake_api.answer("GET", "/v1/batch-runs", ERROR, 500)

    shown = subprocess.run(
        [*COMMAND, "report", "batch_1", "--history", "--agent", AGENT["agentId"]],
        env=make_settings(fake_api.url),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert shown.returncode == 1
    (note,) = read_data(shown.stdout)["notes"]
    assert note.startswith("The history is missing: ")
    assert shown.stderr.decode() == f"sigmamind-mcp: {note}\n"


def test_reader_that_leaves_early_gets_no_traceback(sandbox: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "report", LATER, "--transcripts"],
        env=make_settings(sandbox),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()

    assert process.wait(60) == 2 and errors == b""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_interruption_is_quiet_and_writes_nothing(fake_api: FakeAPI) -> None:
    batch = make_sample_batch("batch_1", [(1, 1)])
    asked, released = Event(), Event()

    def hold(_: object) -> object:
        asked.set()
        released.wait(20)
        return batch.batch

    serve_batches(fake_api, batch)
    fake_api.answer("GET", "/v1/batch-runs/batch_1", hold)
    process = subprocess.Popen(
        [*COMMAND, "report", "batch_1"],
        env=make_settings(fake_api.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert asked.wait(20)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    released.set()

    assert (process.returncode, output, errors) == (130, b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_page_is_not_written_to_a_terminal(sandbox: str) -> None:
    from tests.support.terminals import run_in_terminal

    settings = {"SIGMAMIND_BASE_URL": sandbox, "SIGMAMIND_API_KEY": SANDBOX_KEY}
    arguments = (LATER, "--agent", AGENT_ID)

    status, lines = run_in_terminal("report", *arguments, columns=60, **settings)
    assert status == 2 and "add '> report.html'" in " ".join(lines)

    status, lines = run_in_terminal("report", *arguments, "--markdown", columns=60, **settings)
    assert status == 0 and any(line.startswith(f"## Batch run `{LATER}`") for line in lines)


def test_help_says_what_is_private_and_what_the_statuses_mean(report: Report) -> None:
    shown = report("--help").stdout.decode()

    for words in ("> report.html", "only --transcripts adds them", "exit status:", "--mask"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 80
