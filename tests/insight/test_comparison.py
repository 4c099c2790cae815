"""Real changes are found, noise is not, and an edited test is not the agent's fault."""

from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

import pytest

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.insight.comparison import (
    CaseSide,
    Comparison,
    Side,
    build_side_from_counters,
    build_side_from_runs,
    compare_sides,
    pick_pair_to_read,
)
from sigmamind_mcp.insight.statistics import ALPHA, Counts, compute_power
from tests.support.fake_api import BATCH, CASE, RUN


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
        f"tc_{n}": CaseSide(case(n, **changes), Counts(*pair)) for n, pair in enumerate(counts)
    }
    return Side(cases, Counts(sum(p for p, _ in counts), sum(n for _, n in counts)), "test runs")


def drawn(random: Random, rates: Sequence[float], attempts: int) -> Side:
    return side(
        [(sum(random.random() < rate for _ in range(attempts)), attempts) for rate in rates]
    )


def regressed(comparison: Comparison) -> bool:
    return any(change.change == "regressed" for change in comparison.changes)


def test_pairs_without_a_change_are_seldom_called_changed(figures: list[str]) -> None:
    random = Random(20261121)
    called = overall = 0
    for number in range(200):
        attempts = (5, 10, 25)[number % 3]
        rates = [random.choice((0.3, 0.6, 0.8, 0.95)) for _ in range(random.choice((1, 3, 10, 20)))]
        compared = compare_sides(drawn(random, rates, attempts), drawn(random, rates, attempts))
        called += regressed(compared)
        overall += compared.overall.p is not None and compared.overall.p <= ALPHA

    figures.append(
        f"200 pairs without a change: {called} with a case called regressed, {overall} significant overall"
    )
    assert called <= 10 and overall <= 14


def test_planted_drop_is_called_as_often_as_the_exact_power_says(figures: list[str]) -> None:
    random = Random(7)
    expected = compute_power(0.95, 0.40, 10, ALPHA)
    called = sum(
        regressed(compare_sides(drawn(random, [0.95], 10), drawn(random, [0.40], 10)))
        for _ in range(1000)
    )

    figures.append(
        f"95 -> 40 % at 10 attempts: called {called / 1000:.3f}, exact power {expected:.3f}"
    )
    assert round(expected, 2) == 0.63
    assert abs(called / 1000 - expected) <= 3 * sqrt(expected * (1 - expected) / 1000)


def test_ten_cases_that_all_dropped_are_significant_together(figures: list[str]) -> None:
    random = Random(8)
    found = 0
    for _ in range(300):
        p = compare_sides(drawn(random, [0.95] * 10, 10), drawn(random, [0.40] * 10, 10)).overall.p
        found += p is not None and p <= ALPHA

    figures.append(f"ten cases 95 -> 40 %: overall significant in {found} of 300")
    assert found >= 297


def test_drop_of_one_case_at_25_attempts_is_called(figures: list[str]) -> None:
    random = Random(9)
    called = sum(
        regressed(compare_sides(drawn(random, [0.95], 25), drawn(random, [0.40], 25)))
        for _ in range(400)
    )

    figures.append(f"95 -> 40 % at 25 attempts: called in {called} of 400")
    assert called >= 380


def test_five_of_five_against_one_of_five_is_evidence_alone_and_not_among_twenty() -> None:
    alone = compare_sides(side([(5, 5)]), side([(1, 5)]))
    among = compare_sides(side([(5, 5)] * 20), side([(1, 5), *[(5, 5)] * 19]))

    assert alone.could_prove and alone.changes[0].change == "regressed"
    assert among.changes[0].change == "changed, not proven" and not among.could_prove


def test_too_few_attempts_prove_nothing() -> None:
    compared = compare_sides(side([(3, 3)]), side([(0, 3)]))

    assert not compared.could_prove
    assert (
        compared.changes[0].change == "changed, not proven"
        and compared.changes[0].attempts_to_settle is not None
    )


