"""Resources: what can be read by URI, what is listed, and what a malformed URI gets."""

import json
from typing import Any

import anyio
import mcp_types
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from sigmamind_mcp.api.pool import MAX_CONCURRENT_REQUESTS
from sigmamind_mcp.protocol import resources
from sigmamind_mcp.uris import uri_of
from sigmamind_mcp.viewer import VIEWER_URI
from tests.conftest import KEY, connected, text_of
from tests.support import fake_api as samples
from tests.support.fake_api import ERROR, FakeAPI, page
from tests.test_untrusted_text import outside_of_fences

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_URI = f"sigmamind://agents/{AGENT}/batch-runs/batch_1"
BATCH = {**samples.BATCH, "batchId": "batch_1"}
RUN = {**samples.RUN, "batchId": "batch_1", "jobId": "job_1"}
CASE = {**samples.CASE, "testCaseId": "tc_1"}
RUN_URI = f"{BATCH_URI}/test-runs/job_1"
ALWAYS_LISTED = [*(f"sigmamind://guide/{topic}" for topic in resources.GUIDES), VIEWER_URI]


async def read(mcp: Client, uri: str) -> mcp_types.TextResourceContents:
    (contents,) = (await mcp.read_resource(uri)).contents
    assert isinstance(contents, mcp_types.TextResourceContents)
    return contents


