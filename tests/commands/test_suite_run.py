"""`sigmamind-mcp suite run`, as a process against the sandbox on a port: the gate."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sigmamind_mcp.insight.pooling import MAX_AGE
from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.commands.test_report import read_data
from tests.commands.test_suite import Run, build_runner, edit, send, start_suite
from tests.support.processes import serving

AGENT_ID = "agent_IqmljBh8eSEGAqKd"
BUDGET = "96"


@pytest.fixture
def sandbox() -> Iterator[str]:
    with serving("sandbox", "--pace", "0") as url:
        yield url


@pytest.fixture
def suite(tmp_path: Path, sandbox: str) -> Run:
    run = build_runner(tmp_path, sandbox, AGENT_ID)
    assert run("pull").returncode == 0
    return run


def break_agent(url: str) -> None:
    """Take the step out of the prompt that one of three test cases needs."""
    agent = send(url, "GET", f"/v1/agents/{AGENT_ID}")
    instructions = re.sub(r"State the delivery date.*?\. ", "", agent["instructions"])
    assert instructions != agent["instructions"]
    send(url, "PATCH", f"/v1/agents/{AGENT_ID}", {"instructions": instructions})


@pytest.mark.slow
def test_gate_is_green_for_noise_and_red_for_the_case_that_broke(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    for _ in range(2):
        assert suite("run", "--max-attempts", "24").returncode == 0
    green = suite("run", "--max-attempts", BUDGET, "--json", "green.json")
    assert (green.returncode, green.stderr) == (0, "")
    assert green.stdout.count("PASSED: no case is proven worse") == 1

    break_agent(sandbox)
    red = suite(
        *("run", "--max-attempts", BUDGET, "--json", "red.json", "--junit", "red.xml"),
        *("--summary", "red.md"),
        CI="true",
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(tmp_path / "steps.md"),
    )

    assert red.returncode == 1
    assert "FAILED: proven worse than the baseline: where-is-my-order." in red.stdout
    result = json.loads((tmp_path / "red.json").read_text(encoding="utf-8"))
    words = {case["key"]: case["word"] for case in result["cases"]}
    assert words["where-is-my-order"] == "worse"
    assert set(words.values()) == {"worse", "passed"}
    tree = ElementTree.parse(tmp_path / "red.xml")
    assert [case.get("name") for case in tree.iterfind(".//testcase[failure]")] == [
        "where-is-my-order"
    ]
    assert tree.findtext(".//failure", "").startswith("test run job_")
    line = result["cases"][0]["line"]
    assert f"\n::error file=suite.yaml,line={line},title=where-is-my-order%3A worse::" in red.stdout
    summary = (tmp_path / "red.md").read_text(encoding="utf-8")
    assert summary.startswith("## FAILED") and summary == (tmp_path / "steps.md").read_text("utf-8")

    resumed = suite("run", "--max-attempts", BUDGET, "--resume", ",".join(result["batchIds"]))
    again = suite("run", "--max-attempts", BUDGET)
    assert (resumed.returncode, again.returncode) == (1, 1)


@pytest.mark.slow
def test_page_of_a_run_shows_its_first_look_against_the_baseline(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    for _ in range(2):
        assert suite("run", "--max-attempts", "24").returncode == 0
    break_agent(sandbox)

    red = suite("run", "--max-attempts", BUDGET, "--json", "red.json", "--report", "red.html")

    assert (red.returncode, red.stderr) == (1, "")
    result = json.loads((tmp_path / "red.json").read_text(encoding="utf-8"))
    data = read_data((tmp_path / "red.html").read_bytes())
    assert data["batchId"] == result["batchIds"][0]
    assert data["notes"][0] == result["verdict"]
    compared = data["comparison"]
    assert (compared["candidateBatchIds"] or [data["batchId"]]) == result["batchIds"]
    assert sorted(compared["baseBatchIds"]) == sorted(result["baselineBatchIds"])
    assert "conversations" not in data


@pytest.mark.slow
def test_page_that_cannot_be_written_does_not_change_the_verdict(suite: Run) -> None:
    green = suite("run", "--max-attempts", "24", "--report", "no/such/folder.html")

    assert green.returncode == 0 and "PASSED" in green.stdout
    assert "folder.html" in green.stderr and "was not written" in green.stderr


@pytest.mark.slow
def test_case_in_quarantine_is_shown_and_never_fails(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    assert suite("run", "--max-attempts", "24").returncode == 0
    edit(
        tmp_path / "suite.yaml",
        "  where-is-my-order:\n",
        "  where-is-my-order:\n    quarantine: true\n",
    )
    break_agent(sandbox)

    run = suite("run", "--max-attempts", BUDGET, "--junit", "j.xml")

    assert run.returncode == 0 and "where-is-my-order: worse, in quarantine" in run.stdout
    tree = ElementTree.parse(tmp_path / "j.xml")
    assert len(tree.findall(".//testcase/skipped")) == 1


@pytest.mark.slow
def test_bar_is_proven_missed_and_open_within_a_small_budget(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    path = tmp_path / "suite.yaml"
    edit(path, "  where-is-my-order:\n", "  where-is-my-order:\n    bar: 0.9\n")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("attempts: 8", "attempts: 1"), encoding="utf-8")

    unsettled = suite("run", "--apply", "--max-attempts", "3")
    assert unsettled.returncode == 3 and "NOT SETTLED: still open" in unsettled.stdout

    break_agent(sandbox)
    failed = suite("run", "--max-attempts", "40")
    assert failed.returncode in (1, 3)
    path.write_text(path.read_text("utf-8").replace("attempts: 1", "attempts: 9"), "utf-8")
    failed = suite("run", "--apply", "--max-attempts", "60")
    assert failed.returncode == 1
    assert "FAILED: proven" in failed.stdout and "where-is-my-order" in failed.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "variables", "refusal"),
    [
        ((), {}, "run needs --max-attempts"),
        ((), {"CI": "true"}, "run needs --max-attempts"),
        (("--max-attempts", "23"), {}, "the first look of 3 cases makes 24 attempts"),
        (("--max-attempts", "24", "--resume", "batch_none"), {}, "(404)"),
        (("--max-attempts", "24"), {"SIGMAMIND_READ_ONLY": "true"}, "SIGMAMIND_READ_ONLY"),
    ],
)
def test_run_that_cannot_start_starts_nothing(
    arguments: tuple[str, ...], variables: dict[str, str], refusal: str, suite: Run, sandbox: str
) -> None:
    listing = f"/v1/batch-runs?agentId={AGENT_ID}"
    before = send(sandbox, "GET", listing)["totalCount"]

    refused = suite("run", *arguments, **variables)

    assert refused.returncode == 2 and refusal in refused.stderr
    assert send(sandbox, "GET", listing)["totalCount"] == before


@pytest.mark.slow
def test_changed_file_is_not_run_without_apply(tmp_path: Path, suite: Run) -> None:
    edit(tmp_path / "suite.yaml", "attempts: 8", "attempts: 2")

    refused = suite("run", "--max-attempts", "24")
    assert refused.returncode == 2 and "Apply it first, or run with --apply" in refused.stderr

    assert suite("run", "--apply", "--max-attempts", "24").returncode == 0


@pytest.mark.slow
def test_dry_run_shows_the_cost_and_starts_nothing(suite: Run, sandbox: str) -> None:
    shown = suite("run", "--dry-run", "--max-attempts", "50")

    assert shown.returncode == 0
    assert "3 cases, 24 attempts in the first look, at most 50 in 4." in shown.stdout
    assert send(sandbox, "GET", f"/v1/batch-runs?agentId={AGENT_ID}")["totalCount"] == 3


@pytest.mark.slow
def test_timeout_breaks_the_run_and_resume_continues_it(tmp_path: Path) -> None:
    with serving("sandbox", "--pace", "1") as url:
        suite = build_runner(tmp_path, url, AGENT_ID)
        assert suite("pull").returncode == 0
        broken = suite("run", "--max-attempts", "24", "--timeout", "0.001")
        assert broken.returncode == 4 and "BROKEN: the timeout" in broken.stdout

        batch_id = re.search(r"batch run (batch_\w+)", broken.stdout)
        assert batch_id
        before = send(url, "GET", f"/v1/batch-runs?agentId={AGENT_ID}")["totalCount"]
        resumed = suite("run", "--max-attempts", "24", "--resume", batch_id[1])

        assert resumed.returncode == 0 and batch_id[1] in resumed.stdout
        assert send(url, "GET", f"/v1/batch-runs?agentId={AGENT_ID}")["totalCount"] == before


@pytest.mark.slow
def test_batch_run_of_other_cases_is_not_resumed(suite: Run, sandbox: str) -> None:
    cases = send(sandbox, "GET", f"/v1/test-cases?agentId={AGENT_ID}")["data"]
    body = {"agentId": AGENT_ID, "testCases": [cases[0]["testCaseId"]]}
    batch_id = send(sandbox, "POST", "/v1/batch-runs", body)["batchId"]

    refused = suite("run", "--max-attempts", "24", "--resume", batch_id)

    assert refused.returncode == 2
    assert f"Batch run {batch_id} did not run the cases of this suite." in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_interrupted_run_says_how_to_continue(tmp_path: Path) -> None:
    with serving("sandbox", "--pace", "1") as url:
        assert build_runner(tmp_path, url, AGENT_ID)("pull").returncode == 0
        arguments = ("run", "--max-attempts", "24", "--agent", AGENT_ID)
        process = start_suite(tmp_path, url, *arguments)
        assert process.stdout
        batch_id = ""
        for line in process.stdout:
            if found := re.search(r"batch run (batch_\w+)", line):
                batch_id = found[1]
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"to continue, add --resume {batch_id}\n" in errors and "interrupted." in errors


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "columns"), [("cp1252", 200), ("ascii", 45)])
def test_report_survives_encodings_and_narrow_pipes(
    encoding: str, columns: int, suite: Run
) -> None:
    shown = suite("run", "--max-attempts", "24", PYTHONIOENCODING=encoding, COLUMNS=str(columns))

    assert (shown.returncode, shown.stderr) == (0, "") and "\x1b" not in shown.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_terminal_shows_a_bar(tmp_path: Path, sandbox: str) -> None:
    from tests.support.terminals import run_in_terminal

    path = tmp_path / "suite.yaml"
    settings = {"SIGMAMIND_BASE_URL": sandbox, "SIGMAMIND_API_KEY": SANDBOX_KEY}
    arguments = [str(path), "--agent", AGENT_ID]
    assert run_in_terminal("suite", "pull", *arguments, columns=60, **settings)[0] == 0

    status, lines = run_in_terminal(
        *("suite", "run", *arguments, "--max-attempts", "24"), columns=60, **settings
    )

    assert status == 0 and any("decided" in line for line in lines)


@pytest.mark.slow
def test_blessed_baseline_keeps_a_broken_agent_red(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    """Without it, the batch runs of the broken agent would soon be the baseline."""
    assert suite("run", "--max-attempts", "24", "--bless").returncode == 0
    lock = json.loads((tmp_path / "suite.lock.json").read_text(encoding="utf-8"))
    assert len(lock["baseline"]) == 1
    break_agent(sandbox)

    statuses = [suite("run", "--max-attempts", BUDGET, "--bless").returncode for _ in range(3)]

    assert statuses == [1, 1, 1]
    assert json.loads((tmp_path / "suite.lock.json").read_text(encoding="utf-8")) == lock
    assert suite("plan", "--exit-code").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("where", ["--baseline", "suite.lock.json"])
@pytest.mark.parametrize("options", [("--bless",), ("--dry-run",)])
def test_run_against_half_a_baseline_does_not_start(
    where: str, options: tuple[str, ...], tmp_path: Path, suite: Run, sandbox: str
) -> None:
    """It would pass a broken agent, whose batch run would be the next baseline."""
    assert suite("run", "--max-attempts", "24", "--bless").returncode == 0
    path = tmp_path / "suite.lock.json"
    lock = json.loads(path.read_text(encoding="utf-8"))
    chosen: tuple[str, ...] = ("--baseline", "batch_that_is_gone")
    if where != "--baseline":
        chosen = ()
        lock["baseline"].append("batch_that_is_gone")
        path.write_text(json.dumps(lock), encoding="utf-8")
    listing = f"/v1/batch-runs?agentId={AGENT_ID}"
    before = send(sandbox, "GET", listing)["totalCount"]

    refused = suite("run", "--max-attempts", "24", *options, *chosen)

    errors = " ".join(refused.stderr.split())
    assert refused.returncode == 2 and f"Of the baseline in {where}, these" in errors
    assert "could not be read whole: batch_that_is_gone." in errors
    assert send(sandbox, "GET", listing)["totalCount"] == before
    assert json.loads(path.read_text(encoding="utf-8")) == lock


@pytest.mark.slow
@pytest.mark.parametrize("where", ["--baseline", "suite.lock.json"])
def test_run_against_a_batch_run_that_still_runs_does_not_start(where: str, tmp_path: Path) -> None:
    with serving("sandbox", "--pace", "1000") as url:
        suite = build_runner(tmp_path, url, AGENT_ID)
        assert suite("pull").returncode == 0
        cases = send(url, "GET", f"/v1/test-cases?agentId={AGENT_ID}")["data"]
        asked = {"agentId": AGENT_ID, "testCases": [case["testCaseId"] for case in cases]}
        batch_id = send(url, "POST", "/v1/batch-runs", asked)["batchId"]
        chosen: tuple[str, ...] = ("--baseline", batch_id)
        if where != "--baseline":
            chosen = ()
            edit(
                tmp_path / "suite.lock.json",
                '"version": 1',
                f'"version": 1, "baseline": ["{batch_id}"]',
            )

        refused = suite("run", "--max-attempts", "24", *chosen)

    errors = " ".join(refused.stderr.split())
    assert refused.returncode == 2 and f"still run: {batch_id}." in errors


@pytest.mark.slow
def test_broken_agent_is_red_against_a_chosen_batch_run_of_long_ago(
    tmp_path: Path, suite: Run, sandbox: str
) -> None:
    """A gate that was red for 90 days must not turn green, and bless itself."""
    newest_first = send(sandbox, "GET", f"/v1/batch-runs?agentId={AGENT_ID}")["data"]
    oldest = newest_first[-1]["batchId"]
    assert datetime.fromisoformat(newest_first[-1]["createdDate"]) < datetime.now(UTC) - MAX_AGE
    break_agent(sandbox)
    lock = (tmp_path / "suite.lock.json").read_text(encoding="utf-8")

    red = suite("run", "--max-attempts", BUDGET, "--baseline", oldest, "--bless")

    assert red.returncode == 1
    assert "FAILED: proven worse than the baseline: where-is-my-order." in red.stdout
    assert (tmp_path / "suite.lock.json").read_text(encoding="utf-8") == lock


@pytest.mark.slow
def test_interrupted_run_is_named_and_not_in_the_baseline(tmp_path: Path) -> None:
    with serving("sandbox", "--pace", "1000") as url:
        suite = build_runner(tmp_path, url, AGENT_ID)
        assert suite("pull").returncode == 0
        cases = send(url, "GET", f"/v1/test-cases?agentId={AGENT_ID}")["data"]
        asked = {"agentId": AGENT_ID, "testCases": [case["testCaseId"] for case in cases]}
        started = send(url, "POST", "/v1/batch-runs", asked)

        again = suite("run", "--dry-run", "--max-attempts", "24")

    assert again.returncode == 0
    assert f"Not in the baseline: 1 unfinished batch run ({started['batchId']})." in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--apply",)])
def test_dry_run_of_a_file_that_is_not_stored_says_what_to_run_first(
    options: tuple[str, ...], tmp_path: Path, suite: Run
) -> None:
    edit(tmp_path / "suite.yaml", "attempts: 8", "attempts: 9")

    shown = suite("run", "--dry-run", *options)

    errors = " ".join(shown.stderr.split())
    assert shown.returncode == 2 and "--dry-run stores nothing" in errors
    assert "or run with --apply" not in errors and "Run 'suite apply' first" in errors


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--json", "--junit", "--summary"])
@pytest.mark.parametrize("path", ["no/such/folder.txt", ".", "suite.yaml/file.txt"])
def test_output_that_cannot_be_written_is_known_before_the_launch(
    option: str, path: str, suite: Run, sandbox: str
) -> None:
    listing = f"/v1/batch-runs?agentId={AGENT_ID}"
    before = send(sandbox, "GET", listing)["totalCount"]

    refused = suite("run", "--max-attempts", "24", option, path)

    errors = " ".join(refused.stderr.split())
    assert refused.returncode == 2 and f"{path}: it cannot be written: " in errors
    assert send(sandbox, "GET", listing)["totalCount"] == before


def run_and_change_meanwhile(
    folder: Path, url: str, change: Callable[[], None]
) -> subprocess.CompletedProcess[str]:
    """Start a run, change files after its launch, and return it when it has ended."""
    arguments = ("run", "--max-attempts", "24", "--agent", AGENT_ID, "--bless")
    outputs = ("--json", "r/r.json", "--junit", "j.xml", "--summary", "s.md")
    process = start_suite(folder, url, *arguments, *outputs)
    assert process.stdout
    for line in process.stdout:
        if "batch run batch_" in line:
            change()
            break
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.mark.slow
def test_output_that_fails_after_the_run_keeps_status_and_other_outputs(tmp_path: Path) -> None:
    with serving("sandbox", "--pace", "1") as url:
        assert build_runner(tmp_path, url, AGENT_ID)("pull").returncode == 0
        folder = tmp_path / "r"
        folder.mkdir()

        ended = run_and_change_meanwhile(tmp_path, url, folder.rmdir)

    assert ended.returncode == 0 and "PASSED" in ended.stdout
    assert "r.json: it cannot be written: " in " ".join(ended.stderr.split())
    assert (tmp_path / "j.xml").exists() and (tmp_path / "s.md").exists()
    assert "baseline" in json.loads((tmp_path / "suite.lock.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("content", ["more", "broken"])
def test_lock_that_changes_during_a_run_loses_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "suite.lock.json"

    def change() -> None:
        if content == "broken":
            path.write_text("<<<<<<< HEAD", encoding="utf-8")
        else:
            edit(path, '"cases": {', '"cases": {"other": {"testCaseId": "tc_1", "applied": {}},')

    with serving("sandbox", "--pace", "1") as url:
        assert build_runner(tmp_path, url, AGENT_ID)("pull").returncode == 0
        (tmp_path / "r").mkdir()

        ended = run_and_change_meanwhile(tmp_path, url, change)

    assert ended.returncode == 0 and "PASSED" in ended.stdout
    text = path.read_text(encoding="utf-8")
    if content == "broken":
        assert text == "<<<<<<< HEAD" and "Not blessed: " in ended.stderr
    else:
        lock = json.loads(text)
        assert lock["cases"]["other"]["testCaseId"] == "tc_1" and len(lock["baseline"]) == 1
