"""Find hints in one transcript that were right on conversations which their author had not seen."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.endings import is_agent, is_user

HintKind = Literal["raw data shown"]

_MARKS = ("{", "<tool_call>", "<function", "[object")
_RAW_DATA = re.compile(
    r"<tool_call>|<function[=_ ]|\[object Object\]"
    r"|\{\s*\"\w{2,40}\"\s*:\s*(?:[\"{\[\d-]|true|false|null)"
    r"|\{\s*'\w{2,40}'\s*:\s*(?:['{\[\d-]|True|False|None)"
)
_CODE_TALK = re.compile(r"\b(?:json|code|api|webhook|payload|template|syntax)\b", re.IGNORECASE)


class Hint(NamedTuple):
    """A hint, and the turn that shows it."""

    kind: HintKind
    turn: int


def find_hints(run: TestRun) -> list[Hint]:
    """Return the hints of one test run, the first of each kind."""
    first: dict[HintKind, Hint] = {}
    for hint in _list_hints(run):
        first.setdefault(hint.kind, hint)
    return list(first.values())


def _list_hints(run: TestRun) -> Iterator[Hint]:
    turns = run.conversation or []
    found = []
    for number, turn in enumerate(turns, start=1):
        if not is_agent(turn):
            continue
        # Marks first: few turns have one, and the pattern is slow.
        has_mark = any(mark in turn.content for mark in _MARKS)
        if has_mark and _RAW_DATA.search(turn.content):
            found.append(Hint("raw data shown", number))
    # Where a user talks about code, braces are no fault.
    if found and not any(_CODE_TALK.search(turn.content) for turn in turns if is_user(turn)):
        yield from found