async def test_json_resources_hold_every_field_and_the_derived_ones(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", {**RUN, "more": 1})
    fake_api.answer("GET", "/v1/batch-runs/batch_1", {**BATCH, "more": 1})
    fake_api.answer("GET", "/v1/test-cases/tc_1", {**CASE, "more": 1})
    expected = [
        (RUN_URI, RUN, {"verdict": "passed", "turnCount": 1}),
        (BATCH_URI, BATCH, {"state": "finished", "expectedAttempts": 5}),
        (f"sigmamind://agents/{AGENT}/test-cases/tc_1", CASE, {}),
    ]

    for uri, documented, derived in expected:
        contents = await read(mcp, uri)
        found = json.loads(contents.text)
        assert contents.mime_type == "application/json"
        assert found["raw"] == {**documented, "more": 1}
        assert {name: found[name] for name in derived} == derived


async def test_only_what_stays_as_it_is_may_be_kept_and_only_what_is_everybodys_shared(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", RUN)
    fake_api.answer("GET", "/v1/test-runs/job_2", {**RUN, "jobId": "job_2", "isSuccessful": None})
    fake_api.answer("GET", "/v1/batch-runs/batch_1", BATCH)
    undecided, hour = f"{BATCH_URI}/test-runs/job_2", 3_600_000
    expected = {
        RUN_URI: (hour, "private"),
        f"{RUN_URI}/transcript": (hour, "private"),
        undecided: (0, "private"),
        f"{undecided}/transcript": (0, "private"),
        BATCH_URI: (0, "private"),
        "sigmamind://guide/results": (hour, "public"),
    }

    read = {uri: await mcp.read_resource(uri) for uri in expected}
    tools, prompts, templates = (
        await mcp.list_tools(),
        await mcp.list_prompts(),
        await mcp.list_resource_templates(),
    )

    assert {uri: (result.ttl_ms, result.cache_scope) for uri, result in read.items()} == expected
    assert (tools.ttl_ms, prompts.ttl_ms, templates.ttl_ms) == (hour, hour, hour)
    assert tools.cache_scope == prompts.cache_scope == templates.cache_scope == "public"


async def test_transcript_is_markdown_with_verdict_and_remarks_before_the_turns(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", RUN)

    text = (await read(mcp, f"{RUN_URI}/transcript")).text

    assert text.startswith("Test run job_1 of batch run batch_1")
    assert (
        text.index("passed")
        < text.index(RUN["remarks"])
        < text.index("**1 user:** I want to cancel")
    )


@pytest.mark.parametrize(
    "query",
    ["fromTurn=abc", "fromTurn=0", "fromTurn=-1", "fromTurn=", "fromTurn", "fromturn=2", "fromTurn=1&fromTurn=2",
     "fromTurn=1&x=1", "turns=0", "turns=1001", "fromTurn=1.5", "fromTurn=%31%00", "", "&", "fromTurn=1;turns=2",
     "fromTurn=9999999999", "fromTurn=2", "fromTurn=1#x"],
)  # fmt: skip
async def test_malformed_range_is_refused_and_never_read_as_turn_1(
    mcp: Client, fake_api: FakeAPI, query: str
) -> None:
    fake_api.answer("GET", "/v1/test-runs/job_1", RUN)

    with pytest.raises(MCPError) as refused:
        await mcp.read_resource(f"{RUN_URI}/transcript?{query}")

    assert refused.value.code == -32602


@pytest.mark.parametrize(
    "uri",
    [
        "sigmamind://agents/a/batch-runs/..",
        "sigmamind://agents/a/batch-runs/%2e%2e",
        "sigmamind://agents/a/batch-runs/a%2Fb",
        "sigmamind://agents/a%2Fbatch-runs%2Fb",
        "sigmamind://agents/a/batch-runs/b%0d%0a",
        "sigmamind://agents/a/batch-runs/b%252e",
        "sigmamind://agents//batch-runs/b",
        "sigmamind://agents/a/batch-runs/b/",
        "sigmamind://agents/a/batch-runs/b?fromTurn=1",
        "sigmamind://agents/a/batch-runs/b#x",
        "sigmamind://guide/nothing",
        "sigmamind://guide/..%2F..%2Fsettings",
        "SIGMAMIND://guide/results",
        "https://api.sigmamind.ai/v1/agents",
        "file:///etc/passwd",
        "",
    ],
)
async def test_uri_that_names_nothing_is_refused_without_a_request(
    mcp: Client, fake_api: FakeAPI, uri: str
) -> None:
    with pytest.raises(MCPError) as refused:
        await mcp.read_resource(uri)

    assert refused.value.code == -32602
    assert refused.value.data == {"uri": uri}
    assert fake_api.asked == []


@pytest.mark.parametrize(
    ("status", "code"), [(404, -32602), (400, -32603), (401, -32603), (402, -32603), (500, -32603)]
)
async def test_what_the_api_refuses_is_a_protocol_error_with_the_words_of_the_tool(
    mcp: Client, fake_api: FakeAPI, status: int, code: int
) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_1", {**ERROR, "message": "canary"}, status)

    with pytest.raises(MCPError) as refused:
        await mcp.read_resource(BATCH_URI)

    assert refused.value.code == code
    same = await mcp.call_tool("get_batch_run", {"agentId": "a", "batchId": "batch_1"})
    message = refused.value.message
    assert f"({status})" in message.splitlines()[0] and "message: canary" in message
    assert "canary" not in outside_of_fences(message)
    assert outside_of_fences(message) == outside_of_fences(text_of(same))


async def test_read_that_waits_too_long_for_its_turn_says_so(
    mcp: Client, fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "CALL_SECONDS", 0.2)
    fake_api.answer("GET", "/v1/test-cases/tc_1", CASE)
    fake_api.answer("GET", "/v1/batch-runs/batch_1", BATCH)
    fake_api.stall.clear()

    async with anyio.create_task_group() as others:
        for _ in range(MAX_CONCURRENT_REQUESTS):
            others.start_soon(
                mcp.call_tool, "get_test_case", {"agentId": "a", "testCaseId": "tc_1"}
            )
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(MCPError, match=r"was not read within 0 s\. Read it again\.") as refused:
            await mcp.read_resource(BATCH_URI)
        fake_api.stall.set()

    assert refused.value.code == -32603
    monkeypatch.undo()
    assert json.loads((await read(mcp, BATCH_URI)).text)["batchId"] == "batch_1"


async def test_unknown_id_in_a_uri_names_near_ones(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-cases", [CASE])
    fake_api.answer("GET", "/v1/batch-runs", page([{**BATCH, "batchId": "batch_10"}]))

    with pytest.raises(MCPError, match="Similar ids: batch_10") as refused:
        await mcp.read_resource(BATCH_URI)

    assert refused.value.code == -32602


async def test_every_guide_is_listed_and_readable(mcp: Client) -> None:
    listed = (await mcp.list_resources()).resources

    assert [str(entry.uri) for entry in listed] == ALWAYS_LISTED
    for entry in listed[:-1]:
        assert (await read(mcp, str(entry.uri))).text.startswith("# ")


async def test_templates_are_advertised(mcp: Client) -> None:
    templates = {
        t.name: t.uri_template for t in (await mcp.list_resource_templates()).resource_templates
    }

    assert templates["transcript"].endswith("/test-runs/{jobId}/transcript{?fromTurn,turns}")
    assert set(templates) == {"transcript", "test-run", "batch-run", "test-case", "guide"}


def history(batches: int, runs: int) -> tuple[Any, Any]:
    """Answers of the API for so many batch runs with so many test runs each."""

    def one_batch(asked: Any) -> Any:
        number = int(asked.query["page"])
        part = [{**BATCH, "batchId": f"batch_{number}"}] if number < batches else []
        return page(part, page=number, size=1, totalCount=batches, hasNext=number + 1 < batches)

    def all_runs(asked: Any) -> Any:
        run = {**RUN, "batchId": asked.query["batchId"]}
        return page([{**run, "jobId": f"job_{number}"} for number in range(runs)])

    return one_batch, all_runs


async def test_with_a_default_agent_the_newest_transcripts_follow_page_by_page(
    fake_api: FakeAPI,
) -> None:
    one_batch, all_runs = history(batches=2, runs=70)
    fake_api.answer("GET", "/v1/batch-runs", one_batch)
    fake_api.answer("GET", "/v1/test-runs", all_runs)
    seen: list[str] = []
    cursor: str | None = None

    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        while True:
            listed = await mcp.list_resources(cursor=cursor)
            seen += [str(entry.uri) for entry in listed.resources]
            cursor = listed.next_cursor
            if cursor is None:
                break

    always, transcripts = seen[: len(ALWAYS_LISTED)], seen[len(ALWAYS_LISTED) :]
    assert always == ALWAYS_LISTED
    assert transcripts == [
        uri_of("transcript", agentId=AGENT, batchId=f"batch_{batch}", jobId=f"job_{job}")
        for batch in range(2)
        for job in range(70)
    ]


async def test_when_the_api_fails_the_guides_are_listed_alone(fake_api: FakeAPI) -> None:
    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        listed = await mcp.list_resources()
    async with connected(base_url=fake_api.url, agent_id=AGENT) as mcp:
        without_key = await mcp.list_resources()

    assert len(listed.resources) == len(without_key.resources) == len(ALWAYS_LISTED)


def find_not_read(listed: mcp_types.ListResourcesResult) -> Any:
    return (listed.meta or {}).get("io.github.sigmamind-mcp/notRead")


@pytest.mark.parametrize("failing", ["/v1/batch-runs", "/v1/test-runs"])
async def test_list_never_ends_where_the_api_fails(fake_api: FakeAPI, failing: str) -> None:
    one_batch, all_runs = history(batches=3, runs=1)
    fake_api.answer("GET", "/v1/batch-runs", one_batch)
    fake_api.answer("GET", "/v1/test-runs", all_runs)

    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        first = await mcp.list_resources()
        fake_api.answer("GET", failing, ERROR, 503)
        with pytest.raises(MCPError, match="503") as refused:
            await mcp.list_resources(cursor=first.next_cursor)
        start = await mcp.list_resources()

    assert refused.value.code == -32603
    assert find_not_read(first) is None and len(first.resources) == len(ALWAYS_LISTED) + 1
    assert find_not_read(start) == "The transcripts could not be read."


async def test_batch_run_without_a_list_of_test_runs_hides_no_older_ones(fake_api: FakeAPI) -> None:
    one_batch, all_runs = history(batches=3, runs=1)
    fake_api.answer("GET", "/v1/batch-runs", one_batch)
    fake_api.answer("GET", "/v1/batch-runs/batch_1", BATCH)
    fake_api.answer(
        "GET",
        "/v1/test-runs",
        lambda asked: (404, ERROR) if asked.query["batchId"] == "batch_1" else all_runs(asked),
    )

    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        second = await mcp.list_resources(cursor="1:0")
        third = await mcp.list_resources(cursor=second.next_cursor)

    assert second.resources == [] and second.next_cursor == "2:0"
    assert find_not_read(second) == "The test runs of batch_1 cannot be listed."
    assert [entry.name for entry in third.resources] == ["batch_2/job_0"]


@pytest.mark.parametrize(
    ("runs", "envelope", "not_read"),
    [
        ([RUN, RUN | {"jobId": "job_2"}], {"totalCount": 50}, "48 test runs of batch_0 could not be read."),
        ([RUN, 7], {}, "1 test run of batch_0 could not be read."),
        ([RUN], {}, None),
    ],
)  # fmt: skip
async def test_test_runs_that_cannot_be_read_are_counted(
    fake_api: FakeAPI, runs: list[Any], envelope: dict[str, Any], not_read: str | None
) -> None:
    one_batch, _ = history(batches=1, runs=0)
    runs = [run | {"batchId": "batch_0"} if isinstance(run, dict) else run for run in runs]
    fake_api.answer("GET", "/v1/batch-runs", one_batch)
    fake_api.answer("GET", "/v1/test-runs", page(runs, **envelope))

    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        listed = await mcp.list_resources()

    assert find_not_read(listed) == not_read


async def test_when_the_api_is_silent_the_guides_are_listed_alone_in_time(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "LIST_SECONDS", 0.2)
    fake_api.stall.clear()
    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        listed = await mcp.list_resources()
    fake_api.stall.set()

    assert len(listed.resources) == len(ALWAYS_LISTED)


@pytest.mark.parametrize("cursor", ["x", "1:", ":1", "-1:0", "1:2:3", "9" * 30 + ":0"])
async def test_foreign_cursor_is_refused(fake_api: FakeAPI, cursor: str) -> None:
    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        with pytest.raises(MCPError) as refused:
            await mcp.list_resources(cursor=cursor)

    assert refused.value.code == -32602


async def test_default_agent_makes_agent_id_optional(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/batch-runs/batch_1", BATCH)
    async with connected(base_url=fake_api.url, api_key=KEY, agent_id=AGENT) as mcp:
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        result = await mcp.call_tool("get_batch_run", {"batchId": "batch_1"})

    assert tools["get_batch_run"].input_schema["required"] == ["batchId"]
    assert tools["get_batch_run"].input_schema["properties"]["agentId"]["default"] == AGENT
    assert not result.is_error and fake_api.asked[0].query == {"agentId": AGENT}
