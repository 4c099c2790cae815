"""Who may send requests over HTTP: Host, Origin, preflight, key."""

import re

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
MISSING_KEY = (
    "Send your SigmaMind API key in the X-API-Key header, or as Authorization: Bearer and the key."
)
SEVERAL_KEYS = (
    "This request has more than one SigmaMind API key. Send one: in the X-API-Key header,"
    " or as Authorization: Bearer and the key."
)
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})

# Clients start an OAuth login for the Bearer scheme, and this server has none.
CHALLENGE = 'ApiKey realm="sigmamind-mcp"'
_BEARER = re.compile(r"bearer[ \t]+(\S.*)", re.IGNORECASE)
_OWN_SITES = ("same-origin", "none")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")

# The headers of MCP clients in browsers, beyond those that CORS always allows.
_REQUEST_HEADERS = (
    "Content-Type, Accept, Authorization, X-API-Key, Last-Event-ID,"
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

    Health checks may send any Host. Pages of a listed origin get an answer to their preflight,
    and CORS headers.
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
        refusal = _refuse_ambiguous(scope, headers) or self._find_refusal(scope, headers)
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

    def _find_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        is_listed = len(hosts) == 1 and hosts[0].lower() in self.hosts
        # Health checks of load balancers send their own Host, and the answers say nothing.
        is_health_check = scope["path"] in HEALTH_PATHS and scope["method"] in ("GET", "HEAD")
        if not is_listed and not is_health_check:
            return _build_refusal(
                421,
                "This host name is not served here. The operator can add it with --allowed-host.",
            )
        # A picture or a frame of another site sends no Origin, and a GET can open a stream.
        site = headers.get("sec-fetch-site", "none")
        if not origins and not is_health_check and site not in _OWN_SITES:
            return _build_refusal(403, "Pages of other sites may not send requests here.")
        if origins and (len(origins) != 1 or origins[0].lower() not in self.origins):
            return _build_refusal(
                403,
                "This origin is not allowed here. The operator can add it with --allowed-origin.",
            )
        return None


class RequireKey:
    """Passes on requests with one well-formed key, and binds sessions to it."""

    def __init__(self, app: ASGIApp, key_for_keyless: SecretStr | None) -> None:
        self.app = app
        self.key_for_keyless = key_for_keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = self._choose_key(Headers(scope=scope))
        except RequestRefused as exc:
            await exc.response(scope, receive, send)
            return
        # The SDK lets only this user continue a session; the token does not hold the key.
        user = AuthenticatedUser(AccessToken(token="", client_id=fingerprint(key), scopes=[]))
        await self.app({**scope, CALLER_KEY: key, "user": user}, receive, send)

    def _choose_key(self, headers: Headers) -> SecretStr:
        key = read_key(headers)
        if key is not None:
            return key
        if self.key_for_keyless is None or "x-api-key" in headers:
            raise RequestRefused(401, MISSING_KEY)
        return self.key_for_keyless


def read_key(headers: Headers) -> SecretStr | None:
    """Return the key in X-API-Key or in Authorization: Bearer; None if there is no key.

    Raises:
        RequestRefused: with 400 for several keys, with 401 for a malformed key.
    """
    api_keys = [value for value in headers.getlist("x-api-key") if value]
    bearers = [_BEARER.fullmatch(value) for value in headers.getlist("authorization")]
    tokens = [bearer[1].rstrip() for bearer in bearers if bearer]
    keys = {key for value in [*api_keys, *tokens] for key in _split_repeated(value)}
    if not keys:
        return None
    if len(keys) > 1:
        raise RequestRefused(400, SEVERAL_KEYS)
    try:
        return check_key(keys.pop())
    except ConfigurationError as exc:
        raise RequestRefused(401, str(exc)) from None


def _split_repeated(value: str) -> list[str]:
    """Return the keys of headers that a proxy has joined; a key may have a comma itself."""
    keys = re.split(r",[ \t]+", value)
    return keys if len(set(keys)) == 1 else [value]


def list_loopback_hosts(port: int) -> list[str]:
    """Return the Host headers that name this port on loopback."""
    return [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]


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


def _refuse_ambiguous(scope: Scope, headers: Headers) -> Response | None:
    """Return the refusal of a request that a proxy may read in another way, or None."""
    if "content-length" in headers and "transfer-encoding" in headers:
        return _build_refusal(
            400, "Send either Content-Length or Transfer-Encoding: two bodies could be read here."
        )
    # A route's pattern also matches a path with a line break at its end.
    if _CONTROL_CHARACTER.search(scope["path"]):
        return _build_refusal(404, "No path here has control characters.")
    return None


def _build_refusal(status: int, sentence: str) -> Response:
    # The body may be unread; to keep the connection, it would have to be read to its end.
    headers = {"Connection": "close"}
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)
