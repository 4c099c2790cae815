"""Real changes are found, noise is not, and an edited test is not the agent's fault."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt
from random import Random
from typing import Any

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.attempts_needed import compute_worse_power, find_attempts_for_rates
from sigmamind_mcp.insight.baselines import BaseRuns, LeftOut
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace, Side
from sigmamind_mcp.insight.comparison import (
    CaseChange,
    Comparison,
    compare_sides,
    pick_pair_to_read,
)
from sigmamind_mcp.insight.decisions import PROOF_SHARE
from sigmamind_mcp.insight.statistics import ALPHA, Counts

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def case(number: int, **changes: Any) -> TestCase:
    raw = {
        "testCaseId": f"tc_{number}",
        "label": f"Case {number}",
        "userPrompt": "x",
        "successCriteria": "y",
        **changes,
    }
    return TestCase.read(raw)


def side(counts: Sequence[tuple[int, int]], **changes: Any) -> Side:
    cases = {
        f"tc_{n}": CaseSide(case(n, **changes), Counts(*pair), batch_ids=("",))
        for n, pair in enumerate(counts)
    }
    return Side(cases, Counts(sum(p for p, _ in counts), sum(n for _, n in counts)), "test runs")


def drawn(random: Random, rates: Sequence[float], attempts: int) -> Side:
    return side(
        [(sum(random.random() < rate for _ in range(attempts)), attempts) for rate in rates]
    )


def dated(one: Side, batch_id: str, days: float) -> Side:
    """The same counts as a batch run of so many days before the candidate."""
    cases = {name: replace(own, batch_ids=(batch_id,)) for name, own in one.cases.items()}
    return replace(one, cases=cases, batch_id=batch_id, created=NOW - timedelta(days=days))


def compare(base: Side, *candidates: Side, **options: Any) -> Comparison:
    return compare_sides(BaseRuns([base]), candidates, **options)


def regressed(comparison: Comparison) -> bool:
    return any(change.change == "regressed" for change in comparison.changes)


def get_change(comparison: Comparison, number: int) -> CaseChange:
    (found,) = [
        change for change in comparison.changes if change.case.test_case_id == f"tc_{number}"
    ]
    return found


def test_pairs_without_a_change_are_seldom_called_changed(figures: list[str]) -> None:
    random = Random(20261121)
    called = overall = 0
    for number in range(200):
        attempts = (5, 10, 25)[number % 3]
        rates = [random.choice((0.3, 0.6, 0.8, 0.95)) for _ in range(random.choice((1, 3, 10, 20)))]
        compared = compare(drawn(random, rates, attempts), drawn(random, rates, attempts))
        called += regressed(compared)
        overall += compared.overall.p is not None and compared.overall.p <= ALPHA

    figures.append(
        f"200 pairs without a change: {called} with a case called regressed, {overall} significant overall"
    )
    assert called <= 10 and overall <= 14


def test_planted_drop_is_proven_as_often_as_the_exact_power_says(figures: list[str]) -> None:
    random = Random(7)
    expected = compute_worse_power(0.95, 0.40, 10, 10, ALPHA * PROOF_SHARE)
    called = sum(
        compare(drawn(random, [0.95], 10), drawn(random, [0.40], 10)).changes[0].level == "proven"
        for _ in range(1000)
    )

    figures.append(
        f"95 -> 40 % at 10 attempts: proven {called / 1000:.3f}, exact power {expected:.3f}"
    )
    assert abs(called / 1000 - expected) <= 3 * sqrt(expected * (1 - expected) / 1000)


def test_ten_cases_that_all_dropped_are_significant_together(figures: list[str]) -> None:
    random = Random(8)
    found = 0
    for _ in range(300):
        p = compare(drawn(random, [0.95] * 10, 10), drawn(random, [0.40] * 10, 10)).overall.p
        found += p is not None and p <= ALPHA

    figures.append(f"ten cases 95 -> 40 %: overall significant in {found} of 300")
    assert found >= 297


def test_drop_of_one_case_at_25_attempts_is_called(figures: list[str]) -> None:
    random = Random(9)
    called = sum(
        regressed(compare(drawn(random, [0.95], 25), drawn(random, [0.40], 25))) for _ in range(400)
    )

    figures.append(f"95 -> 40 % at 25 attempts: called in {called} of 400")
    assert called >= 380


def test_one_of_five_after_five_of_five_is_proven_alone_and_open_among_twenty() -> None:
    alone = compare(side([(5, 5)]), side([(1, 5)]))
    among = compare(side([(5, 5)] * 20), side([(1, 5), *[(5, 5)] * 19]))

    assert alone.could_call and alone.changes[0].level == "proven"
    assert (among.changes[0].change, among.changes[0].level) == ("not called", "open")
    assert among.open_cases == [among.changes[0]]


def test_attempts_that_can_show_nothing_are_named_and_no_test() -> None:
    compared = compare(side([(20, 20), (2, 2)]), side([(20, 20), (0, 2)]))

    assert (compared.compared, compared.counted) == (2, 1)
    assert get_change(compared, 1).obstacle == "too few attempts"
    assert get_change(compared, 0).obstacle is None
    assert not compare(side([(2, 2)]), side([(0, 2)])).could_call


def test_open_case_says_how_many_attempts_would_prove_it() -> None:
    (change,) = compare(side([(9, 10)]), side([(6, 10)])).changes

    needed = change.attempts_needed
    assert change.level == "open" and needed is not None
    rates = needed.higher_rate, needed.lower_rate
    assert needed == find_attempts_for_rates(*rates, alpha=ALPHA * PROOF_SHARE)


def test_change_of_mix_is_no_change_of_the_agent() -> None:
    """Simpson's: every case is as good as before, but the hard one ran more often."""
    compared = compare(side([(19, 20), (10, 40)]), side([(38, 40), (5, 20)]))

    assert compared.overall.p is not None and compared.overall.p > 0.5
    assert {change.change for change in compared.changes} == {"not called"}


