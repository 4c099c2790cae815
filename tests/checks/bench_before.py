"""Compare big answers and output schemas with those of an earlier commit, for `scripts/release/bench`."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.support.fake_api import AGENT
from tests.support.stdio_server import Stdio

ROOT = Path(__file__).parents[2]
INTEROP = ROOT / "interop"
TIMED_SERVER = ROOT / "tests" / "support" / "timed_server.py"
TOOLS = "sigmamind_mcp.tools"
# What a comparison does besides reading and counting: tests, and what the agent says.
BESIDES = ",".join(
    [
        f"{TOOLS}.compare:compare_sides",
        f"{TOOLS}.compare:find_agent_says",
        f"{TOOLS}.side_reading:pack_texts",
    ]
)
BESIDES_BEFORE = f"{TOOLS}.compare:compare"

Call = tuple[str, dict[str, str]]
GET_RUN: Call = (
    "get_test_run",
    {"agentId": "agent_1", "batchId": "b", "jobId": "job_turns_2000", "detail": "full"},
)


class Tree(NamedTuple):
    """The package at some commit, and the functions that a comparison calls besides counting."""

    root: Path
    besides: str


class Spent(NamedTuple):
    """Seconds of CPU of a call: all of them, and those for reading and counting."""

    whole: float
    counting: float


@contextmanager
def unpack_commit(commit: str) -> Iterator[Tree | None]:
    """Yield the package of a commit in a temporary folder; None if git does not have it."""
    archive = subprocess.run(
        ["git", "archive", commit, "sigmamind_mcp"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        yield None
        return
    with TemporaryDirectory() as folder:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        yield Tree(Path(folder), BESIDES_BEFORE)


def compare_cases(cases: int) -> Call:
    """Return the call that compares two batch runs of this many test cases, 50 attempts each."""
    ids = {
        "baseBatchId": f"batch_{cases}_50_a",
        "candidateBatchId": f"batch_{cases}_50_b",
    }
    return ("compare_batch_runs", {"agentId": str(AGENT["agentId"]), **ids})


def measure_big_answers(
    trees: Sequence[Tree], env: dict[str, str], rounds: int
) -> dict[tuple[int, str], list[Spent]]:
    """Return what each call takes the second time in a process, by the tree's number and call."""
    calls = {"10 cases": compare_cases(10), "100 cases": compare_cases(100), "run": GET_RUN}
    spent: dict[tuple[int, str], list[Spent]] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            for number, tree in enumerate(trees):
                spent.setdefault((number, name), []).append(_measure_call(tree, env, call))
    return spent


def _measure_call(tree: Tree, env: dict[str, str], call: Call) -> Spent:
    with TemporaryDirectory() as folder:
        file = Path(folder, "seconds")
        own = {"PYTHONPATH": str(tree.root), "TIMED": tree.besides, "TIMED_FILE": str(file)}
        server = Stdio([sys.executable, str(TIMED_SERVER)], {**env, **own})
        server.initialize()
        server.call(*call)
        file.write_text("")
        before = server.read_cpu()
        server.call(*call)
        whole = server.read_cpu() - before
        besides = sum(map(float, file.read_text().split()))
        server.end()
    return Spent(whole, whole - besides)


def list_tools(tree: Tree, env: dict[str, str]) -> list[dict[str, Any]]:
    server = Stdio([sys.executable, "-m", "sigmamind_mcp"], {**env, "PYTHONPATH": str(tree.root)})
    server.initialize()
    tools: list[dict[str, Any]] = server.ask("tools/list", {})["result"]["tools"]
    server.end()
    return tools


def measure_ajv(
    trees: Sequence[Tree], env: dict[str, str], rounds: int, node: str
) -> list[list[float]]:
    """Return the CPU that a cold TypeScript client takes to compile each tree's output schemas."""
    spent: list[list[float]] = [[] for _ in trees]
    with TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.json") for number in range(len(trees))]
        for tree, file in zip(trees, files, strict=True):
            file.write_text(json.dumps(list_tools(tree, env)))
        for _ in range(rounds):
            for file, seconds in zip(files, spent, strict=True):
                command = [node, str(INTEROP / "compile_schemas.mjs"), str(file)]
                run = subprocess.run(command, capture_output=True, check=True)
                seconds.append(float(run.stdout))
    return spent
