"""What the API says of further pages is read in any common form, and never taken for a whole list."""

from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.client import SigmaMindClient
from tests.conftest import text_of
from tests.support.fake_api import AGENT, BATCH, RUN, Asked, FakeAPI
from tests.support.paging_forms import FORMS, serve_form

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
BATCH_ID = BATCH["batchId"]
IN_BATCH = {"agentId": AGENT_ID, "batchId": BATCH_ID}
RUNS = [{**RUN, "jobId": f"job_{number}"} for number in range(250)]


def job_ids(count: int) -> list[str]:
    return [f"job_{number}" for number in range(count)]


@pytest.mark.parametrize("count", [9, 10, 25, 101])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", FORMS)
async def test_every_form_is_read_to_its_end(
    client: SigmaMindClient, fake_api: FakeAPI, name: str, first: int, count: int
) -> None:
    fake_api.answer("GET", "/v1/test-runs", serve_form(RUNS[:count], FORMS[name], first=first))

    for _ in range(2):
        fake_api.asked.clear()
        listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

        assert [run.job_id for run in listing.items] == job_ids(count)
        assert (listing.missing_count, listing.stop) == (0, None)
        assert all(asked.headers["host"] in fake_api.url for asked in fake_api.asked)


UNREADABLE_FORMS: dict[str, dict[str, Any]] = {
    "nextCursor": {"nextCursor": "abc"},
    "next": {"next": "https://other.example/v1/test-runs?cursor=abc"},
    "links": {"links": {"next": "/v1/test-runs?after=abc"}},
    "meta": {"meta": {"next_page_token": "abc"}},
}


@pytest.mark.parametrize("refuses_page", [True, False])
@pytest.mark.parametrize("more", UNREADABLE_FORMS.values(), ids=UNREADABLE_FORMS)
async def test_cursor_that_cannot_be_followed_is_stated(
    mcp: Client, fake_api: FakeAPI, more: dict[str, Any], refuses_page: bool
) -> None:
    def give(asked: Asked) -> Any:
        if refuses_page and "page" in asked.query:
            return 400, {"message": "unknown parameter page"}
        return {"data": RUNS[: int(asked.query.get("size", 10))], **more}

    fake_api.answer("GET", "/v1/test-runs", give)

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert "in a form that this server cannot follow that there are more" in text_of(result)
    assert "Of the runs that were read: " in text_of(result)
    assert result.structured_content["notRead"][0]["reason"] == "not listed"
    assert len(fake_api.asked) <= 4


@pytest.mark.parametrize("name", ["nextCursor", "meta", "full page", "X-Total-Count"])
async def test_diagnosis_does_not_call_a_part_of_the_runs_all_of_them(
    mcp: Client, fake_api: FakeAPI, name: str
) -> None:
    """The API gives its first page only, and refuses the others."""
    give_page = serve_form(RUNS[:25], FORMS[name])

    def give(asked: Asked) -> Any:
        return (500, {}) if "page" in asked.query else give_page(asked)

    fake_api.answer("GET", "/v1/test-runs", give)
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", BATCH)

    result = await mcp.call_tool("diagnose_batch_run", IN_BATCH)

    assert any(note["reason"] == "not listed" for note in result.structured_content["notRead"])


async def test_api_without_the_parameter_size_is_read_without_it(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    give_page = serve_form(RUNS[:45], FORMS["documented"])

    def give(asked: Asked) -> Any:
        if "size" in asked.query:
            return 400, {"status": 400, "message": "unknown parameter size"}
        return give_page(asked)

    fake_api.answer("GET", "/v1/test-runs", give)

    for is_known in (False, True):
        fake_api.asked.clear()
        listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

        assert [run.job_id for run in listing.items] == job_ids(45)
        refused = [asked for asked in fake_api.asked if "size" in asked.query]
        assert bool(refused) != is_known


@pytest.mark.parametrize("name", ["documented", "hasMore", "total", "full page"])
async def test_page_that_is_a_position_gives_each_run_once(
    client: SigmaMindClient, fake_api: FakeAPI, name: str
) -> None:
    def give(asked: Asked) -> Any:
        size, start = int(asked.query.get("size", 10)), int(asked.query.get("page", 0))
        shown = RUNS[:25][start : start + size]
        query = {**asked.query, "page": "0"}
        body = serve_form(shown, FORMS[name])(Asked("GET", asked.path, query, {}, None))
        body["data"] = shown
        known = {"page": start, "totalCount": 25, "total": 25, "totalPages": 3}
        more = start + size < 25
        known |= {"hasNext": more, "hasMore": more}
        return {key: known.get(key, value) for key, value in body.items()}

    fake_api.answer("GET", "/v1/test-runs", give)

    listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

    assert [run.job_id for run in listing.items] == job_ids(25)
    assert (listing.missing_count, listing.stop) == (0, None)


async def test_first_page_is_found_where_page_zero_is_empty(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    give_page = serve_form(RUNS[:25], FORMS["documented"], first=1, below_first="empty")

    def give(asked: Asked) -> Any:
        query = {"page": "0", **asked.query}
        return give_page(Asked("GET", asked.path, query, {}, None))

    fake_api.answer("GET", "/v1/test-runs", give)

    listing = await client.list_test_runs(BATCH_ID, AGENT_ID)

    assert [run.job_id for run in listing.items] == job_ids(25)
    assert (listing.missing_count, listing.stop) == (0, None)
