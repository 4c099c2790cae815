"""Batch runs by test case: counted among the heavy work, with as many transcripts as fit."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from mcp import Client

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.heavy_work import HeavyWork, WorkClock
from sigmamind_mcp.insight.batch_sides import RunPlace
from sigmamind_mcp.tools.side_reading import KeptTranscripts
from tests.conftest import text_of
from tests.support.fake_api import AGENT, RUN, FakeAPI
from tests.support.sample_batches import make_sample_batch, serve_batches

pytestmark = pytest.mark.anyio

T = TypeVar("T")

COMPARE = {"baseBatchId": "batch_1", "candidateBatchId": "batch_2"}


def keep_one(kept: KeptTranscripts, **fields: Any) -> TestRun | None:
    run = TestRun.read({**RUN, **fields})
    assert kept.keep("batch_1", run).conversation is None
    return kept.load(RunPlace("batch_1", run.job_id or ""))


def test_kept_transcript_comes_back() -> None:
    loaded = keep_one(KeptTranscripts(10_000))

    assert loaded and loaded.conversation == TestRun.read(RUN).conversation
    assert (loaded.remarks, loaded.verdict) == (RUN["remarks"], "passed")


@pytest.mark.parametrize("fields", [{"conversation": None}, {"isSuccessful": None}])
def test_run_without_conversation_or_verdict_is_not_kept(fields: dict[str, Any]) -> None:
    assert keep_one(KeptTranscripts(10_000), **fields) is None


def test_no_more_transcripts_are_kept_than_fit() -> None:
    kept = KeptTranscripts(1)

    assert keep_one(kept) is not None
    assert keep_one(kept, jobId="job_2") is None


@pytest.mark.parametrize(("case_id", "is_kept"), [("tc_other", False), ("", True)])
def test_transcripts_of_other_test_cases_are_not_kept(case_id: str, is_kept: bool) -> None:
    case = {"testCaseId": "tc_1"}

    kept = keep_one(KeptTranscripts(10_000, case_id=case_id), testCase=case)

    assert (kept is not None) == is_kept
    assert keep_one(KeptTranscripts(10_000, case_id="tc_1"), testCase=case)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("compare_batch_runs", COMPARE),
        ("get_test_case_history", {"batchIds": ["batch_1", "batch_2"]}),
        ("get_test_case_history", {"batchIds": ["batch_1", "batch_2"], "testCaseId": "tc_0"}),
    ],
)
async def test_counting_and_statistics_are_heavy_work(
    tool: str,
    arguments: dict[str, Any],
    mcp: Client,
    fake_api: FakeAPI,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks: list[WorkClock] = []
    run = HeavyWork.run

    async def record(heavy: HeavyWork, caller: str, clock: WorkClock, work: Callable[[], T]) -> T:
        clocks.append(clock)
        return await run(heavy, caller, clock, work)

    monkeypatch.setattr(HeavyWork, "run", record)
    samples = [make_sample_batch(f"batch_{number}", [(5, 5), (1, 9)]) for number in (1, 2)]
    serve_batches(fake_api, *samples)

    result = await mcp.call_tool(tool, {"agentId": AGENT["agentId"], **arguments})

    assert not result.is_error, text_of(result)
    # Each batch run is counted, then all are compared.
    assert len(set(map(id, clocks))) == len(clocks) == 3
