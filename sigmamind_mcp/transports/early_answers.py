"""Decide which first requests of a client have a recorded answer.

Every request that is not exactly as recorded is left to the server.
"""

import json
from typing import NamedTuple

from sigmamind_mcp.protocol.recorded_listings import (
    ENVELOPE_REVISION,
    HANDSHAKE_REVISIONS,
    META_PREFIX,
    Results,
    read_listings,
)
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.strict_json import JSONObject, parse_json
from sigmamind_mcp.transports.pipes import Line

MOST_EARLY_ANSWERS = 32
MAX_EARLY_BYTES = 16 * 1024
MAX_EARLY_DEPTH = 50
LARGEST_ID = 2**53
KEY_PIECE = 6
"""The server masks parts of the key from 8 characters on; each of them has such a piece."""

_INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
_CLIENT_NAMES = {"name", "version", "title", "description", "websiteUrl"}
_FREE_CAPABILITIES = ("experimental", "extensions")
_CAPABILITIES = {"roots", "sampling", "elicitation", "tasks", *_FREE_CAPABILITIES}
_FLAGS = ("listChanged", "applyDefaults")


class EarlyAnswer(NamedTuple):
    """What was answered to a request before the server was there."""

    method: str
    result: JSONObject


class EarlyAnswers:
    """Answers a client's first messages from the record."""

    def __init__(self, settings: Settings) -> None:
        self._listings = read_listings(settings)
        self._key_pieces = _cut_key(settings.api_key or "")
        self._results: Results = {}
        self.given: dict[int | str, EarlyAnswer] = {}
        """What was answered, by the id of the request."""

    def answer(self, line: Line) -> bytes | None:
        """Return the line to write, empty for a notification, or None if only the server knows."""
        message = _read_plain_message(line)
        if message is None:
            return None
        if "id" not in message:
            is_initialized = {**message, "params": {}} == {**_INITIALIZED, "params": {}}
            return b"" if is_initialized and not message.get("params") else None
        request_id = message["id"]
        result = self._find_result(message["method"], message.get("params", {}))
        if result is None or request_id in self.given or len(self.given) == MOST_EARLY_ANSWERS:
            return None
        answer = {"jsonrpc": "2.0", "id": request_id, "result": result}
        text = json.dumps(answer, separators=(",", ":"), ensure_ascii=False)
        if self._may_hold_key(text):
            return None
        self.given[request_id] = EarlyAnswer(message["method"], result)
        return text.encode() + b"\n"

    def _may_hold_key(self, text: str) -> bool:
        # The server masks the key in every answer.
        plain = text.replace('\\"', '"').replace(r"\\", "\\")
        return any(piece in plain for piece in self._key_pieces)

    def _find_result(self, method: str, params: JSONObject) -> JSONObject | None:
        handshake, envelope = self._listings
        if method == "initialize":
            if self._results or not _is_plain_handshake(params):
                return None
            self._results = handshake
            return {**handshake[method], "protocolVersion": params["protocolVersion"]}
        if params.keys() - {"_meta"}:
            return None
        if self._results is handshake:
            is_plain = _is_plain_meta(params.get("_meta", {}))
        else:
            is_plain = _is_plain_envelope(params.get("_meta", {}))
            self._results = envelope if is_plain else self._results
        return self._results.get(method) if is_plain else None


def _cut_key(key: str) -> list[str]:
    last = len(key) - KEY_PIECE
    return [key[start : start + KEY_PIECE] for start in range(0, last + 1, KEY_PIECE)]


def _read_plain_message(line: Line) -> JSONObject | None:
    """Return a request or notification to whose form nobody can object."""
    text = line.start
    is_plain = line.is_whole and len(text) <= MAX_EARLY_BYTES and text.isascii()
    if not is_plain or b"\\u" in text or text.count(b"{") + text.count(b"[") > MAX_EARLY_DEPTH:
        return None
    try:
        message = parse_json(text.decode())
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return None
    is_known = message.keys() <= {"jsonrpc", "id", "method", "params"}
    has_id = "id" not in message or _is_plain_id(message["id"])
    has_method = isinstance(message.get("method"), str)
    has_params = isinstance(message.get("params", {}), dict)
    return message if is_known and has_id and has_method and has_params else None


def _is_plain_id(value: object) -> bool:
    # True is an int of Python, and no id.
    return type(value) is str or (type(value) is int and abs(value) < LARGEST_ID)


def _is_plain_handshake(params: JSONObject) -> bool:
    return (
        params.keys() == {"protocolVersion", "capabilities", "clientInfo"}
        and params["protocolVersion"] in HANDSHAKE_REVISIONS
        and _is_plain_client(params["clientInfo"], params["capabilities"])
    )


def _is_plain_meta(meta: object) -> bool:
    if not isinstance(meta, dict):
        return False
    return not meta or (meta.keys() == {"progressToken"} and _is_plain_id(meta["progressToken"]))


def _is_plain_envelope(meta: object) -> bool:
    if not isinstance(meta, dict):
        return False
    rest = dict(meta)
    revision = rest.pop(f"{META_PREFIX}protocolVersion", None)
    info = rest.pop(f"{META_PREFIX}clientInfo", None)
    capabilities = rest.pop(f"{META_PREFIX}clientCapabilities", None)
    is_known = revision == ENVELOPE_REVISION and _is_plain_client(info, capabilities)
    return is_known and _is_plain_meta(rest)


def _is_plain_client(info: object, capabilities: object) -> bool:
    if not isinstance(info, dict) or not isinstance(capabilities, dict):
        return False
    has_names = {"name", "version"} <= info.keys() <= _CLIENT_NAMES
    return (
        has_names
        and all(isinstance(text, str) for text in info.values())
        and capabilities.keys() <= _CAPABILITIES
        and all(_is_plain_capability(name, value) for name, value in capabilities.items())
    )


def _is_plain_capability(name: str, value: object) -> bool:
    if name in _FLAGS:
        return isinstance(value, bool)
    if not isinstance(value, dict):
        return False
    if name in _FREE_CAPABILITIES:
        return all(isinstance(extension, dict) for extension in value.values())
    return all(_is_plain_capability(inner, it) for inner, it in value.items())
