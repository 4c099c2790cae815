"""A walk through the pages of batch runs shows each once, however the API counts its pages."""

from typing import Any

import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import AGENT, BATCH, Asked, FakeAPI, page
from tests.support.paging_forms import FORMS, FORMS_WITHOUT_NUMBER, Part, serve_form

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
PATH = "/v1/batch-runs"
BATCHES = [
    {**BATCH, "batchId": f"batch_{number}", "successfulAttempts": 5, "failedAttempts": 0}
    for number in range(25)
]
IDS = [batch["batchId"] for batch in BATCHES]


async def walk(mcp: Client, **arguments: Any) -> tuple[list[str], list[Any]]:
    """Follow the next calls to the end; return the ids and the answers."""
    seen: list[str] = []
    answers: list[Any] = []
    call: dict[str, Any] | None = {"agentId": AGENT_ID, **arguments}
    while call is not None:
        result = await mcp.call_tool("list_batch_runs", call)
        assert not result.is_error, text_of(result)
        answer = result.structured_content
        seen += [row["batchId"] for row in answer["batchRuns"]]
        answers.append(answer)
        assert len(answers) <= 2 * len(BATCHES)
        steps = [step for step in answer.get("nextCalls", []) if step["tool"] == "list_batch_runs"]
        call = steps[0]["arguments"] if steps else None
    return seen, answers


@pytest.mark.parametrize("below_first", ["clamp", "empty", "refuse"])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", FORMS)
async def test_every_form_shows_each_batch_run_once(
    mcp: Client, fake_api: FakeAPI, name: str, first: int, below_first: str
) -> None:
    # Without a sign of more, an empty page is an empty list.
    if name == "full page" and below_first == "empty":
        below_first = "clamp"
    give = serve_form(BATCHES, FORMS[name], first=first, below_first=below_first)
    fake_api.answer("GET", PATH, give)

    for size in (7, 10):
        seen, answers = await walk(mcp, size=size)

        assert seen == IDS
        assert answers[0]["page"] == 0
        assert not any("notRead" in answer for answer in answers)


@pytest.mark.parametrize("name", FORMS_WITHOUT_NUMBER)
async def test_pages_asked_for_by_number_repeat_no_batch_run(
    mcp: Client, fake_api: FakeAPI, name: str
) -> None:
    """The caller counts from 0 by itself; the API counts from 1, and clamps 0."""
    fake_api.answer("GET", PATH, serve_form(BATCHES, FORMS[name], first=1))
    seen: list[str] = []

    for number in range(3):
        call = {"agentId": AGENT_ID, "page": number}
        answer = (await mcp.call_tool("list_batch_runs", call)).structured_content
        seen += [row["batchId"] for row in answer["batchRuns"]]

    assert seen == IDS


