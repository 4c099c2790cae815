"""Test cases are judged, failures grouped, and the runs and turns to read chosen."""

from collections import Counter

import pytest

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight import diagnosis
from sigmamind_mcp.insight.diagnosis import (
    choose_quotes,
    choose_representative,
    extract_complaint,
    group_failures,
    order_for_reading,
    plan_reading,
    summarize_cases,
    tally_signals,
)
from sigmamind_mcp.insight.signals import Signal
from sigmamind_mcp.insight.words import extract_words
from tests.support.fake_api import CASE, RUN
from tests.support.sample_batches import make_sample_case

WRONG_DATE = "The agent stated a wrong delivery date, 9 May, although the order arrives on 4 May."


WRONG_DATE_TOO = "Agent gave the customer an incorrect delivery date."


NO_REFUND = "The refund was never confirmed by the agent."


NO_REFUND_TOO = "The agent did not confirm the refund; the customer left without an answer."


RUDE = "Ignored the question about opening hours."


def failed(remarks: str | None, *said: str, job: str = "job_1", case: str = "tc_1") -> TestRun:
    conversation = [
        {"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)
    ]
    raw = {
        **RUN,
        "jobId": job,
        "isSuccessful": False,
        "remarks": remarks,
        "conversation": conversation,
    }
    return TestRun.read({**raw, "testCase": {**CASE, "testCaseId": case}})


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


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (WRONG_DATE, WRONG_DATE_TOO, True),
        (NO_REFUND, NO_REFUND_TOO, True),
        (WRONG_DATE, NO_REFUND, False),
        (
            '"greets": met. "confirms the refund": not met.',
            '"greets": not met. "confirms the refund": met.',
            False,
        ),
        (
            "The agent didn't verify the identity.",
            "It failed to verify the caller's identity",
            True,
        ),
        (
            "El agente no confirmó el reembolso.",
            "El agente no confirmó el reembolso del cliente.",
            True,
        ),
        ("返金を確認しなかった。", "返金を確認しませんでした。", True),
        ("返金を確認しなかった。", "配達日を間違えた。", False),
        ("Did not say when order 4411 arrives.", "Did not say when order 4502 arrives.", True),
    ],
)
def test_failures_are_alike_by_what_their_remarks_complain_of(
    one: str, other: str, alike: bool
) -> None:
    groups = group_failures([failed(one, job="job_1"), failed(other, job="job_2")])

    assert (len(groups) == 1) is alike


UNMET = 'Judge: "verifies identity": {}. "offers options": {}. "confirms the booking": {}.'


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("not met", "met at turn 4", "not met"), ("not met", "met at turn 6", "not met"), True),
        (("not met", "not met", "not met"), ("not met", "met at turn 6", "not met"), False),
        (("met", "not met", "met"), ("met", "met", "not met"), False),
    ],
)
def test_remarks_by_clause_are_alike_when_the_same_clauses_are_unmet(
    one: tuple[str, ...], other: tuple[str, ...], alike: bool
) -> None:
    groups = group_failures([failed(UNMET.format(*one)), failed(UNMET.format(*other), job="job_2")])

    assert (len(groups) == 1) is alike


def test_group_is_represented_by_a_run_whose_signals_are_those_of_most() -> None:
    runs = [failed("No refund was offered.", "Hi.", job=f"job_{number}") for number in range(4)]
    (group,) = group_failures(runs)
    silent = [Signal("user_spoke_last", 1, "", False)]
    read = {run.job_id or "": run for run in runs}

    chosen = choose_representative(
        group, read, {"job_0": [], "job_1": silent, "job_2": silent, "job_3": silent}
    )

    assert chosen.job_id == "job_1"
    assert choose_representative(group, {}, {}) is group.runs[0]


def test_group_is_represented_by_the_run_most_like_the_others() -> None:
    odd = (
        "The refund was not confirmed, the greeting was missing, and opening hours were never told."
    )
    remarks = [odd, "Refund and greeting not confirmed.", *["The refund was not confirmed."] * 3]

    groups = group_failures([failed(text, job=f"job_{n}") for n, text in enumerate(remarks)])

    assert (
        max(groups, key=lambda group: len(group.runs)).runs[0].remarks
        == "The refund was not confirmed."
    )


def test_runs_without_remarks_are_grouped_by_their_last_turns() -> None:
    refused = [failed(None, "Hi.", "We cannot do that, sorry.", job=f"job_{n}") for n in range(2)]
    silent = failed(None, job="job_9")

    groups = group_failures([*refused, silent])

    assert [len(group.runs) for group in groups] == [2, 1]


