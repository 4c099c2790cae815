"""When a read is retried: Retry-After, pauses with jitter, and the budget of the process."""

from datetime import UTC, datetime
from random import Random

import pytest

from sigmamind_mcp.api.retries import RetryBudget, choose_pause, read_retry_after


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("7", 7.0), ("0", 0.0), (" 3 ", 3.0), ("Sat, 21 Nov 2026 12:00:10 GMT", 10.0), ("Sat, 21 Nov 2020 12:00:00 GMT", 0.0),
     ("-1", None), ("NaN", None), ("1e9", None), ("soon", None), ("", None), ("9" * 10_000, float("9" * 64)), ("١", None)],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms_and_never_believed_blindly(
    asked: str, seconds: float | None
) -> None:
    assert (
        read_retry_after({"Retry-After": asked}, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds
    )


def test_pauses_have_full_jitter_within_doubling_limits() -> None:
    random = Random(1)
    first = [choose_pause(1, random) for _ in range(500)]
    tenth = [choose_pause(10, random) for _ in range(500)]

    assert 0 <= min(first) < 0.05 and 0.45 < max(first) <= 0.5
    assert 0 <= min(tenth) < 0.8 and 7.2 < max(tenth) <= 8


def test_budget_is_a_fifth_of_the_calls_and_ten() -> None:
    budget = RetryBudget()
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()

    assert spent <= 210
