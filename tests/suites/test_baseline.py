"""The baseline of a gate."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.pooling import KnownRun
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.baseline import pool_before_drop, read_baseline
from tests.support.fake_api import AGENT, FakeAPI, page
from tests.support.sample_batches import CREATED, make_sample_batch, serve_batches

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


@pytest.mark.anyio
@pytest.mark.parametrize("chosen", [[], ["batch_new"]])
@pytest.mark.parametrize("seconds", [0, 3, 60])
async def test_batch_run_counts_though_the_date_header_is_older(
    client: SigmaMindClient, fake_api: FakeAPI, seconds: int, chosen: list[str]
) -> None:
    """Otherwise a broken agent would pass, and its batch run would be blessed."""
    sample = make_sample_batch("batch_new", [(7, 1)])
    serve_batches(fake_api, sample)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch]))
    date = datetime.fromisoformat(CREATED) - timedelta(seconds=seconds)
    fake_api.headers["Date"] = format_datetime(date, usegmt=True)
    (case,) = map(TestCase.read, sample.batch["testCases"])

    baseline = await read_baseline(AGENT["agentId"], [case], client, chosen=chosen)

    assert baseline.batch_ids == ["batch_new"]
    assert baseline.counts == {"tc_0": Counts(7, 8)}


@pytest.mark.anyio
@pytest.mark.parametrize("created", ["2126-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"])
async def test_batch_run_of_the_future_neither_counts_nor_hides_others(
    client: SigmaMindClient, fake_api: FakeAPI, created: str
) -> None:
    known, future = make_sample_batch("batch_known", [(7, 1)]), make_sample_batch("b2", [(0, 8)])
    future.batch["createdDate"] = created
    serve_batches(fake_api, known, future)
    fake_api.answer("GET", "/v1/batch-runs", page([future.batch, known.batch]))
    date = datetime.fromisoformat(CREATED) + timedelta(days=1)
    fake_api.headers["Date"] = format_datetime(date, usegmt=True)
    (case,) = map(TestCase.read, known.batch["testCases"])

    baseline = await read_baseline(AGENT["agentId"], [case], client)

    assert baseline.batch_ids == ["batch_known"]
    assert baseline.counts == {"tc_0": Counts(7, 8)}