def test_groups_do_not_depend_on_the_order_of_the_list() -> None:
    runs = [
        failed(text, job=f"job_{n}")
        for n, text in enumerate([WRONG_DATE, NO_REFUND, RUDE, WRONG_DATE_TOO] * 3)
    ]

    def members(ordered: list[TestRun]) -> set[frozenset[str | None]]:
        return {frozenset(run.job_id for run in group.runs) for group in group_failures(ordered)}

    assert members(runs) == members(runs[::-1])


def test_reading_goes_round_the_groups_and_reads_every_run_once() -> None:
    remarks = [WRONG_DATE] * 5 + [NO_REFUND] * 3 + [RUDE]
    groups = group_failures([failed(text, job=f"job_{n}") for n, text in enumerate(remarks)])
    order = [run.remarks for run in order_for_reading(groups)]

    assert set(order[:3]) == {WRONG_DATE, NO_REFUND, RUDE}
    assert Counter(order) == Counter(remarks)


def test_quotes_are_few_and_end_with_the_last_turns() -> None:
    said = [f"Something about topic {n}." for n in range(30)]

    assert [quote.number for quote in choose_quotes(failed("No refund.", *said), [])][-2:] == [
        29,
        30,
    ]
    assert choose_quotes(failed("No refund."), []) == []
    assert [quote.number for quote in choose_quotes(failed("No refund.", "Hi."), [])] == [1]


@pytest.mark.parametrize(
    "text", ["", "....", "not", "n't", "\n\n", "a" * 50_000, "no. " * 5_000, "'" * 9_000]
)
def test_odd_remarks_have_words_too(text: str) -> None:
    assert isinstance(extract_words(text), frozenset) and isinstance(
        extract_complaint(failed(text or None, text)).words, frozenset
    )


def test_remarks_without_a_meaningful_word_are_alike_only_when_equal() -> None:
    remarks = [None, "Refused.", "Wrong.", "404", None]
    groups = group_failures(
        [failed(text, job=f"job_{number}") for number, text in enumerate(remarks)]
    )

    assert sorted(len(group.runs) for group in groups) == [1, 1, 1, 2]


def test_plan_reads_a_run_of_each_shown_group_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MAX_GROUPS_SHOWN", 1)
    monkeypatch.setattr(diagnosis, "MAX_FAILED_READ", 2)
    remarks = [WRONG_DATE, WRONG_DATE, WRONG_DATE, NO_REFUND, NO_REFUND, RUDE]
    groups = group_failures([failed(text, job=f"job_{n}") for n, text in enumerate(remarks)])

    plan = plan_reading(groups, [], [], from_group=2, from_failure=3)

    assert [group.complaint for group in plan.groups] == [groups[2].complaint]
    assert [run.job_id for run in plan.failed] == ["job_5", plan.queue[0].job_id]
    assert (len(plan.queue), plan.readable_count) == (3, 6)
    assert plan.count_handled({"job_5"}) == 0
    assert plan.count_handled({run.job_id or "" for run in plan.queue[:2]}) == 2


def test_plan_reads_passed_runs_of_cases_that_failed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MAX_PASSED_READ", 2)
    cases = [TestCase.read(make_sample_case(number, 2)) for number in range(2)]
    fine, mixed = ({**RUN, "testCase": make_sample_case(number, 2)} for number in range(2))
    passed = [
        TestRun.read({**fine, "jobId": "job_1"}),
        TestRun.read({**mixed, "jobId": "job_2"}),
        TestRun.read({**mixed, "jobId": "job_3"}),
    ]
    failure = TestRun.read({**mixed, "jobId": "job_4", "isSuccessful": False})
    results = summarize_cases(cases, [*passed, failure])

    plan = plan_reading(group_failures([failure]), passed, results, from_group=0, from_failure=0)

    assert [run.job_id for run in plan.passed] == ["job_2", "job_1"]


def test_signals_that_only_failed_runs_have_come_first() -> None:
    runs = [failed(WRONG_DATE, "Hi.", job=f"job_{number}") for number in range(3)]
    silent, repeated = (
        Signal("user_spoke_last", 1, "", False),
        Signal("repeated_agent_turn", 2, "", False),
    )
    signals = {"job_0": [repeated, silent], "job_1": [silent, silent], "job_2": [repeated]}

    tallies = tally_signals(runs[:2], runs[2:], signals)

    assert [(tally.kind, len(tally.failed), len(tally.passed)) for tally in tallies] == [
        ("user_spoke_last", 2, 0),
        ("repeated_agent_turn", 1, 1),
    ]
