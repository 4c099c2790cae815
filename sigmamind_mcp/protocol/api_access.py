"""Each request reaches the API with its own caller's key."""

from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any

from mcp.server.context import ServerRequestContext
from pydantic import SecretStr

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.idempotency import RecentWrites
from sigmamind_mcp.api.pool import MAX_CONCURRENT_REQUESTS
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.callers import CALLER_KEY, fingerprint
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.fair_slots import FairSlots
from sigmamind_mcp.masking import OwnKey
from sigmamind_mcp.settings import Settings

Request = ServerRequestContext[Any, Any]


class APIAccess:
    """Finds the key of a request and builds a client that uses it."""

    def __init__(self, settings: Settings, transport: APITransport) -> None:
        self._settings = settings
        self._transport = transport
        self._recent_writes = RecentWrites()
        self._turns = FairSlots(MAX_CONCURRENT_REQUESTS, transport.requests_per_caller)

    def build_client(self, ctx: Request) -> SigmaMindClient:
        """Return a client that uses the caller's key.

        Raises:
            ConfigurationError: the key is missing or malformed.
        """
        return SigmaMindClient(self._transport, self._find_key(ctx), self._recent_writes)

    def take_turn(self, ctx: Request) -> AbstractAsyncContextManager[None]:
        """Wait until few calls of this caller run, and count this one until the block ends.

        More would only hold what they have read while they wait for a connection to the API.
        """
        return self._turns.hold(self.identify_caller(ctx) or "")

    def identify_caller(self, ctx: Request, size: int = 16) -> str | None:
        """Return the caller's fingerprint of `size` bytes, or None without a valid key."""
        try:
            return fingerprint(self._find_key(ctx), size)
        except SigmaMindError:
            return None

    def mask_key(self, ctx: Request, data: Any) -> Any:
        """Return decoded JSON with the caller's key replaced."""
        try:
            key = self._find_key(ctx)
        except SigmaMindError:
            return data
        if ctx.request is not None:  # the key of another caller is not kept
            return OwnKey(key.get_secret_value()).mask(data)
        return self._settings_key.mask(data)

    @cached_property
    def _settings_key(self) -> OwnKey:
        return OwnKey(self._settings.key().get_secret_value())

    def _find_key(self, ctx: Request) -> SecretStr:
        if ctx.request is None:  # stdio has no HTTP request
            return self._settings.key()
        key: SecretStr = ctx.request.scope[CALLER_KEY]
        return key
