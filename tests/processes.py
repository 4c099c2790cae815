"""The server as a process, as its users start it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

COMMAND = [sys.executable, "-m", "sigmamind_mcp"]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without our settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGMAMIND_")}  # noqa: TID251
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def serving(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a command that serves HTTP on a free port, and yield the base URL that it prints."""
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env or environment()),
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[^/\s]+", line)
        assert found, line or process.communicate(timeout=10)
        yield found.group()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def run(*arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env=dict(env or environment()),
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
