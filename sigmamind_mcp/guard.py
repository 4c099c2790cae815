"""What stands before MCP on HTTP, in this order: Host, Origin, preflight, key, capacity, body.

The checks are ours: the SDK's own Host check matches by prefix, its sessions know no X-API-Key, and it reads a body
before anybody has shown a key.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import anyio.lowlevel
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigmamind_mcp.callers import fingerprint
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.server import CALLER_KEY
from sigmamind_mcp.settings import check_key

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 10.0
TAKE_SECONDS = 30.0
MAX_CALLS = 512
MAX_SSE_CALLS = 32
MAX_STREAMS = 500
RETRY_AFTER_SECONDS = 2
DRAIN_SECONDS = 5.0
MISSING_KEY = "Send your SigmaMind API key in the X-API-Key header, exactly once."

# What MCP clients in browsers send and read beyond what CORS allows by itself.
_SENT = "Content-Type, Accept, X-API-Key, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name"
_READ = "Mcp-Session-Id, Mcp-Protocol-Version, Retry-After"


class Refused(Exception):
    """A request that is not handed on: the status, and a sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.response = _refusal(status, sentence)


class AllowListed:
    """Answers only requests whose Host, and Origin where there is one, are on the lists, letter by letter.

    A page in the user's browser can send requests to loopback (DNS rebinding), so this holds on every bind. Pages of
    an allowed origin get their preflight and CORS headers; nobody else does.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            refusal = _refusal(421, "This host name is not served here. The operator can add it with --allowed-host.")
            await refusal(scope, receive, send)
        elif not origins:
            await self.app(scope, receive, send)
        elif len(origins) != 1 or origins[0].lower() not in self.origins:
            refusal = _refusal(403, "This origin is not allowed here. The operator can add it with --allowed-origin.")
            await refusal(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight()(scope, receive, _for_origin(origins[0], send))
        else:
            await self.app(scope, receive, _for_origin(origins[0], send))


class RequireKey:
    """Hands on only requests with one well-formed X-API-Key, and binds sessions to it."""

    def __init__(self, app: ASGIApp, key_for_keyless: SecretStr | None) -> None:
        self.app = app
        self.key_for_keyless = key_for_keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = self._key(Headers(scope=scope).getlist("x-api-key"))
        except ConfigurationError as exc:
            await _refusal(401, str(exc))(scope, receive, send)
            return
        # The SDK lets only this user go on with a session; the key itself stays out of the token.
        user = AuthenticatedUser(AccessToken(token="", client_id=fingerprint(key), scopes=[]))
        await self.app({**scope, CALLER_KEY: key, "user": user}, receive, send)

    def _key(self, sent: list[str]) -> SecretStr:
        if not sent and self.key_for_keyless is not None:
            return self.key_for_keyless
        if len(sent) != 1 or not sent[0]:
            raise ConfigurationError(MISSING_KEY)
        return check_key(sent[0])


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
            Refused: with 503, because there are as many as there may be, or the server is about to end.
        """
        self._refuse_full(self.calls >= MAX_CALLS, f"{MAX_CALLS} calls are in flight here.")
        with self._counted():
            yield

    @contextmanager
    def sse_call(self, caller: str) -> Iterator[None]:
        """Count one call of an SSE session as long as it lasts, for its caller too.

        A proxy's cap for a caller does not see it: the POST that brings it is answered at once.

        Raises:
            Refused: as `call`, or because this caller has as many as one may have.
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
        """Raise Refused with 429 where this caller has so many calls, and answers not taken, by SSE."""
        if self._sse_calls[caller] >= sse_calls:
            raise Refused(429, f"{MAX_SSE_CALLS} calls of your key are in flight by SSE. Try again in a moment.")

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
            Refused: as `call`.
        """
        self._refuse_full(len(self._streams) >= MAX_STREAMS, f"{MAX_STREAMS} streams are open here.")
        filled = anyio.CancelScope()
        self._streams.add(filled)
        try:
            yield filled
        finally:
            self._streams.discard(filled)

    def _refuse_full(self, is_full: bool, because: str) -> None:
        if self.is_draining:
            raise Refused(503, "This server is about to end. Try again: another may answer.")
        if is_full:
            raise Refused(503, f"{because} Try again in a moment.")

    async def drain(self) -> None:
        """Take no more calls, wait until those in flight have ended, at most DRAIN_SECONDS, and close the streams."""
        self.is_draining = True
        with anyio.move_on_after(DRAIN_SECONDS):
            while self.calls:
                self._call_ended = anyio.Event()
                await self._call_ended.wait()
        for scope in list(self._streams):
            scope.cancel()


class TakeCalls:
    """Hands on requests while there is room, each with its whole body, which has to come in time and be small."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.traffic.call())
                body = await _read_body(Headers(scope=scope), receive)
            except Refused as exc:
                await exc.response(scope, receive, send)
            except ClientDisconnect:
                return
            else:
                await self.app(scope, _replaying(body, receive), send)


class CapUntaken:
    """Turns away messages of a caller that takes no answers from its SSE sessions, refusals included.

    One that takes them may always send what is no call: that a call is cancelled, or what the user was asked.
    """

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.traffic.refuse_at(2 * MAX_SSE_CALLS, caller_of(scope))
        except Refused as exc:
            await exc.response(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class TakeStreams:
    """Hands on requests for a stream while there is room, each with the scope that ends when the server does."""

    def __init__(self, fill: Callable[[Scope, Receive, Send, anyio.CancelScope], Awaitable[None]], traffic: Traffic):
        self.fill = fill
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.traffic.stream() as until_drained:
                await self.fill(scope, receive, send, until_drained)
        except Refused as exc:
            await exc.response(scope, receive, send)


class TakenInTime:
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


def caller_of(scope: Scope) -> str:
    """Whom RequireKey has let in, told without the key."""
    user: AuthenticatedUser = scope["user"]
    return user.username


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    too_large = Refused(413, f"A request may have at most {MAX_BODY_BYTES // 1024:,} KiB.")
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
    raise Refused(408, f"The request did not come whole within {BODY_SECONDS:.0f} s.")


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _for_origin(origin: str, send: Send) -> Send:
    """Let pages of this origin read the answer."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _READ
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_headers


def _preflight() -> Response:
    allowed = {"Allow-Methods": "GET, POST", "Allow-Headers": _SENT, "Max-Age": "600"}
    return Response(status_code=204, headers={f"Access-Control-{name}": value for name, value in allowed.items()})


def _refusal(status: int, sentence: str) -> Response:
    # The body may be unread, and a connection that is kept would have to be read to its end.
    headers = {"Connection": "close"} | ({"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else {})
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
