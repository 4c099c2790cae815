"""What each tool sends, to the letter, and that every documented field comes back in full."""

import json
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp import __version__
from sigmamind_mcp.api import client as client_module
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.errors import ConnectionFailed, UnexpectedAnswer
from sigmamind_mcp.settings import check_key
from tests.conftest import KEY, text_of
from tests.support.fake_api import BATCH, CASE, CREATED_BATCH, RUN, Asked, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
JOB = "job_ksUu5yRHGTLLrLeM"
NEW_CASE = {
    name: CASE[name]
    for name in ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")
}
IN_BATCH = {"agentId": AGENT, "batchId": BATCH_ID}

# tool, arguments, method and path, query, body, answer
CALLS = [
    (
        "create_test_case",
        {"agentId": AGENT, **NEW_CASE},
        "POST /v1/test-cases",
        {},
        {"agentId": AGENT, **NEW_CASE},
        CASE,
    ),
    (
        "get_test_case",
        {"agentId": AGENT, "testCaseId": "tc_9"},
        "GET /v1/test-cases/tc_9",
        {"agentId": AGENT},
        None,
        CASE,
    ),
    (
        "list_test_cases",
        {"agentId": AGENT},
        "GET /v1/test-cases",
        {"agentId": AGENT},
        None,
        page([CASE]),
    ),
    (
        "list_batch_runs",
        {"agentId": AGENT, "page": 3, "size": 25},
        "GET /v1/batch-runs",
        {"agentId": AGENT, "page": "3", "size": "25"},
        None,
        page([BATCH]),
    ),
    (
        "list_batch_runs",
        {"agentId": AGENT, "labelContains": "angry"},
        "GET /v1/batch-runs",
        {"agentId": AGENT, "page": "0", "size": "10"},
        None,
        page([BATCH]),
    ),
    ("get_batch_run", IN_BATCH, f"GET /v1/batch-runs/{BATCH_ID}", {"agentId": AGENT}, None, BATCH),
    ("list_test_runs", IN_BATCH, "GET /v1/test-runs", IN_BATCH, None, page([RUN])),
    ("get_test_run", {**IN_BATCH, "jobId": JOB}, f"GET /v1/test-runs/{JOB}", IN_BATCH, None, RUN),
]


@pytest.mark.parametrize(("tool", "arguments", "request_line", "query", "body", "answer"), CALLS)
async def test_tool_sends_exactly_its_documented_request(
    mcp: Client,
    fake_api: FakeAPI,
    tool: str,
    arguments: Any,
    request_line: str,
    query: Any,
    body: Any,
    answer: Any,
) -> None:
    method, path = request_line.split()
    fake_api.answer(method, path, answer)

    result = await mcp.call_tool(tool, arguments)

    assert not result.is_error, text_of(result)
    assert fake_api.paths == [request_line]
    (asked,) = fake_api.asked
    assert (asked.query, asked.body) == (query, body)
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["user-agent"] == f"sigmamind-mcp/{__version__}"
    assert asked.headers["accept-encoding"] == "identity"
    assert "authorization" not in asked.headers


async def test_launch_reads_what_it_will_cost_and_sends_the_documented_request(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.offer("tc_1", "tc_2", "tc_3", attempt=4)
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)

    result = await mcp.call_tool(
        "create_batch_run", {"agentId": AGENT, "testCases": ["tc_1", "tc_2"]}
    )

    assert result.structured_content["expectedAttempts"] == 8
    reads = {"GET /v1/test-cases", "GET /v1/batch-runs", f"GET /v1/agents/{AGENT}"}
    assert set(fake_api.paths[:3]) == reads and fake_api.paths[3:] == ["POST /v1/batch-runs"]
    assert (fake_api.posts[0].query, fake_api.posts[0].body) == (
        {},
        {"agentId": AGENT, "testCases": ["tc_1", "tc_2"]},
    )


