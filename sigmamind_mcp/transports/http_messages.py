"""Check the message in the body of a POST, before the SDK does.

The SDK answers what it cannot read in the words of its parser, and without the request's id.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sigmamind_mcp.strict_json import MAX_VALUES
from sigmamind_mcp.transports.json_lines import InvalidLine, Line, decode_text, read_message
from sigmamind_mcp.transports.traffic import replay_body

MAX_BATCH_ERRORS = 100


class CheckMessage:
    """Passes on bodies that hold one message, without a byte order mark."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = Line(bytearray(await Request(scope, receive).body()))
        line.drop_mark()
        try:
            # On stdin there is one caller, who blocks only itself.
            read_message(line, max_values=MAX_VALUES)
        except InvalidLine as invalid:
            refusal = JSONResponse(_build_errors(invalid), status_code=400)
            await refusal(scope, receive, send)
            return
        body = decode_text(line.start).encode()
        await self.app(scope, replay_body(body, receive), send)


def _build_errors(invalid: InvalidLine) -> dict[str, Any] | list[dict[str, Any]]:
    """Return one error, or for a batch one error for each of its requests."""
    sentence = invalid.problem.http_sentence or invalid.problem.sentence
    error = {"code": invalid.problem.code, "message": sentence}
    request_ids = invalid.request_ids or (None,)
    errors = [{"jsonrpc": "2.0", "id": request_id, "error": error} for request_id in request_ids]
    names_requests = invalid.is_batch and request_ids != (None,)
    if names_requests and len(errors) <= MAX_BATCH_ERRORS:
        return errors
    return errors[0] if len(errors) == 1 else {**errors[0], "id": None}
