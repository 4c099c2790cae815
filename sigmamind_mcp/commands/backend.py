"""Choose the API of a server: the hosted one, or the sandbox inside this process."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.settings import Settings


def select_api(settings: Settings) -> APITransport:
    """Return the transport to the hosted API or to the embedded sandbox."""
    if not settings.sandbox:
        return APITransport(settings.base_url)

    @cache
    def load_app() -> Callable[..., Awaitable[None]]:
        # SQLite and the scripts load with the first request, not at the start.
        from sigmamind_mcp.sandbox import create_app

        return create_app()

    async def call_app(*request: Any) -> None:
        await load_app()(*request)

    return APITransport.to_app(call_app)
