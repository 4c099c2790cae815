"""What a batch run costs is said before it is spent; above a limit a person agrees first (R22).

The same launch is not made twice by mistake.
"""

from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from sigmamind_mcp.api import idempotency as idempotency_module
from tests.conftest import KEY, connected, let_cancellation_arrive, text_of
from tests.support.fake_api import AGENT, BATCH, CASE, CREATED_BATCH, ERROR, FakeAPI, page
from tests.support.processes import COMMAND, environment, serving

pytestmark = pytest.mark.anyio

AGENT_ID = AGENT["agentId"]
START = {"agentId": AGENT_ID, "testCases": ["tc_1", "tc_2"]}
YES = mcp_types.ElicitResult(action="accept", content={"start": True})


class Person:
    """Answers as told, and remembers what was asked."""

    def __init__(self, answer: mcp_types.ElicitResult) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(
        self, context: Any, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult:
        assert isinstance(params, mcp_types.ElicitRequestFormParams)
        assert list(params.requested_schema["properties"]) == ["start"]
        self.asked.append(params.message)
        return self.answer


@pytest.fixture
def costly(fake_api: FakeAPI) -> FakeAPI:
    """Two test cases of 30 attempts each: 60, where 50 need no yes."""
    fake_api.offer("tc_1", "tc_2", attempt=30)
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)
    return fake_api


async def test_unknown_test_case_stops_the_launch_and_names_near_ones(
    mcp: Client, costly: FakeAPI
) -> None:
    result = await mcp.call_tool("create_batch_run", {**START, "testCases": ["tc_1", "tc_22"]})

    assert result.is_error and costly.posts == []
    assert "No test case of agent agent_D5D0p7TUs66TTAEAx called tc_22 is in the API" in text_of(
        result
    )
    assert "Similar ids: tc_2" in text_of(result) and "Nothing was started." in text_of(result)


async def test_cost_that_cannot_be_read_stops_the_launch(mcp: Client, costly: FakeAPI) -> None:
    costly.answer("GET", "/v1/test-cases", ERROR, 403)

    result = await mcp.call_tool("create_batch_run", START)

    assert result.is_error and costly.posts == []


async def test_cases_are_read_one_by_one_where_they_cannot_be_listed(
    mcp: Client, costly: FakeAPI
) -> None:
    costly.answer("GET", "/v1/test-cases", ERROR, 405)
    for case in START["testCases"]:
        costly.answer("GET", f"/v1/test-cases/{case}", {**CASE, "testCaseId": case, "attempt": 3})

    result = await mcp.call_tool("create_batch_run", START)

    assert result.structured_content["expectedAttempts"] == 6
    assert "2 test cases, 6 attempts in all" in text_of(result)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_many_attempts_need_the_number_where_nobody_can_be_asked(
    costly: FakeAPI, mode: str
) -> None:
    async with connected(mode=mode, base_url=costly.url, api_key=KEY) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)
        assert refused.is_error and costly.posts == []
        assert text_of(refused).startswith(
            "The 2 test cases make 60 attempts; with those started in the last hour, 60. More than"
            " 50 in an hour need a person's yes. Nothing was started."
        )
        assert "(tc_1): 30 attempts, gpt-4o-mini" in text_of(refused)
        assert "call again with confirmAttempts 60" in text_of(refused)

        wrong = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 50})
        assert wrong.is_error and costly.posts == []
        assert text_of(wrong) == (
            "confirmAttempts is 50, but the 2 test cases make 60 attempts; with those started in"
            " the last hour, 60. The person must agree to this number; then"
            " confirmAttempts is 60. Nothing was started."
        )

        started = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 60})
        assert not started.is_error and len(costly.posts) == 1
        assert "confirmAttempts" not in costly.posts[0].body


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_person_is_asked_once_in_words_that_name_the_cost(costly: FakeAPI, mode: str) -> None:
    person = Person(YES)
    label = "Angry\u202e customer\nwho cancels"
    cases = [
        {**CASE, "testCaseId": "tc_1", "attempt": 30, "label": label},
        {"testCaseId": "tc_2", "attempt": 30},
    ]
    costly.answer("GET", "/v1/test-cases", page(cases))
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(mode=mode, elicitation_callback=person, **settings) as mcp:
        result = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 60})

    assert not result.is_error and len(costly.posts) == 1
    assert person.asked == [
        f"Start 60 simulated conversations with agent {AGENT_ID}?\n"
        "- Angry customer who cancels (tc_1): 30 attempts, gpt-4o-mini\n"
        "- tc_2 (tc_2): 30 attempts, default model\n"
        "With those started in the last hour, that makes 60. Each costs model calls, and a batch"
        " run cannot be stopped."
    ]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    "answer",
    [
        mcp_types.ElicitResult(action="decline"),
        mcp_types.ElicitResult(action="cancel"),
        mcp_types.ElicitResult(action="accept", content={"start": False}),
        mcp_types.ElicitResult(action="accept", content={}),
    ],
)
async def test_anything_but_yes_starts_nothing(
    costly: FakeAPI, mode: str, answer: mcp_types.ElicitResult
) -> None:
    person = Person(answer)
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(mode=mode, elicitation_callback=person, **settings) as mcp:
        result = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 60})

    assert result.is_error and "did not say yes. Nothing was started." in text_of(result)
    assert len(person.asked) == 1 and costly.posts == []


