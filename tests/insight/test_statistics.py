import json
import math
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
from scipy.stats import binom, binomtest, fisher_exact, norm
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sigmamind_mcp.insight import statistics
from sigmamind_mcp.insight.statistics import (
    ALPHA,
    Counts,
    Z,
    adjust_p_values,
    compute_cmh_p,
    compute_fisher_p,
    compute_power,
    compute_wilson_interval,
    find_attempts_to_settle,
    find_smallest_drop,
    find_smallest_p,
)

FROM_R = json.loads(
    (Path(__file__).parent.parent / "data" / "mantelhaen.json").read_text(encoding="utf-8")
)


def all_counts(decided: int) -> list[Counts]:
    return [Counts(passed, decided) for passed in range(decided + 1)]


def random_counts(random: Random, most: int) -> Counts:
    decided = random.randint(0, most)
    return Counts(
        random.choice([0, decided, random.randint(0, decided), random.randint(0, decided)]), decided
    )


def scipy_fisher(base: Counts, candidate: Counts) -> float:
    table = [[side.passed, side.decided - side.passed] for side in (base, candidate)]
    return float(fisher_exact(table).pvalue)


def brute_power(base_rate: float, candidate_rate: float, attempts: int, alpha: float) -> float:
    return sum(
        float(
            binom.pmf(base.passed, attempts, base_rate)
            * binom.pmf(candidate.passed, attempts, candidate_rate)
        )
        for base, candidate in product(all_counts(attempts), repeat=2)
        if scipy_fisher(base, candidate) <= alpha
    )


def test_rate_is_the_share_that_passed() -> None:
    assert [Counts(3, 4).rate, Counts(0, 4).rate, Counts(0, 0).rate] == [0.75, 0.0, 0.0]


def test_wilson_equals_statsmodels() -> None:
    assert float(norm.ppf(0.975)) == Z
    for decided in (1, 2, 3, 7, 10, 50, 333):
        for counts in all_counts(decided):
            expected = proportion_confint(counts.passed, decided, alpha=0.05, method="wilson")
            assert compute_wilson_interval(counts) == pytest.approx(expected, abs=1e-12), counts


def test_wilson_stays_between_none_and_all() -> None:
    assert compute_wilson_interval(Counts(0, 0)) == (0, 1)
    for decided in range(1, 200):
        assert compute_wilson_interval(Counts(0, decided)).low == 0
        assert compute_wilson_interval(Counts(decided, decided)).high == 1


def test_fisher_equals_scipy_on_every_small_table() -> None:
    for base_decided, candidate_decided in product(range(7), repeat=2):
        for base, candidate in product(all_counts(base_decided), all_counts(candidate_decided)):
            assert compute_fisher_p(base, candidate) == pytest.approx(
                scipy_fisher(base, candidate), rel=1e-9
            ), (base, candidate)


@pytest.mark.parametrize("most", [20, 100, 400])
def test_fisher_equals_scipy_on_large_tables(most: int) -> None:
    random = Random(most)
    for _ in range(150):
        base, candidate = random_counts(random, most), random_counts(random, most)
        assert compute_fisher_p(base, candidate) == pytest.approx(
            scipy_fisher(base, candidate), rel=1e-9
        ), (
            base,
            candidate,
        )


def test_fisher_counts_the_mirrored_outcome_as_equally_likely() -> None:
    assert compute_fisher_p(Counts(3, 3), Counts(0, 3)) == 2 / math.comb(6, 3)
    assert compute_fisher_p(Counts(100, 100), Counts(0, 100)) == 2 / math.comb(200, 100)


@pytest.mark.parametrize(
    "base, candidate",
    [
        ((0, 0), (3, 5)),
        ((2, 4), (0, 0)),
        ((0, 0), (0, 0)),
        ((0, 9), (0, 4)),
        ((9, 9), (4, 4)),
        ((5, 10), (5, 10)),
    ],
)
def test_sides_without_a_difference_have_a_p_of_one(
    base: tuple[int, int], candidate: tuple[int, int]
) -> None:
    assert compute_fisher_p(Counts(*base), Counts(*candidate)) == 1
    assert compute_cmh_p([(Counts(*base), Counts(*candidate))]) == 1


def test_holm_equals_statsmodels() -> None:
    random = Random(1979)
    for length in (1, 2, 3, 5, 20, 100):
        for exponent in (1, 4):  # the second makes many small ones
            p_values = [
                random.choice([0.0, 0.01, 1.0, random.random() ** exponent]) for _ in range(length)
            ]
            assert adjust_p_values(p_values) == pytest.approx(
                list(multipletests(p_values, method="holm")[1]), abs=1e-12
            )


def test_holm_of_nothing_is_nothing() -> None:
    assert adjust_p_values([]) == []


