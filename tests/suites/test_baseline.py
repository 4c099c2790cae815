"""The baseline of a gate."""

from datetime import UTC, datetime, timedelta

import pytest

from sigmamind_mcp.insight.pooling import KnownRun
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.baseline import pool_before_drop

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("passed", "pooled"),
    [
        ([8, 7, 8], Counts(23, 24)),
        ([8, 8, 0], Counts(16, 16)),
        ([8, 8, 0, 0, 0], Counts(16, 16)),
        ([8, 8, 0, 8], Counts(8, 8)),
        ([0, 0, 8, 8], Counts(16, 16)),
        ([0, 0, 8, 8, 0, 0], Counts(16, 16)),
    ],
)
def test_drop_never_becomes_the_baseline(passed: list[int], pooled: Counts) -> None:
    runs = [
        KnownRun(f"b{day}", NOW - timedelta(days=20 - day), Counts(count, 8))
        for day, count in enumerate(passed)
    ]

    assert pool_before_drop(runs, before=NOW).counts == pooled