def test_change_of_mix_is_no_change_of_the_agent() -> None:
    """Simpson's: every case is as good as before, but the hard one ran more often."""
    compared = compare_sides(side([(19, 20), (10, 40)]), side([(38, 40), (5, 20)]))

    assert compared.overall.p is not None and compared.overall.p > 0.5
    assert {change.change for change in compared.changes} == {"unchanged"}


def test_unchanged_case_shows_the_smallest_provable_drop() -> None:
    (change,) = compare_sides(side([(10, 10)]), side([(10, 10)])).changes

    assert change.change == "unchanged" and change.smallest_drop == pytest.approx(0.5)


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

    compared = compare_sides(base, candidate)
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
        (change.change, change.case.test_case_id)
        for change in compare_sides(base, candidate).changes
    ]

    assert sorted(found) == sorted(
        [("unchanged", "tc_1"), ("unchanged", "tc_12"), ("removed", "tc_3"), ("removed", "tc_4"), ("removed", "tc_5"),
         ("new", "tc_13"), ("new", "tc_16")]
    )  # fmt: skip


def test_side_without_runs_has_the_counters_of_its_only_case() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [CASE]})
    two = BatchRun.read({**BATCH, "testCases": [CASE, {**CASE, "testCaseId": "tc_other"}]})

    alone, among_two = build_side_from_counters(batch), build_side_from_counters(two)

    assert alone.cases["tc_d17T6uReChpyfFeP"].counts == Counts(4, 5)
    assert not among_two.is_by_case and among_two.overall == Counts(4, 5)


def test_undecided_runs_count_on_neither_side() -> None:
    runs = [TestRun.read({**RUN, "isSuccessful": verdict}) for verdict in (True, False, None)]

    assert build_side_from_runs(BatchRun.read(BATCH), runs).overall == Counts(1, 2)


def run_of(case_number: int, job_id: str, passed: bool) -> TestRun:
    definition = case(case_number).raw
    return TestRun.read({**RUN, "jobId": job_id, "isSuccessful": passed, "testCase": definition})


def test_side_has_the_definitions_that_its_runs_show() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [{"testCaseId": "tc_1"}, {"testCaseId": "tc_2"}]})

    built = build_side_from_runs(batch, [run_of(1, "job_1", True), run_of(3, "job_2", False)])

    assert built.definitions == "test runs" and built.overall == Counts(1, 2)
    assert {name: side.counts for name, side in built.cases.items()} == {
        "tc_1": Counts(1, 1),
        "tc_2": Counts(0, 0),
        "tc_3": Counts(0, 1),
    }
    assert built.cases["tc_1"].case.user_prompt == "x"


def test_side_has_only_totals_when_a_run_names_no_case() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [CASE, {**CASE, "testCaseId": "tc_other"}]})
    nameless = TestRun.read({**RUN, "testCase": None})

    built = build_side_from_runs(batch, [nameless, run_of(1, "job_1", False)])

    assert not built.is_by_case and built.overall == Counts(1, 2)


def test_pair_to_read_is_of_the_case_that_fell_most() -> None:
    comparison = compare_sides(side([(5, 5), (5, 5)]), side([(5, 5), (1, 5)]))
    base = [run_of(0, "job_a", True), run_of(1, "job_b", True)]
    candidate = [run_of(0, "job_c", False), run_of(1, "job_d", False)]

    assert pick_pair_to_read(comparison.changes, base, candidate) == ("job_b", "job_d")
    assert pick_pair_to_read(comparison.changes, base, candidate[:1]) is None


def test_mix_differs_when_a_case_has_another_share_of_the_attempts() -> None:
    base = side([(5, 10), (5, 10)])

    assert not compare_sides(base, side([(5, 20), (5, 20)])).mix_differs
    assert compare_sides(base, side([(5, 10), (5, 20)])).mix_differs


def test_direction_is_the_sign_of_the_excess() -> None:
    before = side([(5, 10)])

    directions = [
        compare_sides(before, side([(passed, 10)])).overall.direction for passed in (4, 5, 6)
    ]

    assert directions == ["worse", "alike", "better"]