def test_holm_never_adjusts_past_a_larger_p() -> None:
    assert adjust_p_values([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@pytest.mark.parametrize(
    "case", FROM_R, ids=lambda case: f"{len(case['strata'])} strata, p {case['p']:.1e}"
)
def test_cochran_mantel_haenszel_equals_r(case: dict[str, Any]) -> None:
    strata = [(Counts(*base), Counts(*candidate)) for base, candidate in case["strata"]]

    assert compute_cmh_p(strata) == pytest.approx(case["p"], rel=1e-9, abs=0)
    assert compute_cmh_p([(candidate, base) for base, candidate in strata]) == pytest.approx(
        case["p"], rel=1e-9, abs=0
    )


def test_values_from_r_are_many_and_varied() -> None:
    sizes, p_values = [len(case["strata"]) for case in FROM_R], [case["p"] for case in FROM_R]

    assert (len(FROM_R), min(sizes), max(sizes)) == (50, 2, 100)
    assert min(p_values) < 1e-200
    assert max(p_values) == pytest.approx(1)


def test_one_stratum_is_fishers_test() -> None:
    for base, candidate in product(all_counts(9), all_counts(6)):
        assert compute_cmh_p([(base, candidate)]) == pytest.approx(
            compute_fisher_p(base, candidate), rel=1e-12
        )


def test_pairs_of_single_attempts_are_the_exact_mcnemar_test() -> None:
    """R rejects strata this small, but the distribution is known: differing pairs are coin tosses."""
    yes, no = Counts(1, 1), Counts(0, 1)
    strata = [(yes, no)] * 9 + [(no, yes)] * 2 + [(yes, yes)] * 4 + [(no, no)] * 3

    assert compute_cmh_p(strata) == pytest.approx(float(binomtest(9, 11).pvalue), rel=1e-9)


def test_strata_without_information_change_nothing() -> None:
    informative = [(Counts(9, 10), Counts(3, 12)), (Counts(4, 5), Counts(4, 9))]
    silent = [
        (Counts(0, 0), Counts(0, 0)),
        (Counts(3, 4), Counts(0, 0)),
        (Counts(0, 0), Counts(2, 7)),
        (Counts(5, 5), Counts(3, 3)),
        (Counts(0, 5), Counts(0, 3)),
    ]

    assert compute_cmh_p([*silent, *informative, *silent]) == compute_cmh_p(informative)
    assert compute_cmh_p(silent) == 1
    assert compute_cmh_p([]) == 1


def test_rounding_does_not_separate_equally_likely_sums() -> None:
    random = Random(11)
    for _ in range(50):
        strata = [
            (Counts(random.randint(0, 9), 9), Counts(random.randint(0, 9), 9)) for _ in range(4)
        ]
        exactly = {0: 1}  # how often base has so many passes, in whole numbers
        for base, candidate in strata:
            total = base.passed + candidate.passed
            ways = {k: math.comb(9, k) * math.comb(9, total - k) for k in range(10) if k <= total}
            exactly = {
                passed: sum(exactly.get(passed - k, 0) * ways[k] for k in ways)
                for passed in range(max(exactly) + 10)
            }
        seen = exactly[sum(base.passed for base, _ in strata)]
        p = sum(way for way in exactly.values() if way <= seen) / sum(exactly.values())
        assert compute_cmh_p(strata) == pytest.approx(p, rel=1e-9)


def test_no_p_is_above_one() -> None:
    random = Random(3)
    for _ in range(200):
        side = Counts(random.randint(0, 9), 9)
        assert compute_cmh_p([(side, side)] * random.randint(1, 9)) <= 1


def test_least_p_is_the_least_of_all_outcomes() -> None:
    for base_decided, candidate_decided in product(range(13), repeat=2):
        outcomes = product(all_counts(base_decided), all_counts(candidate_decided))
        assert find_smallest_p(base_decided, candidate_decided) == min(
            compute_fisher_p(*outcome) for outcome in outcomes
        )


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3])
def test_smallest_drop_is_the_smallest_that_is_proven(alpha: float) -> None:
    for base_decided, candidate_decided in product((0, 1, 4, 10, 13), (0, 1, 5, 10, 12)):
        for base in all_counts(base_decided):
            informative = [
                base.rate - candidate.rate
                for candidate in all_counts(candidate_decided)
                if candidate_decided
                and base.rate > candidate.rate
                and compute_fisher_p(base, candidate) <= alpha
            ]
            assert find_smallest_drop(base, candidate_decided, alpha) == min(
                informative, default=None
            )


def test_smallest_drop_may_sit_exactly_at_alpha() -> None:
    assert find_smallest_drop(Counts(4, 4), 4, compute_fisher_p(Counts(4, 4), Counts(0, 4))) == 1
    assert find_smallest_drop(Counts(4, 4), 4, ALPHA / 2) is None


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.1 / 3, 1e-4])
def test_power_equals_brute_force(alpha: float) -> None:
    for attempts in (1, 3, 4, 8, 13):
        for rates in (
            (0.9, 0.3),
            (0.3, 0.9),
            (0.5, 0.5),
            (1.0, 0.4),
            (0.4, 0.0),
            (1.0, 0.0),
            (0.0, 0.0),
            (1e-9, 1.0),
        ):
            assert compute_power(*rates, attempts, alpha) == pytest.approx(
                brute_power(*rates, attempts, alpha), abs=1e-9
            )


