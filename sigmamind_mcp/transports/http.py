"""MCP over HTTP: Streamable HTTP on /mcp and HTTP+SSE on /sse, each request with its own caller's key."""

import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import anyio
import mcp_types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings, is_loopback
from sigmamind_mcp.transports.access import AllowListed, RequestRefused, RequireKey, caller_of
from sigmamind_mcp.transports.sse import MESSAGES, _Counted
from sigmamind_mcp.transports.traffic import (
    CallLimiter,
    SendTimeout,
    SSEBacklogLimit,
    StreamLimiter,
    Traffic,
)
from sigmamind_mcp.transports.uvicorn_server import bind, serve


async def serve_http(
    settings: Settings,
    transport: APITransport,
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
    if key_for_keyless and not is_loopback(host):
        print(
            "sigmamind-mcp: --single-user lends your key to everyone who can reach this address.",
            file=sys.stderr,
        )
    with bind(host, port) as bound:
        port = bound.getsockname()[1]
        async with open_server(settings, transport) as server:
            traffic = Traffic()
            app = create_app(
                server,
                traffic,
                hosts=[*loopback_hosts(port), *allowed_hosts],
                origins=[*(f"http://{name}" for name in loopback_hosts(port)), *allowed_origins],
                key_for_keyless=key_for_keyless,
            )
            base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            what = "the sandbox (scripted)" if settings.sandbox else "SigmaMind"
            needs = "" if key_for_keyless else "   each request needs X-API-Key"
            print(f"MCP for {what}: {base}/mcp   SSE: {base}/sse{needs}", flush=True)
            await serve(app, bound, before_end=traffic.drain)


def create_app(
    server: Server[Any],
    traffic: Traffic,
    *,
    hosts: Iterable[str],
    origins: Iterable[str],
    key_for_keyless: SecretStr | None = None,
) -> Starlette:
    """Build the ASGI app. It is entered once: the SDK's session manager runs with its lifespan."""
    # Old revisions are served stateless: within a session, two requests with one id can get each other's answers.
    manager = StreamableHTTPSessionManager(server, stateless=True)
    sse = SseServerTransport(MESSAGES)

    async def connect_sse(
        scope: Scope, receive: Receive, send: Send, until_drained: anyio.CancelScope
    ) -> None:
        # What ends is the session alone: its stream then ends by itself, once the last answer is on it.
        async with sse.connect_sse(scope, receive, send) as (read_stream, write_stream):
            with until_drained:
                answers = _Counted(write_stream, traffic, caller_of(scope))
                await server.run(read_stream, answers, server.create_initialization_options())

    async def count_call(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Count a call that came through an SSE session, whose POST has been answered long before the call ends."""
        if ctx.request is None or ctx.request.scope["path"] != MESSAGES or ctx.request_id is None:
            return await call_next(ctx)
        with ExitStack() as stack:
            try:
                stack.enter_context(traffic.sse_call(caller_of(ctx.request.scope)))
            except RequestRefused as exc:
                raise MCPError(code=mcp_types.INTERNAL_ERROR, message=str(exc)) from None
            return await call_next(ctx)

    server.middleware.append(count_call)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    async def readyz(request: Request) -> Response:
        if traffic.is_draining:
            return PlainTextResponse("draining\n", status_code=503)
        return PlainTextResponse("ok\n")

    calls = RequireKey(CallLimiter(StreamableHTTPASGIApp(manager), traffic), key_for_keyless)
    messages = RequireKey(
        SSEBacklogLimit(CallLimiter(sse.handle_post_message, traffic), traffic), key_for_keyless
    )
    streams = RequireKey(StreamLimiter(connect_sse, traffic), key_for_keyless)
    app = Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
            Route("/mcp", calls, methods=["POST"]),
            _only_get(Route("/sse", streams, methods=["GET"])),
            Route(MESSAGES, messages, methods=["POST"]),
        ],
        lifespan=lifespan,
    )
    # Behind a proxy that ends TLS it would redirect to plain http, and a client would take its key there.
    app.router.redirect_slashes = False
    app.add_middleware(SendTimeout)
    app.add_middleware(AllowListed, hosts=frozenset(hosts), origins=frozenset(origins))
    return app


def loopback_hosts(port: int) -> list[str]:
    return [f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]


def _key_for_keyless(settings: Settings, host: str, single_user: bool) -> SecretStr | None:
    if single_user or (settings.sandbox and is_loopback(host)):
        return settings.key()
    return None


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _only_get(route: Route) -> Route:
    """Starlette offers HEAD wherever it offers GET, and a stream that nobody reads would stay open."""
    route.methods = {"GET"}
    return route
