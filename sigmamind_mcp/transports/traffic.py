"""What stands before MCP on HTTP, in this order: Host, Origin, preflight, key, capacity, body.

The checks are ours: the SDK's own Host check matches by prefix, its sessions know no X-API-Key, and it reads a body
before anybody has shown a key.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import anyio.lowlevel
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigmamind_mcp.transports.access import RequestRefused, caller_of

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
TAKE_SECONDS = 30.0
MAX_CALLS = 512
MAX_SSE_CALLS = 32
MAX_STREAMS = 500
DRAIN_SECONDS = 5.0


class Traffic:
    """The calls in flight and the open streams: how many there may be, and how they end."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_draining = False
        self._sse_calls: Counter[str] = Counter()
        self._streams: set[anyio.CancelScope] = set()
        self._call_ended = anyio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count one call as long as it lasts.

        Raises:
            RequestRefused: with 503, because there are as many as there may be, or the server is about to end.
        """
        self._refuse_full(self.calls >= MAX_CALLS, f"{MAX_CALLS} calls are in flight here.")
        with self._counted():
            yield

    @contextmanager
    def sse_call(self, caller: str) -> Iterator[None]:
        """Count one call of an SSE session as long as it lasts, for its caller too.

        A proxy's cap for a caller does not see it: the POST that brings it is answered at once.

        Raises:
            RequestRefused: as `call`, or because this caller has as many as one may have.
        """
        self.refuse_at(MAX_SSE_CALLS, caller)
        with self.call(), self._counted_for(caller):
            yield

    @contextmanager
    def sse_answer(self, caller: str) -> Iterator[None]:
        """Count an answer of an SSE session like a call, until it is taken: it waits in memory."""
        with self._counted(), self._counted_for(caller):
            yield

    def refuse_at(self, sse_calls: int, caller: str) -> None:
        """Raise RequestRefused with 429 where this caller has so many calls, and answers not taken, by SSE."""
        if self._sse_calls[caller] >= sse_calls:
            raise RequestRefused(
                429,
                f"{MAX_SSE_CALLS} calls of your key are in flight by SSE. Try again in a moment.",
            )

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self._call_ended.set()

    @contextmanager
    def _counted_for(self, caller: str) -> Iterator[None]:
        self._sse_calls[caller] += 1
        try:
            yield
        finally:
            self._sse_calls[caller] -= 1
            if not self._sse_calls[caller]:
                del self._sse_calls[caller]

    @contextmanager
    def stream(self) -> Iterator[anyio.CancelScope]:
        """Count one stream as long as it is open, and yield the scope by which `drain` ends what fills it.

        Raises:
            RequestRefused: as `call`.
        """
        self._refuse_full(
            len(self._streams) >= MAX_STREAMS, f"{MAX_STREAMS} streams are open here."
        )
        filled = anyio.CancelScope()
        self._streams.add(filled)
        try:
            yield filled
        finally:
            self._streams.discard(filled)

    def _refuse_full(self, is_full: bool, because: str) -> None:
        if self.is_draining:
            raise RequestRefused(503, "This server is about to end. Try again: another may answer.")
        if is_full:
            raise RequestRefused(503, f"{because} Try again in a moment.")

    async def drain(self) -> None:
        """Take no more calls, wait until those in flight have ended, at most DRAIN_SECONDS, and close the streams."""
        self.is_draining = True
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.calls:
                self._call_ended = anyio.Event()
                await self._call_ended.wait()
        for scope in list(self._streams):
            scope.cancel()


class CallLimiter:
    """Hands on requests while there is room, each with its whole body, which has to come in time and be small."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.traffic.call())
                body = await _read_body(Headers(scope=scope), receive)
            except RequestRefused as exc:
                await exc.response(scope, receive, send)
            except ClientDisconnect:
                return
            else:
                await self.app(scope, _replaying(body, receive), send)


class SSEBacklogLimit:
    """Turns away messages of a caller that takes no answers from its SSE sessions, refusals included.

    One that takes them may always send what is no call: that a call is cancelled, or what the user was asked.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.traffic.refuse_at(2 * MAX_SSE_CALLS, caller_of(scope))
        except RequestRefused as exc:
            await exc.response(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class StreamLimiter:
    """Hands on requests for a stream while there is room, each with the scope that ends when the server does."""

    def __init__(
        self,
        fill: Callable[[Scope, Receive, Send, anyio.CancelScope], Awaitable[None]],
        traffic: Traffic,
    ):
        self.fill = fill
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.traffic.stream() as until_drained:
                await self.fill(scope, receive, send, until_drained)
        except RequestRefused as exc:
            await exc.response(scope, receive, send)


class SendTimeout:
    """Lets a client go that does not take an answer within TAKE_SECONDS: it would keep its place for ever."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.move_on_after(TAKE_SECONDS) as waiting:
                await send(message)
            if waiting.cancelled_caught:
                request.cancel()
                await anyio.lowlevel.checkpoint()

        with anyio.CancelScope() as request:
            await self.app(scope, receive, send_in_time)


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    too_large = RequestRefused(413, f"A request may have at most {MAX_BODY_BYTES // 1024:,} KiB.")
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)
    raise RequestRefused(408, f"The request did not come whole within {BODY_SECONDS:.0f} s.")


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
