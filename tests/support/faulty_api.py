"""Serve an API with faults at the level of bytes, and count the requests that reach it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

FAULTS = (
    "reset before the body",
    "reset during the body",
    "reset after the body",
    "reset after the headers",
    "silent",
    "byte-drip",
    "truncated",
    "408",
    "429",
    "500",
    "502",
    "503",
    "504",
    "HTML",
)
"""A refused connection is the only fault that needs no server."""

UNREAD_BYTES = ("two answers in one segment", "longer than its Content-Length")
"""The answer is right, and bytes follow it that belong to no request."""


@dataclass
class FaultyAPI:
    """Answer each request with the fault that is set, else with `body`.

    CALLER in `body` becomes the key of the request.
    """

    url: str = ""
    fault: str | None = None
    faults_left: int = 10**9
    body: bytes = b"{}"
    headers: str = ""
    received: Counter[str] = field(default_factory=Counter)
    open_connections: int = 0
    accepted_connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        self.accepted_connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer_next(reader, writer):
                    pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _answer_next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method = head.split(" ", 1)[0]
        self.received[method] += 1
        fault = self.fault if self.faults_left > 0 else None
        self.faults_left -= 1
        length = _content_length(head)
        if fault == "reset before the body":
            return self._reset(writer)
        if fault == "reset during the body":
            await reader.readexactly(length // 2)
            return self._reset(writer)
        await reader.readexactly(length)
        return await self._respond(fault, writer, _read_key(head))

    async def _respond(self, fault: str | None, writer: asyncio.StreamWriter, key: str) -> bool:
        if fault == "reset after the body":
            return self._reset(writer)
        if fault == "silent":
            await asyncio.sleep(3600)
        status = fault if fault and fault.isdigit() else "200"
        body = (
            b"<html>Welcome</html>"
            if fault == "HTML"
            else self.body.replace(b"CALLER", key.encode())
        )
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{self.headers}"
        if fault in ("reset after the headers", "truncated", "byte-drip"):
            writer.write(f"{head}Content-Length: {len(body) + 1000}\r\n\r\n".encode())
            if fault != "reset after the headers":
                writer.write(body[: len(body) // 2])
            await writer.drain()
            while fault == "byte-drip":
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
            return False if fault == "truncated" else self._reset(writer)
        whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        if fault == "two answers in one segment":
            stale = self.body.replace(b"CALLER", b"stale")
            whole += f"{head}Content-Length: {len(stale)}\r\n\r\n".encode() + stale
        if fault == "longer than its Content-Length":
            whole += b"}}"
        writer.write(whole)
        await writer.drain()
        return True

    def _reset(self, writer: asyncio.StreamWriter) -> bool:
        transport = writer.transport
        transport.abort()
        return False

    def answer(self, body: object) -> None:
        self.body = json.dumps(body).encode()


def _content_length(head: str) -> int:
    for line in head.splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _read_key(head: str) -> str:
    lines = (line.partition(":") for line in head.splitlines())
    return next((value.strip() for name, _, value in lines if name.lower() == "x-api-key"), "")


@asynccontextmanager
async def running_faulty_api() -> AsyncIterator[FaultyAPI]:
    """Serve a faulty API in this event loop."""
    api = FaultyAPI()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if "FaultyAPI.serve" in repr(task):
                task.cancel()
