"""Start the server on every transport, and talk to each in raw bytes, so that a test is written once.

No client library: it would refuse to send what these tests send, and hide what they check.
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

NEWEST = "HTTP 2026-07-28"
TRANSPORTS = ("stdio", "SSE", "HTTP 2025-11-25", NEWEST)
TIMEOUT_SECONDS = 60.0
CLIENT_INFO = {"name": "raw", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT_INFO,
    "io.modelcontextprotocol/clientCapabilities": {},
}
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT_INFO}
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Answer(NamedTuple):
    """The response to one request: its JSON-RPC message, or the status of an HTTP refusal."""

    message: dict[str, Any]
    raw: str

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.message.get("result") or {}
        return result

    @property
    def is_error(self) -> bool:
        return "result" not in self.message or bool(self.result.get("isError"))

    @property
    def text(self) -> str:
        """Return the text that the model or its client reads."""
        parts = self.result.get("content") or self.result.get("contents") or []
        texts = [part.get("text", "") for part in parts]
        return "\n".join([*texts, str(self.message.get("error", ""))])


@dataclass
class ServerProcess:
    """A running server and its log file."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self, *, until: str) -> str:
        """Return the log once it contains this text; a thread of the server writes it."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while until not in (log := self.log_file.read_text(encoding="utf-8")):
            assert time.monotonic() < end, log[-1000:]
            time.sleep(0.01)
        return log

    def memory(self) -> float:
        """Return the resident memory in MB, or 0 without /proc."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return 0.0
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def descriptors(self) -> int:
        """Return the number of open files and sockets, or 0 without /proc."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        return len(list(folder.iterdir())) if folder.exists() else 0


@dataclass
class Connection:
    """One client of one server over one transport. Threads may share it."""

    name: str
    server: ServerProcess
    request_ids: Iterator[int] = field(default_factory=lambda: count(1))
    pending: dict[int, Queue[str]] = field(default_factory=dict)

    def ask(self, method: str, params: Mapping[str, Any] | bytes, target: str = "") -> Answer:
        """Send a request and wait for its answer. Bytes are sent as they are.

        `target` is the tool or URI, which newer revisions repeat in a header.
        """
        request_id = next(self.request_ids)
        raw = params if isinstance(params, bytes) else json.dumps(self._add_meta(params)).encode()
        head = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method}).encode()
        message = head[:-1] + b',"params":' + raw + b"}"
        return self._exchange(request_id, message, method, target)

    def call(self, tool: str, arguments: Any) -> Answer:
        return self.ask("tools/call", {"name": tool, "arguments": arguments}, tool)

    def read(self, uri: str) -> Answer:
        return self.ask("resources/read", {"uri": uri}, uri)

    def complete_params(self, raw: bytes) -> bytes:
        """Insert `_meta` into the bytes of params where the revision needs it."""
        if self.name != NEWEST:
            return raw
        return b'{"_meta":' + json.dumps(META).encode() + b"," + raw.lstrip()[1:]

    def read_log(self) -> str:
        """Return the log of everything before this call."""
        request_id = next(self.request_ids)
        marker = {
            "jsonrpc": "2.0",
            "id": request_id,
            "method": "tools/list",
            "params": self._add_meta({}),
        }
        self._exchange(request_id, json.dumps(marker).encode(), "tools/list", "")
        return self.server.log(until=f'"id": {request_id},')

    def _add_meta(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**params, "_meta": META} if self.name == NEWEST else params

    def _exchange(self, request_id: int, message: bytes, method: str, target: str) -> Answer:
        raise NotImplementedError

    def _deliver(self, line: str) -> None:
        """Pass a message to the thread that waits for it."""
        message = json.loads(line)
        if message.get("id") in self.pending:
            self.pending[message["id"]].put(line)

    @contextmanager
    def _expect(self, request_id: int) -> Iterator["Queue[str]"]:
        queue = self.pending[request_id] = Queue()
        try:
            yield queue
        finally:
            del self.pending[request_id]


class StdioConnection(Connection):
    lock = Lock()

    def _exchange(self, request_id: int, message: bytes, method: str, target: str) -> Answer:
        with self._expect(request_id) as queue:
            self.write(message)
            raw = queue.get(timeout=TIMEOUT_SECONDS)
        return Answer(json.loads(raw), raw)

    def write(self, message: bytes) -> None:
        assert self.server.process.stdin
        with self.lock:
            self.server.process.stdin.write(message + b"\n")
            self.server.process.stdin.flush()

    def listen(self) -> None:
        assert self.server.process.stdout
        for line in self.server.process.stdout:
            self._deliver(line.decode())


@dataclass
class HTTPConnection(Connection):
    url: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "X-API-Key": self.key,
        }
        self.http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=False,
        )

    def _exchange(self, request_id: int, message: bytes, method: str, target: str) -> Answer:
        headers = {"Mcp-Protocol-Version": self.name.removeprefix("HTTP ")}
        if self.name == NEWEST:
            headers["Mcp-Method"] = method
        if self.name == NEWEST and target:
            encoded = base64.b64encode(target.encode("utf-8", "replace")).decode()
            headers["Mcp-Name"] = f"=?base64?{encoded}?="
        return parse_response(self.http.post("/mcp", content=message, headers=headers))


def parse_response(response: httpx2.Response) -> Answer:
    """Read the JSON-RPC message from a body, an event stream or a refusal."""
    body = response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        events = [line for line in body.splitlines() if line.startswith("data: ")]
        body = events[-1].removeprefix("data: ")
    raw = f"{response.headers} {body}"
    try:
        message = json.loads(body)
    except ValueError:
        return Answer({"error": response.status_code}, raw)
    return Answer(message if isinstance(message, dict) else {"error": message}, raw)


@dataclass
class SSEConnection(HTTPConnection):
    endpoints: Queue[str] = field(default_factory=Queue)

    def _exchange(self, request_id: int, message: bytes, method: str, target: str) -> Answer:
        with self._expect(request_id) as queue:
            response = self.http.post(self.endpoint, content=message)
            if response.status_code != 202:
                return parse_response(response)
            raw = queue.get(timeout=TIMEOUT_SECONDS)
        return Answer(json.loads(raw), raw)

    def open(self) -> None:
        """Open the event stream, and do the handshake."""
        Thread(target=self._listen, daemon=True).start()
        self.endpoint = self.endpoints.get(timeout=TIMEOUT_SECONDS)
        self.ask("initialize", CLIENT)
        self.http.post(self.endpoint, content=INITIALIZED)

    def _listen(self) -> None:
        timeout = httpx2.Timeout(TIMEOUT_SECONDS, read=None)
        with suppress(httpx2.HTTPError), self.http.stream("GET", "/sse", timeout=timeout) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                data = line.removeprefix("data: ")
                if data.startswith("{"):
                    self._deliver(data)
                else:
                    self.endpoints.put(data)


@contextmanager
def start_server(folder: Path, *arguments: str, **variables: str) -> Iterator[ServerProcess]:
    """Run a command with its log in a file of this folder, and end it."""
    log_file = folder / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(**variables),
        )
    try:
        yield ServerProcess(process, log_file)
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)
        for pipe in (process.stdin, process.stdout):
            assert pipe
            with suppress(OSError):
                pipe.close()


@contextmanager
def open_stdio(folder: Path, api_url: str, key: str) -> Iterator[Connection]:
    """Start a stdio server in front of this API, and connect to it."""
    variables = {"SIGMAMIND_BASE_URL": api_url, "SIGMAMIND_API_KEY": key}
    with start_server(folder, "--log-level", "debug", **variables) as server:
        connection = StdioConnection("stdio", server)
        listener = Thread(target=connection.listen)
        listener.start()
        try:
            connection.ask("initialize", CLIENT)
            connection.write(INITIALIZED)
            yield connection
        finally:
            server.process.kill() if sys.platform == "win32" else server.process.terminate()
            listener.join(TIMEOUT_SECONDS)


@contextmanager
def open_http_server(
    folder: Path, api_url: str, *arguments: str, **variables: str
) -> Iterator[tuple[ServerProcess, str]]:
    """Start `serve` in front of this API, and yield it with its URL."""
    command = ("serve", "--port", "0", "--log-level", "debug", *arguments)
    with start_server(folder, *command, **{"SIGMAMIND_BASE_URL": api_url, **variables}) as server:
        assert server.process.stdout
        url = server.process.stdout.readline().decode().split()[3].removesuffix("/mcp")
        yield server, url


@contextmanager
def open_all_transports(folder: Path, api_url: str, key: str) -> Iterator[dict[str, Connection]]:
    """Yield a connection by transport: one process on stdio, one that serves the other three."""
    with ExitStack() as stack:
        (folder / "stdio").mkdir()
        stdio = stack.enter_context(open_stdio(folder / "stdio", api_url, key))
        server, url = stack.enter_context(open_http_server(folder, api_url))
        sse = SSEConnection("SSE", server, url=url, key=key)
        sse.open()
        http = {name: HTTPConnection(name, server, url=url, key=key) for name in TRANSPORTS[2:]}
        yield {"stdio": stdio, "SSE": sse, **http}
        server.process.terminate()
        server.process.wait(TIMEOUT_SECONDS)
        for connection in (sse, *http.values()):
            connection.http.close()
