"""Judges that we did not write, each with its verdict on a line; `python -m tests.checks.interop NODE` exits 1 if one fails.

The conformance suite on the overlay, where a baseline names what this server does not do, and on the server as it is,
without one; the Inspector and the TypeScript clients on the server as it is.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.support.processes import COMMAND, serving

ROOT = Path(__file__).parents[2]
INTEROP = ROOT / "interop"
PACKAGES = INTEROP / "node_modules" / "@modelcontextprotocol"
CONFORMANCE = PACKAGES / "conformance" / "dist" / "index.js"
INSPECTOR = PACKAGES / "inspector" / "clients" / "launcher" / "build" / "index.js"

SECONDS = 120
REVISIONS = ("2025-11-25", "2026-07-28")
FOR_ANY_SERVER = {
    "2025-11-25": (
        "server-initialize", "ping", "tools-list", "prompts-list", "resources-list", "completion-complete",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "tools-list", "prompts-list", "resources-list", "completion-complete", "caching", "http-header-validation",
        "sep-2164-resource-not-found", "server-sse-multiple-streams", "dns-rebinding-protection",
    ),
}  # fmt: skip
"""Scenarios that need no fixtures and no session."""

ASKED = {"agentId": "agent_D5D0p7TUs66TTAEAx", "testCaseId": "tc_d17T6uReChpyfFeP"}

Done = subprocess.CompletedProcess[str]


class Rejected(Exception):
    """A judge found something; the text says what."""


class Judges:
    """What runs in Node, with a home of its own: some of it keeps files there."""

    def __init__(self, node: Path, home: Path) -> None:
        self.node = node
        self.home = home

    def conformance(self, url: str, revision: str) -> str:
        """All that the revision requires; with a baseline, warnings are failures too."""
        file = INTEROP / f"baseline-{revision}.yml"
        baseline = re.findall(r"^  - (\S+)$", file.read_text(encoding="utf-8"), re.M)
        done, checks = self._conformance(
            url, "--requirements", revision, "--expected-failures", str(file)
        )
        if done.returncode:
            said = done.stdout.rpartition("\nTotal")[2]
            named = [
                (scenario, check)
                for scenario, check in checks
                if f"{scenario}:{check['id']}" not in baseline
            ]
            scored = [(scenario, check) for scenario, check in named if f" {scenario}" in said]
            raise Rejected("".join([*_described(scored), said, done.stderr[-2000:]]))
        return f"{_passed(checks)} checks passed, {len(baseline)} in the baseline"

    def conformance_as_it_is(self, url: str, revision: str) -> str:
        """The scenarios for any server, where a warning counts as a failure."""

        def judge(scenario: str) -> list[tuple[str, dict[str, Any]]]:
            done, checks = self._conformance(
                url, "--scenario", scenario, "--spec-version", revision
            )
            found = list(_described(checks))
            if done.returncode or found or not _passed(checks):
                raise Rejected("".join(found) or done.stdout[-2000:] + done.stderr[-2000:])
            return checks

        scenarios = FOR_ANY_SERVER[revision]
        with ThreadPoolExecutor(2) as pool:
            passed = sum(_passed(checks) for checks in pool.map(judge, scenarios))
        return f"{passed} checks passed in {len(scenarios)} scenarios, no baseline"

    def _conformance(
        self, url: str, *arguments: str
    ) -> tuple[Done, list[tuple[str, dict[str, Any]]]]:
        """Run the suite, and return every check with its scenario."""
        with TemporaryDirectory(dir=self.home) as results:
            done = self._run(
                CONFORMANCE, "server", "--url", f"{url}/mcp", "-o", results, *arguments
            )
            return done, [
                (re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name), check)
                for file in sorted(Path(results).rglob("checks.json"))
                for check in json.loads(file.read_text(encoding="utf-8"))
            ]

    def inspector(self, *server: str) -> str:
        """The linter of schemas without a finding, and a call whose answer fits its schema."""
        listed = self._inspect("--method", "tools/list", "--strict", *server)
        if "schemaFindings" in listed:
            raise Rejected(json.dumps(listed["schemaFindings"], indent=1))
        names = [tool["name"] for tool in listed["result"]["tools"]]
        if names != [tool.name for tool in TOOLS]:
            raise Rejected(f"tools/list: {names}")
        call = (
            "--method",
            "tools/call",
            "--tool-name",
            "get_test_case",
            "--tool-args-json",
            json.dumps(ASKED),
        )
        called = self._inspect(*call, *server)
        if called["result"].get("structuredContent", {}).get("testCaseId") != ASKED["testCaseId"]:
            raise Rejected(json.dumps(called))
        return f"{len(names)} tools without a warning, one call"

    def _inspect(self, *arguments: str) -> dict[str, Any]:
        done = self._run(INSPECTOR, "--cli", "--format", "json", "--quiet", *arguments)
        if done.returncode:
            raise Rejected(f"exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def typescript(self, url: str) -> str:
        server = {
            "url": url,
            "command": [*COMMAND, "--sandbox"],
            "tools": [tool.name for tool in TOOLS],
        }
        done = self._run(INTEROP / "clients.mjs", json.dumps(server))
        passed = [line for line in done.stdout.splitlines() if line.endswith(": passed")]
        if done.returncode or len(passed) != 9:
            raise Rejected(f"{done.stdout}{done.stderr}")
        return f"{len(passed)} clients passed: v1, v2 with a handshake, v2 without, on stdio, SSE and HTTP"

    def _run(self, *command: Path | str) -> Done:
        return self._execute(self.node, *command)

    def _execute(self, *command: Path | str) -> Done:
        home = str(self.home)
        return subprocess.run(
            list(map(str, command)),
            capture_output=True,
            cwd=ROOT,
            encoding="utf-8",
            env={**os.environ, "HOME": home, "USERPROFILE": home},  # noqa: TID251 - handed on
            timeout=SECONDS,
            check=False,
        )


def _described(checks: Iterable[tuple[str, dict[str, Any]]]) -> Iterable[str]:
    """What did not pass, a line each."""
    for scenario, check in checks:
        if check["status"] in ("FAILURE", "WARNING"):
            yield f"{scenario}: {check['id']}: {check['status']}: {check.get('errorMessage', '')}\n"


def _passed(checks: Iterable[tuple[str, dict[str, Any]]]) -> int:
    return sum(check["status"] == "SUCCESS" for _, check in checks)


def main(node: Path) -> int:
    with (
        TemporaryDirectory() as home,
        serving("serve", "--sandbox") as url,
        serving(module="tests.support.patched_server") as overlaid,
    ):
        judges = Judges(node, Path(home))
        stdio = ("--", *COMMAND, "--sandbox")
        panel: dict[str, Callable[[], str]] = {
            **{
                f"conformance {each}": partial(judges.conformance, overlaid, each)
                for each in REVISIONS
            },
            **{
                f"conformance {each}, as it is": partial(judges.conformance_as_it_is, url, each)
                for each in REVISIONS
            },
            "Inspector, stdio": partial(judges.inspector, *stdio),
            "Inspector, SSE": partial(
                judges.inspector, "--server-url", f"{url}/sse", "--transport", "sse"
            ),
            "Inspector, HTTP": partial(
                judges.inspector, "--server-url", f"{url}/mcp", "--transport", "http"
            ),
            "TypeScript": partial(judges.typescript, url),
        }
        return max([verdict_of(name, judge) for name, judge in panel.items()])


def verdict_of(name: str, judge: Callable[[], str]) -> int:
    """Print what the judge says, and return 1 if it rejected something."""
    started = time.monotonic()
    try:
        verdict, status = judge(), 0
    except (Rejected, subprocess.TimeoutExpired, ValueError, KeyError) as exc:
        verdict, status = f"FAILED\n{exc}", 1
    print(f"{name}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
