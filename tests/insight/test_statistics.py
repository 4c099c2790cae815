import json
import math
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
from scipy.stats import binomtest, fisher_exact, norm
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sigmamind_mcp.insight import statistics
from sigmamind_mcp.insight.statistics import (
    Counts,
    Z,
    adjust_p_values,
    compute_cmh_p,
    compute_wilson_interval,
    is_cmh_exact,
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


def compute_fisher_p(base: Counts, candidate: Counts) -> float:
    """The exact test of one test case is Fisher's two-sided test."""
    return compute_cmh_p([(base, candidate)])


def scipy_fisher(base: Counts, candidate: Counts) -> float:
    table = [[side.passed, side.decided - side.passed] for side in (base, candidate)]
    return float(fisher_exact(table).pvalue)


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
    assert compute_fisher_p(Counts(3, 3), Counts(0, 3)) == pytest.approx(2 / math.comb(6, 3))
    assert compute_fisher_p(Counts(100, 100), Counts(0, 100)) == pytest.approx(
        2 / math.comb(200, 100)
    )


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
    assert is_cmh_exact(strata)

    monkeypatch.setattr(statistics, "MAX_CMH_OUTCOMES", 8 * 1_020 - 1)

    assert not is_cmh_exact(strata)
    assert compute_cmh_p(strata) != exact
    assert compute_cmh_p(strata) == pytest.approx(exact, rel=0.01)


def test_ten_million_attempts_can_be_compared() -> None:
    stratum = Counts(9_000_000, 10_000_000), Counts(8_999_000, 10_000_000)

    assert 0.1 < compute_cmh_p([stratum]) < 1
    assert compute_cmh_p([stratum] * 100) < 1e-10
