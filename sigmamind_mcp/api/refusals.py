"""Recognise a refusal in the body of an answer, whatever its HTTP status."""

from typing import NamedTuple

from sigmamind_mcp.api.records import join_text
from sigmamind_mcp.errors import InvalidRequest
from sigmamind_mcp.strict_json import JSONObject

# The documented Error object has `status`, `error`, `message` and `validationErrors`.
_STATUS_NAMES = ("status", "statusCode", "code")
_REASON_NAMES = ("message", "error", "errors", "detail")
_ERROR_OBJECT = {*_STATUS_NAMES, *_REASON_NAMES, "validationErrors", "path", "timestamp"}
_ERROR_NAMES = {"error", "errors", "validationErrors"}
_SUCCESS_NAMES = ("success", "succeeded", "ok")


class Refusal(NamedTuple):
    """What a body says of its refusal; `status` is None if it names none of 400 or more."""

    status: int | None
    reasons: dict[str, str]


def find_refusal(body: object) -> Refusal | None:
    """Return the refusal in a body: `success` is false, or it is the documented Error object."""
    if not isinstance(body, dict):
        return None
    status = _find_status(body)
    has_status = status is not None and bool(find_reasons(body))
    filled = {name for name, value in body.items() if value}
    # A message alone is no refusal: it may say that a write was made.
    is_error = filled <= _ERROR_OBJECT and (status is not None or bool(filled & _ERROR_NAMES))
    says_no = any(_is_false(body.get(name)) for name in _SUCCESS_NAMES)
    if has_status or is_error or says_no:
        return Refusal(status, find_reasons(body))
    return None


def find_reasons(body: JSONObject) -> dict[str, str]:
    """Return the reasons in an error body: by field, or else its message."""
    fields = body.get("validationErrors")
    if isinstance(fields, dict) and fields:
        return {str(field): str(join_text(reason)) for field, reason in fields.items()}
    for name in _REASON_NAMES:
        if body.get(name):
            return {"message": str(join_text(body[name]))}
    return {}


def has_fields(body: object, names: frozenset[str]) -> bool:
    """Return whether the body has a value under one of these names."""
    if not isinstance(body, dict):
        return False
    # An error may have a status and a name, as an agent has.
    shared_names = _ERROR_OBJECT | {"name"} if find_reasons(body) else _ERROR_OBJECT
    return any(body.get(name) is not None for name in names - shared_names)


def refuse_message(body: object, names: frozenset[str], noun: str) -> None:
    """Raise InvalidRequest if the body has a message and none of the expected fields."""
    if not isinstance(body, dict) or has_fields(body, names):
        return
    if reasons := find_reasons(body):
        raise InvalidRequest(
            f"The API's answer has a message instead of this {noun}.", status=200, upstream=reasons
        )


def _find_status(body: JSONObject) -> int | None:
    for name in _STATUS_NAMES:
        value = body.get(name)
        if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is int and 400 <= value <= 599:
            return value
    return None


def _is_false(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() == "false")
