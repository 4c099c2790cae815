"""Starting and following the batch runs of a suite, against a fake API."""

from datetime import UTC, datetime, timedelta

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.errors import OutcomeUnknown
from sigmamind_mcp.moments import parse_moment
from sigmamind_mcp.suites import running
from sigmamind_mcp.suites.baseline import read_baseline
from sigmamind_mcp.suites.gate import NOTHING, GateCase
from sigmamind_mcp.suites.running import RunLimits, SuiteCaseRun, SuiteRun, run_looks
from tests.support.fake_api import AGENT, BATCH, CASE, RUN, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT_ID = str(AGENT["agentId"])
BATCH_ID = str(BATCH["batchId"])


def build_run(seconds: float = 5.0) -> SuiteRun:
    stored = TestCase.read(CASE)
    case = SuiteCaseRun(GateCase("a", 5, NOTHING), stored)
    return SuiteRun.start(AGENT_ID, [case], RunLimits(5, seconds))


async def follow(run: SuiteRun, client: SigmaMindClient, resumed: tuple[str, ...] = ()) -> None:
    await run_looks(
        run, client, resumed=resumed, report=lambda line: None, show=lambda batch_id, progress: None
    )


def offer_runs(fake_api: FakeAPI, count: int = 5) -> None:
    runs = [{**RUN, "jobId": f"job_{number}"} for number in range(count)]
    fake_api.answer("GET", "/v1/test-runs", page(runs))
    batch_run = {**BATCH, "successfulAttempts": count, "failedAttempts": 0}
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", batch_run)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b""), (201, {"batchId": None}), (500, {"message": "x"}), (200, b"<")]
)
async def test_batch_run_that_the_answer_does_not_name_is_never_guessed(
    status: int, body: object, fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    """The list shows a batch run of the same cases, which somebody else started meanwhile."""
    fake_api.answer("POST", "/v1/batch-runs", body, status)
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH]))
    run = build_run()

    with pytest.raises(OutcomeUnknown, match="--resume"):
        await follow(run, client)
    assert run.batch_ids == [] and len(fake_api.posts) == 1


