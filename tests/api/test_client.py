"""What each tool sends, to the letter, and that every documented field comes back in full."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp import __version__
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import UnexpectedAnswer
from tests.conftest import KEY, text_of
from tests.support.fake_api import AGENT as AGENT_REF
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
        {"agentId": AGENT, "testCaseId": CASE["testCaseId"]},
        "GET /v1/test-cases/tc_d17T6uReChpyfFeP",
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
            {"agentId": AGENT, "testCaseId": CASE["testCaseId"]},
            "GET /v1/test-cases/tc_d17T6uReChpyfFeP",
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
        (
            "list_test_runs",
            IN_BATCH,
            "GET /v1/test-runs",
            page([RUN]),
            {"testRuns": [{name: RUN[name] for name in RUN if name != "conversation"}]},
        ),
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
    assert json.dumps(raw, ensure_ascii=False, separators=(",", ":")) in text_of(result)


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

    assert result.structured_content["labels"] == {CASE["testCaseId"]: CASE["label"]}
    assert fake_api.paths == ["GET /v1/test-runs", f"GET /v1/batch-runs/{BATCH_ID}"]


async def test_without_any_list_of_test_runs_the_answer_says_how_to_get_job_ids(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", BATCH)

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert result.is_error
    assert "dashboard" in text_of(result) and "get_test_run" in text_of(result)


async def test_list_in_pages_is_walked_to_its_end(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    cases = [{**CASE, "testCaseId": f"tc_{number}"} for number in range(25)]

    def one_page(asked: Any) -> Any:
        number, size = int(asked.query.get("page", 0)), min(int(asked.query.get("size", 10)), 10)
        part = cases[number * size : (number + 1) * size]
        return page(part, page=number, size=size, totalCount=25, hasNext=(number + 1) * size < 25)

    fake_api.answer("GET", "/v1/test-cases", one_page)

    assert [case.test_case_id for case in (await client.list_test_cases(AGENT)).items] == [
        f"tc_{n}" for n in range(25)
    ]


ENDPOINTS: list[tuple[str, dict[str, Any], Callable[[SigmaMindClient], Awaitable[Any]]]] = [
    ("/v1/agents", AGENT_REF, lambda api: api.list_agents()),
    ("/v1/test-cases", CASE, lambda api: api.list_test_cases(AGENT)),
    ("/v1/batch-runs", BATCH, lambda api: list_batch_runs(api)),
    ("/v1/test-runs", RUN, lambda api: api.list_test_runs(BATCH_ID, AGENT)),
]


async def list_batch_runs(api: SigmaMindClient) -> Any:
    return (await api.list_batch_runs(AGENT)).value


@pytest.mark.parametrize("odd", [None, True, 7, "job_7", [], [{}], {}, {"more": None}])
@pytest.mark.parametrize("paged", [True, False])
async def test_odd_entry_fails_no_list(
    client: SigmaMindClient, fake_api: FakeAPI, odd: Any, paged: bool
) -> None:
    for path, sample, call in ENDPOINTS:
        entries = [sample, odd]
        fake_api.answer("GET", path, page(entries) if paged else entries)
        listing = await call(client)
        assert [item.raw for item in listing.items] == [sample]
        assert listing.unreadable == [(1, "job_7" if odd == "job_7" else None)]


@pytest.mark.parametrize(
    "body", [None, "text", 7, {}, {"items": []}, {"data": None}, {"data": "x"}]
)
async def test_answer_without_a_list_is_no_empty_list(
    client: SigmaMindClient, fake_api: FakeAPI, body: Any
) -> None:
    for path, _, call in ENDPOINTS:
        fake_api.answer("GET", path, body)
        with pytest.raises(UnexpectedAnswer):
            await call(client)


@pytest.mark.parametrize("field", ["page", "size", "totalCount", "totalPages", "hasPrevious"])
@pytest.mark.parametrize("odd", [None, "x", [], {}, 10**30])
async def test_odd_field_of_a_page_fails_no_list(
    client: SigmaMindClient, fake_api: FakeAPI, field: str, odd: Any
) -> None:
    for path, sample, call in ENDPOINTS:
        fake_api.answer("GET", path, page([sample], **{field: odd}))
        assert len((await call(client)).items) == 1


def pages_of(entries: list[Any], largest: int = 100) -> Any:
    """Answer with a page, or with a 400 if its size is more than the largest."""

    def answer(asked: Asked) -> Any:
        number, size = int(asked.query.get("page", 0)), int(asked.query.get("size", 10))
        if size > largest:
            return 400, {"status": 400, "message": f"size: at most {largest}"}
        start, end = number * size, (number + 1) * size
        return page(entries[start:end], page=number, size=size, hasNext=end < len(entries))

    return answer


async def test_positions_count_from_the_start_of_the_whole_list(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    entries: list[Any] = [{**CASE, "testCaseId": f"tc_{number}"} for number in range(230)]
    entries[3] = entries[229] = None
    entries[110] = {**CASE, "agent": {"agentId": "agent_other"}}
    fake_api.answer("GET", "/v1/test-cases", pages_of(entries))

    listing = await client.list_test_cases(AGENT)

    assert (len(listing.items), listing.foreign) == (227, 1)
    assert [entry.position for entry in listing.unreadable] == [3, 229]


@pytest.mark.parametrize("largest", [10, 50, 99])
async def test_list_is_read_whole_where_the_api_refuses_large_pages(
    client: SigmaMindClient, fake_api: FakeAPI, largest: int
) -> None:
    cases = [{**CASE, "testCaseId": f"tc_{number}"} for number in range(35)]
    fake_api.answer("GET", "/v1/test-cases", pages_of(cases, largest))

    listing = await client.list_test_cases(AGENT)

    assert [case.raw for case in listing.items] == cases


async def test_page_without_a_readable_entry_does_not_end_the_list(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    entries: list[Any] = [None] * 100 + [CASE]
    fake_api.answer("GET", "/v1/test-cases", pages_of(entries))

    assert len((await client.list_test_cases(AGENT)).items) == 1


@pytest.mark.parametrize("verdicts", [(True, False), (False, True), (True, False, True)])
@pytest.mark.parametrize("truth", [True, False])
async def test_job_listed_with_two_verdicts_is_read(
    mcp: Client, fake_api: FakeAPI, verdicts: tuple[bool, ...], truth: bool
) -> None:
    run = {**RUN, "jobId": "job_1"}
    fake_api.answer("GET", "/v1/test-runs", [{**run, "isSuccessful": each} for each in verdicts])
    fake_api.answer("GET", "/v1/test-runs/job_1", {**run, "isSuccessful": truth})

    result = await mcp.call_tool("list_test_runs", {"agentId": AGENT, "batchId": BATCH_ID})

    answer = result.structured_content
    assert (answer["totalCount"], answer["passed"], answer["failed"]) == (1, truth, not truth)


async def test_job_listed_with_two_verdicts_is_named_if_it_cannot_be_read(
    mcp: Client, fake_api: FakeAPI
) -> None:
    runs = [{**RUN, "jobId": "job_1", "isSuccessful": each} for each in (True, False)]
    fake_api.answer("GET", "/v1/test-runs", [{**RUN, "jobId": "job_2"}, *runs])

    result = await mcp.call_tool("list_test_runs", {"agentId": AGENT, "batchId": BATCH_ID})

    answer = result.structured_content
    assert (answer["totalCount"], answer["passed"], answer["failed"]) == (1, 1, 0)
    assert "test run job_1" in text_of(result)


async def test_pages_that_count_from_1_list_no_case_twice(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    cases = [{**CASE, "testCaseId": f"tc_{number}"} for number in (1, 2, 3)]

    def give_page(asked: Asked) -> dict[str, Any]:
        number = max(1, int(asked.query.get("page", 1)))
        return page([cases[number - 1]], page=number, totalCount=3, hasNext=number < 3)

    fake_api.answer("GET", "/v1/test-cases", give_page)

    listing = await client.list_test_cases(AGENT)

    assert [case.raw for case in listing.items] == cases
    assert listing.missing_count == 0


async def test_cases_of_one_id_that_differ_are_both_listed(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-cases", [CASE, CASE, {**CASE, "label": "another"}])

    assert len((await client.list_test_cases(AGENT)).items) == 2


LATER = "2026-03-26T11:00:00Z"
OPEN = {"isSuccessful": None, "completedDate": None, "remarks": None}


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ([OPEN, {}], "passed"),
        ([{}, OPEN], "passed"),
        ([{}, {"isSuccessful": False, "completedDate": LATER}], "failed"),
        ([{"isSuccessful": False, "completedDate": LATER}, {}], "failed"),
        ([{}, {"isSuccessful": False}, {"completedDate": LATER}], "passed"),
    ],
)
async def test_run_that_is_listed_twice_counts_in_its_newest_state(
    client: SigmaMindClient, fake_api: FakeAPI, states: list[dict[str, Any]], verdict: str
) -> None:
    fake_api.answer("GET", "/v1/test-runs", [{**RUN, **state} for state in states])

    (run,) = (await client.list_test_runs(BATCH_ID, AGENT)).items

    assert run.verdict == verdict
