"""The phrases that draft checks look for."""

import re

import pytest

from sigmamind_mcp.insight import draft_rules
from sigmamind_mcp.insight.draft_rules import (
    GOAL,
    HEDGE,
    MANNER,
    OBSERVABLE,
    PERSONA,
    RULES,
    SPEECH,
)


def test_no_pattern_can_backtrack_far() -> None:
    patterns = [value for value in vars(draft_rules).values() if isinstance(value, re.Pattern)]
    patterns += [pattern for rule in RULES for pattern in (rule.pattern, rule.unless) if pattern]
    assert len(patterns) > 20
    unbounded = re.compile(
        r"\)[*+]|\{\d*,\}|(?<!\\)\.[*+]"
    )  # a repeated group, or "anything" at any length
    assert [found.pattern for found in patterns if unbounded.search(found.pattern)] == []


@pytest.mark.parametrize(
    ("pattern", "match", "near_miss"),
    [
        (GOAL, "You want a refund.", "The kettle is broken."),
        (PERSONA, "You are a teacher.", "You are calling."),
        (HEDGE, "answers appropriately", "answers at once"),
        (MANNER, "handles it well", "states the price"),
        (OBSERVABLE, 'says "hello"', "says hello"),
        (SPEECH, "offers a refund", "is polite"),
    ],
    ids=["goal", "persona", "hedge", "manner", "observable", "speech"],
)
def test_each_pattern_and_a_near_miss(pattern: re.Pattern[str], match: str, near_miss: str) -> None:
    assert pattern.search(match)
    assert not pattern.search(near_miss)


def test_no_pattern_matches_nothing_where_words_are_expected() -> None:
    """An empty alternative makes a pattern match much more than it says."""
    patterns = [value for value in vars(draft_rules).values() if isinstance(value, re.Pattern)]
    patterns += [pattern for rule in RULES for pattern in (rule.pattern, rule.unless) if pattern]
    empty = re.compile(r"\|\||\(\?:\||\(\||\|\)")

    assert [found.pattern for found in patterns if empty.search(found.pattern)] == []


@pytest.mark.parametrize(
    ("clause", "is_vague"),
    [
        ("gives a good reply", True),
        ("gives good replies", True),
        ("finds a good solution", True),
        ("asks for a good -", False),
        ("says it is a good price", False),
    ],
)
def test_vague_adjective_needs_one_of_its_nouns(clause: str, is_vague: bool) -> None:
    assert bool(HEDGE.search(clause)) is is_vague


def test_rules_report_only_fields_with_text() -> None:
    assert {rule.field for rule in RULES} == {"userPrompt", "successCriteria"}
