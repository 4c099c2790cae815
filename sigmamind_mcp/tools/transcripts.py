"""Number and render the turns of a test run's conversation. Pure functions."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun, Turn
from sigmamind_mcp.tools.answers import one_line
from sigmamind_mcp.untrusted_text import clean

CONVERSATION_FIELDS = ("conversation", "messages", "transcript")

_HEAD = re.compile(r"^([^\S\n]*+)(?=\*\*\d+ [^\n]*?:\*\*)", re.MULTILINE)


class NumberedTurn(NamedTuple):
    number: int
    turn: Turn


def number_turns(conversation: Sequence[Turn] | None, *, from_turn: int = 1) -> list[NumberedTurn]:
    """Return the turns from `from_turn` to the end; turns count from 1."""
    rest = (conversation or [])[from_turn - 1 :]
    return [NumberedTurn(number, turn) for number, turn in enumerate(rest, start=from_turn)]


def render_turn(number: int, role: str, content: str, other_fields: str | None = None) -> str:
    """Render one turn as Markdown, with its number and role in bold.

    A turn without text is shown by its other fields, such as tool calls.
    """
    text = escape_turn_heads(content).strip()
    if not text:
        text = "(no text)"
        if other_fields:
            text += f" {escape_turn_heads(other_fields)}"
    return f"**{number} {one_line(role)}:** {text}"


def encode_other_fields(turn: Turn) -> str | None:
    """Return, as JSON, what the API shows of a turn that has no text; None if that is nothing."""
    if turn.content.strip():
        return None
    other_fields = {}
    for name, value in turn.raw.items():
        if name not in ("role", "content") and value not in (None, "", [], {}):
            other_fields[name] = value
    return json.dumps(other_fields, ensure_ascii=False) if other_fields else None


def escape_turn_heads(text: str) -> str:
    """Clean the text and escape each line that looks like the start of a turn."""
    return _HEAD.sub(r"\1\\", clean(text))


def describe_missing_conversation(run: TestRun, job_id: str) -> list[str]:
    """Say in a sentence why there are no turns to show; nothing if there are some."""
    if run.conversation:
        return []
    losses = {name.partition(".")[0] for name in run.unreadable_fields()}
    if not losses.isdisjoint(CONVERSATION_FIELDS):
        return [f"The conversation of test run {job_id} in the API's answer cannot be read."]
    state = "has no" if run.conversation is None else "has an empty"
    return [f"The API's answer {state} conversation of test run {job_id}."]