async def test_attempts_are_counted_for_their_case(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": BATCH_ID}, 201)
    offer_runs(fake_api)
    run = build_run()

    await follow(run, client)

    assert (run.broken, run.used, run.batch_ids) == (None, 5, [BATCH_ID])
    assert run.looks[0].counts == {"a": (5, 5)} and run.looks[0].undecided == {"a": 0}


async def test_stalled_batch_run_breaks_the_run(fake_api: FakeAPI, client: SigmaMindClient) -> None:
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": BATCH_ID}, 201)
    offer_runs(fake_api, count=3)
    run = build_run()

    await follow(run, client)

    assert run.broken and "stalled" in run.broken
    assert run.looks[0].undecided == {"a": 2}


async def test_failed_reads_do_not_end_the_wait(
    fake_api: FakeAPI, client: SigmaMindClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "FIRST_PAUSE", 0.01)
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": BATCH_ID}, 201)
    offer_runs(fake_api)
    answers = iter([(500, {}), (429, {}), (200, {**BATCH, "successfulAttempts": 5})])
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", lambda asked: next(answers, (200, BATCH)))
    run = build_run(seconds=30)

    await follow(run, client)

    assert run.broken is None and run.looks[0].counts == {"a": (5, 5)}


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_failed_lists_of_test_runs_do_not_end_the_wait(
    status: int, fake_api: FakeAPI, client: SigmaMindClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch run of long ago seems stalled, unless its test runs show a new end."""
    monkeypatch.setattr(running, "FIRST_PAUSE", 0.01)
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": BATCH_ID}, 201)
    offer_runs(fake_api)
    _, runs = fake_api.answers["GET", "/v1/test-runs"]
    going = {**BATCH, "successfulAttempts": 3, "failedAttempts": 0}
    looks = iter([going, going, going])

    def read_batch_run(asked: object) -> object:
        batch_run = next(looks, {**going, "successfulAttempts": 5})
        is_going = batch_run is going
        fake_api.answer(
            "GET", "/v1/test-runs", {} if is_going else runs, status if is_going else 200
        )
        return batch_run

    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", read_batch_run)
    run = build_run(seconds=30)

    await follow(run, client)

    assert run.broken is None and run.looks[0].counts == {"a": (5, 5)}


async def test_timeout_says_that_the_state_could_not_be_seen(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    fake_api.answer("POST", "/v1/batch-runs", {"batchId": BATCH_ID}, 201)
    offer_runs(fake_api, count=3)
    fake_api.answer("GET", "/v1/test-runs", {}, 404)
    run = build_run(seconds=0)

    await follow(run, client)

    assert run.broken is not None and "stalled" not in run.broken
    assert run.broken.endswith("What could be read of the batch run does not show its state.")


async def test_batch_run_of_another_definition_is_not_resumed(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    edited = {**CASE, "userPrompt": "You are somebody else."}
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "testCases": [edited]})

    with pytest.raises(Exception, match="ran another definition of 'a'"):
        await follow(build_run(), client, (BATCH_ID,))


async def test_baseline_has_only_the_same_definition_before_the_run(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    now = parse_moment("2026-04-01T00:00:00Z")
    assert now is not None
    edited = {**BATCH, "batchId": "batch_edited", "testCases": [{**CASE, "userPrompt": "Other."}]}
    later = {**BATCH, "batchId": "batch_later", "createdDate": "2026-04-02T00:00:00Z"}
    older = {**BATCH, "batchId": "batch_older", "createdDate": "2025-11-01T00:00:00Z"}
    fake_api.answer("GET", "/v1/batch-runs", page([later, edited, BATCH, older]))
    runs = [{**RUN, "jobId": f"job_{number}"} for number in range(5)]

    def list_runs(asked: object) -> object:
        batch_id = asked.query["batchId"]  # type: ignore[attr-defined]
        return page([{**run, "batchId": batch_id} for run in runs])

    fake_api.answer("GET", "/v1/test-runs", list_runs)

    baseline = await read_baseline(AGENT_ID, [TestCase.read(CASE)], client, before=now)

    assert baseline.counts == {CASE["testCaseId"]: (5, 5)}
    assert (baseline.batch_ids, baseline.unread) == ([BATCH_ID], 0)


@pytest.mark.parametrize(
    ("created_ago", "passed", "last_end_ago", "is_pooled"),
    [
        (5, 5, 1, True),
        (5, 3, 1, False),
        (5, 0, None, False),
        (40, 3, 2, False),
        (40, 3, 30, True),
        (40, 5, 2, True),
    ],
    ids=["finished", "running", "just started", "slow", "stalled", "finished slowly"],
)
@pytest.mark.parametrize("is_chosen", [False, True])
async def test_unfinished_batch_run_is_not_in_the_baseline(
    created_ago: int,
    passed: int,
    last_end_ago: int | None,
    is_pooled: bool,
    is_chosen: bool,
    fake_api: FakeAPI,
    client: SigmaMindClient,
) -> None:
    def write_time(minutes: int) -> str:
        return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()

    batch_run = {
        **BATCH,
        "createdDate": write_time(created_ago),
        "testCases": [{**CASE, "attempt": 5}],
        "successfulAttempts": passed,
        "failedAttempts": 0,
        "totalAttempts": passed,
    }
    runs = []
    for number in range(passed):
        run = {**RUN, "jobId": f"job_{number}", "completedDate": write_time(last_end_ago or 0)}
        runs.append(run)
    fake_api.answer("GET", "/v1/batch-runs", page([batch_run]))
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", batch_run)
    fake_api.answer("GET", "/v1/test-runs", page(runs))
    chosen = [BATCH_ID] if is_chosen else []

    cases = [TestCase.read({**CASE, "attempt": 5})]
    baseline = await read_baseline(AGENT_ID, cases, client, chosen=chosen)

    pooled = [BATCH_ID] if is_pooled else []
    left_out = [] if is_pooled else [BATCH_ID]
    assert (baseline.batch_ids, baseline.unfinished_ids) == (pooled, left_out)
