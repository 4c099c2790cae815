"""How many calls run at once over HTTP, how large a body may be, and how the server drains."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import anyio.lowlevel
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigmamind_mcp.transports.access import RequestRefused

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
TAKE_SECONDS = 30.0
MAX_CALLS = 512
DRAIN_SECONDS = 5.0


class Traffic:
    """Counts the calls in flight, refuses those over the limit, and drains."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_draining = False
        self.on_drained: list[Callable[[], None]] = []
        self._call_ended = anyio.Event()

    @contextmanager
    def admit_call(self) -> Iterator[None]:
        """Count a call while it runs.

        Raises:
            RequestRefused: with 503 if there are too many calls, or if the server drains.
        """
        self.check_room(self.calls < MAX_CALLS, f"{MAX_CALLS} calls are in flight here.")
        with self.count_call():
            yield

    @contextmanager
    def count_call(self) -> Iterator[None]:
        """Count a call while it runs, even over the limit."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1
            self._call_ended.set()

    def check_room(self, has_room: bool, reason: str) -> None:
        """Raise RequestRefused with 503 if there is no room, or if the server drains."""
        if self.is_draining:
            raise RequestRefused(503, "This server is about to end. Try again: another may answer.")
        if not has_room:
            raise RequestRefused(503, f"{reason} Try again in a moment.")

    async def drain(self) -> None:
        """Refuse new calls, wait DRAIN_SECONDS for those in flight, then run `on_drained`."""
        self.is_draining = True
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.calls:
                self._call_ended = anyio.Event()
                await self._call_ended.wait()
        for callback in self.on_drained:
            callback()


class CallLimiter:
    """Passes calls on while there is room, each with its whole body."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self.traffic.admit_call())
                body = await _read_body(Headers(scope=scope), receive)
            except RequestRefused as exc:
                await exc.response(scope, receive, send)
            except ClientDisconnect:
                return
            else:
                await self.app(scope, replay_body(body, receive), send)


class SendTimeout:
    """Disconnects a client that does not take an answer within TAKE_SECONDS."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.move_on_after(TAKE_SECONDS) as timeout:
                await send(message)
            if timeout.cancelled_caught:
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
    raise RequestRefused(408, f"The request did not arrive whole within {BODY_SECONDS:.0f} s.")


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that delivers this body first."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
