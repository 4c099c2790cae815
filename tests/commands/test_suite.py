"""`sigmamind-mcp suite`, as a process against the sandbox on a port."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sigmamind_mcp.sandbox import SANDBOX_KEY
from tests.support.fake_api import CASE, FakeAPI, page
from tests.support.processes import COMMAND, environment, serving

AGENT_ID = "agent_SPIlVscbB0kkXBvZ"
NEW_CASE = """
  new-case:
    label: Wants a receipt
    userPrompt: You are Ana, a customer who wants a receipt for order 4411 by email.
    successCriteria: The agent states the order number and confirms the email address.
    attempts: 2
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with serving("sandbox", "--pace", "0") as url:
        yield url


def build_runner(folder: Path, url: str, agent_id: str) -> Run:
    def run(
        *arguments: str, answer: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        settings = {
            "SIGMAMIND_BASE_URL": url,
            "SIGMAMIND_API_KEY": SANDBOX_KEY,
            "SIGMAMIND_AGENT_ID": agent_id,
            **variables,
        }
        return subprocess.run(
            [*COMMAND, "suite", *arguments],
            cwd=folder,
            env={**environment(**settings), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def start_suite(folder: Path, url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a command that the test interrupts."""
    variables = environment(SIGMAMIND_BASE_URL=url, SIGMAMIND_API_KEY=SANDBOX_KEY)
    return subprocess.Popen(
        [*COMMAND, "suite", *arguments],
        cwd=folder,
        env={**variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


@pytest.fixture
def suite(tmp_path: Path, sandbox: str) -> Run:
    return build_runner(tmp_path, sandbox, AGENT_ID)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def send(url: str, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{url}{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"X-API-Key": SANDBOX_KEY, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_pull_edit_plan_apply_and_drift(tmp_path: Path, suite: Run, sandbox: str) -> None:
    pulled = suite("pull")
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert suite("plan", "--exit-code").returncode == 0

    path = tmp_path / "suite.yaml"
    edit(path, "label: Broken kettle", "label: Very broken kettle")
    path.write_text(path.read_text(encoding="utf-8") + NEW_CASE, encoding="utf-8")
    planned = suite("plan", "--exit-code")
    assert planned.returncode == 1
    assert "+ create new-case" in planned.stdout and "~ update broken-kettle" in planned.stdout
    assert 'before "Broken kettle"' in planned.stdout

    unconfirmed = suite("apply")
    assert unconfirmed.returncode == 2
    assert unconfirmed.stderr.endswith("without a terminal, apply needs --yes.\n")
    assert suite("apply", "--yes").returncode == 0
    again = suite("apply", "--yes")
    assert again.returncode == 0 and "0 create, 0 update" in again.stdout

    before = path.read_bytes()
    assert suite("pull").returncode == 0 and path.read_bytes() == before

    lock = json.loads((tmp_path / "suite.lock.json").read_text(encoding="utf-8"))
    case_id = lock["cases"]["new-case"]["testCaseId"]
    send(sandbox, "PUT", f"/v1/test-cases/{case_id}", {"agentId": AGENT_ID, "attempt": 5})
    drifted = suite("apply", "--yes")
    assert drifted.returncode == 1 and "Changed in the dashboard" in drifted.stderr
    assert suite("plan").returncode == 0
    assert suite("pull").returncode == 0 and b"attempts: 5" in path.read_bytes()
    assert suite("plan", "--exit-code").returncode == 0

    edit(path, "\n  new-case:", "\n  newer-case:\n    was: new-case")
    assert suite("apply", "--yes").returncode == 0
    stored = send(sandbox, "GET", f"/v1/test-cases/{case_id}?agentId={AGENT_ID}")
    assert stored["label"] == "Wants a receipt [newer-case]"


@pytest.mark.slow
def test_check_finds_faults_online_and_offline(tmp_path: Path, suite: Run) -> None:
    vague = NEW_CASE.replace("states the order number and confirms the email address", "is helpful")
    (tmp_path / "suite.yaml").write_text(f"suite: 1\ncases:{vague}", encoding="utf-8")

    online, offline = suite("check"), suite("check", "--offline", SIGMAMIND_API_KEY="")

    for checked in (online, offline):
        assert checked.returncode == 1 and "suite.yaml:6:5: " in checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text", "variables", "refusal"),
    [
        (("plan",), None, {}, "suite.yaml: there is no such file."),
        (("plan",), "suite: 1\ncases: {a: {x: y}}", {}, "suite.yaml:2:13: 'x' is not a known"),
        (("plan",), "suite: 1\ncases: {}", {"SIGMAMIND_API_KEY": ""}, "No SigmaMind API key"),
        (("plan",), "suite: 1\ncases: {}", {"SIGMAMIND_AGENT_ID": ""}, "No agent is named."),
        (("plan",), "suite: 1\ncases: {}", {"SIGMAMIND_API_KEY": "wrong-key"}, "(401)"),
        (("plan", "--agent", "agent_none"), "suite: 1\ncases: {}", {}, "agent_none"),
        (("import", "suite.yaml"), "suite: 1\ncases: {}", {}, "suite.yaml: it exists already."),
        (
            ("apply", "--yes"),
            f"suite: 1\ncases:{NEW_CASE}",
            {"SIGMAMIND_READ_ONLY": "true"},
            "SIGMAMIND_READ_ONLY is set",
        ),
    ],
)
def test_bad_file_setting_or_api_is_one_sentence_and_status_2(
    arguments: tuple[str, ...],
    text: str | None,
    variables: dict[str, str],
    refusal: str,
    tmp_path: Path,
    suite: Run,
) -> None:
    if text is not None:
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")

    refused = suite(*arguments, **variables)

    assert refused.returncode == 2 and refusal in refused.stderr
    assert refused.stderr.startswith("sigmamind-mcp: ") and refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr and not (tmp_path / "suite.lock.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_survives_any_encoding_and_commands_of_others(
    encoding: str, tmp_path: Path, fake_api: FakeAPI
) -> None:
    hostile = {**CASE, "userPrompt": "日本 ::error::x\n::error::y\x1b[2J ##[group]"}
    fake_api.answer("GET", "/v1/test-cases", page([hostile]))
    agent_id = CASE["agent"]["agentId"]
    suite = build_runner(tmp_path, fake_api.url, agent_id)
    assert suite("pull", PYTHONIOENCODING=encoding).returncode == 0
    path = tmp_path / "suite.yaml"
    edit(path, "userPrompt: ", 'userPrompt: "::warning::日本"\n    successCriteria2: ')
    edit(path, "successCriteria2", "llmModel2")
    path.write_text(
        "".join(
            line
            for line in path.read_text(encoding="utf-8").splitlines(True)
            if "llmModel2" not in line
        ),
        encoding="utf-8",
    )

    planned = suite("plan", PYTHONIOENCODING=encoding)

    assert (planned.returncode, planned.stderr) == (0, "")
    assert "before" in planned.stdout and "\x1b" not in planned.stdout
    lines = [line.strip() for line in planned.stdout.splitlines()]
    assert not any(line.startswith("::") or "##[" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("apply", "--yes"), ("run", "--apply", "--max-attempts", "60")]
)
def test_storing_in_an_embedded_sandbox_warns_that_it_is_lost(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    suite = build_runner(tmp_path, "", AGENT_ID)
    suite("pull", "--sandbox")
    with (tmp_path / "suite.yaml").open("a", encoding="utf-8") as file:
        file.write(NEW_CASE)

    stored = suite(*command, "--sandbox")
    again = suite("run", "--sandbox")

    assert "warning: this sandbox ends with the command" in stored.stderr, stored
    assert "Commit" not in stored.stdout
    assert again.returncode == 2 and "does not exist any more" in again.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_interrupted_apply_says_so_and_is_completed(tmp_path: Path, fake_api: FakeAPI) -> None:
    agent_id = CASE["agent"]["agentId"]
    suite = build_runner(tmp_path, fake_api.url, agent_id)
    fake_api.answer("GET", "/v1/test-cases", page([]))
    fake_api.answer("POST", "/v1/test-cases", {**CASE, "label": "Wants a receipt [new-case]"}, 201)
    fake_api.stalled = "POST"
    fake_api.stall.clear()
    (tmp_path / "suite.yaml").write_text(f"suite: 1\ncases:{NEW_CASE}", encoding="utf-8")
    process = start_suite(tmp_path, fake_api.url, "apply", "--yes", "--agent", agent_id)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Plan:"):
            break
    while not fake_api.posts:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    fake_api.stall.set()
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors == "sigmamind-mcp: interrupted. The same command completes the work.\n"
    fake_api.answer(
        "GET",
        "/v1/test-cases",
        page([{**CASE, **fake_api.posts[0].body, "label": "Wants a receipt [new-case]"}]),
    )
    assert suite("apply", "--yes").returncode == 0 and len(fake_api.posts) == 1


@pytest.mark.slow
def test_import_then_check(tmp_path: Path, suite: Run) -> None:
    (tmp_path / "scenarios.yaml").write_text(
        "scenarios:\n  - label: Books a room\n    instructions: You are Ana. You want a room.\n"
        "    agent_expectations: The agent confirms the dates.\n    tags: {a: b}\n",
        encoding="utf-8",
    )

    imported = suite("import", "scenarios.yaml", "--agent", AGENT_ID)

    assert imported.returncode == 0
    assert imported.stdout == (
        "not carried over: 'books-a-room: tags'\n"
        "suite.yaml: 1 case. Check the file with 'sigmamind-mcp suite check'.\n"
    )
    assert suite("plan").stdout.startswith("+ create books-a-room")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["", "pull", "check", "plan", "apply", "run", "import", "schema"]
)
def test_help_of_each_command_fits_80_columns(command: str, suite: Run) -> None:
    shown = suite(*command.split(), "--help", COLUMNS="80")

    assert shown.returncode == 0 and "usage: " in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "status", "stored"), [("yes", 0, 1), ("no", 1, 0), ("", 1, 0)])
def test_terminal_asks_for_a_yes(
    answer: str, status: int, stored: int, tmp_path: Path, fake_api: FakeAPI
) -> None:
    pty = pytest.importorskip("pty")  # Windows has none

    fake_api.answer("GET", "/v1/test-cases", page([]))
    fake_api.answer("POST", "/v1/test-cases", {**CASE, "label": "Wants a receipt [new-case]"}, 201)
    path = tmp_path / "suite.yaml"
    path.write_text(f"suite: 1\ncases:{NEW_CASE}", encoding="utf-8")
    outside, inside = pty.openpty()
    os.write(outside, f"{answer}\n".encode())

    finished = subprocess.run(
        [*COMMAND, "suite", "apply", str(path), "--agent", CASE["agent"]["agentId"]],
        env=environment(SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_API_KEY=SANDBOX_KEY),
        stdin=inside,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    os.close(inside)
    os.close(outside)

    assert "Store this? Only 'yes' does: " in finished.stdout
    assert (finished.returncode, len(fake_api.posts)) == (status, stored)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("columns", [50, 80])
def test_plan_check_and_errors_fit_a_terminal(
    columns: int, tmp_path: Path, suite: Run, sandbox: str
) -> None:
    from tests.support.terminals import run_in_terminal

    assert suite("pull").returncode == 0
    path = tmp_path / "suite.yaml"
    with path.open("a", encoding="utf-8") as file:
        file.write(NEW_CASE)
    settings = {"SIGMAMIND_BASE_URL": sandbox, "SIGMAMIND_API_KEY": SANDBOX_KEY}
    missing = str(tmp_path / "no-such-suite.yaml")
    for command, named in (("plan", str(path)), ("check", str(path)), ("plan", missing)):
        _, lines = run_in_terminal("suite", command, named, columns=columns, **settings)

        long = [line for line in lines if len(line) > columns and str(tmp_path) not in line]
        assert (len(lines) > 1, long) == (True, [])
