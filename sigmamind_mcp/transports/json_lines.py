"""What a client writes, line by line: read into messages, or refused in words under the id of the request.

The SDK drops a line that it cannot read, and the client waits for an answer until it gives up.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from sigmamind_mcp.strict_json import is_deeper_than, parse_json

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 100
_START_BYTES = 64 * 1024
_END_BYTES = 2 * 1024

_RESPONSE = {"result", "error"}

_NO_JSON = (
    PARSE_ERROR,
    "This line is not JSON. Send each message as one line of JSON in UTF-8, its numbers finite.",
)
_TOO_LONG = (
    INVALID_REQUEST,
    f"A message has at most {MAX_LINE_BYTES // 2**20} MiB. Send less in one call.",
)
_TOO_DEEP = (
    INVALID_REQUEST,
    f"A message is nested at most {MAX_DEPTH} deep. Send flatter arguments.",
)
_BATCH = (INVALID_REQUEST, "Batches are not served. Send each message on a line of its own.")
_NO_MESSAGE = (
    INVALID_REQUEST,
    'Send a JSON-RPC request: an object with "jsonrpc": "2.0", an id that is a text or a whole number, a method,'
    " and params, if any, as an object.",
)


class InvalidLine(Exception):
    """A line that is no message."""

    def __init__(self, why: tuple[int, str], *request_ids: RequestId | None) -> None:
        self._code, sentence = why
        self._request_ids = request_ids
        super().__init__(sentence)

    @property
    def answers(self) -> Iterator[JSONRPCError]:
        """What the client is told, nothing where it expects nothing; of a batch there may be very many."""
        for request_id in self._request_ids:
            yield JSONRPCError(
                jsonrpc="2.0", id=request_id, error=ErrorData(code=self._code, message=str(self))
            )


@dataclass
class Line:
    """One line, whole; or of one that is too long, how it starts and ends."""

    start: bytearray = field(default_factory=bytearray)
    end: bytes = b""
    is_whole: bool = True

    def add(self, piece: bytes) -> None:
        if self.is_whole and len(self.start) + len(piece) <= MAX_LINE_BYTES:
            self.start += piece
            return
        if self.is_whole:
            self.is_whole = False
            self.end = bytes(self.start[-_END_BYTES:])
            del self.start[_START_BYTES:]
        self.end = (self.end + piece)[-_END_BYTES:]


def split_lines(chunks: Iterable[bytes]) -> Iterator[Line]:
    """Cut a stream of bytes into lines, of which blank ones are left out."""
    line = Line()
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for piece in ends:
            line.add(piece)
            if line.start.strip():
                yield line
            line = Line()
        line.add(rest)
    if line.start.strip():
        yield line


def read_message(line: Line) -> JSONRPCMessage:
    """The message on this line; what is no UTF-8, or half a character, is replaced.

    Raises:
        InvalidLine: it is no message, or one larger or deeper than any that makes sense.
    """
    if not line.is_whole:
        raise _unread(_TOO_LONG, bytes(line.start), line.end)
    try:
        data = parse_json(_mend(line.start.decode("utf-8", "replace")))
    except RecursionError:
        raise _unread(
            _TOO_DEEP, bytes(line.start[:_START_BYTES]), bytes(line.start[-_END_BYTES:])
        ) from None
    except ValueError:
        raise _unread(
            _NO_JSON, bytes(line.start[:_START_BYTES]), bytes(line.start[-_END_BYTES:])
        ) from None
    if isinstance(data, list):
        raise InvalidLine(_BATCH, *(_request_ids(data) or [None]))
    if not isinstance(data, dict):
        raise InvalidLine(_NO_MESSAGE, None)
    if is_deeper_than(MAX_DEPTH, data):
        raise InvalidLine(_TOO_DEEP, *_request_ids([data]))
    try:
        message = jsonrpc_message_adapter.validate_python(data)
    except ValidationError:
        raise InvalidLine(_NO_MESSAGE, *_request_ids([data])) from None
    if "id" in data and "method" in data and not isinstance(message, JSONRPCRequest):
        # A request whose id cannot be one would pass for a notification, and never be answered.
        raise InvalidLine(_NO_MESSAGE, *_request_ids([data]))
    return message


def _request_ids(data: list[Any]) -> list[RequestId | None]:
    """What answers to these go under: null for an id that cannot be one, nothing for a notification or a response."""
    requests = [item for item in data if isinstance(item, dict) and not (_RESPONSE & item.keys())]
    return [_as_id(item.get("id")) for item in requests if "id" in item or "method" not in item]


def _as_id(value: object) -> RequestId | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)


def _mend(text: str) -> str:
    """Replace escapes of half a character, which no answer and no request to the API could spell."""
    if not _HALF.search(text):
        return text
    return _ESCAPE.sub(lambda found: r"\ufffd" if found["half"] else found[0], text)


_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ATOM = rb"(?:" + _STRING + rb"|[-+.\w]++)"
_OPENED = re.compile(rb"\s*\{")
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_VALUE = re.compile(rb"(" + _ATOM + rb")\s*[,}]", re.DOTALL)
_BRACKET = re.compile(_STRING + rb"|([\[{])|([\]}])|(\")", re.DOTALL)
_NEXT = re.compile(rb"\s*[,}]")
# Up to the brace that ends the line there are only atoms, so the id is the message's own.
_LAST_ID = re.compile(
    rb'.*[{,]\s*"id"\s*:\s*('
    + _ATOM
    + rb")\s*(?:,\s*"
    + _STRING
    + rb"\s*:\s*"
    + _ATOM
    + rb"\s*)*\}\s*$",
    re.DOTALL,
)


def _unread(why: tuple[int, str], start: bytes, end: bytes) -> InvalidLine:
    """The refusal of a line that cannot be read as a whole, under the id that its start or its end shows."""
    members = _members(start)
    method = members.get("method")
    if _RESPONSE & members.keys() or (
        isinstance(method, str) and method.startswith("notifications/")
    ):
        return InvalidLine(why)
    last = _LAST_ID.match(end)
    value = members["id"] if "id" in members else _atom(last[1]) if last else None
    return InvalidLine(why, _as_id(value))


def _members(start: bytes) -> dict[str, Any]:
    """The members of an object as far as they can be read, those that hold objects or lists as None."""
    members: dict[str, Any] = {}
    place = _OPENED.match(start)
    while place and (name := _NAME.match(start, place.end())):
        value = _VALUE.match(start, name.end())
        members[str(_atom(name[1]))] = _atom(value[1]) if value else None
        place = value or _after_nested(start, name.end())
    return members


def _after_nested(start: bytes, position: int) -> re.Match[bytes] | None:
    depth = 0
    for bracket in _BRACKET.finditer(start, position):
        if bracket[3]:  # a text that does not end here
            return None
        depth += bool(bracket[1]) - bool(bracket[2])
        if depth <= 0:
            return _NEXT.match(start, bracket.end())
    return None


def _atom(raw: bytes) -> Any:
    try:
        return parse_json(_mend(raw.decode("utf-8", "replace")))
    except ValueError:
        return None
