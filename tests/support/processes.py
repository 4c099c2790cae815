"""Run the server as a process, as its users start it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

COMMAND = [sys.executable, "-m", "sigmamind_mcp"]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with these settings instead of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIGMAMIND_")}  # noqa: TID251
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


@dataclass
class Served:
    """A server process with its base URL. The log is empty until the process ends."""

    url: str
    process: subprocess.Popen[str]
    log: str = ""

    def end(self, by: int = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(by)
        return self.process.wait(timeout)


@contextmanager
def served(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    port: int = 0,
    module: str = "sigmamind_mcp",
) -> Iterator[Served]:
    """Run a command that serves HTTP; port 0 means a free port."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(env or environment()),
            encoding="utf-8",
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = re.search(r"http://[^/\s]+", line)
            assert url, line
            running = Served(url.group(), process)
            yield running
        finally:
            process.terminate()
            process.communicate(timeout=60)
            log.seek(0)
        running.log = log.read()


@contextmanager
def serving(
    *arguments: str, env: Mapping[str, str] | None = None, module: str = "sigmamind_mcp"
) -> Iterator[str]:
    """Run a command that serves HTTP on a free port, and yield its base URL."""
    with served(*arguments, env=env, module=module) as running:
        yield running.url


def run(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env=dict(env or environment()),
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


class RawClient:
    """A client that exchanges lines of JSON with a stdio server."""

    def __init__(self, *arguments: str, module: str = "sigmamind_mcp", **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
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
        client = {
            "protocolVersion": version,
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"},
        }
        answer = self.ask("initialize", client)
        self.send({"method": "notifications/initialized"})
        return answer

    def close(self) -> tuple[str, str]:
        """Close stdin; return the rest of stdout, and stderr."""
        return self.process.communicate(timeout=60)
