"""What a batch run costs is told before it is spent, and above a limit a person says yes first."""

from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

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
    assert "Near: tc_2" in text_of(result) and "Nothing was started." in text_of(result)


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
        assert "2 test cases make 60 attempts, more than the 50" in text_of(refused)
        assert "(tc_1): 30 attempts, gpt-4o-mini" in text_of(refused)
        assert "call again with confirmAttempts 60" in text_of(refused)

        wrong = await mcp.call_tool("create_batch_run", {**START, "confirmAttempts": 50})
        assert wrong.is_error and costly.posts == []
        assert (
            "confirmAttempts is 50, but the 2 test cases make 60 attempts, which the person must agree to."
            in text_of(wrong)
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
        "Each costs model calls, and a batch run cannot be stopped."
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


@pytest.mark.parametrize(
    ("changes", "status", "warning"),
    [
        ({"agentSettings": {"webhooks": []}, "tools": []}, 200, None),
        ({"agentSettings": {"webhooks": [{"url": "x"}] * 2}}, 200, "The agent has 2 webhooks;"),
        (
            {"agentSettings": {"webhooks": [{}]}, "tools": [{}]},
            200,
            "The agent has 1 webhook and 1 tool;",
        ),
        ({}, 404, "The agent could not be read"),
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
        with anyio.fail_after(5):
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
    """Protocol 2026-07-28: the answer travels with the call, so a call that is issued again brings it again."""
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


async def test_negative_attempts_do_not_lower_the_count(costly: FakeAPI) -> None:
    cases = [
        {**CASE, "testCaseId": "tc_1", "attempt": 1000},
        {**CASE, "testCaseId": "tc_2", "attempt": -999},
    ]
    costly.answer("GET", "/v1/test-cases", page(cases))
    async with connected(base_url=costly.url, api_key=KEY) as mcp:
        refused = await mcp.call_tool("create_batch_run", START)

    assert refused.is_error and "make 1,001 attempts" in text_of(refused) and costly.posts == []
