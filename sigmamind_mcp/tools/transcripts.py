"""Number and render the turns of a test run's conversation. Pure functions."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.conversations import Side, Turn
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.tools.answers import one_line
from sigmamind_mcp.untrusted_text import clean

CONVERSATION_FIELDS = ("conversation", "messages", "transcript")

_HEAD = re.compile(r"^([^\S\n]*+)(?=\*\*\d+ [^\n]*?:\*\*)", re.MULTILINE)
_SHORT_HEAD = re.compile(r"^([^\S\n]*+)(?=(?:\*\*)?\d+ [^\n:]*:)", re.MULTILINE)

SHORT_ROLES = "U: user, A: assistant."
_SHORT_LABELS = {"user": "U", "assistant": "A", "U": '"U"', "A": '"A"'}
"""What stands for a role in a short head; the two letters as roles get quotation marks."""


class NumberedTurn(NamedTuple):
    number: int
    turn: Turn


def number_turns(conversation: Sequence[Turn] | None, *, from_turn: int = 1) -> list[NumberedTurn]:
    """Return the turns from `from_turn` to the end; turns count from 1."""
    rest = (conversation or [])[from_turn - 1 :]
    return [NumberedTurn(number, turn) for number, turn in enumerate(rest, start=from_turn)]


def keep_side(turns: Sequence[NumberedTurn], side: Side | None) -> list[NumberedTurn]:
    """Return the turns of a side; all of them if it is None."""
    return [turn for turn in turns if side is None or turn.turn.side == side]


class TurnText(NamedTuple):
    """What a view shows of a turn."""

    content: str
    tool_calls: Sequence[str] = ()
    tool_name: str | None = None
    other_fields: str | None = None


def render_turn(number: int, role: str, text: TurnText) -> str:
    """Render one turn as Markdown, with its number and role in bold.

    Each tool call and result is a line with a head of its own, which no text can imitate. A turn
    that has none, and no text, is shown by its other fields.
    """
    return _render_lines(f"{number} {one_line(role)}", "**{}:**", text, escape_turn_heads)


def render_short_turn(number: int, role: str, text: TurnText) -> str:
    """Render one turn like `render_turn`, with a short head: 4 A. SHORT_ROLES explains it."""
    label = one_line(role)
    head = f"{number} {_SHORT_LABELS.get(label, label)}"
    return _render_lines(head, "{}:", text, escape_short_heads)


def escape_turn_heads(text: str) -> str:
    """Clean the text and escape each line that looks like the start of a turn."""
    return _HEAD.sub(r"\1\\", clean(text))


def escape_short_heads(text: str) -> str:
    """Clean the text and escape each line that looks like a short head, or a bold one."""
    return _SHORT_HEAD.sub(r"\1\\", clean(text))


def _render_lines(head: str, form: str, text: TurnText, escape: Callable[[str], str]) -> str:
    content = escape(text.content).strip()
    call_head = form.format(f"{head}, tool")
    calls = [f"{call_head} {one_line(clean(call))}" for call in text.tool_calls]
    if not content and calls:
        return "\n".join(calls)
    if not content:
        content = "(no text)"
        if text.other_fields:
            content += f" {escape(text.other_fields)}"
    name = f" {one_line(text.tool_name)}" if text.tool_name else ""
    return "\n".join([f"{form.format(head + name)} {content}", *calls])


def describe_missing_conversation(run: TestRun, job_id: str) -> list[str]:
    """Say in a sentence why there are no turns to show; nothing if there are some."""
    if run.conversation:
        return []
    losses = {name.partition(".")[0] for name in run.unreadable_fields()}
    if not losses.isdisjoint(CONVERSATION_FIELDS):
        return [f"The conversation of test run {job_id} in the API's answer cannot be read."]
    state = "has no" if run.conversation is None else "has an empty"
    return [f"The API's answer {state} conversation of test run {job_id}."]
