"""Hints in one transcript: only those that were right on conversations that nobody tuned them on."""

import pytest

from sigmamind_mcp.insight.transcript_hints import find_raw_data
from tests.insight.conversations import make_run


@pytest.mark.parametrize(
    "text",
    [
        'One moment. <tool_call> {"name": "get_order", "arguments": {"id": "1"}} </tool_call>',
        '{"name": "get_order", "arguments": {"id": "1"}}',
        "Here it is: {'status': 'open', 'total': 12}",
        "Your plan is [object Object].",
    ],
)
def test_raw_data_in_the_agents_words(text: str) -> None:
    assert find_raw_data(make_run("Hi.", text)) == 2


@pytest.mark.parametrize(
    "said",
    [
        ["Hi.", "Your order {4411} is open."],
        ['{"a": 1}', "That looks right."],
        ["What JSON do I send?", 'Send {"type": "paid"}.'],
        ["Hi.", "Hello.", 'tool|{"status": "open"}'],
    ],
)
def test_no_hint_where_data_is_wanted_or_not_the_agents(said: list[str]) -> None:
    assert find_raw_data(make_run(*said)) is None
