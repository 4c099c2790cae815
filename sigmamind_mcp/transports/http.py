"""MCP over HTTP: Streamable HTTP on /mcp and HTTP+SSE on /sse.

A request is checked in this order: Host, Origin, preflight, key, capacity, body, message. The
checks are ours: the SDK compares only the start of Host, does not know keys, and reads the body
first.
"""

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings, is_loopback
from sigmamind_mcp.transports.access import AllowList, RequireKey, list_loopback_hosts
from sigmamind_mcp.transports.answer_forms import AnswerInAcceptedForm
from sigmamind_mcp.transports.http_messages import CheckMessage
from sigmamind_mcp.transports.sse import build_sse_routes
from sigmamind_mcp.transports.traffic import CallLimiter, SendTimeout, Traffic
from sigmamind_mcp.transports.unused_memory import keep_returning_memory
from sigmamind_mcp.transports.uvicorn_server import bind, serve

SWITCH_SECONDS = 0.0005
"""So long a working thread may keep the event loop waiting after each read and write of a socket.

Python's own value is ten times that.
"""
NO_LOGIN = (
    "No usable SigmaMind API key was sent, and this server has no login. Send the key in the"
    " X-API-Key header, or as Authorization: Bearer and the key."
)


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
    """Serve until a signal; print the URLs once the port is bound.

    With `single_user`, callers that send no key use the configured one.

    Raises:
        ConfigurationError: the port cannot be bound, or a public address lacks `allowed_hosts`.
    """
    allowed_hosts = list(allowed_hosts)
    if not is_loopback(host) and not allowed_hosts:
        raise ConfigurationError(
            f"--host {host} can be reached from outside: name what callers will use, such as"
            " --allowed-host mcp.example.com."
        )
    transport.serve_several_callers()
    sys.setswitchinterval(SWITCH_SECONDS)
    key_for_keyless = _choose_key_for_keyless(settings, host, single_user)
    if key_for_keyless and not is_loopback(host):
        print(
            "sigmamind-mcp: --single-user lends your key to everyone who can reach this address.",
            file=sys.stderr,
        )
    with bind(host, port) as bound:
        port = bound.getsockname()[1]
        async with open_server(settings, transport) as server:
            traffic = Traffic()
            own_hosts = list_loopback_hosts(port)
            own_origins = [f"http://{name}" for name in own_hosts]
            app = build_http_app(
                server,
                traffic,
                hosts=[*own_hosts, *allowed_hosts],
                origins=[*own_origins, *allowed_origins],
                key_for_keyless=key_for_keyless,
            )
            _print_urls(settings, host, port, needs_key=not key_for_keyless)
            async with anyio.create_task_group() as group:
                group.start_soon(keep_returning_memory, traffic)
                await serve(app, bound, before_end=traffic.drain)
                group.cancel_scope.cancel()


def build_http_app(
    server: Server[Any],
    traffic: Traffic,
    *,
    hosts: Iterable[str],
    origins: Iterable[str],
    key_for_keyless: SecretStr | None = None,
) -> Starlette:
    """Return the ASGI app; its lifespan can be entered once."""
    # Old revisions are stateless here: in an SDK session, two requests with one id can get each
    # other's answers.
    manager = StreamableHTTPSessionManager(server, stateless=True)
    endpoint = AnswerInAcceptedForm(CheckMessage(StreamableHTTPASGIApp(manager)))
    calls = RequireKey(CallLimiter(endpoint, traffic), key_for_keyless)
    app = Starlette(
        routes=[
            Route("/healthz", _answer_healthz, methods=["GET"]),
            Route("/readyz", partial(_answer_readyz, traffic), methods=["GET"]),
            Route("/mcp", calls, methods=["POST"]),
            Route("/mcp/", calls, methods=["POST"]),
            *build_sse_routes(server, traffic, key_for_keyless),
            Route("/register", _refuse_login, methods=["GET", "POST"]),
            Route("/authorize", _refuse_login, methods=["GET", "POST"]),
        ],
        lifespan=lambda _: manager.run(),
    )
    # Behind a proxy that ends TLS a redirect would name plain http, and carry the key there.
    app.router.redirect_slashes = False
    app.add_middleware(SendTimeout)
    app.add_middleware(AllowList, hosts=frozenset(hosts), origins=frozenset(origins))
    return app


def _print_urls(settings: Settings, host: str, port: int, *, needs_key: bool) -> None:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    base = f"http://{authority}"
    api = "the sandbox (scripted)" if settings.sandbox else "SigmaMind"
    note = "   each request needs X-API-Key" if needs_key else ""
    print(f"MCP for {api}: {base}/mcp   SSE: {base}/sse{note}", flush=True)


def _choose_key_for_keyless(settings: Settings, host: str, single_user: bool) -> SecretStr | None:
    if single_user or (settings.sandbox and is_loopback(host)):
        return settings.key()
    return None


async def _answer_healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _refuse_login(request: Request) -> Response:
    # After a 401 many clients start an OAuth login here, and show only this answer.
    error = {"error": "invalid_request", "error_description": NO_LOGIN}
    return JSONResponse(error, status_code=404)


async def _answer_readyz(traffic: Traffic, request: Request) -> Response:
    if traffic.is_draining:
        return PlainTextResponse("draining\n", status_code=503)
    return PlainTextResponse("ok\n")
