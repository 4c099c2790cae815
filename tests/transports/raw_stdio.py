"""The stdio server as a process, written to and read in bytes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from tests.support.fake_api import FakeAPI
from tests.support.processes import COMMAND, environment

AGENT = "agent_D5D0p7TUs66TTAEAx"

NEW_CASE = {"agentId": AGENT, "userPrompt": "x", "successCriteria": "y"}

IN_BATCH = {"agentId": AGENT, "batchId": "batch_s0OJu2JWR8R45Fai"}

CLIENT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}

WAIT = 60.0


def request(number: int | str, method: str = "ping", params: Any = None) -> bytes:
    message = {
        "jsonrpc": "2.0",
        "id": number,
        "method": method,
        "params": {} if params is None else params,
    }
    return json.dumps(message).encode()


def call(number: int | str, tool: str, arguments: Any) -> bytes:
    return request(number, "tools/call", {"name": tool, "arguments": arguments})


class Server:
    """The server's process, spoken to in bytes; what it writes is read as it comes."""

    def __init__(self, script: str | None = None, **variables: str) -> None:
        command = COMMAND if script is None else [sys.executable, "-c", script]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        self._lines: Queue[bytes | None] = Queue()
        self._log: list[bytes] = []
        self._threads = [Thread(target=self._hear), Thread(target=self._note)]

    def initialize(self) -> None:
        self.write(
            request("initialize", "initialize", CLIENT),
            b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        )

    def listen(self) -> None:
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _note(self) -> None:
        assert self.process.stderr
        self._log.extend(self.process.stderr)

    def write(self, *lines: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.writelines(line + b"\n" for line in lines)
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        line = self._lines.get(timeout=WAIT)
        assert line is not None, b"".join(self._log)
        answer: dict[str, Any] = json.loads(line)
        assert answer["jsonrpc"] == "2.0"
        return answer

    def answers_until(self, number: int | str) -> list[dict[str, Any]]:
        """Everything it writes up to the answer to this request."""
        answers = [self.answer()]
        while answers[-1].get("id") != number:
            answers.append(self.answer())
        return answers

    def end(self, ending: str) -> float:
        """Ask it to end; returns when that was."""
        if ending == "end of input":
            assert self.process.stdin
            self.process.stdin.close()
        else:
            self.process.send_signal(getattr(signal, ending))
        return time.monotonic()

    def left(self) -> tuple[int, list[bytes], str]:
        """Its exit status, what it wrote last, and its log."""
        status = self.process.wait(WAIT)
        for thread in self._threads:
            thread.join(WAIT)
        lines = list(iter(self._lines.get_nowait, None))
        return status, lines, b"".join(self._log).decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)
        for thread in self._threads:
            thread.join(WAIT)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            with suppress(OSError):  # what could not be flushed
                pipe.close()

    def memory(self) -> float | None:
        """Its resident memory in MB, where the system tells."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        line = next(
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmRSS")
        )
        return int(line.split()[1]) / 1024


@contextmanager
def started(script: str | None = None, **variables: str) -> Iterator[Server]:
    with started_together(1, script, **variables) as [server]:
        yield server


@contextmanager
def started_together(
    count: int, script: str | None = None, **variables: str
) -> Iterator[list[Server]]:
    servers = [Server(script, **variables) for _ in range(count)]
    try:
        for server in servers:
            server.listen()
            server.initialize()
        assert [server.answer()["id"] for server in servers] == ["initialize"] * count
        yield servers
    finally:
        for server in servers:
            server.close()


def reaching(fake_api: FakeAPI) -> dict[str, str]:
    return {"SIGMAMIND_BASE_URL": fake_api.url, "SIGMAMIND_API_KEY": "key_stdio"}
