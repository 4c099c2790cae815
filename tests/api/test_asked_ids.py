"""Which answers are about what was asked for."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import NotOffered, UnexpectedAnswer
from tests.support.fake_api import AGENT, BATCH, CASE, RUN, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
BARE_AGENT_ID = AGENT_ID.removeprefix("agent_")
ASKED = {
    "agentId": AGENT_ID,
    "batchId": BATCH["batchId"],
    "jobId": RUN["jobId"],
    "testCaseId": CASE["testCaseId"],
}
NOUNS = {"agentId": "agent", "batchId": "batch run", "jobId": "test run", "testCaseId": "test case"}
# What an answer may give instead of the id that was asked for.
ABSENT = object()
NO_ID: list[Any] = [ABSENT, None, "", [], {"id": 1}, True]


class Read(NamedTuple):
    """A read of one object or of a list, and the ids that its answer must not contradict."""

    path: str
    sample: dict[str, Any]
    ids: tuple[str, ...]
    call: Callable[[SigmaMindClient], Awaitable[Any]]


BATCH_ID, JOB_ID, CASE_ID = ASKED["batchId"], ASKED["jobId"], ASKED["testCaseId"]
SINGLE = [
    Read(f"/v1/agents/{AGENT_ID}", AGENT, ("agentId",), lambda api: api.get_agent(AGENT_ID)),
    Read(
        f"/v1/test-cases/{CASE_ID}",
        CASE,
        ("testCaseId", "agentId"),
        lambda api: api.get_test_case(CASE_ID, AGENT_ID),
    ),
    Read(
        f"/v1/batch-runs/{BATCH_ID}",
        BATCH,
        ("batchId", "agentId"),
        lambda api: api.get_batch_run(BATCH_ID, AGENT_ID),
    ),
    Read(
        f"/v1/test-runs/{JOB_ID}",
        RUN,
        ("jobId", "batchId", "agentId"),
        lambda api: api.get_test_run(JOB_ID, BATCH_ID, AGENT_ID),
    ),
]
LISTS = [
    Read("/v1/test-cases", CASE, ("agentId",), lambda api: api.list_test_cases(AGENT_ID)),
    Read("/v1/batch-runs", BATCH, ("agentId",), lambda api: list_batch_runs(api)),
    Read(
        "/v1/test-runs",
        RUN,
        ("batchId", "agentId"),
        lambda api: api.list_test_runs(BATCH_ID, AGENT_ID),
    ),
]


async def list_batch_runs(api: SigmaMindClient) -> Any:
    return (await api.list_batch_runs(AGENT_ID)).value


def set_id(sample: dict[str, Any], name: str, value: Any, *, embedded: bool = True) -> Any:
    """Return the object with another id; an agent's is in `agent`, or else at the top."""
    changed = dict(sample)
    if name == "agentId" and "agent" in sample:
        changed["agent"] = {**AGENT, name: AGENT_ID if value is ABSENT else value}
        if not embedded or value is ABSENT:
            changed.pop("agent")
    if not (name == "agentId" and "agent" in sample and embedded):
        changed[name] = value
    return {key: kept for key, kept in changed.items() if kept is not ABSENT}


@pytest.mark.parametrize("foreign", ["other_1", "agent_other", "a/b", "a b", 12])
async def test_object_with_another_id_is_an_error_that_names_both(
    client: SigmaMindClient, fake_api: FakeAPI, foreign: Any
) -> None:
    for read in SINGLE:
        for name in read.ids:
            for embedded in (True, False):
                answer = set_id(read.sample, name, foreign, embedded=embedded)
                fake_api.answer("GET", read.path, answer)
                with pytest.raises(UnexpectedAnswer) as raised:
                    await read.call(client)
                shown = (
                    "with an invalid id" if "/" in str(foreign) or " " in str(foreign) else foreign
                )
                assert str(raised.value) == (
                    f"The API was asked for {NOUNS[name]} {ASKED[name]},"
                    f" but its answer is about {NOUNS[name]} {shown}."
                )


@pytest.mark.parametrize("given", NO_ID, ids=str)
async def test_object_without_a_readable_id_is_accepted(
    client: SigmaMindClient, fake_api: FakeAPI, given: Any
) -> None:
    for read in SINGLE:
        for name in read.ids:
            fake_api.answer("GET", read.path, set_id(read.sample, name, given))
            await read.call(client)


@pytest.mark.parametrize("given", [AGENT_ID, BARE_AGENT_ID])
async def test_agent_id_counts_with_and_without_its_prefix(
    client: SigmaMindClient, fake_api: FakeAPI, given: str
) -> None:
    for read in SINGLE[1:]:
        fake_api.answer("GET", read.path, set_id(read.sample, "agentId", given))
        await read.call(client)
    fake_api.answer("GET", f"/v1/agents/{given}", {**AGENT, "agentId": BARE_AGENT_ID})
    await client.get_agent(given)
    for read in LISTS:
        fake_api.answer("GET", read.path, page([set_id(read.sample, "agentId", given)]))
        listing = await read.call(client)
        assert (len(listing.items), listing.foreign) == (1, 0)


@pytest.mark.parametrize("paged", [True, False])
@pytest.mark.parametrize("foreign", ["other_1", "agent_other", "a/b"])
async def test_entries_with_another_id_are_left_out_and_counted(
    client: SigmaMindClient, fake_api: FakeAPI, foreign: str, paged: bool
) -> None:
    for read in LISTS:
        for name in read.ids:
            for embedded in (True, False):
                other = set_id(read.sample, name, foreign, embedded=embedded)
                entries = [other, read.sample, other, other]
                fake_api.answer("GET", read.path, page(entries) if paged else entries)
                listing = await read.call(client)
                assert [item.raw for item in listing.items] == [read.sample]
                assert (listing.foreign, listing.unreadable) == (3, [])


@pytest.mark.parametrize("given", NO_ID, ids=str)
async def test_entries_without_a_readable_id_are_accepted(
    client: SigmaMindClient, fake_api: FakeAPI, given: Any
) -> None:
    for read in LISTS:
        for name in read.ids:
            fake_api.answer("GET", read.path, page([set_id(read.sample, name, given)]))
            listing = await read.call(client)
            assert (len(listing.items), listing.foreign) == (1, 0)


async def test_runs_inside_a_batch_run_are_checked_like_listed_ones(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    runs = [RUN, {**RUN, "jobId": "job_2", "batchId": "batch_2"}, None, "job_3"]
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "testRuns": runs})

    listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

    assert [run.job_id for run in listing.items] == [JOB_ID, "job_3"]
    assert (listing.foreign, listing.unreadable) == (1, [(2, None)])


async def test_list_of_nothing_but_foreign_runs_is_no_missing_list(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    foreign = {**RUN, "batchId": "batch_2"}
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "testRuns": [foreign]})

    listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

    assert (listing.items, listing.foreign) == ([], 1)


async def test_refused_list_states_what_was_answered_and_no_more(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs", {"status": 400, "message": "size: at most 50"}, 400)
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", BATCH)

    with pytest.raises(NotOffered) as raised:
        await client.list_test_runs(BATCH_ID, AGENT_ID)

    assert str(raised.value).startswith(
        "The API did not list the test runs of this batch run (it answered 400), and the batch run"
        " itself names none."
    )
    assert raised.value.upstream == {"message": "size: at most 50"}
