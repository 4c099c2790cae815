from random import Random

import pytest
from statsmodels.stats.multitest import multipletests

from sigmamind_mcp.insight.error_rates import (
    LOOK_SHARES,
    MAX_LOOKS,
    Question,
    adjust_by_discovery,
    find_testable,
    split_alpha,
)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 60])
def test_adjusted_p_values_equal_statsmodels(count: int) -> None:
    random = Random(count)
    p_values = [random.choice([random.random() ** 3, 0.01, 1.0]) for _ in range(count)]

    adjusted = adjust_by_discovery(p_values)

    assert len(adjusted) == count
    if p_values:
        expected = multipletests(p_values, method="fdr_bh")[1]
        assert adjusted == pytest.approx(list(expected), rel=1e-12)


@pytest.mark.parametrize("looks", range(1, MAX_LOOKS + 1))
def test_looks_share_alpha(looks: int) -> None:
    parts = [split_alpha(0.05, "regression", looks=looks, look=k + 1) for k in range(looks)]

    assert sum(parts) == pytest.approx(0.05)
    assert parts == sorted(parts)
    assert len(LOOK_SHARES[looks]) == looks


@pytest.mark.parametrize(
    "question, expected", [("regression", 0.0025), ("improvement", 0.0025), ("both", 0.00125)]
)
def test_both_directions_get_half_of_alpha_each(question: Question, expected: float) -> None:
    assert split_alpha(0.05, question, looks=4, look=1) == pytest.approx(expected)


def test_cases_that_cannot_be_significant_take_no_share() -> None:
    assert find_testable([0.5, 0.001, 0.02, 0.5], 0.05) == [1, 2]
    assert find_testable([0.001, 0.02, 0.04], 0.05) == [0, 1]
    assert find_testable([0.04], 0.05) == [0]
    assert find_testable([0.06, 0.5], 0.05) == []
    assert find_testable([], 0.05) == []
