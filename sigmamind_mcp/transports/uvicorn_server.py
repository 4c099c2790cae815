"""Bind a port, so that its address is known, then serve an ASGI app on it until a signal."""

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

import anyio
import uvicorn
from starlette.types import ASGIApp

from sigmamind_mcp.errors import ConfigurationError

CLOSE_SECONDS = 2
HARD_SECONDS = 10.0


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free port.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family)
        # asyncio sets this only on sockets with a named protocol. Without it each answer waits
        # 40 ms for an ACK.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return bound
    except (OSError, OverflowError) as exc:
        text = exc.strerror if isinstance(exc, OSError) else "a port is a number from 0 to 65535"
        # The error repeats the address, in brackets.
        reason = (text or str(exc)).partition(" (")[0]
        raise ConfigurationError(
            f"Port {port} on {host} cannot be used ({reason})."
            " Choose another with --port; 0 picks a free one."
        ) from None


async def serve(
    app: ASGIApp, bound: socket.socket, before_end: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Serve until a signal, then end within HARD_SECONDS; a second signal ends at once.

    `before_end` runs after the first signal, while requests are still answered.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    server = _SignalledServer(config)

    async def end_when_asked() -> None:
        await server.asked_to_end.wait()
        if before_end:
            await before_end()
        server.should_exit = True

    async with anyio.create_task_group() as group:
        group.start_soon(end_when_asked)
        await server.serve(sockets=[bound])
        group.cancel_scope.cancel()


class _SignalledServer(uvicorn.Server):
    """Leaves the end to `serve`; uvicorn itself would raise the signal again at the end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_end = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.asked_to_end.is_set():
            self.force_exit = self.should_exit = True
            return
        self.asked_to_end.set()  # uvicorn's loop runs ten times a second, so nothing has to wake it
        hard_limit = threading.Timer(HARD_SECONDS, os._exit, [1])
        hard_limit.daemon = True
        hard_limit.start()
