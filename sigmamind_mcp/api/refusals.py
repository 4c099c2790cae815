"""Recognise a refusal in the body of an answer, whatever its HTTP status."""

import re
from typing import NamedTuple

from sigmamind_mcp.api.records import join_text
from sigmamind_mcp.errors import InvalidRequest
from sigmamind_mcp.strict_json import JSONObject

# The documented Error object has `status`, `error`, `message` and `validationErrors`.
_STATUS_NAMES = ("status", "statusCode", "code")
_STATUS = re.compile(r"[45][0-9]{2}")
_REASON_NAMES = ("message", "error", "errors", "errorMessage", "error_message", "detail")
_ERROR_OBJECT = {*_STATUS_NAMES, *_REASON_NAMES, "validationErrors", "path", "timestamp"}
_SUCCESS_NAMES = ("success", "succeeded", "ok")
_FAILED_STATUSES = {"error", "fail", "failed", "failure"}


class Refusal(NamedTuple):
    """What a body says of its refusal; `status` is None if it names none of 400 or more."""

    status: int | None
    reasons: dict[str, str]


def find_refusal(body: object) -> Refusal | None:
    """Return the refusal in a body: `success` is false, or it is the documented Error object."""
    if not isinstance(body, dict):
        return None
    status = _find_status(body)
    reasons = find_reasons(body)
    filled = {name for name, value in body.items() if value}
    errors = set(filter(_names_error, filled))
    # A message alone is no refusal: it may say that a write was made.
    is_failure = status is not None or bool(errors) or _has_failed_status(body)
    is_error = filled <= _ERROR_OBJECT | errors and is_failure
    has_status = status is not None and bool(reasons)
    if has_status or is_error or _says_no(body, is_empty=not filled):
        return Refusal(status, reasons)
    return None


def _says_no(body: JSONObject, *, is_empty: bool) -> bool:
    """Whether a field that names the success is false; a zero only if the body has nothing else."""
    for name in _SUCCESS_NAMES:
        value = body.get(name)
        # Next to other values, a zero may count something.
        if _is_false(value) or (is_empty and _is_zero(value)):
            return True
    return False


def find_reasons(body: JSONObject) -> dict[str, str]:
    """Return the reasons in an error body: by field, or else its message."""
    fields = body.get("validationErrors")
    if isinstance(fields, dict) and fields:
        return {str(field): str(join_text(reason)) for field, reason in fields.items()}
    for name in _REASON_NAMES:
        if body.get(name):
            return {"message": str(join_text(body[name]))}
    return {}


def has_error(body: JSONObject) -> bool:
    """Return whether the body names an error, beside whatever else it has."""
    return _has_failed_status(body) or any(body[name] for name in body if _names_error(name))


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
        if isinstance(value, str) and _STATUS.fullmatch(value):
            return int(value)
        if type(value) is int and 400 <= value <= 599:
            return value
    return None


def _names_error(name: str) -> bool:
    return "error" in name.lower()


def _has_failed_status(body: JSONObject) -> bool:
    """Return whether a word is the status of a failure, with a message or `data`."""
    status = body.get("status")
    is_failed = isinstance(status, str) and status.strip().lower() in _FAILED_STATUSES
    return is_failed and ("data" in body or bool(find_reasons(body)))


def _is_false(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("false", "no")
    return value is False


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0
