"""The server's process on each transport, spoken to in bytes, so that a test is written once and run over all of them.

A client library would refuse to send what these tests send, and hide what they look at.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Lock, Thread
from typing import Any, NamedTuple

import httpx2

from tests.support.processes import COMMAND, environment

WIRES = ("stdio", "SSE", "HTTP 2025-11-25", "HTTP 2026-07-28")
WAIT = 60.0
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CLIENT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "raw", "version": "1"},
}


class Answer(NamedTuple):
    """What came back to one request: the JSON-RPC message, or the status of an HTTP refusal, and all of it as it came."""

    message: dict[str, Any]
    raw: str

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = self.message.get("result") or {}
        return found

    @property
    def is_error(self) -> bool:
        return "result" not in self.message or bool(self.result.get("isError"))

    @property
    def said(self) -> str:
        """The text that the model or its client is shown."""
        texts = [
            part.get("text", "")
            for part in self.result.get("content") or self.result.get("contents") or []
        ]
        return "\n".join([*texts, str(self.message.get("error", ""))])


@dataclass
class Process:
    """A server's process and its log, which can be read while it runs."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self, *, until: str) -> str:
        """The log once this stands in it: a thread of the server's writes it."""
        end = time.monotonic() + WAIT
        while until not in (log := self.log_file.read_text(encoding="utf-8")):
            assert time.monotonic() < end, log[-1000:]
            time.sleep(0.01)
        return log

    def memory(self) -> float:
        """Its resident memory in MB; 0 where the system does not tell."""
        status = Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
        return next(
            (int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0
        )

    def descriptors(self) -> int:
        """How many files and sockets it has open; 0 where the system does not tell."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        return len(list(folder.iterdir())) if folder.exists() else 0


@dataclass
class Wire:
    """One client of one server, over one transport; many threads may ask at once."""

    name: str
    server: Process
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    waiting: dict[int, Queue[str]] = field(default_factory=dict)

    def ask(self, method: str, params: Mapping[str, Any] | bytes, named: str = "") -> Answer:
        """Send a request, its params as data or as the bytes of their JSON, and wait for the answer."""
        number = next(self.numbers)
        raw = params if isinstance(params, bytes) else json.dumps(self._complete(params)).encode()
        head = json.dumps({"jsonrpc": "2.0", "id": number, "method": method}).encode()
        return self._exchange(number, head[:-1] + b',"params":' + raw + b"}", method, named)

    def call(self, tool: str, arguments: Any) -> Answer:
        return self.ask("tools/call", {"name": tool, "arguments": arguments}, tool)

    def read(self, uri: str) -> Answer:
        return self.ask("resources/read", {"uri": uri}, uri)

    def complete_params(self, raw: bytes) -> bytes:
        """The bytes of params with what this revision wants in them."""
        if self.name != "HTTP 2026-07-28":
            return raw
        return b'{"_meta":' + json.dumps(META).encode() + b"," + raw.lstrip()[1:]

    def logged(self) -> str:
        """The log of everything so far."""
        number = next(self.numbers)
        self._exchange(number, json.dumps(self._ping(number)).encode(), "tools/list", "")
        return self.server.log(until=f'"id": {number},')

    def _ping(self, number: int) -> dict[str, Any]:
        return {
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/list",
            "params": self._complete({}),
        }

    def _complete(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**params, "_meta": META} if self.name == "HTTP 2026-07-28" else params

    def _exchange(self, number: int, message: bytes, method: str, named: str) -> Answer:
        raise NotImplementedError

    def _heard(self, line: str) -> None:
        message = json.loads(line)
        if message.get("id") in self.waiting:
            self.waiting[message["id"]].put(line)

    @contextmanager
    def _waiting_for(self, number: int) -> Iterator["Queue[str]"]:
        queue = self.waiting[number] = Queue()
        try:
            yield queue
        finally:
            del self.waiting[number]


class Stdio(Wire):
    lock = Lock()

    def _exchange(self, number: int, message: bytes, method: str, named: str) -> Answer:
        with self._waiting_for(number) as queue:
            self.write(message)
            raw = queue.get(timeout=WAIT)
        return Answer(json.loads(raw), raw)

    def write(self, message: bytes) -> None:
        assert self.server.process.stdin
        with self.lock:
            self.server.process.stdin.write(message + b"\n")
            self.server.process.stdin.flush()

    def listen(self) -> None:
        assert self.server.process.stdout
        for line in self.server.process.stdout:
            self._heard(line.decode())


@dataclass
class HTTP(Wire):
    url: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        accept = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }
        headers = {**accept, "X-API-Key": self.key}
        self.http = httpx2.Client(
            base_url=self.url, headers=headers, timeout=WAIT, limits=limits, trust_env=False
        )

    def _exchange(self, number: int, message: bytes, method: str, named: str) -> Answer:
        headers = {"Mcp-Protocol-Version": self.name.removeprefix("HTTP ")}
        if self.name == "HTTP 2026-07-28":
            spelt = f"=?base64?{base64.b64encode(named.encode('utf-8', 'replace')).decode()}?="
            headers |= {"Mcp-Method": method} | ({"Mcp-Name": spelt} if named else {})
        return answer_of(self.http.post("/mcp", content=message, headers=headers))


def answer_of(response: httpx2.Response) -> Answer:
    raw = response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        raw = [line for line in raw.splitlines() if line.startswith("data: ")][-1].removeprefix(
            "data: "
        )
    with suppress(ValueError):
        message = json.loads(raw)
        return Answer(
            message if isinstance(message, dict) else {"error": message},
            f"{response.headers} {raw}",
        )
    return Answer({"error": response.status_code}, f"{response.headers} {raw}")


@dataclass
class SSE(HTTP):
    endpoints: Queue[str] = field(default_factory=Queue)

    def _exchange(self, number: int, message: bytes, method: str, named: str) -> Answer:
        with self._waiting_for(number) as queue:
            response = self.http.post(self.endpoint, content=message)
            if response.status_code != 202:
                return answer_of(response)
            raw = queue.get(timeout=WAIT)
        return Answer(json.loads(raw), raw)

    def open(self) -> None:
        Thread(target=self._listen, daemon=True).start()
        self.endpoint = self.endpoints.get(timeout=WAIT)
        self.ask("initialize", CLIENT)
        self.http.post(
            self.endpoint, content=b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
        )

    def _listen(self) -> None:
        timeout = httpx2.Timeout(WAIT, read=None)
        with suppress(httpx2.HTTPError), self.http.stream("GET", "/sse", timeout=timeout) as stream:
            for line in stream.iter_lines():
                data = line.removeprefix("data: ")
                if data != line and data.startswith("{"):
                    self._heard(data)
                elif data != line:
                    self.endpoints.put(data)


@contextmanager
def process(folder: Path, *arguments: str, **variables: str) -> Iterator[Process]:
    """Start a command with its log in a file of this folder, and end it."""
    log_file = folder / "log"
    with log_file.open("wb") as log:
        started = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(**variables),
        )
    try:
        yield Process(started, log_file)
    finally:
        started.terminate()
        started.wait(WAIT)
        for pipe in (started.stdin, started.stdout):
            assert pipe
            with suppress(OSError):
                pipe.close()


@contextmanager
def open_stdio(folder: Path, api_url: str, key: str) -> Iterator[Wire]:
    variables = {"SIGMAMIND_BASE_URL": api_url, "SIGMAMIND_API_KEY": key}
    with process(folder, "--log-level", "debug", **variables) as server:
        wire = Stdio("stdio", server)
        hearing = Thread(target=wire.listen)
        hearing.start()
        try:
            wire.ask("initialize", CLIENT)
            wire.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            yield wire
        finally:
            server.process.kill() if sys.platform == "win32" else server.process.terminate()
            hearing.join(WAIT)


@contextmanager
def open_served(
    folder: Path, api_url: str, *arguments: str, **variables: str
) -> Iterator[tuple[Process, str]]:
    """`serve` before this API, and its URL."""
    variables = {"SIGMAMIND_BASE_URL": api_url, **variables}
    with process(
        folder, "serve", "--port", "0", "--log-level", "debug", *arguments, **variables
    ) as server:
        assert server.process.stdout
        url = server.process.stdout.readline().decode().split()[3].removesuffix("/mcp")
        yield server, url


@contextmanager
def open_wires(folder: Path, api_url: str, key: str) -> Iterator[dict[str, Wire]]:
    """A wire for each transport: a process on stdio, and one that serves the other three."""
    with ExitStack() as stack:
        (folder / "stdio").mkdir()
        wires = {"stdio": stack.enter_context(open_stdio(folder / "stdio", api_url, key))}
        server, url = stack.enter_context(open_served(folder, api_url))
        sse = SSE("SSE", server, url=url, key=key)
        wires["SSE"] = sse
        for name in WIRES[2:]:
            wires[name] = HTTP(name, server, url=url, key=key)
        sse.open()
        yield wires
        server.process.terminate()
        server.process.wait(WAIT)
        for wire in wires.values():
            if isinstance(wire, HTTP):
                wire.http.close()