async def test_at_the_limit_nobody_is_asked(fake_api: FakeAPI) -> None:
    fake_api.offer("tc_1", "tc_2", attempt=25)
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)
    person = Person(YES)
    for limit, asked in ((50, 0), (49, 1)):
        settings: dict[str, Any] = {
            "base_url": fake_api.url,
            "api_key": KEY,
            "confirm_attempts": limit,
        }
        async with connected(elicitation_callback=person, **settings) as mcp:
            assert not (await mcp.call_tool("create_batch_run", START)).is_error
        assert len(person.asked) == asked


async def test_answer_to_another_question_does_not_count(costly: FakeAPI) -> None:
    """The attempts grow while the person thinks: the yes was for fewer."""
    grown = iter([30, 31, 31])
    costly.answer(
        "GET",
        "/v1/test-cases",
        lambda asked: page(
            [
                {**CASE, "testCaseId": name, "attempt": n}
                for n in [next(grown)]
                for name in ("tc_1", "tc_2")
            ]
        ),
    )
    person = Person(YES)
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(mode="2026-07-28", elicitation_callback=person, **settings) as mcp:
        result = await mcp.call_tool("create_batch_run", START)

    assert result.structured_content["expectedAttempts"] == 62
    assert [question.partition(" simulated")[0] for question in person.asked] == [
        "Start 60",
        "Start 62",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", ["stdio", "sse", "http"])
async def test_person_is_asked_on_every_transport_that_can(
    costly: FakeAPI, transport: str, mode: str
) -> None:
    person = Person(YES)
    variables = {"SIGMAMIND_BASE_URL": costly.url, "SIGMAMIND_API_KEY": KEY}
    if transport == "stdio":
        server = StdioServerParameters(
            command=COMMAND[0], args=COMMAND[1:], env=environment(**variables)
        )
        async with Client(server, mode=mode, elicitation_callback=person) as client:
            result = await client.call_tool("create_batch_run", START)
    else:
        with serving("serve", env=environment(SIGMAMIND_BASE_URL=costly.url)) as url:
            async with httpx2.AsyncClient(headers={"X-API-Key": KEY}) as http:
                connection: Any = streamable_http_client(f"{url}/mcp", http_client=http)
                if transport == "sse":
                    connection = sse_client(f"{url}/sse", headers={"X-API-Key": KEY})
                async with Client(connection, mode=mode, elicitation_callback=person) as client:
                    result = await client.call_tool("create_batch_run", START)

    if (transport, mode) == ("http", "legacy"):  # stateless: the server has no way to ask
        assert result.is_error and "confirmAttempts 60" in text_of(result) and costly.posts == []
    else:
        assert not result.is_error and len(person.asked) == len(costly.posts) == 1


HIDDEN = "The API does not show whether the agent has {}, which simulations may call."


@pytest.mark.parametrize(
    ("changes", "status", "warning"),
    [
        ({"agentSettings": {"webhooks": []}, "tools": []}, 200, None),
        (
            {"agentSettings": {"webhooks": [{"url": "x"}] * 2}, "tools": []},
            200,
            "The agent has 2 webhooks; the API does not say whether a simulation really calls them.",
        ),
        (
            {"agentSettings": {"webhooks": [{}]}, "tools": [{}]},
            200,
            "The agent has 1 webhook and 1 tool;",
        ),
        ({}, 404, "The agent could not be read"),
        ({}, 200, HIDDEN.format("webhooks or tools")),
        ({"agentSettings": 7, "tools": None}, 200, HIDDEN.format("webhooks or tools")),
        (
            {"agentSettings": {"webhooks": {"url": "x"}}, "tools": {"items": [{}]}},
            200,
            HIDDEN.format("webhooks or tools"),
        ),
        ({"agentSettings": {"webhooks": "x"}, "tools": []}, 200, HIDDEN.format("webhooks")),
        ({"agentSettings": {"webhooks": []}, "tools": "x"}, 200, HIDDEN.format("tools")),
        (
            {"agentSettings": {"webhooks": [{}]}},
            200,
            "The agent has 1 webhook; the API does not say whether a simulation really calls them."
            f" {HIDDEN.format('tools')}",
        ),
    ],
)
async def test_launch_warns_of_what_may_happen_outside(
    costly: FakeAPI, changes: dict[str, Any], status: int, warning: str | None
) -> None:
    costly.answer("GET", f"/v1/agents/{AGENT_ID}", {**AGENT, **changes}, status)
    person = Person(YES)
    async with connected(elicitation_callback=person, base_url=costly.url, api_key=KEY) as mcp:
        result = await mcp.call_tool("create_batch_run", START)

    if warning is None:
        assert "hint" not in result.structured_content and "webhook" not in person.asked[0]
    else:
        assert warning in text_of(result) and warning in person.asked[0]
        assert ("does not show" in warning) == ("does not show" in person.asked[0])


async def test_call_issued_again_after_the_yes_is_not_asked_about_again(costly: FakeAPI) -> None:
    """The first call's outcome is known but was never handed over: the second takes it, without a question."""
    costly.answer("GET", "/v1/batch-runs", page([BATCH]))
    person = Person(YES)
    async with connected(
        mode="legacy", elicitation_callback=person, base_url=costly.url, api_key=KEY
    ) as mcp:
        costly.stalled = "POST"
        costly.stall.clear()
        await cut_while(mcp, costly)
        result = await mcp.call_tool("create_batch_run", START)

    assert result.structured_content["repeated"] is True
    assert len(person.asked) == len(costly.posts) == 1


async def cut_while(mcp: Client, api: FakeAPI) -> None:
    """Start the launch, and cancel the call while its POST waits for an answer."""
    async with anyio.create_task_group() as group:
        group.start_soon(mcp.call_tool, "create_batch_run", START)
        with anyio.fail_after(60):
            while not api.posts:  # noqa: ASYNC110 - the fake has no event for it
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
        await let_cancellation_arrive()
        api.stall.set()


async def test_what_changed_while_the_person_thought_is_asked_about_again(costly: FakeAPI) -> None:
    """A yes counts for what was asked: the cases are read again before they start."""

    class Slow(Person):
        async def __call__(self, *args: Any) -> mcp_types.ElicitResult:
            cases = [{**CASE, "testCaseId": name, "attempt": 3000} for name in ("tc_1", "tc_2")]
            costly.answer("GET", "/v1/test-cases", page(cases))
            return await super().__call__(*args)

    person = Slow(YES)
    async with connected(
        mode="legacy", elicitation_callback=person, base_url=costly.url, api_key=KEY
    ) as mcp:
        result = await mcp.call_tool("create_batch_run", START)

    assert [asked.split()[1] for asked in person.asked] == ["60", "6,000"]
    assert result.structured_content["expectedAttempts"] == 6000 and len(costly.posts) == 1


async def test_one_yes_starts_one_batch_run_however_often_it_is_sent(costly: FakeAPI) -> None:
    """R22, protocol 2026-07-28: the answer is in the call, so a repeated call has it again."""
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(mode="2026-07-28", elicitation_callback=Person(YES), **settings) as mcp:
        asked = await mcp.session.call_tool("create_batch_run", START, allow_input_required=True)
        assert isinstance(asked, mcp_types.InputRequiredResult)
        brought: Any = {
            "input_responses": {"confirmation": YES},
            "request_state": asked.request_state,
        }
        first = await mcp.call_tool("create_batch_run", START, **brought)
        again = await mcp.call_tool("create_batch_run", START, **brought)

    assert first.structured_content["batchId"] == again.structured_content["batchId"]
    assert again.structured_content["repeated"] is True and len(costly.posts) == 1
    assert (
        first.structured_content["state"] == "running" and "state" not in again.structured_content
    )
    assert text_of(first).startswith("Started batch run ")
    assert text_of(again).startswith(f"Not started again: batch run {CREATED_BATCH['batchId']} of")
    assert "The same call was made before, and this is its result." in text_of(again)
    assert "running" not in text_of(again)


async def test_repeated_launch_without_an_id_is_not_called_started(costly: FakeAPI) -> None:
    costly.answer("POST", "/v1/batch-runs", b"")
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(mode="2026-07-28", elicitation_callback=Person(YES), **settings) as mcp:
        asked = await mcp.session.call_tool("create_batch_run", START, allow_input_required=True)
        assert isinstance(asked, mcp_types.InputRequiredResult)
        brought: Any = {
            "input_responses": {"confirmation": YES},
            "request_state": asked.request_state,
        }
        first = await mcp.call_tool("create_batch_run", START, **brought)
        again = await mcp.call_tool("create_batch_run", START, **brought)

    assert text_of(first).startswith("Started a batch run of 2 test cases")
    assert text_of(again).startswith("Not started again: a batch run of 2 test cases")
    assert "state" not in again.structured_content


async def test_negative_attempts_do_not_lower_the_count(costly: FakeAPI) -> None:
    cases = [
        {**CASE, "testCaseId": "tc_1", "attempt": 1000},
        {**CASE, "testCaseId": "tc_2", "attempt": -999},
    ]
    costly.answer("GET", "/v1/test-cases", page(cases))
    async with connected(base_url=costly.url, api_key=KEY) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)

    assert refused.is_error and "(at least 1,001)" in text_of(refused) and costly.posts == []


