"""How far a batch run is, and its test runs with verdicts, in whichever form the API lists them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sigmamind_mcp.api import run_reading
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, TestRun
from sigmamind_mcp.api.run_reading import (
    Progress,
    derive_progress,
    list_complete_runs,
    read_progress,
    read_runs,
    read_states,
)
from sigmamind_mcp.errors import InvalidArguments, SigmaMindError
from sigmamind_mcp.tools.unread_notes import note_listing
from tests.support.fake_api import BATCH, RUN, Asked, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
JOB = RUN["jobId"]
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
CREATED = datetime(2026, 3, 26, 10, 52, 45, 565_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, ("finished", 4, 1, 5, 0)),
        ({"successfulAttempts": 1, "failedAttempts": 0}, ("running", 1, 0, 5, 4)),
        ({"successfulAttempts": 9}, ("finished", 9, 1, 5, 0)),
        ({"successfulAttempts": None, "failedAttempts": None}, ("running", None, None, 5, None)),
        ({"testCases": None, "totalAttempts": None}, ("running", 4, 1, None, None)),
    ],
)
async def test_progress_counts_what_the_api_tells(
    changes: dict[str, Any], numbers: tuple[Any, ...]
) -> None:
    batch_run = BatchRun.read({**BATCH, **changes})
    state, *counts = numbers

    progress = derive_progress(batch_run, CREATED + timedelta(minutes=1))

    assert progress == Progress(state, CREATED, *counts)


async def test_batch_run_whose_newest_attempt_just_ended_is_not_stalled(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "failedAttempts": 0})
    ended = datetime.now(UTC).isoformat()
    fake_api.answer("GET", "/v1/test-runs", page([{**RUN, "completedDate": ended}]))

    batch_run, progress = await read_progress(BATCH_ID, AGENT, client)

    assert batch_run.batch_id == BATCH_ID
    assert progress == Progress("running", CREATED, passed=4, failed=0, expected=5, undecided=1)


# Batch run and attempts ended long ago; 3 of 5 attempts have a verdict.
QUIET = {**BATCH, "successfulAttempts": 3, "failedAttempts": 0, "totalAttempts": 3}
ENDED = [{**RUN, "jobId": f"job_{number}"} for number in (1, 2, 3)]
UNDATED = {name: value for name, value in RUN.items() if name != "completedDate"}


def fail_from_page_2(asked: Asked) -> Any:
    number = int(asked.query.get("page", 0))
    return (500, {}) if number else page(ENDED, size=3, totalCount=5, hasNext=True)


# What the API may answer instead of the whole list.
NOT_ALL_ENDS: dict[str, tuple[int, Any]] = {
    "busy": (503, {}),
    "not offered": (404, {}),
    "no list": (200, b"<html>"),
    "a page that fails": (200, fail_from_page_2),
    "more in the total": (200, page(ENDED, totalCount=5)),
    "fewer than the counters": (200, page(ENDED[:2])),
    "an unreadable entry": (200, page([*ENDED, 7])),
    "ids alone": (200, [*ENDED, {"jobId": "job_4"}]),
    "decided without an end": (200, page([*ENDED, {**UNDATED, "jobId": "job_4"}])),
    "an unreadable end": (200, page([*ENDED, {**RUN, "jobId": "job_4", "completedDate": "soon"}])),
}


@pytest.mark.parametrize("answer", NOT_ALL_ENDS.values(), ids=NOT_ALL_ENDS)
async def test_batch_run_is_not_called_stalled_while_an_end_may_be_unseen(
    client: SigmaMindClient, fake_api: FakeAPI, answer: tuple[int, Any]
) -> None:
    status, body = answer
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", QUIET)
    fake_api.answer("GET", "/v1/test-runs", body, status)
    (listed,) = await read_states([BatchRun.read(QUIET)], AGENT, datetime.now(UTC), client, most=4)
    _, progress = await read_progress(BATCH_ID, AGENT, client)

    assert progress.state == listed.state == "unknown"
    assert (progress.passed, progress.undecided) == (3, 2)


@pytest.mark.parametrize("undecided", [0, 2])
async def test_batch_run_is_stalled_if_all_ends_are_seen(
    client: SigmaMindClient, fake_api: FakeAPI, undecided: int
) -> None:
    """Attempts that have not ended, or not begun, are no missing ends."""
    going = {**UNDATED, "isSuccessful": None, "remarks": None}
    runs = [*ENDED, *({**going, "jobId": f"job_{4 + number}"} for number in range(undecided))]
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", QUIET)
    fake_api.answer("GET", "/v1/test-runs", page(runs))

    (listed,) = await read_states([BatchRun.read(QUIET)], AGENT, datetime.now(UTC), client, most=4)
    _, progress = await read_progress(BATCH_ID, AGENT, client)

    assert progress.state == listed.state == "stalled"


async def test_listed_batch_run_without_an_id_is_not_called_stalled(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    nameless = BatchRun.read({**QUIET, "batchId": None})

    (progress,) = await read_states([nameless], AGENT, datetime.now(UTC), client, most=4)

    assert progress.state == "unknown" and not fake_api.asked


async def test_runs_listed_without_a_verdict_are_read(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs", [{"jobId": "job_1"}, {**RUN, "jobId": "job_2"}])
    fake_api.answer("GET", "/v1/test-runs/job_1", {**RUN, "jobId": "job_1", "isSuccessful": False})

    runs = (await list_complete_runs(BATCH_ID, AGENT, client)).items

    assert [(run.job_id, run.verdict) for run in runs] == [("job_1", "failed"), ("job_2", "passed")]


async def test_listed_run_with_content_stands_where_it_cannot_be_read(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    listed = [{"jobId": name, "chatId": "chat_1"} for name in ("job_1", "job_2")]
    fake_api.answer("GET", "/v1/test-runs", listed)
    fake_api.answer("GET", "/v1/test-runs/job_2", {**RUN, "jobId": "job_2"})

    runs = (await list_complete_runs(BATCH_ID, AGENT, client)).items

    assert [(run.job_id, run.verdict) for run in runs] == [
        ("job_1", "undecided"),
        ("job_2", "passed"),
    ]


async def test_too_many_bare_job_ids_are_refused_before_any_is_read(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reading, "MAX_READ_ONE_BY_ONE", 2)
    fake_api.answer("GET", "/v1/test-runs", [{"jobId": f"job_{number}"} for number in range(3)])

    with pytest.raises(InvalidArguments, match="3 job ids without verdicts"):
        await list_complete_runs(BATCH_ID, AGENT, client)

    assert fake_api.paths == ["GET /v1/test-runs"]


async def test_unknown_job_ids_are_named(client: SigmaMindClient, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", {**RUN, "jobId": "job_1"})

    with pytest.raises(InvalidArguments, match="answered 404 for job_2, job_3 in batch run"):
        await read_runs(["job_1", "job_2", "job_3"], BATCH_ID, AGENT, client)


def job(number: int, **changes: Any) -> dict[str, Any]:
    return {**RUN, "jobId": f"job_{number}", **changes}


# What the API may answer instead of job_2.
LOST: list[tuple[Any, int]] = [
    (job(3), 200),
    (job(2, batchId="batch_2"), 200),
    ({}, 200),
    ([], 200),
    (b"<html>", 200),
    ({"success": False, "message": "gone"}, 200),
    ({}, 404),
    ({}, 500),
]


@pytest.mark.parametrize(("body", "status"), LOST)
async def test_run_that_cannot_be_read_is_named_and_the_others_are_served(
    client: SigmaMindClient, fake_api: FakeAPI, body: Any, status: int
) -> None:
    fake_api.answer("GET", "/v1/test-runs", [{"jobId": f"job_{number}"} for number in (1, 2, 3)])
    for number in (1, 3):
        fake_api.answer("GET", f"/v1/test-runs/job_{number}", job(number))
    fake_api.answer("GET", "/v1/test-runs/job_2", body, status)

    listing = await list_complete_runs(BATCH_ID, AGENT, client)

    assert [run.job_id for run in listing.items] == ["job_1", "job_3"]
    assert listing.unreadable == [(None, "job_2")]


@pytest.mark.parametrize(("body", "status"), [lost for lost in LOST if lost[1] != 404])
async def test_asked_run_that_cannot_be_read_is_named_and_the_others_are_served(
    client: SigmaMindClient, fake_api: FakeAPI, body: Any, status: int
) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", job(1))
    fake_api.answer("GET", "/v1/test-runs/job_2", body, status)

    listing = await read_runs(["job_2", "job_1"], BATCH_ID, AGENT, client)

    assert [run.job_id for run in listing.items] == ["job_1"]
    assert listing.unreadable == [(None, "job_2")]


@pytest.mark.parametrize(("body", "status"), [lost for lost in LOST if lost[1] != 404])
async def test_error_of_the_first_run_is_raised_if_none_can_be_read(
    client: SigmaMindClient, fake_api: FakeAPI, body: Any, status: int
) -> None:
    for number in (1, 2):
        fake_api.answer("GET", f"/v1/test-runs/job_{number}", body, status)
    fake_api.answer("GET", "/v1/test-runs", [{"jobId": "job_2"}])

    with pytest.raises(SigmaMindError):
        await read_runs(["job_2"], BATCH_ID, AGENT, client)
    with pytest.raises(SigmaMindError):
        await list_complete_runs(BATCH_ID, AGENT, client)


async def test_listed_run_without_a_verdict_is_named_if_it_cannot_be_read(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_reading, "MAX_READ_ONE_BY_ONE", 2)
    listed = [{"jobId": f"job_{number}", "remarks": "Kind."} for number in (1, 2, 3)]
    fake_api.answer("GET", "/v1/test-runs", listed)
    fake_api.answer("GET", "/v1/test-runs/job_2", job(2))

    listing = await list_complete_runs(BATCH_ID, AGENT, client)

    assert [run.verdict for run in listing.items] == ["undecided", "passed", "undecided"]
    assert listing.unreadable == [(None, "job_1"), (None, "job_3")]


async def test_foreign_and_odd_entries_stay_counted(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    entries = [None, {"jobId": "job_1"}, job(2, batchId="batch_2"), job(3)]
    fake_api.answer("GET", "/v1/test-runs", entries)
    fake_api.answer("GET", "/v1/test-runs/job_1", job(1))

    listing = await list_complete_runs(BATCH_ID, AGENT, client)

    assert [run.job_id for run in listing.items] == ["job_1", "job_3"]
    assert (listing.unreadable, listing.foreign) == ([(0, None)], 1)


async def test_run_behind_an_odd_entry_has_no_wrong_position(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs", [7, {"jobId": "job_1"}, job(2)])
    fake_api.answer("GET", "/v1/test-runs/job_1", {}, 500)

    listing = await list_complete_runs(BATCH_ID, AGENT, client)

    assert listing.unreadable == [(0, None), (None, "job_1")]
    notes = note_listing("test run", listing, lambda run: run.job_id)
    assert [(note.position, note.id) for note in notes] == [(1, None), (None, "job_1")]


@pytest.mark.parametrize("has_verdict", [True, False])
async def test_what_the_caller_does_not_keep_is_dropped(
    client: SigmaMindClient, fake_api: FakeAPI, has_verdict: bool
) -> None:
    """The verdict stays, also that of a run that must be read one by one."""
    listed = RUN if has_verdict else {"jobId": JOB, "conversation": RUN["conversation"]}
    fake_api.answer("GET", "/v1/test-runs", page([listed]))
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", RUN)
    heard: list[str] = []

    def keep(run: TestRun) -> TestRun:
        heard.extend(turn.content for turn in run.conversation or [])
        return run.without("conversation")

    (run,) = (await list_complete_runs(BATCH_ID, AGENT, client, keep=keep)).items

    assert (run.verdict, run.conversation, "conversation" in run.raw) == ("passed", None, False)
    assert heard == [RUN["conversation"][0]["content"]]
