"""Who may send requests over HTTP: Host, Origin, preflight, key."""

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigmamind_mcp.callers import CALLER_KEY, fingerprint
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.settings import check_key

RETRY_AFTER_SECONDS = 2


MISSING_KEY = "Send your SigmaMind API key in the X-API-Key header, exactly once."


# What MCP clients in browsers send and read beyond what CORS allows by itself.
_SENT = "Content-Type, Accept, X-API-Key, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name"


_READ = "Mcp-Session-Id, Mcp-Protocol-Version, Retry-After"


class RequestRefused(Exception):
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
            refusal = _refusal(
                421,
                "This host name is not served here. The operator can add it with --allowed-host.",
            )
            await refusal(scope, receive, send)
        elif not origins:
            await self.app(scope, receive, send)
        elif len(origins) != 1 or origins[0].lower() not in self.origins:
            refusal = _refusal(
                403,
                "This origin is not allowed here. The operator can add it with --allowed-origin.",
            )
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


def caller_of(scope: Scope) -> str:
    """Whom RequireKey has let in, told without the key."""
    user: AuthenticatedUser = scope["user"]
    return user.username


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
    return Response(
        status_code=204,
        headers={f"Access-Control-{name}": value for name, value in allowed.items()},
    )


def _refusal(status: int, sentence: str) -> Response:
    # The body may be unread, and a connection that is kept would have to be read to its end.
    headers = {"Connection": "close"} | (
        {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in (429, 503) else {}
    )
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
