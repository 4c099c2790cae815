"""Verdicts are counted and test cases summarized."""

from collections import Counter
from typing import Any

import pytest

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import (
    MAX_DEFINITION_TEXT,
    limit_definition,
    round_robin,
    summarize_cases,
)
from sigmamind_mcp.insight.evidence import collect_evidence
from tests.insight.conversations import make_run
from tests.support.fake_api import RUN
from tests.support.sample_batches import make_sample_case


def test_outcomes_of_cases() -> None:
    cases = [
        TestCase.read(make_sample_case(n, attempt)) for n, attempt in enumerate((5, 5, 5, 4, 3))
    ]
    verdicts = {0: [True] * 5, 1: [False] * 5, 2: [True, False] * 3, 3: [True] * 4, 4: []}
    runs = [
        TestRun.read({**RUN, "testCase": make_sample_case(n, 5), "isSuccessful": verdict})
        for n, ones in verdicts.items()
        for verdict in ones
    ]

    results = summarize_cases(cases, runs)

    assert [(r.case.test_case_id, r.outcome, r.undecided) for r in results] == [
        ("tc_1", "failing", 0),
        ("tc_2", "flaky", 0),
        ("tc_0", "passing", 0),
        ("tc_3", "passing", 0),
        ("tc_4", "undecided", 3),
    ]


def test_kinds_take_turns() -> None:
    words = round_robin(["a1", "a2", "a3", "b1", "c1", "c2"], lambda word: word[0])

    assert words == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert Counter(words) == Counter(["a1", "a2", "a3", "b1", "c1", "c2"])


@pytest.mark.parametrize("field", ["prompt", "criteria", "mock_data"])
def test_very_long_text_of_a_definition_is_read_in_part_and_others_are_the_same(field: str) -> None:
    """R35: a pattern that reads 7 MB whole holds the interpreter, and every caller waits."""
    long = "12 words and so on. " * 350_000
    given: dict[str, Any] = {field: {"a": long} if field == "mock_data" else long}
    run = make_run("Hi!", "It is 12.", **given)
    short = make_run("Hi!", "It is 12.")

    case = limit_definition(run).test_case
    assert case and case.user_prompt and case.success_criteria
    texts = [case.user_prompt, case.success_criteria, *(mock.value for mock in case.mock_data)]
    assert max(map(len, texts)) == MAX_DEFINITION_TEXT
    assert limit_definition(short) is short
    assert len(collect_evidence([run, short]).read) == 2
