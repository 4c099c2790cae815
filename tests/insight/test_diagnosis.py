"""Verdicts are counted and test cases summarized."""

from collections import Counter

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import round_robin, summarize_cases
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

    assert [(r.case.test_case_id, r.outcome, r.is_thin, r.undecided) for r in results] == [
        ("tc_1", "failing", False, 0),
        ("tc_2", "flaky", False, 0),
        ("tc_0", "passing", False, 0),
        ("tc_3", "passing", True, 0),
        ("tc_4", "undecided", True, 3),
    ]


def test_kinds_take_turns() -> None:
    words = round_robin(["a1", "a2", "a3", "b1", "c1", "c2"], lambda word: word[0])

    assert words == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert Counter(words) == Counter(["a1", "a2", "a3", "b1", "c1", "c2"])