def serve_definitions(api: FakeAPI, *changes: dict[str, Any]) -> None:
    """Serve tc_1 and tc_2 of one attempt each, tc_1 with the changes."""
    api.offer("tc_1", "tc_2")
    status, listed = api.answers["GET", "/v1/test-cases"]
    for change in changes:
        listed["data"][0].update(change)
    api.answer("GET", "/v1/test-cases", listed)


@pytest.fixture
def cheap(fake_api: FakeAPI) -> FakeAPI:
    """Two test cases of one attempt each, and batch runs with ids of their own."""
    serve_definitions(fake_api)
    batch_ids = iter(range(1_000))
    fake_api.answer(
        "POST",
        "/v1/batch-runs",
        lambda asked: {**CREATED_BATCH, "batchId": f"batch_{next(batch_ids)}"},
    )
    return fake_api


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("call", "change"),
    [
        ({}, {}),
        ({"testCases": ["tc_2", "tc_1"]}, {}),
        ({"agentId": AGENT_ID.removeprefix("agent_")}, {}),
        ({"confirmAttempts": 2}, {}),
        ({"allowDuplicate": False}, {}),
        ({}, {"label": "Another label"}),
        ({}, {"agent": None}),
        ({}, {"workspaceId": "org_other"}),
        ({}, {"attempt": "1"}),
    ],
    ids=str,
)
async def test_same_definitions_are_not_started_twice(
    cheap: FakeAPI, mode: str, call: dict[str, Any], change: dict[str, Any]
) -> None:
    """R22: the order, the label or an argument does not make another launch."""
    async with connected(mode=mode, base_url=cheap.url, api_key=KEY) as mcp:
        await mcp.call_tool("create_batch_run", START)
        serve_definitions(cheap, change)
        refused = await mcp.call_tool("create_batch_run", {**START, **call})
        assert refused.is_error and len(cheap.posts) == 1
        assert "Batch run batch_0, started within" in text_of(refused)
        assert "allowDuplicate: true" in text_of(refused)

        wanted = {**START, **call, "allowDuplicate": True}
        started = await mcp.call_tool("create_batch_run", wanted)

    assert started.structured_content["batchId"] == "batch_1"
    assert started.structured_content["identicalBatchId"] == "batch_0"


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ({"testCases": ["tc_1"]}, {}),
        ({"testCases": ["tc_2"]}, {}),
        ({}, {"attempt": 2}),
        ({}, {"userPrompt": "Another prompt"}),
        ({}, {"successCriteria": "Other criteria"}),
        ({}, {"llmModel": "another-model"}),
        ({}, {"llmModel": None}),
        ({}, {"mockData": []}),
        ({}, {"mockData": [{"variableName": "customer_name", "value": "Jane Doe"}]}),
    ],
    ids=str,
)
async def test_changed_definition_is_no_duplicate(
    mcp: Client, cheap: FakeAPI, call: dict[str, Any], change: dict[str, Any]
) -> None:
    await mcp.call_tool("create_batch_run", START)
    serve_definitions(cheap, change)

    started = await mcp.call_tool("create_batch_run", {**START, **call})

    assert started.structured_content["batchId"] == "batch_1"
    assert "identicalBatchId" not in started.structured_content


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (201, {}, "within the last 10 minutes. Nothing was started now."),
        (201, b"", "was started within the last 10 minutes. Nothing was started now. list_batch"),
        (201, {"batchId": "batch/1"}, "was started within the last 10 minutes."),
        (500, ERROR, "may have started within the last 10 minutes. Nothing was started now. Look"),
        (504, b"", "may have started within the last 10 minutes."),
        (400, ERROR, None),
        (429, ERROR, None),
    ],
)
async def test_only_a_certain_refusal_is_tried_again_without_a_word(
    mcp: Client, cheap: FakeAPI, status: int, body: Any, text: str | None
) -> None:
    answer = cheap.answers["POST", "/v1/batch-runs"]
    cheap.answer("POST", "/v1/batch-runs", body, status)
    await mcp.call_tool("create_batch_run", START)
    cheap.answers["POST", "/v1/batch-runs"] = answer

    again = await mcp.call_tool("create_batch_run", START)

    assert len(cheap.posts) == (1 if text else 2)
    assert again.is_error is bool(text) and (text or "batch_0") in text_of(again)