def test_unchanged_case_shows_the_smallest_provable_drop() -> None:
    (change,) = compare(side([(10, 10)]), side([(10, 10)])).changes

    assert change.change == "not called" and change.smallest_drop == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("field", "value", "disqualifies"),
    [
        ("userPrompt", "z", True),
        ("successCriteria", "z", True),
        ("mockData", [{"variableName": "a", "value": "b"}], True),
        ("llmModel", "gpt-5", True),
        ("attempt", 9, False),
        ("label", "Another name", False),
    ],
)
def test_edited_definition_excludes_the_case(field: str, value: Any, disqualifies: bool) -> None:
    before = {"mockData": [], "llmModel": "gpt-4o", "attempt": 10}
    base = side([(10, 10), (10, 10)], **before)
    edited = CaseSide(case(0, **{**before, field: value}), Counts(0, 10))
    candidate = Side({**base.cases, "tc_0": edited}, Counts(10, 20), "test runs")

    compared = compare(base, candidate)
    change = next(change for change in compared.changes if change.case.test_case_id == "tc_0")

    assert change.differs == (field,)
    assert change.change == ("definition changed" if disqualifies else "regressed")
    assert compared.compared == (1 if disqualifies else 2)


def test_cases_are_paired_by_id_and_then_by_a_unique_label() -> None:
    def of(*cases: TestCase) -> Side:
        return Side(
            {one.test_case_id or "": CaseSide(one, Counts(5, 5)) for one in cases},
            Counts(5, 5),
            "test runs",
        )

    base = of(
        case(1), case(2, label="Same"), case(3, label="Twice"), case(4, label="Twice"), case(5)
    )
    candidate = of(case(1), case(12, label="Same"), case(13, label="Twice"), case(16))
    found = [
        (change.change, change.case.test_case_id) for change in compare(base, candidate).changes
    ]

    assert sorted(found) == sorted(
        [("not called", "tc_1"), ("not called", "tc_12"), ("removed", "tc_3"), ("removed", "tc_4"), ("removed", "tc_5"),
         ("new", "tc_13"), ("new", "tc_16")]
    )  # fmt: skip


def test_pair_to_read_is_of_the_case_that_fell_most() -> None:
    def with_example(one: Side, number: int, verdict: Any, job_id: str) -> Side:
        name = f"tc_{number}"
        examples = {verdict: RunPlace(one.batch_id, job_id)}
        return replace(one, cases={**one.cases, name: replace(one.cases[name], examples=examples)})

    base = with_example(side([(5, 5), (5, 5)]), 1, "passed", "job_b")
    candidate = with_example(side([(5, 5), (1, 5)]), 1, "failed", "job_d")

    assert pick_pair_to_read(compare(base, candidate).changes) == (("", "job_b"), ("", "job_d"))
    assert pick_pair_to_read(compare(base, side([(5, 5), (1, 5)])).changes) is None


def test_mix_differs_when_a_case_has_another_share_of_the_attempts() -> None:
    base = side([(5, 10), (5, 10)])

    assert not compare(base, side([(5, 20), (5, 20)])).overall.mix_differs
    assert compare(base, side([(5, 10), (5, 20)])).overall.mix_differs


def test_direction_is_the_sign_of_the_excess() -> None:
    before = side([(5, 10)])

    directions = [compare(before, side([(passed, 10)])).overall.direction for passed in (4, 5, 6)]

    assert directions == ["worse", "alike", "better"]


