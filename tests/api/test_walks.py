"""A whole list is read once, politely, from any API that answers in pages; what lacks is counted."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from mcp import Client

from sigmamind_mcp.api import transport, walks
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.api.walks import choose_window
from sigmamind_mcp.errors import ConnectionFailed, NotAuthenticated
from tests.conftest import text_of
from tests.support.fake_api import RUN, Asked, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
PATH = "/v1/test-runs"
RUNS = [{**RUN, "jobId": f"job_{number}"} for number in range(250)]

GivePage = Callable[[Asked], Any]


def serve(
    runs: list[Any],
    *,
    first: int = 0,
    default: int = 10,
    cap: int = 1000,
    refused_above: int = 1000,
    states: tuple[str, ...] = ("page", "size", "totalCount", "totalPages", "hasNext"),
    **more: Any,
) -> GivePage:
    """Return an API of these runs; its pages count from `first` and have at most `cap` runs."""

    def give(asked: Asked) -> Any:
        size = int(asked.query.get("size", default))
        if size > refused_above:
            return 400, {"status": 400, "message": f"size must be <= {refused_above}"}
        size = min(size, cap)
        number = int(asked.query.get("page", first)) - first
        part = runs[max(0, number) * size : (max(0, number) + 1) * size]
        count = -(-len(runs) // size)
        told = page(part, page=number + first, size=size, totalCount=len(runs), totalPages=count)
        told["hasNext"] = number + 1 < count
        told = {name: value for name, value in told.items() if name in ("data", *states)}
        return {**told, **more}

    return give


def ids(listing: Any) -> list[str]:
    return [run.job_id for run in listing.items]


def job_ids(count: int) -> list[str]:
    return [f"job_{number}" for number in range(count)]


@pytest.mark.parametrize("count", [1, 9, 10, 11, 25, 101, 250])
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"default": 20},
        {"default": 100},
        {"default": 7},
        {"cap": 10},
        {"cap": 15},
        {"cap": 50},
        {"cap": 1},
        {"refused_above": 50},
        {"refused_above": 10},
        {"refused_above": 1, "default": 1},
        {"first": 1},
        {"first": 1, "cap": 20},
        {"first": 1, "states": ("totalCount", "hasNext")},
        {"states": ("hasNext",)},
        {"states": ("totalCount",)},
        {"states": ("page", "totalPages")},
        {"states": ("totalPages", "hasNext"), "cap": 30},
        {"size": 20},
        {"hasNext": "x", "states": ()},
    ],
    ids=str,
)
async def test_every_run_is_listed_once_and_no_page_read_twice(
    client: SigmaMindClient, fake_api: FakeAPI, kind: dict[str, Any], count: int
) -> None:
    fake_api.answer("GET", PATH, serve(RUNS[:count], **kind))

    for _ in range(2):
        fake_api.asked.clear()
        listing = await client.list_test_runs(BATCH_ID, AGENT)

        assert (ids(listing), listing.missing_count, listing.stop) == (job_ids(count), 0, None)
        queries = [tuple(asked.query.items()) for asked in fake_api.asked]
        assert len(queries) == len(set(queries))


async def test_pages_after_the_first_are_read_six_at_a_time(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    together = threading.Barrier(6)
    give_page = serve([{**RUN, "jobId": f"job_{number}"} for number in range(700)], default=100)

    def give(asked: Asked) -> Any:
        if "page" in asked.query:
            together.wait(5)
        return give_page(asked)

    fake_api.answer("GET", PATH, give)

    assert ids(await client.list_test_runs(BATCH_ID, AGENT)) == job_ids(700)
    assert len(fake_api.asked) == 7


async def test_refusal_for_too_many_requests_halves_their_number(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    """Six refusals of requests that were made together halve it once."""
    running, most = 0, 0
    lock = threading.Lock()
    refused: list[str] = []
    give_page = serve([{**RUN, "jobId": f"job_{number}"} for number in range(2_000)], default=100)

    def give(asked: Asked) -> Any:
        nonlocal running, most
        number = asked.query.get("page", "0")
        with lock:
            if number == "1" and number not in refused:
                refused.append(number)
                return 429, {}
            running += 1
            if int(number) > 9:
                most = max(most, running)
        try:
            threading.Event().wait(0.02)
            return give_page(asked)
        finally:
            with lock:
                running -= 1

    fake_api.answer("GET", PATH, give)

    assert ids(await client.list_test_runs(BATCH_ID, AGENT)) == job_ids(2_000)
    assert most <= 3


async def test_list_that_changes_while_it_is_read_is_stated(mcp: Client, fake_api: FakeAPI) -> None:
    """Some runs are on two pages, and others on none."""
    give_page = serve(RUNS[:72] + RUNS[:178])
    fake_api.answer("GET", PATH, give_page)

    result = await mcp.call_tool("list_test_runs", {"agentId": AGENT, "batchId": BATCH_ID})

    assert result.structured_content["totalCount"] == 178
    cause = "the list may have changed while it was read"
    assert f"178 of 250 test runs were read: {cause}." in text_of(result)
    (note,) = result.structured_content["notRead"]
    assert (note["count"], note["total"]) == (72, 250)


SAYS_MORE: list[dict[str, Any]] = [
    {"hasNext": True},
    {"hasMore": True},
    {"totalPages": 9},
    {"next": "/v1/test-runs?page=9"},
    {"nextPage": 9},
    {"nextCursor": "abc"},
]


@pytest.mark.parametrize("says_more", SAYS_MORE, ids=str)
@pytest.mark.parametrize("read_count", [0, 10, 30])
@pytest.mark.parametrize("total", [None, 30])
async def test_list_that_ends_with_an_empty_page_goes_on_unless_the_total_is_read(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    says_more: dict[str, Any],
    read_count: int,
    total: int | None,
) -> None:
    def give(asked: Asked) -> Any:
        size, number = int(asked.query.get("size", 10)), int(asked.query.get("page", 0))
        part = RUNS[:read_count][number * size : (number + 1) * size]
        stated = {} if total is None else {"totalCount": total}
        return {"data": part, "page": number, "size": size, **stated, **says_more}

    fake_api.answer("GET", PATH, give)

    listing = await client.list_test_runs(BATCH_ID, AGENT)

    is_whole = read_count == total
    cause = "unknown paging" if "nextCursor" in says_more else "empty page"
    assert listing.stop == (None if is_whole else cause)
    assert listing.missing_count == (total - read_count if total else 0)
    assert ids(listing) == job_ids(read_count)


LIMITS: list[tuple[dict[str, Any], int, str]] = [
    ({"MAX_WALKED_BYTES": 60_000}, 0, "bytes"),
    ({"MAX_WALKED_ITEMS": 40}, 0, "entries"),
    ({"MAX_WALKED_PAGES": 5}, 0, "pages"),
    ({}, 500, "failed page"),
    ({}, 404, "failed page"),
    ({}, 400, "failed page"),
    ({}, 429, "failed page"),
]


@pytest.mark.parametrize(("limits", "status", "cause"), LIMITS)
async def test_what_was_read_before_a_limit_is_served(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    status: int,
    cause: str,
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(walks, name, value)
    give_page = serve(RUNS, cap=10)

    def give(asked: Asked) -> Any:
        is_far = int(asked.query.get("page", 0)) * int(asked.query.get("size", 10)) >= 40
        return (status, {}) if status and is_far else give_page(asked)

    fake_api.answer("GET", PATH, give)

    listing = await client.list_test_runs(BATCH_ID, AGENT)

    read = len(listing.items)
    assert listing.stop == cause
    assert (listing.total, listing.missing_count) == (250, 250 - read)
    assert 40 <= read < 250 and ids(listing) == job_ids(read)


async def test_what_was_read_in_time_is_served(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R27"""
    monkeypatch.setattr(walks, "WALK_SECONDS", 0.5)
    give_page = serve(RUNS)

    def give(asked: Asked) -> Any:
        if int(asked.query.get("size", 10)) > 20:
            fake_api.stall.clear()
        return give_page(asked)

    fake_api.answer("GET", PATH, give)
    listing = await client.list_test_runs(BATCH_ID, AGENT)
    fake_api.stall.set()

    assert (ids(listing), listing.stop, listing.missing_count) == (job_ids(40), "seconds", 210)


