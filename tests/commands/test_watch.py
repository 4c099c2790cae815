"""`sigmamind-mcp watch`, as a process against the sandbox on a port."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.commands.watch import watch_batch_run, write_report_command
from sigmamind_mcp.errors import ServerFault
from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.commands.test_suite import send
from tests.support.fake_api import AGENT, ERROR, Asked, FakeAPI
from tests.support.processes import COMMAND, environment, serving
from tests.support.sample_batches import make_sample_batch, serve_batches

AGENT_ID = "agent_mJzLaPEo425lieb9"
FINISHED = "batch_0ys2AIVkkpWdoC7P"
FAKED = ("batch_1", "--agent", AGENT["agentId"])
CASES = ("tc_bookNew000000001", "tc_bookAsk000000003")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with serving("sandbox", "--pace", "0.1") as url:
        yield url


def make_settings(url: str, **variables: str) -> dict[str, str]:
    settings = {"SIGMAMIND_BASE_URL": url, "SIGMAMIND_API_KEY": SANDBOX_KEY}
    return environment(**settings, SIGMAMIND_AGENT_ID=AGENT_ID) | variables


def watch(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "watch", *arguments],
        env=make_settings(url, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def start_batch_run(url: str) -> str:
    body = {"agentId": AGENT_ID, "testCases": list(CASES)}
    batch_id: str = send(url, "POST", "/v1/batch-runs", body)["batchId"]
    return batch_id


def test_batch_run_is_followed_to_its_end_with_a_line_for_each_change(sandbox: str) -> None:
    batch_id = start_batch_run(sandbox)

    shown = watch(sandbox, batch_id)

    assert (shown.returncode, shown.stderr) == (0, "") and "\x1b" not in shown.stdout
    lines = shown.stdout.splitlines()
    progress = [line for line in lines if line.endswith(" of 20 decided")]
    assert progress[-1] == "  20 of 20 decided"
    assert lines[len(progress)].startswith(f"Batch run {batch_id}: finished, ")
    assert "Test cases that did not pass, worst first:" in lines
    assert lines[-1] == f"  sigmamind-mcp report {batch_id} --agent {AGENT_ID} > report.html"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 80])
def test_it_fits_a_terminal_of_any_width(columns: int, sandbox: str) -> None:
    from tests.support.terminals import run_in_terminal

    batch_id = start_batch_run(sandbox)
    settings = make_settings(sandbox)
    ours = {name: settings[name] for name in settings if name.startswith("SIGMAMIND_")}

    status, lines = run_in_terminal("watch", batch_id, columns=columns, **ours)

    command = f"  sigmamind-mcp report {batch_id} --agent {AGENT_ID} > report.html"
    assert command in lines  # whole, so that it can be pasted
    lines.remove(command)
    assert (status, max(map(len, lines)) <= columns) == (0, True)
    assert any("decided" in line for line in lines)
    assert any(line.startswith(f"Batch run {batch_id}") for line in lines)


def test_its_last_line_works_in_the_embedded_sandbox_too() -> None:
    shown = watch("", FINISHED, "--sandbox", SIGMAMIND_API_KEY="", SIGMAMIND_AGENT_ID=AGENT_ID)

    place = {"agentId": AGENT_ID, "batchId": FINISHED}
    command = write_report_command(place, in_sandbox=True)
    assert (shown.returncode, shown.stdout.splitlines()[-1]) == (0, command)
    arguments = command.removesuffix(" > report.html").split()[1:]
    report = subprocess.run([*COMMAND, *arguments], env=environment(), capture_output=True)
    assert report.stdout.startswith(b"<!doctype html>"), report.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_it_survives_encodings_that_lack_a_label(encoding: str, fake_api: FakeAPI) -> None:
    batch = make_sample_batch("batch_1", [(0, 2)])
    for case in (*batch.batch["testCases"], *(run["testCase"] for run in batch.runs)):
        case["label"] = "🙂 \x1b[2J::error::x\u202e"
    serve_batches(fake_api, batch)

    shown = watch(fake_api.url, *FAKED, PYTHONIOENCODING=encoding)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\x1b" not in shown.stdout and "\n::" not in shown.stdout
    assert "tc_0 failing, 0 of 2 passed" in shown.stdout


def test_key_that_the_api_repeats_is_not_printed(fake_api: FakeAPI) -> None:
    key = "key_canary.4f1d2c"
    batch = make_sample_batch("batch_1", [(0, 2)])
    for case in (*batch.batch["testCases"], *(run["testCase"] for run in batch.runs)):
        case["label"] = f"{key[:9]}\u200b{key[9:]}"
    serve_batches(fake_api, batch)
    refusal = {"validationErrors": {"agentId": f"not for {key}"}}
    fake_api.answer("GET", "/v1/batch-runs/batch_2", refusal, 400)

    shown = watch(fake_api.url, *FAKED, SIGMAMIND_API_KEY=key)
    refused = watch(fake_api.url, "batch_2", *FAKED[1:], SIGMAMIND_API_KEY=key)

    assert "tc_0 failing, 0 of 2 passed: [key]" in shown.stdout
    assert '"agentId": "not for [key]"' in refused.stderr
    assert "canary" not in shown.stdout + refused.stderr


def test_stalled_batch_run_ends_the_watch_with_1(fake_api: FakeAPI) -> None:
    batch = make_sample_batch("batch_1", [(1, 1)])
    batch.batch |= {"successfulAttempts": 1, "failedAttempts": 0, "totalAttempts": 1}
    serve_batches(fake_api, batch)

    shown = watch(fake_api.url, *FAKED)

    assert shown.returncode == 1
    assert "batch_1: stalled, 1 passed, 0 failed, 1 undecided of 2 attempts." in shown.stdout
    assert "nothing has happened for more than 15 minutes" in " ".join(shown.stdout.split())


def test_summary_that_cannot_be_read_does_not_change_the_end(fake_api: FakeAPI) -> None:
    serve_batches(fake_api, make_sample_batch("batch_1", [(1, 1)]))
    fake_api.answer("GET", "/v1/test-runs", ERROR, 500)

    shown = watch(fake_api.url, *FAKED)

    assert shown.returncode == 0 and "batch_1: finished, 1 passed, 1 failed" in shown.stdout
    assert shown.stderr.startswith("sigmamind-mcp: There is no summary: ")


def serve_states(api: FakeAPI, *states: str) -> None:
    """Answer with a running batch run, a failure or its end, one after the other."""
    batch = make_sample_batch("batch_1", [(1, 1)])
    serve_batches(api, batch)
    running = {**batch.batch, "failedAttempts": 0, "totalAttempts": 1, "createdDate": None}
    answers = {"running": running, "failing": (500, ERROR), "finished": batch.batch}
    left = list(states)

    def answer(_: Asked) -> Any:
        return answers[left.pop(0) if len(left) > 1 else left[0]]

    api.answer("GET", "/v1/batch-runs/batch_1", answer)


def test_each_change_is_a_line_and_a_failed_read_is_none(fake_api: FakeAPI) -> None:
    serve_states(fake_api, "running", "failing", "finished")

    shown = watch(fake_api.url, *FAKED)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(
        "  1 of 2 decided\n  2 of 2 decided\nBatch run batch_1: finished"
    )


@pytest.mark.anyio
async def test_long_failure_ends_the_watch_and_a_short_one_does_not(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each wait reads once here, so that a failure is one of the wait itself."""
    monkeypatch.setattr("sigmamind_mcp.commands.watch.WAIT_SECONDS", 0)
    monkeypatch.setattr("sigmamind_mcp.commands.watch.FAILURE_PAUSE", 0)
    place = {"agentId": AGENT["agentId"], "batchId": "batch_1"}

    serve_states(fake_api, "running", "failing", "finished")
    assert (await watch_batch_run(place, client)).state == "finished"

    serve_states(fake_api, "running", "failing")
    with pytest.raises(ServerFault):
        await watch_batch_run(place, client)
    assert "Trying again." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        ((), {}, "the following arguments are required: BATCH"),
        (("batch_gone",), {}, "No batch run of agent"),
        (("a b",), {}, "An id has letters"),
        ((FINISHED,), {"SIGMAMIND_AGENT_ID": ""}, "Use --agent or SIGMAMIND_AGENT_ID"),
        ((FINISHED,), {"SIGMAMIND_API_KEY": ""}, "No SigmaMind API key is set"),
        ((FINISHED,), {"SIGMAMIND_BASE_URL": "http://127.0.0.1:9"}, "sigmamind-mcp: "),
    ],
)
def test_what_cannot_be_watched_is_one_sentence(
    arguments: tuple[str, ...], variables: dict[str, str], says: str, sandbox: str
) -> None:
    refused = watch(sandbox, *arguments, **variables)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert says in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_interruption_is_quiet() -> None:
    with serving("sandbox", "--pace", "10") as url:
        process = subprocess.Popen(
            [*COMMAND, "watch", start_batch_run(url)],
            env=make_settings(url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        assert process.stdout and process.stdout.readline() == "  0 of 20 decided\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)

    assert (process.returncode, output, errors) == (130, "", "")


def test_help_says_what_the_statuses_mean(sandbox: str) -> None:
    shown = watch(sandbox, "--help").stdout

    for words in ("the batch run goes on", "exit status:", "1    it has stalled"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 80
