"""The connections to the API, for every caller: so many at once, each with one request at a time."""

from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from ssl import SSLContext
from time import monotonic

import anyio
import anyio.to_thread
import httpx2

REQUESTS_TOGETHER = 32
KEPT_SECONDS = 5.0


@cache
def certificates() -> Future[SSLContext]:
    """Begin to read the system's certificates, once: it takes tens of milliseconds, in a thread beside all else."""
    reading = ThreadPoolExecutor(1)
    context = reading.submit(httpx2.create_ssl_context, trust_env=False)
    reading.shutdown(wait=False)
    return context


class ConnectionPool:
    """Connections that are kept for the next request.

    They are the HTTP library's transports, which it puts its clients on: these send a request and nothing more, so
    that no redirect is followed, no cookie of one caller kept for the next, and no proxy variable read. Each holds one
    connection, since a shared pool looks at all of its connections before and after every request.

    `transport` stands in for the network: the sandbox is reached through an ASGI transport.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._transport = transport
        self._gate = anyio.Semaphore(REQUESTS_TOGETHER)
        self._idle: deque[tuple[float, httpx2.AsyncBaseTransport]] = deque()
        if transport is None:
            certificates()

    async def ready(self) -> None:
        """Wait until there can be connections."""
        if self._transport is None and not certificates().done():
            await anyio.to_thread.run_sync(certificates().result)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[httpx2.AsyncBaseTransport]:
        """Yield a connection for one request, once there is room: the last one used, since it is the likeliest alive.

        One whose request did not end well is closed, not kept, and so is one that nobody has used for KEPT_SECONDS.
        """
        async with self._gate:
            connection = self._idle.pop()[1] if self._idle else self._open()
            try:
                yield connection
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await connection.aclose()
                raise
            self._idle.append((monotonic(), connection))
            await self._close_those_idle_since(monotonic() - KEPT_SECONDS)

    async def aclose(self) -> None:
        await self._close_those_idle_since(monotonic())

    async def _close_those_idle_since(self, moment: float) -> None:
        while self._idle and self._idle[0][0] <= moment:
            await self._idle.popleft()[1].aclose()

    def _open(self) -> httpx2.AsyncBaseTransport:
        return self._transport or httpx2.AsyncHTTPTransport(
            verify=certificates().result(),
            trust_env=False,
            limits=httpx2.Limits(max_connections=1, keepalive_expiry=KEPT_SECONDS),
        )
