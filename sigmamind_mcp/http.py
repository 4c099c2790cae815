"""MCP over HTTP: Streamable HTTP on /mcp and HTTP+SSE on /sse, each request with its own caller's key.

The checks in front are ours: the SDK's own Host check matches by prefix, and its sessions know no X-API-Key.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.server import CALLER_KEY, open_server
from sigmamind_mcp.serving import bind, serve
from sigmamind_mcp.settings import Settings, check_key, is_loopback

_SALT = secrets.token_bytes(16)
MISSING_KEY = "Send your SigmaMind API key in the X-API-Key header, exactly once."


async def serve_http(
    settings: Settings,
    *,
    host: str,
    port: int,
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
    single_user: bool = False,
) -> None:
    """Serve until a signal; prints the URL once the port is bound.

    `single_user` lends the configured key to callers that bring none.

    Raises:
        ConfigurationError: the address cannot be bound, or is public without `allowed_hosts`.
    """
    allowed_hosts = list(allowed_hosts)
    if not is_loopback(host) and not allowed_hosts:
        raise ConfigurationError(
            f"--host {host} can be reached from outside: name what callers will use, such as"
            " --allowed-host mcp.example.com."
        )
    key_for_keyless = _key_for_keyless(settings, host, single_user)
    with bind(host, port) as bound:
        port = bound.getsockname()[1]
        async with open_server(settings) as server:
            app = create_app(
                server,
                hosts=[*loopback_hosts(port), *allowed_hosts],
                origins=[*(f"http://{name}" for name in loopback_hosts(port)), *allowed_origins],
                key_for_keyless=key_for_keyless,
            )
            base = f"http://{'127.0.0.1' if is_loopback(host) else host}:{port}"
            what = "the sandbox (scripted)" if settings.sandbox else "SigmaMind"
            needs = "" if key_for_keyless else "   each request needs X-API-Key"
            print(f"MCP for {what}: {base}/mcp   SSE: {base}/sse{needs}", flush=True)
            await serve(app, bound)


def create_app(
    server: Server[Any],
    *,
    hosts: Iterable[str],
    origins: Iterable[str],
    key_for_keyless: SecretStr | None = None,
) -> Starlette:
    """Build the ASGI app. It is entered once: the SDK's session manager runs with its lifespan."""
    # Old revisions are served stateless: within a session, two requests with one id can get each other's answers.
    manager = StreamableHTTPSessionManager(server, stateless=True)
    sse = SseServerTransport("/messages/")

    async def connect_sse(scope: Scope, receive: Receive, send: Send) -> None:
        async with sse.connect_sse(scope, receive, send) as (read_stream, write_stream):
            await server.run(read_stream, write_stream, server.create_initialization_options())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    def keyed(app: ASGIApp) -> ASGIApp:
        return RequireKey(app, key_for_keyless)

    app = Starlette(
        routes=[
            Route("/healthz", _healthz),
            Route("/mcp", keyed(StreamableHTTPASGIApp(manager)), methods=["POST"]),
            Route("/sse", keyed(connect_sse), methods=["GET"]),
            Mount("/messages", keyed(sse.handle_post_message)),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(AllowListed, hosts=frozenset(hosts), origins=frozenset(origins))
    return app


def loopback_hosts(port: int) -> list[str]:
    return [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]


class AllowListed:
    """Answers only requests whose Host, and Origin where there is one, are on the lists, letter by letter.

    A page in the user's browser can send requests to loopback (DNS rebinding), so this holds on every bind.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self.app = app
        self.hosts = frozenset(host.lower() for host in hosts)
        self.origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, headers: Headers) -> Response | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return _refused(421, "This host name is not served here. The operator can add it with --allowed-host.")
        if any(origin.lower() not in self.origins for origin in origins):
            return _refused(403, "This origin is not allowed here. The operator can add it with --allowed-origin.")
        return None


class RequireKey:
    """Hands on only requests with one well-formed X-API-Key, and binds sessions to it."""

    def __init__(self, app: ASGIApp, key_for_keyless: SecretStr | None) -> None:
        self.app = app
        self.key_for_keyless = key_for_keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            key = self._key(Headers(scope=scope).getlist("x-api-key"))
        except ConfigurationError as exc:
            await _refused(401, str(exc))(scope, receive, send)
            return
        # The SDK lets only this user go on with a session; the key itself stays out of the token.
        owner = hashlib.blake2b(key.get_secret_value().encode(), key=_SALT, digest_size=16).hexdigest()
        user = AuthenticatedUser(AccessToken(token="", client_id=owner, scopes=[]))
        await self.app({**scope, CALLER_KEY: key, "user": user}, receive, send)

    def _key(self, sent: list[str]) -> SecretStr:
        if not sent and self.key_for_keyless is not None:
            return self.key_for_keyless
        if len(sent) != 1 or not sent[0]:
            raise ConfigurationError(MISSING_KEY)
        return check_key(sent[0])


def _key_for_keyless(settings: Settings, host: str, single_user: bool) -> SecretStr | None:
    if single_user or (settings.sandbox and is_loopback(host)):
        return settings.key()
    return None


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status_code=status)
