"""Explain which parameter of a request is wrong: the SDK itself says only that one is."""

import re
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

REASONS_SHOWN = 5
_REQUEST_MODEL = re.compile(r"\w+Request(Params)?")
_PLAIN_NAME = re.compile(r"[\w./-]{1,64}", re.ASCII)
_REASONS = {
    "missing": "is missing",
    "string_type": "must be a text",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
}
# The SDK tries each form of these in turn, and reports an error for each.
_FORMS = {
    "ref": (
        'must be {"type": "ref/prompt", "name": …} or {"type": "ref/resource", "uri": …}, with'
        " texts"
    ),
    "progressToken": "must be a text or a whole number",
}


def explain_invalid_request(method: str, exc: ValidationError) -> str | None:
    """Return which parameters are wrong and why, or None if `exc` is not about a request."""
    if not _REQUEST_MODEL.fullmatch(exc.title):
        return None
    errors = exc.errors(include_url=False, include_input=False)
    # A parameter with several forms has several errors, with one text.
    reasons = list(dict.fromkeys(_describe_parameter(error) for error in errors))
    text = "; ".join(reasons[:REASONS_SHOWN])
    return f"{_name_method(method)} cannot be served: {text}."


def explain_early_request(method: str) -> str:
    """Return what must come before this request."""
    return f"{_name_method(method)} cannot be served before the handshake. Send initialize first."


def _describe_parameter(error: "ErrorDetails") -> str:
    names = [str(part) for part in error["loc"]]
    if names[:1] != ["params"]:
        names.insert(0, "params")
    for position, name in enumerate(names):
        if name in _FORMS and position + 1 < len(names):
            return f"{'.'.join(names[: position + 1])} {_FORMS[name]}"
        if not _PLAIN_NAME.fullmatch(name):
            return f"{'.'.join(names[:position])} has a member that {_give_reason(error)}"
    return f"{'.'.join(names)} {_give_reason(error)}"


def _give_reason(error: "ErrorDetails") -> str:
    if error["type"] == "literal_error":
        return f"must be {error['ctx']['expected']}"
    return _REASONS.get(error["type"], "is not valid")


def _name_method(method: str) -> str:
    return method if _PLAIN_NAME.fullmatch(method) else "This request"
