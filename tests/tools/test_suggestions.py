"""An unknown id is answered with similar ids that exist."""

from typing import Any

import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import BATCH, CASE, ERROR, RUN, Asked, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"


async def test_unknown_test_case_names_similar_ones(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-cases", [CASE])

    result = await mcp.call_tool(
        "get_test_case", {"agentId": AGENT, "testCaseId": "tc_d17T6uReChpyfFeR"}
    )

    assert (
        "No test case of agent agent_D5D0p7TUs66TTAEAx called tc_d17T6uReChpyfFeR is in the API's list."
        in text_of(result)
    )
    assert "Similar ids: tc_d17T6uReChpyfFeP. list_test_cases shows them." in text_of(result)


@pytest.mark.parametrize("status", [404, 403])
async def test_unknown_batch_run_names_similar_ones(
    mcp: Client, fake_api: FakeAPI, status: int
) -> None:
    """An API may answer 403 for what belongs to another agent."""
    fake_api.answer("GET", "/v1/test-cases", [CASE])
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH]))
    fake_api.answer("GET", "/v1/batch-runs/batch_s0OJu2JWR8R45Fa", ERROR, status)

    result = await mcp.call_tool(
        "get_batch_run", {"agentId": AGENT, "batchId": "batch_s0OJu2JWR8R45Fa"}
    )

    assert "Similar ids: batch_s0OJu2JWR8R45Fai. list_batch_runs shows them." in text_of(result)


async def test_unknown_job_names_similar_ones(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-cases", [CASE])
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH]))
    fake_api.answer("GET", "/v1/test-runs", page([RUN]))

    result = await mcp.call_tool(
        "get_test_run", {"agentId": AGENT, "batchId": BATCH["batchId"], "jobId": "job_ksUu"}
    )

    assert "No test run of batch run batch_s0OJu2JWR8R45Fai called job_ksUu is in" in text_of(
        result
    )
    assert "list_test_runs shows them." in text_of(result)


async def test_unknown_agent_names_similar_ones(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/agents", page([{"agentId": AGENT}]))

    result = await mcp.call_tool(
        "get_test_case", {"agentId": "agent_D5D0p7TUs66TTAEA", "testCaseId": "tc_1"}
    )

    assert "No agent called agent_D5D0p7TUs66TTAEA is in the API's list." in text_of(result)
    assert f"Similar ids: {AGENT}." in text_of(result)


def serve_two_pages(fake_api: FakeAPI, path: str, entry: Any, second: Any) -> None:
    """Serve a list whose second page is answered like this."""

    def answer(asked: Asked) -> Any:
        if int(asked.query.get("page", 0)):
            return second
        return page([entry], size=1, totalCount=2, totalPages=2, hasNext=True)

    fake_api.answer("GET", path, answer)


@pytest.mark.parametrize("second", [(500, ERROR), page([7], page=1, size=1, totalCount=2)])
@pytest.mark.parametrize(
    ("path", "entry", "arguments"),
    [
        ("/v1/agents", {"agentId": AGENT}, {"agentId": "agent_x", "testCaseId": "tc_1"}),
        ("/v1/test-cases", CASE, {"testCaseId": "tc_1"}),
        ("/v1/test-runs", RUN, {"batchId": BATCH["batchId"], "jobId": "job_x"}),
    ],
    ids=["agent", "test case", "test run"],
)
async def test_id_that_may_be_in_an_unread_part_of_the_list_is_not_called_absent(
    mcp: Client, fake_api: FakeAPI, path: str, entry: Any, arguments: dict[str, Any], second: Any
) -> None:
    if path != "/v1/agents":
        fake_api.answer("GET", "/v1/test-cases", [CASE])
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH]))
    serve_two_pages(fake_api, path, entry, second)
    tool = "get_test_run" if "jobId" in arguments else "get_test_case"

    result = await mcp.call_tool(tool, {"agentId": AGENT, **arguments})

    assert result.is_error
    assert " is in the API's list, not all of which was read." in text_of(result)


async def test_batch_run_is_not_called_absent_from_a_page_with_an_unreadable_entry(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-cases", [CASE])
    fake_api.answer("GET", "/v1/batch-runs", page([BATCH, 7], hasNext=True, totalCount=30))

    result = await mcp.call_tool("get_batch_run", {"agentId": AGENT, "batchId": "batch_x"})

    assert "is among the newest 2, not all of which was read." in text_of(result)
