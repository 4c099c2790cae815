"""Parse newline-delimited JSON-RPC from stdin, and the JSON-RPC message of an HTTP body.

Invalid lines get a JSON-RPC error with the request's id. The SDK drops a line that it cannot
parse, and the client waits for an answer until it gives up.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

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

from sigmamind_mcp.strict_json import (
    MAX_VALUES,
    JSONObject,
    TooManyValues,
    is_deeper_than,
    parse_json,
)
from sigmamind_mcp.transports.pipes import END_BYTES, MAX_LINE_BYTES, START_BYTES, Line

MAX_DEPTH = 100

_RESPONSE_KEYS = {"result", "error"}


class LineProblem(NamedTuple):
    """Why a line is not a message."""

    code: int
    sentence: str
    http_sentence: str = ""
    """What differs for a body over HTTP."""


_NOT_JSON = LineProblem(
    PARSE_ERROR,
    "This line is not JSON. Send each message as one line of JSON in UTF-8, with finite numbers.",
    "This body is not JSON. Send one message as JSON in UTF-8, with finite numbers.",
)
_TOO_LONG = LineProblem(
    INVALID_REQUEST,
    f"A message has at most {MAX_LINE_BYTES // 2**20} MiB. Send less in one call.",
)
_TOO_DEEP = LineProblem(
    INVALID_REQUEST,
    f"A message is nested at most {MAX_DEPTH} deep. Send flatter arguments.",
)
_TOO_MANY_VALUES = LineProblem(
    INVALID_REQUEST,
    f"A message has at most {MAX_VALUES:,} values. Send less in one call.",
)
_BATCH = LineProblem(
    INVALID_REQUEST,
    "Batches are not served. Send each message on its own line.",
    "Batches are not served. Send each message in its own request.",
)
_NOT_A_MESSAGE = LineProblem(
    INVALID_REQUEST,
    'Send a JSON-RPC request: an object with "jsonrpc": "2.0", an id (a text or a whole number),'
    " a method and, optionally, params as an object.",
)


class InvalidLine(Exception):
    """A line that is not a message."""

    def __init__(self, problem: LineProblem, *request_ids: RequestId | None) -> None:
        super().__init__(problem.sentence)
        self.problem = problem
        self.request_ids = request_ids

    @property
    def is_batch(self) -> bool:
        return self.problem is _BATCH

    @property
    def answers(self) -> Iterator[JSONRPCError]:
        """One error for each request of the line; a batch may hold very many."""
        error = ErrorData(code=self.problem.code, message=str(self))
        for request_id in self.request_ids:
            yield JSONRPCError(jsonrpc="2.0", id=request_id, error=error)


def read_message(line: Line, *, max_values: int = MAX_LINE_BYTES) -> JSONRPCMessage:
    """Parse one line; invalid UTF-8 and lone surrogates are replaced.

    Raises:
        InvalidLine: the line is not a message, it is too long or too deep, or has too many values.
    """
    if not line.is_whole:
        raise _refuse_unparsed(_TOO_LONG, bytes(line.start), line.end)
    try:
        data = parse_json(decode_text(line.start), max_values=max_values)
    except (RecursionError, ValueError) as exc:
        problem = _explain_parse_error(exc)
        start, end = bytes(line.start[:START_BYTES]), bytes(line.start[-END_BYTES:])
        raise _refuse_unparsed(problem, start, end) from None
    if isinstance(data, list):
        raise InvalidLine(_BATCH, *(_find_request_ids(data) or [None]))
    if not isinstance(data, dict):
        raise InvalidLine(_NOT_A_MESSAGE, None)
    if is_deeper_than(MAX_DEPTH, data):
        raise InvalidLine(_TOO_DEEP, *_find_request_ids([data]))
    try:
        message = jsonrpc_message_adapter.validate_python(data)
    except ValidationError:
        raise InvalidLine(_NOT_A_MESSAGE, *_find_request_ids([data])) from None
    is_request = "id" in data and "method" in data
    if is_request and not isinstance(message, JSONRPCRequest):
        # Its id is invalid. The SDK would take it for a notification and never answer.
        raise InvalidLine(_NOT_A_MESSAGE, *_find_request_ids([data]))
    return message


def _explain_parse_error(exc: RecursionError | ValueError) -> LineProblem:
    if isinstance(exc, TooManyValues):
        return _TOO_MANY_VALUES
    return _TOO_DEEP if isinstance(exc, RecursionError) else _NOT_JSON


def decode_text(raw: bytes | bytearray) -> str:
    """Return JSON as text that UTF-8 can encode again."""
    return _replace_surrogates(raw.decode("utf-8", "replace"))


def _find_request_ids(data: list[Any]) -> list[RequestId | None]:
    """Return the ids to answer: null for an invalid id, none for notifications and responses."""
    request_ids: list[RequestId | None] = []
    for item in data:
        if not isinstance(item, dict) or _RESPONSE_KEYS & item.keys():
            continue
        if "id" in item or "method" not in item:
            request_ids.append(_read_id(item.get("id")))
    return request_ids


def _read_id(value: object) -> RequestId | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)


def _replace_surrogates(text: str) -> str:
    """Replace escapes of lone surrogates, which UTF-8 cannot encode."""
    if not _SURROGATE.search(text):
        return text
    return _ESCAPE.sub(lambda escape: r"\ufffd" if escape["lone"] else escape[0], text)


# The rest finds the id of a line that does not parse as a whole.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ATOM = rb"(?:" + _STRING + rb"|[-+.\w]++)"
# Some programs write blanks of Unicode before the first brace.
_OPEN = re.compile(rb"[^!-~]*\{")
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*", re.DOTALL)
_VALUE = re.compile(rb"(" + _ATOM + rb")\s*[,}]", re.DOTALL)
_BRACKET = re.compile(_STRING + rb"|([\[{])|([\]}])|(\")", re.DOTALL)
_NEXT = re.compile(rb"\s*[,}]")
# Between this id and the last brace are only atoms, so the id belongs to the message itself.
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


def _refuse_unparsed(problem: LineProblem, start: bytes, end: bytes) -> InvalidLine:
    """Return the refusal of a line, with the id found in its start or its end."""
    members = _read_members(start)
    method = members.get("method")
    is_notification = isinstance(method, str) and method.startswith("notifications/")
    if is_notification or _RESPONSE_KEYS & members.keys():
        return InvalidLine(problem)  # the client expects no answer
    if "id" in members:
        return InvalidLine(problem, _read_id(members["id"]))
    last_id = _LAST_ID.match(end)
    return InvalidLine(problem, _read_id(_parse_atom(last_id[1])) if last_id else None)


def _read_members(start: bytes) -> JSONObject:
    """Return the members of an object as far as they parse; nested values are None."""
    members: JSONObject = {}
    position = _OPEN.match(start)
    while position:
        name = _NAME.match(start, position.end())
        if not name:
            break
        value = _VALUE.match(start, name.end())
        members[str(_parse_atom(name[1]))] = _parse_atom(value[1]) if value else None
        position = value or _skip_nested(start, name.end())
    return members


def _skip_nested(start: bytes, position: int) -> re.Match[bytes] | None:
    """Return what follows the nested value at `position`, or None if it does not end here."""
    depth = 0
    for match in _BRACKET.finditer(start, position):
        opening, closing, open_quote = match.groups()
        if open_quote:  # a string that does not end here
            return None
        depth += bool(opening) - bool(closing)
        if depth <= 0:
            return _NEXT.match(start, match.end())
    return None


def _parse_atom(raw: bytes) -> Any:
    try:
        return parse_json(decode_text(raw))
    except ValueError:
        return None
