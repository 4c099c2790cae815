"""Write values as YAML that a person likes to read and any parser reads back the same."""

import re
import textwrap
from collections.abc import Mapping, Sequence

from sigmamind_mcp.suites.yaml_tree import NO_VALUES

Writable = str | int | float | bool | Mapping[str, "Writable"] | Sequence["Writable"]

# A text that no version of YAML takes for anything else.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 _./()'+-]*[A-Za-z0-9_./()'+-]|[A-Za-z]")
_OTHER_MEANING = re.compile(
    r"(?i)y|n|yes|no|on|off|true|false|null|none|\.?(inf|nan)|[0-9a-fx_.e+-]*[0-9][0-9a-fx_.e+-]*"
)
_SHOWN = (
    r"\x20-\x7e\xa1-\xac\xae-\u200a\u2010-\u2027\u202f-\u205f"
    r"\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd"
)
_BLOCK = re.compile(rf"(?![\s#])[\n{_SHOWN}]*")
_ESCAPED = re.compile(rf'["\\]|[^{_SHOWN}]')
_VISIBLE_EMOJI = re.compile("[\U0001f000-\U0001faff]")
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
LONG_TEXT = 80


def write_member(name: str, value: Writable, *, indent: int) -> str:
    """Return the lines of a field, each with its line feed."""
    space = " " * indent
    label = write_scalar(name)
    if isinstance(value, Mapping) and value:
        return f"{space}{label}:\n{_write_members(value, indent + 2)}"
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        items = [_write_item(item, indent + 2) for item in value]
        return f"{space}{label}:\n{''.join(items)}"
    if isinstance(value, str) and _is_block(value):
        return f"{space}{label}: {_write_block(value, indent + 2)}"
    return f"{space}{label}: {write_scalar(value)}\n"


def _write_members(members: Mapping[str, Writable], indent: int) -> str:
    return "".join(write_member(name, item, indent=indent) for name, item in members.items())


def write_scalar(value: Writable) -> str:
    """Return a value on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return value if _can_be_plain(value) else f'"{_ESCAPED.sub(_escape, value)}"'
    return "{}" if isinstance(value, Mapping) else "[]"


def _write_item(item: Writable, indent: int) -> str:
    space = " " * indent
    if not isinstance(item, Mapping):
        return f"{space}- {write_scalar(item)}\n"
    lines = _write_members(item, indent + 2)
    return f"{space}- {lines[indent + 2 :]}"


def _can_be_plain(text: str) -> bool:
    if text in NO_VALUES or _OTHER_MEANING.fullmatch(text) or len(text) > 1_000:
        return False
    return bool(_PLAIN.fullmatch(text))


def _is_block(text: str) -> bool:
    """Whether a text reads better as a block, and a block can hold it exactly."""
    is_long = "\n" in text.rstrip("\n") or len(text) > LONG_TEXT
    if not is_long or text.endswith("\n\n"):
        return False
    has_blank_line = any(map(str.isspace, text.split("\n")))
    return not has_blank_line and _BLOCK.fullmatch(text) is not None


def _write_block(text: str, indent: int) -> str:
    mark = "|" if text.endswith("\n") else "|-"
    block = textwrap.indent(text.removesuffix("\n"), " " * indent)
    return f"{mark}\n{block}\n"


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if _VISIBLE_EMOJI.fullmatch(character):
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
