"""What surrounds every request: a line in the log, no key in the answer, errors in our words."""

import logging
import re
from collections.abc import Container
from dataclasses import replace
from time import monotonic

import mcp_types as mcp
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from sigmamind_mcp.protocol.api_access import APIAccess, Request
from sigmamind_mcp.protocol.invalid_requests import explain_early_request, explain_invalid_request
from sigmamind_mcp.strict_json import parse_json

logger = logging.getLogger(__name__)

LOGGED_FINGERPRINT_BYTES = 4
_LOGGED_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_LOGGED_METHODS = {
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "server/discover",
    "tools/call",
    "tools/list",
}


class CallLog:
    """Logs one line for each request: method, result, time and caller, never content."""

    def __init__(self, access: APIAccess, known_names: Container[str]) -> None:
        self._access = access
        self._known_names = known_names

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        if ctx.request_id is None:  # a notification
            return await call_next(ctx)
        started = monotonic()
        status = "cancelled"
        try:
            result = await call_next(ctx)
            is_refusal = isinstance(result, dict) and result.get("isError")
            status = "refused" if is_refusal else "ok"
            return result
        except MCPError as exc:
            status = f"error {exc.error.code}"
            raise
        except Exception:
            status = "failed"
            raise
        finally:
            milliseconds = round((monotonic() - started) * 1000)
            logger.info("call", extra={"fields": self._fields(ctx, status, milliseconds)})

    def _fields(self, ctx: Request, status: str, milliseconds: int) -> dict[str, object]:
        # A client can put any text into a method, a name or an id: log only known or short ones.
        name = (ctx.params or {}).get("name")
        is_plain_id = _LOGGED_ID.fullmatch(str(ctx.request_id))
        fields = {
            "method": ctx.method if ctx.method in _LOGGED_METHODS else "other",
            "name": name if isinstance(name, str) and name in self._known_names else None,
            "id": ctx.request_id if is_plain_id else "other",
            "status": status,
            "ms": milliseconds,
            "caller": self._access.identify_caller(ctx, LOGGED_FINGERPRINT_BYTES),
        }
        return {field: value for field, value in fields.items() if value is not None}


class KeyMasking:
    """Removes the caller's key from every answer: the API may have repeated it."""

    def __init__(self, access: APIAccess) -> None:
        self._access = access

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        try:
            result = await call_next(ctx)
        except MCPError as exc:
            message = self._access.mask_key(ctx, exc.error.message)
            data = self._access.mask_key(ctx, exc.error.data)
            raise MCPError(exc.error.code, message, data) from exc
        except Exception:
            # The SDK would send the text of this error, so only the log describes it.
            logger.exception("failed")
            raise MCPError(
                mcp.INTERNAL_ERROR, "This server failed. Its log says where; please report that."
            ) from None
        return self._access.mask_key(ctx, result) if isinstance(result, dict) else result


class ParameterErrors:
    """Explains requests that the SDK refuses before a handler sees them."""

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        try:
            return await call_next(ctx)
        except ValidationError as exc:
            explanation = explain_invalid_request(ctx.method, exc)
            if explanation is None:
                raise
            raise MCPError(mcp.INVALID_PARAMS, explanation) from None
        except MCPError as exc:
            # The SDK's error for a request that comes before the handshake.
            if exc.error.code == mcp.INVALID_PARAMS and exc.error.data == "":
                raise MCPError(mcp.INVALID_PARAMS, explain_early_request(ctx.method)) from None
            raise


class TextArguments:
    """Decodes the arguments of a tool call that a client sends as JSON text."""

    async def __call__(self, ctx: Request, call_next: CallNext) -> HandlerResult:
        sent = (ctx.params or {}).get("arguments")
        if ctx.method != "tools/call" or not isinstance(sent, str):
            return await call_next(ctx)
        try:
            arguments = parse_json(sent) if sent.strip() else {}
        except (ValueError, RecursionError):
            return await call_next(ctx)
        params = {**(ctx.params or {}), "arguments": arguments}
        return await call_next(replace(ctx, params=params))
