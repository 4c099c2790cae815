"""Messages in the forms of many APIs: side, words, media, tool calls, and a number for each."""

from typing import Any

import pytest

from sigmamind_mcp.api.conversations import Turn, find_side
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.api.records import MAX_SAID_CHARACTERS
from tests.support.message_forms import FORMS


def read_turns(*messages: Any) -> list[Turn]:
    return TestRun.read({"jobId": "j", "conversation": list(messages)}).conversation or []


SIDES = {
    "user": "user customer caller human client USER Customer",
    "agent": "assistant agent bot ai Assistant AI",
    "tool": "tool function Tool tool_result function_call_output",
    "other": "system developer model moderator unknown users non-user",
}
ROLES = [(role, side) for side, roles in SIDES.items() for role in roles.split()]


@pytest.mark.parametrize(("role", "side"), [*ROLES, (" user\n", "user"), ("", "other")])
def test_side_of_a_role_in_any_case(role: str, side: str) -> None:
    assert find_side(role) == side


def test_each_form_has_its_side_and_only_its_words() -> None:
    turns = read_turns(*(form.message for form in FORMS))

    assert [(turn.side, turn.content) for turn in turns] == [
        (form.side, form.words) for form in FORMS
    ]


@pytest.mark.parametrize("odd", [None, 7, True, [], ["Hello."]])
def test_message_after_an_unreadable_one_keeps_its_number(odd: Any) -> None:
    run = TestRun.read({"conversation": [{"role": "user", "content": "a"}, odd, "b"]})

    assert [turn.content for turn in run.conversation or []] == ["a", "", "b"]
    assert run.unreadable_fields() == ["conversation.1"]


LONG = "aé 1.1, " * 100_000


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": LONG},
        {"role": "tool", "content": LONG},
        {"role": "user", "content": [{"type": "text", "text": LONG}]},
        {"role": "assistant", "content": "", "toolCalls": [{"name": "f", "arguments": LONG}]},
    ],
    ids=["agent", "tool", "parts", "tool call"],
)
def test_long_text_is_read_in_part_and_says_how_much_is_not(message: dict[str, Any]) -> None:
    """R35: a pattern that reads a whole text holds the interpreter until its end."""
    (turn,) = read_turns(message)

    assert len(turn.content) <= MAX_SAID_CHARACTERS
    assert len(turn.summarize()) < 1.1 * MAX_SAID_CHARACTERS
    assert "[read: 50,000 of " in turn.summarize()[:30]


def test_long_remarks_are_read_in_part_and_raw_keeps_them() -> None:
    run = TestRun.read({"jobId": "j", "remarks": LONG})

    assert run.remarks and run.remarks.startswith("[read: 50,000 of ")
    assert len(run.remarks) < 1.1 * MAX_SAID_CHARACTERS
    assert run.raw["remarks"] == LONG
