"""Check the message in the body of a POST, before the SDK does.

The SDK answers what it cannot read in the words of its parser, and without the request's id.
"""

from typing import Any

from mcp_types import UNSUPPORTED_PROTOCOL_VERSION, JSONRPCMessage, RequestId
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sigmamind_mcp.strict_json import MAX_VALUES, JSONObject
from sigmamind_mcp.transports.access import RequestRefused
from sigmamind_mcp.transports.answer_forms import JSON
from sigmamind_mcp.transports.json_lines import InvalidLine, decode_text, read_message
from sigmamind_mcp.transports.pipes import Line
from sigmamind_mcp.transports.traffic import replay_body

MAX_BATCH_ERRORS = 100
SERVED_REVISIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
_REVISION_KEY = "io.modelcontextprotocol/protocolVersion"
NO_JSON_TYPE = f"A message is JSON. Send it with Content-Type: {JSON}."
UNKNOWN_REVISION = (
    "MCP-Protocol-Version names a revision that is not served here. Send one of"
    f" {', '.join(SERVED_REVISIONS)}, or leave the header out."
)


class CheckMessage:
    """Passes on bodies that hold one message, without a byte order mark."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            await RequestRefused(415, NO_JSON_TYPE).response(scope, receive, send)
            return
        line = Line(bytearray(await Request(scope, receive).body()))
        line.drop_mark()
        try:
            # On stdin there is one caller, who blocks only itself.
            message = read_message(line, max_values=MAX_VALUES)
        except InvalidLine as invalid:
            refusal = JSONResponse(_build_errors(invalid), status_code=400)
            await refusal(scope, receive, send)
            return
        if _names_unknown_revision(headers, message):
            request_id = getattr(message, "id", None)
            refusal = JSONResponse(_refuse_revision(request_id), status_code=400)
            await refusal(scope, receive, send)
            return
        body = decode_text(line.start).encode()
        # The SDK compares the type with its case.
        others = [header for header in scope["headers"] if header[0] != b"content-type"]
        typed = {**scope, "headers": [*others, (b"content-type", JSON.encode())]}
        await self.app(typed, replay_body(body, receive), send)


def _names_unknown_revision(headers: Headers, message: JSONRPCMessage) -> bool:
    """Return whether the SDK would take the message for one of its newest revision by mistake."""
    revision = headers.get("mcp-protocol-version", "")
    meta = (getattr(message, "params", None) or {}).get("_meta")
    # The SDK itself answers a message that names its revision.
    is_named = isinstance(meta, dict) and _REVISION_KEY in meta
    return bool(revision) and revision not in SERVED_REVISIONS and not is_named


def _refuse_revision(request_id: RequestId | None) -> JSONObject:
    error = {
        "code": UNSUPPORTED_PROTOCOL_VERSION,
        "message": UNKNOWN_REVISION,
        "data": {"supported": list(SERVED_REVISIONS)},
    }
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


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
