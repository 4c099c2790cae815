"""The shipped action and docs/ci.md: their steps run as a shell against the sandbox."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sigmamind_mcp.commands.suite_options import RUN_STATUSES
from sigmamind_mcp.sandbox import SANDBOX_KEY
from sigmamind_mcp.suites.suite_file import build_schema, parse_suite
from tests.support.processes import environment, serving

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(yaml|bash)\n(.*?)```", PAGE, re.S)
AGENT_ID = "agent_IqmljBh8eSEGAqKd"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the steps need bash")


def find_step(name: str) -> dict[str, Any]:
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("name") == name)
    return dict(step)


class Runner:
    """Runs a step of the action as GitHub's runner does."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.temp = folder / "temp"
        commands = self.temp / "sigmamind" / "bin"
        commands.mkdir(parents=True)
        script = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n'
        (commands / "python").write_text(script, encoding="utf-8")
        (commands / "python").chmod(0o755)

    def run_gate(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        step = find_step("Run the suite")
        given = {"api-key": SANDBOX_KEY, "base-url": self.url, "max-attempts": "24", **inputs}
        values = {name: one.get("default", "") for name, one in ACTION["inputs"].items()} | given
        variables = {
            name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], value)
            for name, value in step["env"].items()
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                **environment(**variables),
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_OUTPUT": str(self.folder / "output"),
                "GITHUB_STEP_SUMMARY": str(self.folder / "steps.md"),
                "RUNNER_TEMP": str(self.temp),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    def pull(self) -> None:
        command = [sys.executable, "-m", "sigmamind_mcp", "suite", "pull", "--agent", AGENT_ID]
        settings = environment(SIGMAMIND_BASE_URL=self.url, SIGMAMIND_API_KEY=SANDBOX_KEY)
        env = {**settings, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=self.folder, env=env, check=True, capture_output=True)

    def read_status(self) -> str:
        return (self.folder / "output").read_text(encoding="utf-8").split("status=")[-1].strip()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with serving("sandbox", "--pace", "0") as url:
        runner = Runner(tmp_path, url)
        runner.pull()
        yield runner