def test_recent_batch_runs_are_pooled_and_the_others_have_their_reasons() -> None:
    runs = [
        dated(side([(9, 10)]), "batch_old", 91),
        dated(side([(9, 10)], userPrompt="z"), "batch_edited", 50),
        dated(side([(9, 10)]), "batch_1", 20),
        dated(side([(10, 10)]), "batch_2", 10),
    ]
    candidate = dated(side([(4, 10)]), "batch_new", 0)

    compared = compare_sides(BaseRuns(runs, is_recent=True), [candidate])

    (change,) = compared.changes
    assert change.base and change.base.batch_ids == ("batch_1", "batch_2")
    assert change.base.counts == Counts(19, 20)
    assert compared.left_out == [
        LeftOut("batch_old", "older than 90 days", 1),
        LeftOut("batch_edited", "another definition or model", 1),
    ]


def test_named_batch_runs_are_pooled_whatever_their_dates() -> None:
    runs = [dated(side([(9, 10)]), "batch_1", 200), dated(side([(9, 10)]), "batch_2", -5)]

    (change,) = compare_sides(BaseRuns(runs), [dated(side([(9, 10)]), "batch_new", 0)]).changes

    assert change.base and change.base.counts == Counts(18, 20)


def test_known_case_without_a_usable_batch_run_is_not_called_new() -> None:
    old = dated(side([(9, 10)]), "batch_old", 91)
    candidate = dated(side([(4, 10)]), "batch_new", 0)

    (change,) = compare_sides(BaseRuns([old], is_recent=True), [candidate]).changes

    assert (change.change, change.obstacle) == ("not called", "no baseline left")


@pytest.mark.parametrize("is_complete", [True, False])
def test_case_is_new_only_if_every_earlier_batch_run_was_read(is_complete: bool) -> None:
    base = BaseRuns([dated(side([(9, 10)]), "b", 5)], is_recent=True, is_complete=is_complete)

    compared = compare_sides(base, [dated(side([(9, 10), (9, 10)]), "batch_new", 0)])

    change = get_change(compared, 1)
    assert change.change == ("new" if is_complete else "not called")
    assert change.obstacle == (None if is_complete else "not seen on both sides")


def test_each_candidate_is_a_look_and_a_case_that_was_not_run_again_stays_called() -> None:
    base = side([(50, 50), (45, 50), (48, 50)])
    first = dated(side([(1, 5), (3, 5), (5, 5)]), "batch_1", 2)
    second = dated(
        Side({"tc_1": side([(0, 1), (0, 5)]).cases["tc_1"]}, Counts(0, 5), "test runs"),
        "batch_2",
        1,
    )

    compared = compare(base, second, first, looks=4)

    assert (compared.look, compared.looks) == (2, 4)
    assert get_change(compared, 0).level == "proven" and get_change(compared, 0).called_at == 1
    again = get_change(compared, 1).candidate
    assert again and (again.counts, again.batch_ids) == (Counts(3, 10), ("batch_1", "batch_2"))
    assert compared.overall.candidate.counts == Counts(9, 15)


def test_all_candidates_are_one_look_if_one_was_planned() -> None:
    compared = compare(side([(9, 10)]), side([(4, 5)]), side([(5, 5)]))

    assert compared.look == 1 and compared.changes[0].candidate
    assert compared.changes[0].candidate.counts == Counts(9, 10)


def test_candidates_with_another_definition_than_the_newest_are_left_out() -> None:
    edited = dated(side([(0, 5)], userPrompt="z"), "batch_1", 2)
    newest = dated(side([(5, 5)]), "batch_2", 1)

    compared = compare(side([(9, 10)]), edited, newest)

    assert compared.left_out == [LeftOut("batch_1", "another definition or model", 1)]
    assert compared.changes[0].candidate and compared.changes[0].candidate.counts == Counts(5, 5)


@pytest.mark.parametrize(
    ("question", "called"), [("regression", 0), ("improvement", 1), ("both", 1)]
)
def test_improvement_is_a_question_of_its_own(question: Any, called: int) -> None:
    compared = compare(side([(2, 20)]), side([(18, 20)]), question=question)

    assert sum(change.change == "improved" for change in compared.changes) == called
    assert compared.alpha == (ALPHA / 2 if question == "both" else ALPHA)


def test_interval_of_all_cases_is_wider_than_by_attempts_if_cases_differ() -> None:
    total = compare(side([(20, 20), (0, 20)]), side([(20, 20), (0, 20)])).overall.base

    assert total.interval.high - total.interval.low > 0.8
