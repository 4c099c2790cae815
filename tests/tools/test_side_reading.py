"""Batch runs by test case: counted among the heavy work, with as many transcripts as fit."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from mcp import Client

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.heavy_work import HeavyWork, WorkClock
from sigmamind_mcp.insight.batch_sides import RunPlace
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.tools.side_reading import OTHERS_OF_BATCH_RUN, KeptTranscripts
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


def test_transcripts_of_other_test_cases_are_kept_if_they_are_few_passed_ones() -> None:
    def list_kept(case_id: str, count: int, **fields: Any) -> list[str | None]:
        kept = KeptTranscripts(100_000, case_id="tc_1")
        for number in range(count):
            keep_one(kept, jobId=f"job_{number}", testCase={"testCaseId": case_id}, **fields)
        others = kept.load_others()
        assert all(run.conversation and get_case_id(run) == case_id for run in others)
        return [run.job_id for run in others]

    assert list_kept("tc_other", 2) == ["job_0", "job_1"]
    assert len(list_kept("tc_other", OTHERS_OF_BATCH_RUN + 1)) == OTHERS_OF_BATCH_RUN
    assert list_kept("tc_other", 2, isSuccessful=False) == list_kept("tc_1", 2) == []


def test_transcripts_of_other_test_cases_leave_space_for_the_wanted_ones() -> None:
    kept = KeptTranscripts(2_000, case_id="tc_1")
    for number in range(OTHERS_OF_BATCH_RUN):
        keep_one(kept, jobId=f"job_{number}", testCase={"testCaseId": "tc_2"}, isSuccessful=True)

    assert 0 < len(kept.load_others()) < OTHERS_OF_BATCH_RUN
    assert keep_one(kept, jobId="own", testCase={"testCaseId": "tc_1"}, isSuccessful=False)


@pytest.mark.parametrize("job_id", ["job_1", None])
@pytest.mark.parametrize("is_other_first", [False, True])
def test_runs_of_two_test_cases_with_one_id_stay_apart(
    job_id: str | None, is_other_first: bool
) -> None:
    kept = KeptTranscripts(100_000, case_id="tc_1")
    own = {"testCase": {"testCaseId": "tc_1"}, "isSuccessful": False, "remarks": "own"}
    other = {"testCase": {"testCaseId": "tc_2"}, "isSuccessful": True, "remarks": "other"}
    for fields in (other, own) if is_other_first else (own, other):
        keep_one(kept, jobId=job_id, **fields)

    loaded = kept.load(RunPlace("batch_1", job_id or ""))
    assert loaded and (loaded.remarks, loaded.verdict) == ("own", "failed")
    assert [(run.remarks, get_case_id(run)) for run in kept.load_others()] == [("other", "tc_2")]


@pytest.mark.parametrize("case_id", ["", "tc_1"])
def test_failed_transcripts_of_the_wanted_test_case_are_kept(case_id: str) -> None:
    kept = KeptTranscripts(10_000, case_id=case_id)

    assert keep_one(kept, testCase={"testCaseId": "tc_1"}, isSuccessful=False)


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
