"""HTTP+SSE, the deprecated transport that some remote clients still use.

A GET on /sse opens a session whose answers are a stream; messages are POSTs on /messages/.
A POST is answered at once, so a proxy's limit for each caller does not see how long its call runs:
the limits here do.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import mcp_types as mcp
from anyio.abc import ObjectSendStream
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from pydantic import SecretStr
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sigmamind_mcp.protocol.server import explain_end
from sigmamind_mcp.transports.access import RequestRefused, RequireKey, get_caller
from sigmamind_mcp.transports.http_messages import CheckMessage
from sigmamind_mcp.transports.traffic import CallLimiter, Traffic

MESSAGES = "/messages/"
SSE_MESSAGE = "sigmamind_mcp.sse_message"
"""In the scope of a POST that the router gave to HTTP+SSE, whatever its path looks like."""
MAX_SSE_CALLS = 32
MAX_STREAMS = 500


def build_sse_routes(
    server: Server[Any], traffic: Traffic, key_for_keyless: SecretStr | None
) -> list[Route]:
    """Return the routes of HTTP+SSE, and count its calls in a middleware of `server`."""
    transport = SseServerTransport(MESSAGES)
    limits = SSELimits(traffic)
    server.middleware.append(SSECallLimiter(limits))
    streams = SSEStreams(server, transport, limits)
    messages = CallLimiter(CheckMessage(transport.handle_post_message), traffic)
    stream_app = RequireKey(streams, key_for_keyless)
    stream_routes = [Route(path, stream_app, methods=["GET"]) for path in ("/sse", "/sse/")]
    for route in stream_routes:
        # Starlette adds HEAD to GET, and a stream that nobody reads would stay open.
        route.methods = {"GET"}
    return [
        *stream_routes,
        Route(
            MESSAGES,
            RequireKey(SSEBacklogLimit(messages, limits), key_for_keyless),
            methods=["POST"],
        ),
    ]


class SSELimits:
    """Limits the open streams, and for each caller the calls and the answers not taken."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._pending: Counter[str] = Counter()
        self._streams: set[anyio.CancelScope] = set()
        traffic.on_drained.append(self._end_streams)

    @contextmanager
    def admit_stream(self) -> Iterator[anyio.CancelScope]:
        """Count a stream while it is open; yield the scope that is cancelled once drained.

        Raises:
            RequestRefused: with 503 if there are too many streams, or if the server drains.
        """
        has_room = len(self._streams) < MAX_STREAMS
        self._traffic.check_room(has_room, f"{MAX_STREAMS} streams are open here.")
        session = anyio.CancelScope()
        self._streams.add(session)
        try:
            yield session
        finally:
            self._streams.discard(session)

    @contextmanager
    def admit_call(self, caller: str) -> Iterator[None]:
        """Count a call while it runs, in all and for its caller.

        Raises:
            RequestRefused: with 429 or 503 if there are too many, or if the server drains.
        """
        self.refuse_backlog(caller, MAX_SSE_CALLS)
        with self._traffic.admit_call(), self._count_pending(caller):
            yield

    @contextmanager
    def hold_answer(self, caller: str) -> Iterator[None]:
        """Count an answer like a call until the client takes it, since it waits in memory."""
        with self._traffic.count_call(), self._count_pending(caller):
            yield

    def refuse_backlog(self, caller: str, limit: int) -> None:
        """Raise RequestRefused with 429 if the caller has `limit` calls and answers pending."""
        if self._pending[caller] >= limit:
            raise RequestRefused(
                429,
                f"{limit} calls or answers of your key are in flight by SSE."
                " Try again in a moment.",
            )

    @contextmanager
    def _count_pending(self, caller: str) -> Iterator[None]:
        self._pending[caller] += 1
        try:
            yield
        finally:
            self._pending[caller] -= 1
            if not self._pending[caller]:
                del self._pending[caller]

    def _end_streams(self) -> None:
        for session in list(self._streams):
            session.cancel()


class SSEStreams:
    """Opens a session for each GET, and sends its answers as a stream."""

    def __init__(
        self, server: Server[Any], transport: SseServerTransport, limits: SSELimits
    ) -> None:
        self.server = server
        self.transport = transport
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.limits.admit_stream() as until_drained:
                await self._run_session(scope, receive, send, until_drained)
        except RequestRefused as exc:
            await exc.response(scope, receive, send)

    async def _run_session(
        self, scope: Scope, receive: Receive, send: Send, until_drained: anyio.CancelScope
    ) -> None:
        # Draining cancels the session alone: the stream ends by itself after the last answer.
        async with self.transport.connect_sse(scope, receive, send) as (messages, stream):
            with until_drained:
                answers = HeldAnswers(stream, self.limits, get_caller(scope))
                options = self.server.create_initialization_options()
                await self.server.run(messages, answers, options)


class HeldAnswers(ObjectSendStream[SessionMessage]):
    """Counts each answer of a session until its client takes it."""

    def __init__(
        self, stream: ObjectSendStream[SessionMessage], limits: SSELimits, caller: str
    ) -> None:
        self.stream = stream
        self.limits = limits
        self.caller = caller

    async def send(self, item: SessionMessage) -> None:
        with self.limits.hold_answer(self.caller):
            await self.stream.send(explain_end(item))

    async def aclose(self) -> None:
        await self.stream.aclose()


class SSEBacklogLimit:
    """Refuses all messages of a caller that takes no answers.

    Refusals are answers too, so this limit is twice that of calls. A caller that takes its answers
    can always send what is not a call: a cancellation, or a person's answer.
    """

    def __init__(self, app: ASGIApp, limits: SSELimits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.limits.refuse_backlog(get_caller(scope), 2 * MAX_SSE_CALLS)
        except RequestRefused as exc:
            await exc.response(scope, receive, send)
        else:
            await self.app({**scope, SSE_MESSAGE: True}, receive, send)


class SSECallLimiter:
    """Counts each call of an SSE session while it runs, longer than its POST."""

    def __init__(self, limits: SSELimits) -> None:
        self.limits = limits

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        scope: Scope | None = ctx.request.scope if ctx.request else None
        is_call = ctx.request_id is not None
        if scope is None or SSE_MESSAGE not in scope or not is_call:
            return await call_next(ctx)
        with ExitStack() as stack:
            try:
                stack.enter_context(self.limits.admit_call(get_caller(scope)))
            except RequestRefused as exc:
                raise MCPError(code=mcp.INTERNAL_ERROR, message=str(exc)) from None
            return await call_next(ctx)
