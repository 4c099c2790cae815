"""The forms in which clients send a value: JSON text for a list, a number for a text."""

import re
from decimal import Decimal
from functools import partial
from math import isfinite

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from sigmamind_mcp.strict_json import parse_json
from sigmamind_mcp.untrusted_text import clean

OWN_ERROR = "own_error"
"""The type of our errors; their message is the rest of a sentence that begins with the name."""

ADDED_BY_CLIENTS = frozenset(("sessionId", "action", "chatInput", "toolCallId", "random_string"))
"""Arguments that n8n and Cursor add to every call."""

_JSON_STARTS = frozenset('[{"')


def list_of(noun: str) -> BeforeValidator:
    """Return a validator that also takes JSON text, for the list and for its entries.

    The entries must be ids or objects: in other texts, quotation marks can be part of the value.
    """
    return BeforeValidator(partial(_read_list, noun=noun))


def _read_list(value: object, noun: str) -> list[object]:
    decoded = _decode_json_text(value)
    if isinstance(value, str) and decoded is not value and not isinstance(decoded, list):
        decoded = [decoded]
    if not isinstance(decoded, list):
        raise PydanticCustomError(OWN_ERROR, "must be a list of {noun}", {"noun": noun})
    entries: list[object] = []
    for entry in decoded:
        inner = _decode_json_text(entry)
        if isinstance(entry, str) and isinstance(inner, list):
            entries += inner
        else:
            entries.append(inner)
    return entries


def _decode_json_text(value: object) -> object:
    """Decode the JSON text of a list, an object or a text; return other values as they are."""
    if isinstance(value, str) and value.lstrip()[:1] in _JSON_STARTS:
        try:
            return parse_json(value)
        except (ValueError, RecursionError):
            return value
    return value


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError(OWN_ERROR, "must be a whole number")
    return value


def _refuse_blank(value: object) -> object:
    if isinstance(value, str) and value and not clean(value).strip():
        raise PydanticCustomError(OWN_ERROR, "must not be blank")
    return value


def _write_as_text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            try:
                return str(value)
            except ValueError:  # Python limits the digits
                raise PydanticCustomError(OWN_ERROR, "has too many digits; send a text") from None
        case float() if isfinite(value):
            return write_float(value)
    raise PydanticCustomError(OWN_ERROR, "must be a text, a number, true or false")


def write_float(number: float) -> str:
    """Return the number as JavaScript's `String()` writes it: 10, 0.00001, 1e+21."""
    shortest = repr(number)
    if number.is_integer() and abs(number) < 1e21:
        return str(int(number))
    if 1e-6 <= abs(number) < 1e21:
        return format(Decimal(shortest), "f")
    return re.sub(r"e([+-])0+", r"e\1", shortest)


# Put these after an argument's Field: before it, they would hide its limits from the JSON Schema.
NotBool = BeforeValidator(_refuse_bool)
NotBlank = BeforeValidator(_refuse_blank)
ValueAsText = BeforeValidator(_write_as_text)
