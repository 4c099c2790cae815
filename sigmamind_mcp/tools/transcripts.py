"""Number and render the turns of a test run's conversation. Pure functions."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import Turn
from sigmamind_mcp.tools.answers import one_line
from sigmamind_mcp.untrusted_text import clean

_HEAD = re.compile(r"^([^\S\n]*+)(?=\*\*\d+ [^\n]*?:\*\*)", re.MULTILINE)


class NumberedTurn(NamedTuple):
    number: int
    turn: Turn


def number_turns(conversation: Sequence[Turn] | None, *, from_turn: int = 1) -> list[NumberedTurn]:
    """Return the turns from `from_turn` to the end; turns count from 1."""
    rest = (conversation or [])[from_turn - 1 :]
    return [NumberedTurn(number, turn) for number, turn in enumerate(rest, start=from_turn)]


def render_turn(number: int, role: str, content: str) -> str:
    """Render one turn as Markdown, with its number and role in bold."""
    return f"**{number} {one_line(role)}:** {escape_turn_heads(content).strip() or '(nothing)'}"


def escape_turn_heads(text: str) -> str:
    """Clean the text and escape each line that looks like the start of a turn."""
    return _HEAD.sub(r"\1\\", clean(text))