async def test_optional_fields_that_were_not_given_are_not_sent(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("POST", "/v1/test-cases", CASE)
    required = {"agentId": AGENT, "userPrompt": "You are Ana.", "successCriteria": "Greets Ana."}

    await mcp.call_tool("create_test_case", {**required, "label": None, "mockData": None})

    assert fake_api.asked[0].body == required


async def test_text_arrives_as_it_was_sent(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("POST", "/v1/test-cases", CASE)
    sent = {"agentId": AGENT, "userPrompt": "null", "successCriteria": '{"a": [1]}', "label": "[]"}

    await mcp.call_tool("create_test_case", sent)

    assert fake_api.asked[0].body == sent


@pytest.mark.parametrize(
    ("tool", "arguments", "request_line", "answer", "raw"),
    [
        (
            "get_test_case",
            {"agentId": AGENT, "testCaseId": "tc_9"},
            "GET /v1/test-cases/tc_9",
            CASE,
            CASE,
        ),
        (
            "list_test_cases",
            {"agentId": AGENT},
            "GET /v1/test-cases",
            page([CASE]),
            {"testCases": [CASE]},
        ),
        (
            "list_batch_runs",
            {"agentId": AGENT},
            "GET /v1/batch-runs",
            page([BATCH]),
            {"batchRuns": [BATCH]},
        ),
        ("get_batch_run", IN_BATCH, f"GET /v1/batch-runs/{BATCH_ID}", BATCH, BATCH),
        ("list_test_runs", IN_BATCH, "GET /v1/test-runs", page([RUN]), {"testRuns": [RUN]}),
        ("get_test_run", {**IN_BATCH, "jobId": JOB}, f"GET /v1/test-runs/{JOB}", RUN, RUN),
    ],
)
async def test_full_answer_has_every_documented_field_in_both_forms(
    mcp: Client,
    fake_api: FakeAPI,
    tool: str,
    arguments: Any,
    request_line: str,
    answer: Any,
    raw: Any,
) -> None:
    method, path = request_line.split()
    fake_api.answer(method, path, answer)

    result = await mcp.call_tool(tool, {**arguments, "detail": "full"})

    assert result.structured_content["raw"] == raw
    assert json.dumps(raw, ensure_ascii=False, indent=1) in text_of(result)


async def test_test_runs_are_found_inside_the_batch_run_where_they_cannot_be_listed(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "jobIds": [JOB, "job_2"]})
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", RUN)
    fake_api.answer("GET", "/v1/test-runs/job_2", {**RUN, "jobId": "job_2", "isSuccessful": False})

    result = await mcp.call_tool("list_test_runs", {**IN_BATCH, "verdict": "failed"})

    assert [row["jobId"] for row in result.structured_content["testRuns"]] == ["job_2"]
    assert (result.structured_content["passed"], result.structured_content["failed"]) == (1, 1)


@pytest.mark.parametrize("field", ["testRuns", "jobs", "runs", "results"])
@pytest.mark.parametrize("refusal", [400, 404, 405, 501])
async def test_test_runs_are_read_from_whichever_field_holds_them(
    mcp: Client, fake_api: FakeAPI, field: str, refusal: int
) -> None:
    fake_api.answer("GET", "/v1/test-runs", {}, refusal)
    fake_api.answer(
        "GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, "testCases": [{**CASE, field: [RUN]}]}
    )

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert result.structured_content["testRuns"][0]["label"] == CASE["label"]
    assert fake_api.paths == ["GET /v1/test-runs", f"GET /v1/batch-runs/{BATCH_ID}"]


async def test_without_any_list_of_test_runs_the_answer_says_how_to_get_job_ids(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", BATCH)

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert result.is_error
    assert "dashboard" in text_of(result) and "get_test_run" in text_of(result)


@pytest.mark.parametrize("slow", [False, True])
async def test_list_that_never_ends_is_given_up(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """R27: after so many pages, or after so many seconds, whichever comes first."""

    def another(asked: Asked) -> dict[str, Any]:
        if slow and len(fake_api.asked) > 3:
            fake_api.stall.clear()
        return page([CASE], hasNext=True)

    fake_api.answer("GET", "/v1/test-cases", another)
    monkeypatch.setattr(client_module, "WALK_SECONDS", 1 if slow else 45)
    async with APITransport(fake_api.url) as transport:
        with pytest.raises(ConnectionFailed if slow else UnexpectedAnswer) as raised:
            await SigmaMindClient(transport, check_key(KEY)).list_test_cases("a")
    fake_api.stall.set()

    asked = len(fake_api.asked)
    assert (asked, str(raised.value)) == (
        (4, "The API did not give its whole list of test-cases within 1 s. Try again.")
        if slow
        else (201, "The API's list of test-cases did not end after 200 pages.")
    )


async def test_list_in_pages_is_walked_to_its_end(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    cases = [{**CASE, "testCaseId": f"tc_{number}"} for number in range(25)]

    def one_page(asked: Any) -> Any:
        number, size = int(asked.query.get("page", 0)), min(int(asked.query.get("size", 10)), 10)
        part = cases[number * size : (number + 1) * size]
        return page(part, page=number, size=size, totalCount=25, hasNext=(number + 1) * size < 25)

    fake_api.answer("GET", "/v1/test-cases", one_page)

    assert [case.test_case_id for case in await client.list_test_cases(AGENT)] == [
        f"tc_{n}" for n in range(25)
    ]


async def test_list_that_never_ends_is_refused(client: SigmaMindClient, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-cases", page([CASE], hasNext=True))

    with pytest.raises(UnexpectedAnswer, match="did not end"):
        await client.list_test_cases(AGENT)
