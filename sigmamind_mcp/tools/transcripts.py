"""A test run's conversation, turn by turn. Pure functions over models; turns are numbered from 1."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import Turn
from sigmamind_mcp.untrusted_text import clean

_HEAD = re.compile(r"^([^\S\n]*+)(?=\*\*\d+ [^\n]*?:\*\*)", re.MULTILINE)


class NumberedTurn(NamedTuple):
    number: int
    turn: Turn


def numbered(conversation: Sequence[Turn] | None, *, from_turn: int = 1) -> list[NumberedTurn]:
    """The turns from `from_turn` to the end, each with its number."""
    rest = (conversation or [])[from_turn - 1 :]
    return [NumberedTurn(number, turn) for number, turn in enumerate(rest, start=from_turn)]


def markdown_turn(number: int, role: str, content: str) -> str:
    """One turn as Markdown, its number and role in bold before what was said."""
    return f"**{number} {' '.join(role.split())}:** {without_heads(content).strip() or '(nothing)'}"


def without_heads(text: str) -> str:
    """The text, cleaned, with each line escaped that would pass for the head of a turn."""
    return _HEAD.sub(r"\1\\", clean(text))