def break_agent(url: str) -> None:
    body = re.search(r"-d '(\{.*\})'", PAGE)
    assert body
    request = urllib.request.Request(
        f"{url}/v1/agents/{AGENT_ID}",
        method="PATCH",
        data=body[1].encode(),
        headers={"X-API-Key": SANDBOX_KEY, "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()


@pytest.mark.slow
def test_shipped_steps_are_green_then_red_with_annotation_and_summary(
    runner: Runner, tmp_path: Path
) -> None:
    green = runner.run_gate(options="--bless")
    assert (green.returncode, runner.read_status()) == (0, "0"), green.stderr

    break_agent(runner.url)
    red = runner.run_gate(**{"max-attempts": "96", "options": "--apply"})

    assert (red.returncode, runner.read_status()) == (1, "1")
    assert "\n::error file=suite.yaml,line=" in red.stdout
    assert "## FAILED" in (tmp_path / "steps.md").read_text(encoding="utf-8")
    names = {path.name for path in runner.temp.iterdir()}
    assert {"sigmamind.xml", "sigmamind.json", "sigmamind.md"} <= names


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "status"), [("false", 0), ("true", 3)])
def test_unsettled_is_a_warning_unless_asked(
    fails: str, status: int, runner: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "suite.yaml"
    text = path.read_text(encoding="utf-8").replace("attempts: 8", "attempts: 1\n    bar: 0.9")
    path.write_text(text, encoding="utf-8")

    unsettled = runner.run_gate(
        **{"max-attempts": "3", "options": "--apply", "fail-on-unsettled": fails}
    )

    assert (unsettled.returncode, runner.read_status()) == (status, "3")
    assert ("::warning::Some cases are not settled" in unsettled.stdout) == (fails == "false")


@pytest.mark.slow
def test_broken_run_fails(runner: Runner) -> None:
    with serving("sandbox", "--pace", "1000") as url:
        runner.url = url
        broken = runner.run_gate(options="--timeout 0.01")

    assert (broken.returncode, runner.read_status()) == (4, "4")
    assert "BROKEN: the timeout" in broken.stdout


@pytest.mark.slow
def test_hostile_input_is_no_part_of_the_script(runner: Runner, tmp_path: Path) -> None:
    hostile = '"; touch hacked; "$(touch hacked)`touch hacked`'

    refused = runner.run_gate(suite=hostile, agent=hostile, options=hostile)

    assert refused.returncode == 2 and not (tmp_path / "hacked").exists()
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_suite_of_the_page_is_valid() -> None:
    (text,) = (body for kind, body in BLOCKS if kind == "yaml" and body.startswith("suite: 1"))

    assert parse_suite(text, Path("suite.yaml")).cases
    jsonschema.validate(yaml.safe_load(text), build_schema())


@pytest.mark.slow
def test_suite_of_the_page_passes_its_own_check(tmp_path: Path) -> None:
    (text,) = (body for kind, body in BLOCKS if kind == "yaml" and body.startswith("suite: 1"))
    (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")

    checked = subprocess.run(
        [sys.executable, "-m", "sigmamind_mcp", "suite", "check", "--sandbox"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == "1 case: 0 problems, 0 pieces of advice.\n"


def test_workflow_of_the_page_uses_inputs_that_the_action_has() -> None:
    workflows = [yaml.safe_load(body) for kind, body in BLOCKS if kind == "yaml"]
    uses = [
        step
        for workflow in workflows
        for job in workflow.get("jobs", {}).values()
        for step in job["steps"]
        if "/sigmamind-mcp@" in step.get("uses", "")
    ]

    assert len(uses) == 2
    for step in uses:
        assert set(step["with"]) <= set(ACTION["inputs"])
        required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
        assert required <= set(step["with"])


def test_every_action_of_others_is_pinned_by_a_commit_and_names_its_version() -> None:
    files = [ROOT / "action.yml", *(ROOT / ".github").rglob("*.yml"), *(ROOT / "docs").glob("*.md")]
    uses = [
        line.strip("- ")
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip("- ").startswith("uses:")
    ]

    of_others = [line for line in uses if "/sigmamind-mcp@" not in line]
    assert {line.split("@")[0] for line in of_others} >= {"uses: actions/checkout"}
    for line in of_others:
        assert re.fullmatch(r"uses: [\w/-]+@[0-9a-f]{40} +# v\d+\.\d+\.\d+", line), line


def test_page_explains_every_exit_status() -> None:
    explained = set(re.findall(r"^\| (\d+) \| ", PAGE, re.M))

    assert explained == set(re.findall(r"^  (\d+) ", RUN_STATUSES, re.M))


@pytest.mark.slow
def test_commands_of_the_page_work_against_the_sandbox(tmp_path: Path) -> None:
    (script,) = (body for kind, body in BLOCKS if "sigmamind-mcp sandbox" in body)
    with serving("sandbox", "--pace", "0") as url:
        # A free port of this test, and a process in the place of the sandbox for `kill`.
        script = script.replace("sigmamind-mcp sandbox --db sandbox.db &", "sleep 600 &")
        script = script.replace("http://127.0.0.1:8766", url)
        command = f'"{sys.executable}" -m sigmamind_mcp "$@"'
        script = (
            f'sigmamind-mcp() {{ {command}; echo "status $?"; }}\n{script}\n'
            'wait; echo "left: $(jobs)$SIGMAMIND_BASE_URL$SIGMAMIND_API_KEY."'
        )
        finished = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={
                **environment(TMPDIR=str(tmp_path)),
                "PYTHONPATH": str(ROOT),
                "PATH": os.defpath,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    assert re.findall(r"^status (\d)$", finished.stdout, re.M) == ["0", "0", "1"], finished.stderr
    assert "FAILED: proven worse than the baseline" in finished.stdout
    assert finished.stdout.endswith("left: .\n")
    (lock,) = tmp_path.glob("*/suite.lock.json")
    assert json.loads(lock.read_text(encoding="utf-8"))["baseline"]
    assert [path.is_dir() for path in tmp_path.iterdir()] == [True]