async def test_list_without_its_first_page_in_time_is_an_error(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "WALK_SECONDS", 0.2)
    fake_api.stall.clear()
    with pytest.raises(ConnectionFailed, match="did not give its list of test-runs"):
        await client.list_test_runs(BATCH_ID, AGENT)
    fake_api.stall.set()


@pytest.mark.parametrize("total", [None, 250])
async def test_api_that_ignores_the_page_is_asked_a_few_times_only(
    mcp: Client, fake_api: FakeAPI, total: int | None
) -> None:
    fake_api.answer("GET", PATH, page(RUNS[:10], hasNext=True, totalCount=total, page=None))

    result = await mcp.call_tool("list_test_runs", {"agentId": AGENT, "batchId": BATCH_ID})

    assert result.structured_content["totalCount"] == 10
    assert "the API gives the same page again, whatever page is asked for" in text_of(result)
    assert ("10 of 250 test runs were read" in text_of(result)) == (total == 250)
    assert len(fake_api.asked) <= 4


@pytest.mark.parametrize("first_size", ["10", "20"])
async def test_api_that_ignores_the_page_is_asked_four_times_whichever_answer_comes_first(
    client: SigmaMindClient, fake_api: FakeAPI, first_size: str
) -> None:
    """The second and the third page are asked for together, in two sizes."""
    is_second_read = threading.Event()

    def give(asked: Asked) -> Any:
        if asked.query.get("size", first_size) != first_size:
            is_second_read.wait(5)
        return page(RUNS[:10], hasNext=True, totalCount=250, page=None)

    def keep(run: TestRun) -> TestRun:
        if len(fake_api.asked) > 1:
            is_second_read.set()
        return run

    fake_api.answer("GET", PATH, give)

    listing = await client.list_test_runs(BATCH_ID, AGENT, keep=keep)

    assert (ids(listing), listing.stop) == (job_ids(10), "repeated page")
    assert len(fake_api.asked) == 4


