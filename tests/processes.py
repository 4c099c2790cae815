"""The server as a process, as its users start it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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


class RawClient:
    """Speaks lines of JSON to the server's process."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
            encoding="utf-8",
        )
        self.ids = iter(range(1, 1000))

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self.ids)
        self.send({"id": number, "method": method, "params": params})
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["id"] == number
        return answer

    def initialize(self, version: str) -> dict[str, Any]:
        client = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        answer = self.ask("initialize", client)
        self.send({"method": "notifications/initialized"})
        return answer

    def close(self) -> tuple[str, str]:
        """Close stdin and return what was left on stdout, and stderr."""
        return self.process.communicate(timeout=10)
