"""An unknown id is answered with similar ids that exist."""

import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import BATCH, CASE, ERROR, RUN, FakeAPI, page

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
