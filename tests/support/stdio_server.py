"""A server process that exchanges lines of JSON, for measurements: neither the SDK nor our code is used."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Stdio:
    """A server process on stdin and stdout."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.began = time.perf_counter()
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=dict(env)
        )
        self.last_id = 0

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.last_id += 1
        self._send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        assert self.child.stdout is not None
        for line in self.child.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == self.last_id:
                assert "result" in answer and not answer["result"].get("isError"), answer
                return answer
        raise AssertionError(f"{self.child.args!r} ended")

    def initialize(self) -> None:
        client = {"name": "bench", "version": "0"}
        self.ask(
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client},
        )
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, name: str, arguments: dict[str, str]) -> float:
        """Make a call and return its seconds."""
        began = time.perf_counter()
        self.ask("tools/call", {"name": name, "arguments": arguments})
        return time.perf_counter() - began

    def read_cpu(self) -> float:
        """Return the seconds of CPU that all threads of the process have taken (Linux)."""
        threads = Path(f"/proc/{self.child.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def read_memory(self) -> int:
        """Return the resident memory of the process in kilobytes (Linux)."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def _send(self, message: dict[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(message).encode() + b"\n")
        self.child.stdin.flush()

    def end(self) -> None:
        self.child.communicate(timeout=20)
