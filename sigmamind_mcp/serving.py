"""An ASGI app on a port: bound first, so that its address is known, then served until a signal."""

import socket

import uvicorn
from starlette.types import ASGIApp

from sigmamind_mcp.errors import ConfigurationError

DRAIN_SECONDS = 5


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 picks a free one.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    try:
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # asyncio does this only for sockets whose protocol is named; without it every answer waits 40 ms for an ACK.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound
    except (OSError, OverflowError) as exc:
        raise ConfigurationError(
            f"Port {port} on {host} cannot be used ({exc}). Choose another with --port; 0 picks a free one."
        ) from None


async def serve(app: ASGIApp, bound: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=DRAIN_SECONDS
    )
    await uvicorn.Server(config).serve(sockets=[bound])
