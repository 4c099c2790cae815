"""Find a hint in one transcript that was right on conversations which its author had not seen."""

import re

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.endings import is_agent, is_user

RAW_DATA = "raw data shown"

_MARKS = ("{", "<tool_call>", "<function", "[object")
_RAW_DATA = re.compile(
    r"<tool_call>|<function[=_ ]|\[object Object\]"
    r"|\{\s*\"\w{2,40}\"\s*:\s*(?:[\"{\[\d-]|true|false|null)"
    r"|\{\s*'\w{2,40}'\s*:\s*(?:['{\[\d-]|True|False|None)"
)
_CODE_TALK = re.compile(r"\b(?:json|code|api|webhook|payload|template|syntax)\b", re.IGNORECASE)


def find_raw_data(run: TestRun) -> int | None:
    """Return the number of the agent's first turn with raw data, if the user talks of no code."""
    turns = run.conversation or []
    for number, turn in enumerate(turns, start=1):
        # Marks first: few turns have one, and the pattern is slow.
        has_mark = is_agent(turn) and any(mark in turn.content for mark in _MARKS)
        if has_mark and _RAW_DATA.search(turn.content):
            # Where a user talks about code, braces are no fault.
            talks_code = any(_CODE_TALK.search(turn.content) for turn in turns if is_user(turn))
            return None if talks_code else number
    return None
