"""The baseline of a gate."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.pooling import KnownRun
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites import baseline as suite_baseline
from sigmamind_mcp.suites.baseline import SuiteBaseline, pool_before_drop, read_baseline
from tests.support.fake_api import AGENT, Asked, FakeAPI, page
from tests.support.sample_batches import (
    CREATED,
    SampleBatch,
    make_sample_batch,
    make_sample_case,
    serve_batches,
)

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


def make_history(count: int, *, others: int = 0) -> list[SampleBatch]:
    """Build batch runs, newest first; the newest ones ran another test case."""
    samples = []
    for number in range(others + count):
        sample = make_sample_batch(f"batch_{number}", [(1, 1)])
        created = datetime.fromisoformat(CREATED) - timedelta(hours=number)
        sample.batch["createdDate"] = created.isoformat()
        if number < others:
            sample.batch["testCases"] = [make_sample_case(9, 2)]
        samples.append(sample)
    return samples


def serve_history(api: FakeAPI, samples: Sequence[SampleBatch], *, largest: int) -> None:
    """Serve the batch runs in pages of at most `largest`, one hour after the newest."""

    def list_batch_runs(asked: Asked) -> Any:
        number, size = int(asked.query["page"]), min(int(asked.query["size"]), largest)
        end = (number + 1) * size
        shown = [sample.batch for sample in samples[number * size : end]]
        more = {"totalCount": len(samples), "hasNext": end < len(samples)}
        return page(shown, page=number, size=size, **more)

    serve_batches(api, *samples)
    api.answer("GET", "/v1/batch-runs", list_batch_runs)
    date = datetime.fromisoformat(CREATED) + timedelta(hours=1)
    api.headers["Date"] = format_datetime(date, usegmt=True)


async def read_sample_baseline(client: SigmaMindClient, *chosen: str) -> SuiteBaseline:
    case = TestCase.read(make_sample_case(0, 2))
    return await read_baseline(AGENT["agentId"], [case], client, chosen=chosen)


@pytest.mark.anyio
@pytest.mark.parametrize("largest", [100, 10, 7, 1])
@pytest.mark.parametrize("others", [0, 12, 120])
async def test_baseline_is_found_behind_batch_runs_of_other_cases(
    client: SigmaMindClient, fake_api: FakeAPI, largest: int, others: int
) -> None:
    """The API may page by less than was asked, and other suites of the agent may run often."""
    serve_history(fake_api, make_history(3, others=others), largest=largest)

    baseline = await read_sample_baseline(client)

    assert baseline.counts == {"tc_0": Counts(3, 6)}
    assert (len(baseline.batch_ids), baseline.describe_gap()) == (3, None)


@pytest.mark.anyio
async def test_listing_ends_at_batch_runs_that_are_too_old(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    samples = make_history(30)
    for sample in samples[5:]:
        sample.batch["createdDate"] = "2025-03-26T10:52:45.565Z"
    serve_history(fake_api, samples, largest=10)

    baseline = await read_sample_baseline(client)

    assert (baseline.counts, baseline.describe_gap()) == ({"tc_0": Counts(5, 10)}, None)
    assert fake_api.paths.count("GET /v1/batch-runs") == 1


@pytest.mark.anyio
async def test_baseline_says_that_older_batch_runs_were_not_looked_at(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite_baseline, "MOST_LISTED", 10)
    serve_history(fake_api, make_history(3, others=12), largest=5)

    baseline = await read_sample_baseline(client)

    assert (baseline.counts, baseline.unread) == ({}, 0)
    assert baseline.describe_gap() == "Only the newest 10 batch runs were looked at."


def cut_list(runs: list[Any], asked: Asked) -> Any:
    if int(asked.query.get("page", 0)):
        return (500, {})
    return page(runs[:1], size=1, totalCount=2, hasNext=True)


# What the API may answer instead of the two test runs of a batch run.
NOT_WHOLE: dict[str, Any] = {
    "error": lambda runs, asked: (500, {}),
    "page that fails": cut_list,
    "unreadable entry": lambda runs, asked: page([runs[0], 7]),
    "more in the total": lambda runs, asked: page(runs[:1], totalCount=2),
}


@pytest.mark.anyio
@pytest.mark.parametrize("answer", NOT_WHOLE.values(), ids=NOT_WHOLE)
@pytest.mark.parametrize("chosen", [[], ["batch_0", "batch_1"]], ids=["newest", "chosen"])
async def test_batch_run_that_was_read_in_part_is_not_pooled(
    client: SigmaMindClient, fake_api: FakeAPI, answer: Any, chosen: list[str]
) -> None:
    samples = make_history(2)
    serve_history(fake_api, samples, largest=10)
    _, list_runs = fake_api.answers["GET", "/v1/test-runs"]

    def list_in_part(asked: Asked) -> Any:
        is_whole = asked.query["batchId"] == "batch_0"
        return list_runs(asked) if is_whole else answer(samples[1].runs, asked)

    fake_api.answer("GET", "/v1/test-runs", list_in_part)

    baseline = await read_sample_baseline(client, *chosen)

    assert (baseline.counts, baseline.batch_ids) == ({"tc_0": Counts(1, 2)}, ["batch_0"])
    assert baseline.describe_gap() == "1 earlier batch run could not be read for the baseline."


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["createdDate", "testCases", "batchId"])
@pytest.mark.parametrize("value", [None, 7], ids=["absent", "unreadable"])
async def test_listed_batch_run_that_may_count_is_not_passed_over(
    client: SigmaMindClient, fake_api: FakeAPI, field: str, value: object
) -> None:
    samples = make_history(2)
    if value is None:
        del samples[1].batch[field]
    else:
        samples[1].batch[field] = [value] if field != "testCases" else value
    serve_batches(fake_api, *make_history(2))
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch for sample in samples]))
    date = datetime.fromisoformat(CREATED) + timedelta(hours=1)
    fake_api.headers["Date"] = format_datetime(date, usegmt=True)

    baseline = await read_sample_baseline(client)

    assert (baseline.batch_ids, baseline.unread) == (["batch_0"], 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "created",
    ["2026-03-26T10:52:45.565Z", "2020-01-01T00:00:00Z", "2126-01-01T00:00:00Z", None, 7],
    ids=["recent", "years ago", "in the future", "absent", "unreadable"],
)
@pytest.mark.parametrize("place", [0, 1], ids=["first", "last"])
async def test_chosen_batch_runs_count_whatever_their_date(
    client: SigmaMindClient, fake_api: FakeAPI, created: object, place: int
) -> None:
    samples = make_history(2)
    samples[place].batch["createdDate"] = created
    if created is None:
        del samples[place].batch["createdDate"]
    serve_history(fake_api, samples, largest=10)

    baseline = await read_sample_baseline(client, "batch_1", "batch_0")

    assert baseline.counts == {"tc_0": Counts(2, 4)}
    assert (baseline.batch_ids, baseline.unread) == (["batch_0", "batch_1"], 0)


@pytest.mark.anyio
async def test_every_chosen_batch_run_is_read_and_counts_once(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    samples = make_history(40)
    for sample in samples[:35]:
        sample.batch["testCases"][0]["userPrompt"] = "You are somebody else."
        sample.batch["testCases"][0]["attempt"] = 100
    serve_history(fake_api, samples, largest=100)
    chosen = [sample.batch["batchId"] for sample in samples[::-1]]

    baseline = await read_sample_baseline(client, *chosen, *chosen)

    assert (baseline.counts, baseline.unread) == ({"tc_0": Counts(5, 10)}, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [(404, {}), (503, {}), {"batchId": "batch_1"}, {"testCases": 7}],
    ids=["gone", "fault", "without cases", "unreadable cases"],
)
async def test_chosen_batch_run_that_cannot_be_read_is_named(
    client: SigmaMindClient, fake_api: FakeAPI, answer: Any
) -> None:
    serve_history(fake_api, make_history(2), largest=10)
    fake_api.answer("GET", "/v1/batch-runs/batch_1", lambda asked: answer)

    baseline = await read_sample_baseline(client, "batch_1", "batch_0")

    assert (baseline.batch_ids, baseline.unread) == (["batch_0"], 1)
    assert baseline.unread_ids == ["batch_1"]
