"""Completions on resource templates, for people: newest first, by id or by name, per caller, and never an error."""

from typing import Any

import pytest
from mcp import Client
from mcp_types import PromptReference, ResourceTemplateReference

from sigmamind_mcp.protocol.resources import GUIDES
from sigmamind_mcp.uris import TEMPLATES
from tests.conftest import KEY, connected
from tests.support.fake_api import BATCH, CASE, RUN, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"

TRANSCRIPT = ResourceTemplateReference(type="ref/resource", uri=TEMPLATES["transcript"])


async def completed(mcp: Client, name: str, typed: str = "", **filled: str) -> list[str]:
    argument = {"name": name, "value": typed}
    return (
        await mcp.complete(TRANSCRIPT, argument, context_arguments=filled or None)
    ).completion.values


@pytest.fixture
def stored(fake_api: FakeAPI) -> FakeAPI:
    refund = {**CASE, "testCaseId": "tc_2", "label": "Refund"}
    fake_api.answer(
        "GET",
        "/v1/agents",
        page([{"agentId": "agent_1", "agentName": "Refund Desk"}, {"agentId": "a b"}]),
    )
    fake_api.answer("GET", "/v1/test-cases", [CASE, refund])
    fake_api.answer(
        "GET",
        "/v1/batch-runs",
        page([{**BATCH, "batchId": "batch_2", "testCases": [refund]}, BATCH]),
    )
    fake_api.answer(
        "GET", "/v1/test-runs", page([RUN, {**RUN, "jobId": "job_2", "isSuccessful": False}])
    )
    return fake_api


async def test_each_variable_is_completed_from_those_filled_in(
    mcp: Client, stored: FakeAPI
) -> None:
    assert await completed(mcp, "agentId") == ["agent_1"]
    assert await completed(mcp, "testCaseId", agentId=AGENT) == ["tc_2", CASE["testCaseId"]]
    assert await completed(mcp, "batchId", agentId=AGENT) == ["batch_2", BATCH["batchId"]]
    assert await completed(mcp, "jobId", agentId=AGENT, batchId=BATCH["batchId"]) == [
        RUN["jobId"],
        "job_2",
    ]
    assert await completed(mcp, "topic") == list(GUIDES)
    assert await completed(mcp, "fromTurn", agentId=AGENT, batchId=BATCH["batchId"]) == []


async def test_people_type_names_as_well_as_ids(mcp: Client, stored: FakeAPI) -> None:
    assert await completed(mcp, "agentId", "refund") == ["agent_1"]
    assert await completed(mcp, "testCaseId", "refund", agentId=AGENT) == ["tc_2"]
    assert await completed(mcp, "batchId", "REFUND", agentId=AGENT) == ["batch_2"]
    assert await completed(mcp, "jobId", "failed", agentId=AGENT, batchId=BATCH["batchId"]) == [
        "job_2"
    ]


async def test_keystrokes_ask_the_api_once(mcp: Client, stored: FakeAPI) -> None:
    for typed in ("", "r", "re", "ref"):
        await completed(mcp, "testCaseId", typed, agentId=AGENT)

    assert len(stored.asked) == 1


@pytest.mark.parametrize(
    ("name", "filled"),
    [("batchId", {}), ("jobId", {"agentId": "a"}), ("batchId", {"agentId": "../x"})],
)
async def test_variable_that_needs_another_first_is_not_guessed(
    mcp: Client, stored: FakeAPI, name: str, filled: dict[str, str]
) -> None:
    assert await completed(mcp, name, **filled) == []
    assert stored.asked == []


async def test_default_agent_counts_as_filled_in(stored: FakeAPI) -> None:
    async with connected(base_url=stored.url, api_key=KEY, agent_id=AGENT) as mcp:
        assert await completed(mcp, "batchId") == ["batch_2", BATCH["batchId"]]

    assert stored.asked[0].query["agentId"] == AGENT


async def test_failing_api_or_missing_key_offers_nothing_and_is_no_error(fake_api: FakeAPI) -> None:
    async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
        assert await completed(mcp, "agentId") == []
    async with connected(base_url=fake_api.url) as mcp:
        assert await completed(mcp, "agentId") == []
        assert await completed(mcp, "topic", "sand") == ["sandbox"]


@pytest.mark.parametrize(
    ("answer", "total", "has_more"),
    [
        (page([BATCH]), 1, False),
        (page([BATCH], size=100, totalCount=700, totalPages=7, hasNext=True), None, True),
        (page([BATCH, 7]), None, True),
        ((503, {}), None, None),
    ],
)
async def test_total_is_that_of_a_whole_list(
    mcp: Client, fake_api: FakeAPI, answer: Any, total: int | None, has_more: bool | None
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", lambda asked: answer)

    result = await mcp.complete(
        TRANSCRIPT, {"name": "batchId", "value": ""}, context_arguments={"agentId": AGENT}
    )

    assert (result.completion.total, result.completion.has_more) == (total, has_more)


async def test_unknown_reference_offers_nothing(mcp: Client, stored: FakeAPI) -> None:
    for reference in (
        ResourceTemplateReference(type="ref/resource", uri="x://{a}"),
        PromptReference(type="ref/prompt", name="x"),
    ):
        result = await mcp.complete(reference, {"name": "agentId", "value": ""})
        assert result.completion.values == []