async def test_base_is_found_once(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", PATH, serve_form(BATCHES, FORMS["hasMore"], first=1))
    for _ in range(2):
        fake_api.asked.clear()
        await walk(mcp, size=10)

    assert [asked.query["page"] for asked in fake_api.asked] == ["1", "2", "3"]


async def test_documented_api_gets_one_request_for_each_page(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", PATH, serve_form(BATCHES, FORMS["documented"]))

    seen, answers = await walk(mcp, page=1, size=10)

    assert (seen, len(answers)) == (IDS[10:], 2)
    assert [asked.query["page"] for asked in fake_api.asked] == ["1", "2"]


@pytest.mark.parametrize("size", [7, 10])
@pytest.mark.parametrize("name", ["documented", "hasMore"])
async def test_page_that_is_a_position_shows_each_batch_run_once(
    mcp: Client, fake_api: FakeAPI, name: str, size: int
) -> None:
    def give(asked: Asked) -> Any:
        start, size = int(asked.query["page"]), int(asked.query["size"])
        part = Part(BATCHES[start : start + size], start, size, 25, start + size < 25)
        return FORMS[name](part)

    fake_api.answer("GET", PATH, give)

    seen, answers = await walk(mcp, size=size)

    assert seen == IDS
    assert "or the API's pages overlap" in answers[1]["hint"]


async def test_new_batch_run_between_two_calls_repeats_none(mcp: Client, fake_api: FakeAPI) -> None:
    listed = list(BATCHES)
    fake_api.answer("GET", PATH, lambda asked: serve_form(listed, FORMS["documented"])(asked))
    call: dict[str, Any] = {"agentId": AGENT_ID, "size": 10}

    first = (await mcp.call_tool("list_batch_runs", call)).structured_content
    listed.insert(0, {**BATCHES[0], "batchId": "batch_new"})
    seen, _ = await walk(mcp, **first["nextCalls"][0]["arguments"])

    assert seen == IDS[10:]


@pytest.mark.parametrize("message", ["unknown parameter size", "Bad Request"])
async def test_api_without_the_parameter_size_is_read_without_it(
    mcp: Client, fake_api: FakeAPI, message: str
) -> None:
    give_page = serve_form(BATCHES, FORMS["documented"])

    def give(asked: Asked) -> Any:
        if "size" in asked.query:
            return 400, {"status": 400, "message": message}
        return give_page(asked)

    fake_api.answer("GET", PATH, give)

    for size in (5, 20):
        seen, _ = await walk(mcp, size=size)
        assert seen == IDS


async def test_refusal_without_a_reason_may_be_of_page_zero(mcp: Client, fake_api: FakeAPI) -> None:
    give_page = serve_form(BATCHES, FORMS["documented"], first=1)

    def give(asked: Asked) -> Any:
        is_refused = asked.query["page"] == "0"
        return (400, {"message": "Bad Request"}) if is_refused else give_page(asked)

    fake_api.answer("GET", PATH, give)

    seen, _ = await walk(mcp)

    assert seen == IDS


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({"hasNext": False}, 18),
        ({"hasNext": False, "totalCount": 7}, None),
        ({"hasNext": False, "totalCount": None}, None),
    ],
    ids=str,
)
async def test_gap_in_the_list_is_counted(
    mcp: Client, fake_api: FakeAPI, told: dict[str, Any], missing: int | None
) -> None:
    fake_api.answer("GET", PATH, page(BATCHES[:7], **{"totalCount": 25, **told}))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT_ID})

    notes = result.structured_content.get("notRead", [])
    assert [note["count"] for note in notes] == ([missing] if missing else [])
    sentence = "18 batch runs are in the API's total, but not in its list."
    assert (sentence in text_of(result)) == bool(missing)


async def test_page_zero_that_stays_empty_is_a_gap(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", PATH, page([], totalCount=25, hasNext=True))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT_ID})

    assert result.structured_content["notRead"][0]["count"] == 25
    assert len(fake_api.asked) == 2


@pytest.mark.parametrize("states_page", [True, False])
async def test_api_that_ignores_the_page_shows_each_batch_run_once(
    mcp: Client, fake_api: FakeAPI, states_page: bool
) -> None:
    told = page(BATCHES[:7], size=7, totalCount=25, hasNext=True)
    if not states_page:
        del told["page"]
    fake_api.answer("GET", PATH, told)

    seen, answers = await walk(mcp, size=7)

    assert seen == IDS[:7]
    assert "The API answered with page 0, whatever page is asked for." in answers[-1]["hint"]


async def test_unreadable_counters_are_not_called_a_limit_of_looks(
    mcp: Client, fake_api: FakeAPI
) -> None:
    odd = {**BATCH, "successfulAttempts": "x", "failedAttempts": "y"}
    fake_api.answer("GET", PATH, page([odd]))

    result = await mcp.call_tool("list_batch_runs", {"agentId": AGENT_ID})

    assert result.structured_content["batchRuns"][0]["state"] == "unknown"
    assert "hint" not in result.structured_content