async def test_refused_key_on_a_later_page_is_an_error(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    give_page = serve(RUNS)
    fake_api.answer(
        "GET", PATH, lambda asked: (401, {}) if "page" in asked.query else give_page(asked)
    )
    with pytest.raises(NotAuthenticated):
        await client.list_test_runs(BATCH_ID, AGENT)


async def test_page_above_our_own_limit_is_read_in_smaller_ones(
    client: SigmaMindClient, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test run alone is too large: it is named, and the others are read."""
    runs = [*RUNS[:60]]
    runs[33] = {**RUN, "jobId": "job_33", "remarks": "x" * 60_000}
    fake_api.answer("GET", PATH, serve(runs))
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 40_000)

    listing = await client.list_test_runs(BATCH_ID, AGENT)

    assert len(listing.items) == 59
    assert [entry.position for entry in listing.unreadable] == [33]


async def test_cancelled_call_cancels_the_reading_of_all_pages(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    give_page = serve(RUNS, default=20)

    def give(asked: Asked) -> Any:
        if "page" in asked.query:
            fake_api.stall.clear()
        return give_page(asked)

    fake_api.answer("GET", PATH, give)
    with anyio.move_on_after(0.5) as scope:
        await client.list_test_runs(BATCH_ID, AGENT)
    asked = len(fake_api.asked)
    fake_api.stall.set()

    assert scope.cancelled_caught and asked <= 3
    assert len(fake_api.asked) == asked


def test_window_starts_where_it_is_wanted() -> None:
    for offset in range(1, 2_000):
        for largest in (1, 7, 50, 100):
            window = choose_window(offset, largest)
            assert window.size * window.number == window.offset == offset
            assert 1 <= window.size <= largest
