"""HTTP requests with exactly these headers, for the tests of what stands before MCP."""

import http.client
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from tests.conftest import KEY
from tests.support.fake_api import FakeAPI
from tests.support.processes import Served, environment

IN_BATCH = {"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai"}

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "get_batch_run", "arguments": IN_BATCH},
}

ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}

Pairs = list[tuple[str, str]]


def env_for(api: FakeAPI) -> dict[str, str]:
    return environment(SIGMAMIND_BASE_URL=api.url)


class Exchanged(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(url: str, method: str, path: str, headers: Pairs, body: bytes = b"") -> Exchanged:
    """Send exactly these headers, and read the whole answer; not for streams."""
    connection, response = opened(url, method, path, headers, body)
    with closing(connection), response:
        return Exchanged(response.status, response.headers, response.read())


def opened(
    url: str, method: str, path: str, headers: Pairs, body: bytes = b""
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders(body or None)
    return connection, connection.getresponse()


def authority(url: str) -> str:
    return urlsplit(url).netloc


def post(url: str, message: Any = CALL, **headers: str) -> httpx2.Response:
    return httpx2.post(f"{url}/mcp", json=message, headers={**ACCEPT, **headers}, timeout=60)


def http_call(url: str, message: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{url}/mcp", json=message, headers={**ACCEPT, "X-API-Key": KEY}, timeout=30)


def resident_kilobytes(server: Served) -> int:
    """The memory of the server's process, or 0 where the platform does not tell."""
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
