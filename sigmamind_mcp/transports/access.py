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

# The headers of MCP clients in browsers, beyond those that CORS always allows.
_REQUEST_HEADERS = (
    "Content-Type, Accept, X-API-Key, Last-Event-ID,"
    " Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name"
)
_RESPONSE_HEADERS = "Mcp-Session-Id, Mcp-Protocol-Version, Retry-After"


class RequestRefused(Exception):
    """A request that is refused with a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.response = _build_refusal(status, sentence)


class AllowList:
    """Passes on requests whose Host and Origin are listed exactly; Origin may be absent.

    Pages of a listed origin get an answer to their preflight, and CORS headers.
    """

    # A page in the user's browser can send requests to loopback (DNS rebinding), so the lists
    # hold on every address.

    def __init__(self, app: ASGIApp, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._find_refusal(headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        origin = headers.get("origin")
        if origin is None:
            await self.app(scope, receive, send)
            return
        asks_method = "access-control-request-method" in headers
        is_preflight = scope["method"] == "OPTIONS" and asks_method
        app = _build_preflight_answer() if is_preflight else self.app
        await app(scope, receive, _add_cors_headers(origin, send))

    def _find_refusal(self, headers: Headers) -> Response | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return _build_refusal(
                421,
                "This host name is not served here. The operator can add it with --allowed-host.",
            )
        if origins and (len(origins) != 1 or origins[0].lower() not in self.origins):
            return _build_refusal(
                403,
                "This origin is not allowed here. The operator can add it with --allowed-origin.",
            )
        return None


class RequireKey:
    """Passes on requests with one well-formed X-API-Key, and binds sessions to it."""

    def __init__(self, app: ASGIApp, key_for_keyless: SecretStr | None) -> None:
        self.app = app
        self.key_for_keyless = key_for_keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = self._read_key(Headers(scope=scope).getlist("x-api-key"))
        except ConfigurationError as exc:
            await _build_refusal(401, str(exc))(scope, receive, send)
            return
        # The SDK lets only this user continue a session; the token does not hold the key.
        user = AuthenticatedUser(AccessToken(token="", client_id=fingerprint(key), scopes=[]))
        await self.app({**scope, CALLER_KEY: key, "user": user}, receive, send)

    def _read_key(self, values: list[str]) -> SecretStr:
        if not values and self.key_for_keyless is not None:
            return self.key_for_keyless
        if len(values) != 1 or not values[0]:
            raise ConfigurationError(MISSING_KEY)
        return check_key(values[0])


def get_caller(scope: Scope) -> str:
    """Return the caller's fingerprint."""
    user: AuthenticatedUser = scope["user"]
    return user.username


def _add_cors_headers(origin: str, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _RESPONSE_HEADERS
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_headers


def _build_preflight_answer() -> Response:
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": "600",
    }
    return Response(status_code=204, headers=headers)


def _build_refusal(status: int, sentence: str) -> Response:
    # The body may be unread; to keep the connection, it would have to be read to its end.
    headers = {"Connection": "close"}
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