async def test_refused_duplicate_does_not_hide_the_first(mcp: Client, cheap: FakeAPI) -> None:
    await mcp.call_tool("create_batch_run", START)
    answer = cheap.answers["POST", "/v1/batch-runs"]
    cheap.answer("POST", "/v1/batch-runs", ERROR, 429)
    await mcp.call_tool("create_batch_run", {**START, "allowDuplicate": True})
    cheap.answers["POST", "/v1/batch-runs"] = answer

    again = await mcp.call_tool("create_batch_run", START)

    assert "Batch run batch_0, started within" in text_of(again) and len(cheap.posts) == 2


async def test_after_ten_minutes_it_is_no_duplicate(
    mcp: Client, cheap: FakeAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mcp.call_tool("create_batch_run", START)
    monkeypatch.setattr(idempotency_module, "REMEMBERED_SECONDS", 0)

    again = await mcp.call_tool("create_batch_run", START)

    assert again.structured_content["batchId"] == "batch_1"


async def test_same_launch_at_once_under_other_arguments_is_made_once(
    mcp: Client, cheap: FakeAPI
) -> None:
    cheap.stalled = "POST"
    cheap.stall.clear()
    results: list[Any] = []

    async def call(added: dict[str, Any]) -> None:
        results.append(await mcp.call_tool("create_batch_run", {**START, **added}))

    async with anyio.create_task_group() as group:
        for added in ({}, {"confirmAttempts": 2}, {"testCases": ["tc_2", "tc_1"]}):
            group.start_soon(call, added)
        with anyio.fail_after(60):
            while not cheap.posts:  # noqa: ASYNC110 - the fake has no event for it
                await anyio.sleep(0.01)
        cheap.stall.set()

    assert len(cheap.posts) == 1
    assert sorted(result.is_error for result in results) == [False, True, True]
    assert all("batch_0" in text_of(result) for result in results)


async def test_duplicate_is_refused_before_a_person_is_asked(costly: FakeAPI) -> None:
    person = Person(YES)
    settings = {"base_url": costly.url, "api_key": KEY}
    async with connected(elicitation_callback=person, **settings) as mcp:
        await mcp.call_tool("create_batch_run", START)
        refused = await mcp.call_tool("create_batch_run", START)
        assert refused.is_error and len(person.asked) == 1

        await mcp.call_tool("create_batch_run", {**START, "allowDuplicate": True})

    assert len(person.asked) == len(costly.posts) == 2


async def test_start_of_other_cases_than_were_asked_for_is_told(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.offer("tc_1")
    started = {**CREATED_BATCH, "testCases": [{"testCaseId": "tc_7"}, {"testCaseId": "tc_8"}]}
    fake_api.answer("POST", "/v1/batch-runs", started)

    result = await mcp.call_tool(
        "create_batch_run", {"agentId": AGENT["agentId"], "testCases": ["tc_1"]}
    )

    assert "names other test cases than were asked for: tc_7, tc_8." in text_of(result)
