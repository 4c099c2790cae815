from datetime import UTC, datetime, timedelta

from sigmamind_mcp.insight.pooling import KnownRun, NotPooled, pool_known_runs
from sigmamind_mcp.insight.statistics import Counts

CANDIDATE = datetime(2026, 6, 1, tzinfo=UTC)


def make_run(days: int, passed: int, decided: int = 10, *, is_same: bool = True) -> KnownRun:
    """Return a batch run so many days before the candidate."""
    created = CANDIDATE - timedelta(days=days)
    return KnownRun(f"batch_{days}", created, Counts(passed, decided), is_same)


def pool(*runs: KnownRun) -> tuple[Counts, list[str], dict[str, NotPooled]]:
    baseline = pool_known_runs(runs, before=CANDIDATE)
    reasons = {run.batch_id: reason for run, reason in baseline.left_out}
    return baseline.counts, [run.batch_id for run in baseline.pooled], reasons


def test_everything_alike_is_pooled_in_any_order() -> None:
    assert pool(make_run(1, 9), make_run(30, 8), make_run(7, 10)) == (
        Counts(27, 30),
        ["batch_30", "batch_7", "batch_1"],
        {},
    )


def test_each_batch_run_that_is_left_out_has_its_reason() -> None:
    counts, pooled, reasons = pool(
        make_run(91, 9),
        make_run(90, 9),
        make_run(5, 2, is_same=False),
        make_run(4, 0, 0),
        make_run(3, 9),
        make_run(0, 9),
        make_run(-2, 9),
    )

    assert (counts, pooled) == (Counts(18, 20), ["batch_90", "batch_3"])
    assert reasons == {
        "batch_91": "older than 90 days",
        "batch_5": "another definition or model",
        "batch_4": "no decided attempts",
        "batch_0": "not before the candidate",
        "batch_-2": "not before the candidate",
    }


def test_latest_hundred_attempts_are_pooled() -> None:
    counts, pooled, reasons = pool(*(make_run(days, 9) for days in range(1, 13)))

    assert counts == Counts(90, 100)
    assert len(pooled) == 10
    assert reasons == {"batch_12": "beyond 100 attempts", "batch_11": "beyond 100 attempts"}


def test_latest_batch_run_is_pooled_whatever_its_size() -> None:
    counts, pooled, _ = pool(make_run(2, 90, 100), make_run(1, 450, 500))

    assert (counts, pooled) == (Counts(450, 500), ["batch_1"])


def test_pool_starts_after_a_change_of_the_rate() -> None:
    counts, pooled, reasons = pool(
        make_run(5, 2), make_run(4, 3), make_run(3, 9), make_run(2, 10), make_run(1, 9)
    )

    assert (counts, pooled) == (Counts(28, 30), ["batch_3", "batch_2", "batch_1"])
    assert set(reasons.values()) == {"before a change of the rate"}


def test_oldest_batch_runs_are_dropped_until_the_rates_do_not_differ() -> None:
    counts, pooled, reasons = pool(make_run(4, 10), make_run(3, 4), make_run(2, 10), make_run(1, 8))

    assert reasons == {
        "batch_4": "rate differs from the later ones",
        "batch_3": "rate differs from the later ones",
    }
    assert (counts, pooled) == (Counts(18, 20), ["batch_2", "batch_1"])


def test_nothing_known_gives_an_empty_baseline() -> None:
    assert pool() == (Counts(0, 0), [], {})
