"""Run checks that others wrote, and print a verdict for each; `python -m tests.checks.interop NODE` exits 1 on a failure.

The MCP conformance suite runs on the patched server, with a baseline of what this server does not do, and on the plain
server without a baseline. The Inspector and the TypeScript clients run on the plain server.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sigmamind_mcp.protocol.apps import APP_MIME_TYPE
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.viewer import VIEWER_URI
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

TEST_CASE = {"agentId": "agent_D5D0p7TUs66TTAEAx", "testCaseId": "tc_d17T6uReChpyfFeP"}

Finished = subprocess.CompletedProcess[str]
Check = dict[str, Any]


class CheckFailed(Exception):
    """A check failed; the text says why."""


class NodeChecks:
    """Checks that run in Node. Their HOME is a temporary folder: some write files there."""

    def __init__(self, node: Path, home: Path) -> None:
        self.node = node
        self.home = home

    def run_conformance(self, url: str, revision: str) -> str:
        """Run everything the revision requires. With a baseline, warnings fail too."""
        file = INTEROP / f"baseline-{revision}.yml"
        baseline = re.findall(r"^  - (\S+)$", file.read_text(encoding="utf-8"), re.M)
        process, checks = self._run_suite(
            url, "--requirements", revision, "--expected-failures", str(file)
        )
        if process.returncode:
            summary = process.stdout.rpartition("\nTotal")[2]
            unexpected = [
                (scenario, check)
                for scenario, check in checks
                if f"{scenario}:{check['id']}" not in baseline and f" {scenario}" in summary
            ]
            failures = _describe_failures(unexpected)
            raise CheckFailed("".join([*failures, summary, process.stderr[-2000:]]))
        return f"{_count_passed(checks)} checks passed, {len(baseline)} in the baseline"

    def run_conformance_on_plain_server(self, url: str, revision: str) -> str:
        """Run the scenarios for any server. A warning fails too."""

        def run_scenario(scenario: str) -> int:
            process, checks = self._run_suite(
                url, "--scenario", scenario, "--spec-version", revision
            )
            failures = "".join(_describe_failures(checks))
            passed = _count_passed(checks)
            if process.returncode or failures or not passed:
                raise CheckFailed(failures or process.stdout[-2000:] + process.stderr[-2000:])
            return passed

        scenarios = FOR_ANY_SERVER[revision]
        with ThreadPoolExecutor(2) as pool:
            passed = sum(pool.map(run_scenario, scenarios))
        return f"{passed} checks passed in {len(scenarios)} scenarios, no baseline"

    def _run_suite(self, url: str, *arguments: str) -> tuple[Finished, list[tuple[str, Check]]]:
        """Run the suite, and return every check with its scenario."""
        with TemporaryDirectory(dir=self.home) as results:
            process = self._run(
                CONFORMANCE, "server", "--url", f"{url}/mcp", "-o", results, *arguments
            )
            return process, [
                (re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*$", "", file.parent.name), check)
                for file in sorted(Path(results).rglob("checks.json"))
                for check in json.loads(file.read_text(encoding="utf-8"))
            ]

    def run_inspector(self, *server: str) -> str:
        """Lint the schemas, and make a call whose answer must fit its schema."""
        listed = self._inspect("--method", "tools/list", "--strict", *server)
        if "schemaFindings" in listed:
            raise CheckFailed(json.dumps(listed["schemaFindings"], indent=1))
        names = [tool["name"] for tool in listed["result"]["tools"]]
        if names != [tool.name for tool in TOOLS]:
            raise CheckFailed(f"tools/list: {names}")
        call = (
            "--method",
            "tools/call",
            "--tool-name",
            "get_test_case",
            "--tool-args-json",
            json.dumps(TEST_CASE),
        )
        called = self._inspect(*call, *server)
        if (
            called["result"].get("structuredContent", {}).get("testCaseId")
            != TEST_CASE["testCaseId"]
        ):
            raise CheckFailed(json.dumps(called))
        asked = ("--app-info", "--method", "tools/call", "--tool-name", "diagnose_batch_run")
        page = self._inspect(*asked, *server).get("appInfo", {})
        if page.get("resourceUri") != VIEWER_URI or page.get("resourceMimeType") != APP_MIME_TYPE:
            raise CheckFailed(json.dumps(page))
        return f"{len(names)} tools without a warning, one call, the page of an app"

    def _inspect(self, *arguments: str) -> dict[str, Any]:
        process = self._run(INSPECTOR, "--cli", "--format", "json", "--quiet", *arguments)
        if process.returncode:
            output = f"{process.stdout[-2000:]}{process.stderr[-4000:]}"
            raise CheckFailed(f"exit {process.returncode}\n{output}")
        answer: dict[str, Any] = json.loads(process.stdout)
        return answer

    def run_typescript_clients(self, url: str) -> str:
        server = {
            "url": url,
            "command": [*COMMAND, "--sandbox"],
            "tools": [tool.name for tool in TOOLS],
        }
        process = self._run(INTEROP / "clients.mjs", json.dumps(server))
        passed = [line for line in process.stdout.splitlines() if line.endswith(": passed")]
        if process.returncode or len(passed) != 9:
            raise CheckFailed(f"{process.stdout}{process.stderr}")
        return f"{len(passed)} clients passed: v1, v2 with a handshake, v2 without, on stdio, SSE and HTTP"

    def _run(self, *command: Path | str) -> Finished:
        return self._execute(self.node, *command)

    def _execute(self, *command: Path | str) -> Finished:
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


def _describe_failures(checks: Iterable[tuple[str, Check]]) -> Iterator[str]:
    """Yield a line for each check that did not pass."""
    for scenario, check in checks:
        if check["status"] in ("FAILURE", "WARNING"):
            yield f"{scenario}: {check['id']}: {check['status']}: {check.get('errorMessage', '')}\n"


def _count_passed(checks: Iterable[tuple[str, Check]]) -> int:
    return sum(check["status"] == "SUCCESS" for _, check in checks)


def main(node: Path) -> int:
    with (
        TemporaryDirectory() as home,
        serving("serve", "--sandbox") as url,
        serving(module="tests.support.patched_server") as patched_url,
    ):
        checks = NodeChecks(node, Path(home))
        stdio = ("--", *COMMAND, "--sandbox")
        checks_by_name: dict[str, Callable[[], str]] = {
            **{
                f"conformance {each}": partial(checks.run_conformance, patched_url, each)
                for each in REVISIONS
            },
            **{
                f"conformance {each}, plain server": partial(
                    checks.run_conformance_on_plain_server, url, each
                )
                for each in REVISIONS
            },
            "Inspector, stdio": partial(checks.run_inspector, *stdio),
            "Inspector, SSE": partial(
                checks.run_inspector, "--server-url", f"{url}/sse", "--transport", "sse"
            ),
            "Inspector, HTTP": partial(
                checks.run_inspector, "--server-url", f"{url}/mcp", "--transport", "http"
            ),
            "TypeScript": partial(checks.run_typescript_clients, url),
        }
        return max([print_verdict(name, check) for name, check in checks_by_name.items()])


def print_verdict(name: str, check: Callable[[], str]) -> int:
    """Run a check, print its verdict, and return 1 if it failed."""
    started = time.monotonic()
    try:
        verdict, status = check(), 0
    except (CheckFailed, subprocess.TimeoutExpired, ValueError, KeyError) as exc:
        verdict, status = f"FAILED\n{exc}", 1
    print(f"{name}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
