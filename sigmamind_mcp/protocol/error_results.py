"""Turn our errors into the text that a model reads."""

from collections.abc import Mapping
from typing import Any

import mcp_types as mcp

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import (
    REASONS_CHARACTERS,
    REASONS_SHOWN,
    APIError,
    NotFound,
    SigmaMindError,
)
from sigmamind_mcp.tools.suggestions import explain_missing_id
from sigmamind_mcp.untrusted_text import fence


def build_error_result(exc: SigmaMindError) -> mcp.CallToolResult:
    """Return the error as the result of a tool call."""
    text = mcp.TextContent(text=explain_error(exc))
    return mcp.CallToolResult(content=[text], is_error=True)


def explain_error(exc: SigmaMindError) -> str:
    """Return the error's text, with the API's reasons inside a fence."""
    if not exc.upstream:
        return str(exc)
    fields = list(exc.upstream.items())[:REASONS_SHOWN]
    reasons = "\n".join(f"{field}: {reason}" for field, reason in fields)
    return f"{exc}\n\nThe API said:\n{fence(reasons[:REASONS_CHARACTERS])}"


async def add_suggestions(
    exc: APIError, arguments: Mapping[str, Any], api: SigmaMindClient
) -> APIError:
    """Return an error that names the unknown id and similar ones, or `exc` if none is found."""
    explanation = await explain_missing_id(arguments, api)
    return NotFound(explanation, status=exc.status) if explanation else exc
