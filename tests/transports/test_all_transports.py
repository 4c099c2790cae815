"""One server, every transport and revision: the same tools and the same answers, for clients that we did not write."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.conftest import connected
from tests.support.processes import COMMAND, environment, serving

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
IN_RUN = {"agentId": AGENT, "batchId": BATCH_ID, "jobId": "job_ksUu5yRHGTLLrLeM"}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_test_case", {"agentId": AGENT, "testCaseId": "tc_d17T6uReChpyfFeP"}),
    ("list_test_cases", {"agentId": AGENT}),
    ("list_batch_runs", {"agentId": AGENT}),
    ("get_batch_run", {"agentId": AGENT, "batchId": BATCH_ID, "detail": "full"}),
    ("list_test_runs", {"agentId": AGENT, "batchId": BATCH_ID, "verdict": "failed"}),
    ("get_test_run", IN_RUN),
    ("get_test_run", {**IN_RUN, "jobId": "job_none"}),
    ("create_test_case", {"agentId": AGENT, "attempt": 0}),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("serve", "--sandbox") as base:
        yield base


@asynccontextmanager
async def connect(how: str, url: str) -> AsyncIterator[Client]:
    transport, _, mode = how.partition(" ")
    if transport == "memory":
        async with connected(sandbox=True) as client:
            yield client
        return
    if transport == "http":
        async with httpx2.AsyncClient() as http:
            async with Client(
                streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, cache=None
            ) as client:
                yield client
        return
    server: Any = sse_client(f"{url}/sse")
    if transport == "stdio":
        server = StdioServerParameters(
            command=COMMAND[0], args=[*COMMAND[1:], "--sandbox"], env=environment()
        )
    async with Client(server, mode=mode, cache=None) as client:
        yield client


async def everything(client: Client) -> str:
    """All that every client sees, as one text; fences have a new boundary each time, and older clients get no links."""
    tools = [tool.model_dump(mode="json") for tool in (await client.list_tools()).tools]
    templates = [
        item.uri_template for item in (await client.list_resource_templates()).resource_templates
    ]
    resources = [item.model_dump(mode="json") for item in (await client.list_resources()).resources]
    prompts = [item.model_dump(mode="json") for item in (await client.list_prompts()).prompts]
    filled = await client.get_prompt("diagnose_batch_run", {"agentId": AGENT, "batchId": BATCH_ID})
    seen: list[Any] = [
        tools,
        templates,
        resources,
        prompts,
        filled.model_dump(mode="json", include={"messages"}),
    ]
    for name, arguments in CALLS:
        result = await client.call_tool(name, arguments)
        texts = [block.text for block in result.content if isinstance(block, mcp_types.TextContent)]
        seen.append([result.is_error, result.structured_content, texts])
    uri = f"sigmamind://agents/{AGENT}/batch-runs/{BATCH_ID}/test-runs/{IN_RUN['jobId']}"
    for read in (uri, f"{uri}/transcript", "sigmamind://guide/sandbox"):
        seen.append(
            [part.model_dump(mode="json") for part in (await client.read_resource(read)).contents]
        )
    return _without_boundaries(json.dumps(seen, sort_keys=True))


def _without_boundaries(text: str) -> str:
    return re.sub(r"data [0-9a-f]{16}", "data", text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        "stdio legacy",
        "stdio 2026-07-28",
        "http legacy",
        "http 2026-07-28",
        "sse legacy",
        "sse 2026-07-28",
    ],
)
async def test_every_transport_shows_the_same_tools_and_the_same_answers(
    how: str, url: str
) -> None:
    async with connect("memory", url) as client:
        expected = await everything(client)
    async with connect(how, url) as client:
        assert await everything(client) == expected


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stdio auto", "http auto", "sse auto"])
async def test_the_whole_loop_runs_from_a_test_case_to_a_transcript(how: str, url: str) -> None:
    async with connect(how, url) as client:
        case = await client.call_tool(
            "create_test_case",
            {
                "agentId": AGENT,
                "userPrompt": "You are a polite customer who wants to cancel your subscription.",
                "successCriteria": "The agent acknowledges the request.",
                "mockData": [{"variableName": "customer_name", "value": "Mia Lund"}],
                "attempt": 2,
            },
        )
        started = await client.call_tool(**_next(case))
        with anyio.fail_after(30):
            while True:
                state = await client.call_tool(**_next(started))
                if state.structured_content["state"] != "running":
                    break
                await anyio.sleep(0.2)
        runs = await client.call_tool(**_next(state))
        job = runs.structured_content["testRuns"][0]
        run = await client.call_tool(
            "get_test_run", {**_next(started)["arguments"], "jobId": job["jobId"]}
        )
        uri = runs.structured_content["transcriptUri"].replace("{jobId}", job["jobId"])
        (transcript,) = (await client.read_resource(uri)).contents

    assert state.structured_content["state"] == "finished"
    assert len(runs.structured_content["testRuns"]) == 2
    assert run.structured_content["turnCount"] >= 2
    assert run.structured_content["conversation"][-1]["content"] in getattr(transcript, "text", "")


def _next(result: Any) -> dict[str, Any]:
    """The call that an answer proposes, as `call_tool` takes it: what a model would do."""
    call = result.structured_content["nextCalls"][0]
    return {"name": call["tool"], "arguments": call["arguments"]}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stdio auto", "http legacy", "http 2026-07-28", "sse auto"])
async def test_progress_of_a_wait_rises_and_ends_with_its_total(how: str, url: str) -> None:
    told: list[tuple[float, float | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with connect(how, url) as client:
        run = {"agentId": AGENT, "testCases": ["tc_d17T6uReChpyfFeP"], "allowDuplicate": True}
        started = (await client.call_tool("create_batch_run", run)).structured_content
        (call,) = started["nextCalls"]
        result = await client.call_tool(
            call["tool"], {**call["arguments"], "maxSeconds": 60}, progress_callback=listen
        )

    assert result.structured_content["state"] == "finished"
    numbers = [number for number, _ in told]
    assert len(told) > 1 and numbers == sorted(set(numbers))
    assert {total for _, total in told} == {5} and numbers[-1] == 5