def test_power_counts_an_outcome_exactly_at_alpha() -> None:
    assert compute_power(1.0, 0.0, 4, find_smallest_p(4, 4)) == 1
    assert compute_power(1.0, 0.0, 4, math.nextafter(find_smallest_p(4, 4), 0)) == 0


@pytest.mark.parametrize("alpha", [0.7, 0.05, 1e-6])
def test_power_is_the_chance_of_what_fisher_rejects(alpha: float) -> None:
    for attempts in (30, 57):
        chances = [
            [float(binom.pmf(k, attempts, rate)) for k in range(attempts + 1)]
            for rate in (0.8, 0.5)
        ]
        rejected = [
            pair
            for pair in product(all_counts(attempts), repeat=2)
            if compute_fisher_p(*pair) <= alpha
        ]
        chance = math.fsum(
            chances[0][base.passed] * chances[1][candidate.passed] for base, candidate in rejected
        )
        assert compute_power(0.8, 0.5, attempts, alpha) == pytest.approx(chance, abs=1e-12)


def test_power_has_the_known_figure() -> None:
    assert compute_power(0.95, 0.40, 10, ALPHA) == pytest.approx(0.63, abs=0.005)


def test_power_of_many_attempts_does_not_overflow() -> None:
    assert 0.99 < compute_power(0.6, 0.5, 1100, ALPHA) < 1


def test_power_is_never_above_one() -> None:
    for attempts in range(20, 80):
        assert 0.99 < compute_power(0.9967, 0.01, attempts, ALPHA) <= 1


def test_power_at_equal_rates_is_at_most_alpha() -> None:
    for attempts, rate in product((1, 5, 10, 40), (0.0, 0.2, 0.5, 0.99, 1.0)):
        assert 0 <= compute_power(rate, rate, attempts, ALPHA) <= ALPHA


def test_no_power_at_an_alpha_out_of_reach() -> None:
    assert compute_power(1.0, 0.0, 10, 1e-9) == 0
    assert compute_power(1.0, 0.0, 100, 0.0) == 0


@pytest.mark.parametrize("rates", [(1.0, 0.0), (0.95, 0.2), (0.1, 0.9), (1.0, 0.3)])
def test_attempts_to_settle_are_the_fewest(rates: tuple[float, float]) -> None:
    for alpha, wanted in ((0.05, 0.8), (0.01, 0.5)):
        enough = (
            attempts for attempts in range(1, 16) if brute_power(*rates, attempts, alpha) >= wanted
        )
        assert find_attempts_to_settle(*rates, alpha, at_most=15, wanted=wanted) == next(
            enough, None
        )


def test_attempts_to_settle_may_be_all_that_are_allowed() -> None:
    assert find_attempts_to_settle(1.0, 0.0, ALPHA, at_most=4, wanted=1.0) == 4
    assert find_attempts_to_settle(1.0, 0.0, ALPHA, at_most=3) is None


def test_attempts_to_settle_are_a_hundred_at_most_for_a_power_of_four_fifths() -> None:
    assert compute_power(0.9, 0.7, 68, ALPHA) < 0.8 < compute_power(0.9, 0.7, 69, ALPHA)
    assert find_attempts_to_settle(0.9, 0.7, ALPHA) == 69
    assert compute_power(0.9, 0.75, 100, ALPHA) < 0.8 < compute_power(0.9, 0.75, 120, ALPHA)
    assert find_attempts_to_settle(0.9, 0.75, ALPHA) is None


def test_equal_rates_are_never_settled() -> None:
    assert [find_attempts_to_settle(rate, rate, ALPHA) for rate in (0.0, 0.5, 1.0)] == [
        None,
        None,
        None,
    ]


def test_large_cochran_mantel_haenszel_equals_statsmodels() -> None:
    random = Random(9)
    strata = []
    for _ in range(4):
        base, candidate = (Counts(random.randint(7_500, 7_600), 9_000) for _ in range(2))
        strata.append((base, candidate))
    tables = [[[side.passed, side.decided - side.passed] for side in stratum] for stratum in strata]
    expected = StratifiedTable(numpy.transpose(tables)).test_null_odds(correction=True)

    assert compute_cmh_p(strata) == pytest.approx(float(expected.pvalue), rel=1e-9)


def test_cochran_mantel_haenszel_approximation_meets_the_exact_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strata = [(Counts(4_500, 5_000), Counts(4_480, 5_000))] * 8
    exact = compute_cmh_p(strata)

    monkeypatch.setattr(statistics, "MAX_CMH_OUTCOMES", 8 * 1_020 - 1)

    assert compute_cmh_p(strata) != exact
    assert compute_cmh_p(strata) == pytest.approx(exact, rel=0.01)


def test_ten_million_attempts_can_be_compared() -> None:
    stratum = Counts(9_000_000, 10_000_000), Counts(8_999_000, 10_000_000)

    assert 0.1 < compute_cmh_p([stratum]) < 1
    assert compute_cmh_p([stratum] * 100) < 1e-10
