import pytest

from sigmamind_mcp.insight.history import summarize_case_history, summarize_suite_history
from sigmamind_mcp.insight.statistics import Counts

STEADY = [Counts(9, 10)] * 5
FALLEN = [Counts(10, 10), Counts(9, 10), Counts(10, 10), Counts(3, 10), Counts(4, 10)]


def test_case_history_has_rate_trend_change_and_pass_k() -> None:
    history = summarize_case_history(FALLEN)

    assert history.pooled == Counts(36, 50)
    assert history.trend and history.trend.direction == "falling"
    assert history.change_point and history.change_point.place == 3
    assert list(history.pass_k) == [1, 2, 4, 8]
    assert history.pass_k[1] == pytest.approx(0.72)


def test_case_with_few_attempts_has_few_pass_k() -> None:
    history = summarize_case_history([Counts(2, 3), Counts(0, 0)])

    assert (history.trend, history.change_point) == (None, None)
    assert list(history.pass_k) == [1, 2]


def test_suite_history_has_the_largest_change_first_corrected_over_cases() -> None:
    history = summarize_suite_history([STEADY, FALLEN, [Counts(1, 2)]])

    assert [case.place for case in history.ranked] == [1, 0, 2]
    first = history.ranked[0]
    assert first.change_point and first.adjusted_p == pytest.approx(3 * first.change_point.p)
    assert history.pooled == Counts(82, 102)
    assert history.interval.low < history.pooled.rate < history.interval.high
    assert history.consistency == (0, 3, 0)
    assert history.pass_k[0].cases == 3
    assert history.pass_k[-1].cases == 2


def test_suite_without_cases_is_empty() -> None:
    history = summarize_suite_history([])

    assert (history.ranked, history.pooled, history.pass_k) == ([], Counts(0, 0), [])
