"""Each row of what published versions of the API disagree on, from payloads as its pages show them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.listings import Page, read_entries
from sigmamind_mcp.api.models import END_NAMES, BatchRun, TestCase, TestRun
from tests.conftest import text_of
from tests.support.fake_api import (
    BATCH,
    CASE,
    CREATED_BATCH,
    OLDER_CASE,
    OLDER_RUN,
    RUN,
    FakeAPI,
    page,
)

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
JOB = "job_ksUu5yRHGTLLrLeM"


def run(**changes: Any) -> TestRun:
    return TestRun.read({**RUN, **changes})


UNFINISHED = {**RUN, "completedDate": None, "remarks": None}
ENDS: list[Any] = [
    "2026-09-01T08:01:30Z", 1788249690, 1788249690000, "1788249690", "Tue, 01 Sep 2026 08:01:30 GMT",
    "2026-09-01 08:01:30 UTC", [2026, 9, 1, 8, 1, 30], "at half past eight", {"$date": 1788249690000}, True, None, "",
]  # fmt: skip


ZERO_DATES = [
    "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00.000+00:00",
    "0000-00-00", "0000-00-00 00:00:00", "1970-01-01T00:00:00.000Z",
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (RUN, "passed"),
        (OLDER_RUN, "passed"),
        ({**RUN, "isSuccessful": False}, "failed"),
        ({**OLDER_RUN, "isSuccesful": False}, "failed"),
        ({**RUN, "isSuccessful": None}, "undecided"),
        ({name: value for name, value in RUN.items() if name != "isSuccessful"}, "undecided"),
        *(({**RUN, "isSuccessful": True, "completedDate": end}, "passed") for end in ENDS),
        *(({**RUN, "isSuccessful": False, "completedDate": end}, "failed") for end in ENDS),
        *(
            ({**UNFINISHED, "isSuccessful": False, "completedDate": end}, "failed")
            for end in ENDS
            if end
        ),
        *(({**UNFINISHED, "isSuccessful": False, name: ENDS[0]}, "failed") for name in END_NAMES),
        *(
            ({**UNFINISHED, "isSuccessful": False, "completedDate": zero}, "undecided")
            for zero in ZERO_DATES
        ),
        ({**UNFINISHED, "isSuccessful": True}, "passed"),
        ({**UNFINISHED, "isSuccessful": "false", "remarks": "Rude."}, "failed"),
        ({**UNFINISHED, "isSuccessful": False}, "undecided"),
        ({**UNFINISHED, "isSuccessful": False, "completedDate": "", "remarks": ""}, "undecided"),
        ({**RUN, "isSuccessful": "n/a"}, "undecided"),
    ],
)
async def test_run_verdict_in_either_spelling_or_absent(
    given: dict[str, Any], verdict: str
) -> None:
    assert TestRun.read(given).verdict == verdict


async def test_transcript_of_texts_of_lists_of_texts_or_absent() -> None:
    listed = run(
        conversation=[
            {"role": "user", "content": ["Hello.", "Anyone?"]},
            {"role": "assistant", "content": None},
        ]
    )

    assert [turn.content for turn in listed.conversation or []] == ["Hello.\nAnyone?", ""]
    assert TestRun.read(OLDER_RUN).conversation is None


async def test_list_as_bare_array(client: SigmaMindClient, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-cases", [OLDER_CASE, CASE])

    assert [case.label for case in (await client.list_test_cases(AGENT)).items] == [
        None,
        CASE["label"],
    ]
    assert [asked.query for asked in fake_api.asked] == [{"agentId": AGENT}]


@pytest.mark.parametrize("total", ["totalCount", "totalCounts"])
async def test_list_as_page_with_either_spelling_of_the_total(
    client: SigmaMindClient, fake_api: FakeAPI, total: str
) -> None:
    envelope = page([BATCH])
    del envelope["totalCount"]
    fake_api.answer("GET", "/v1/batch-runs", {**envelope, total: 125, "hasNext": True})

    batches, _ = await client.list_batch_runs(AGENT)

    assert (batches.total, batches.has_next, len(batches.items)) == (125, True, 1)


@pytest.mark.parametrize(
    ("told", "has_next"),
    [
        ({"hasNext": True}, True),
        ({"totalPages": 2}, True),
        ({"totalPages": 1}, False),
        ({"totalCount": 11}, True),
        ({}, True),
        ({"size": 20}, False),
    ],
)
async def test_next_page_is_told_or_derived(told: dict[str, Any], has_next: bool) -> None:
    assert (
        Page.read({"data": [CASE] * 10, "page": 0, "size": 10, **told}, TestCase).has_next
        is has_next
    )


@pytest.mark.parametrize(
    ("status", "body"), [(201, CREATED_BATCH), (200, CREATED_BATCH), (200, BATCH)]
)
async def test_created_batch_run_with_a_body(
    mcp: Client, fake_api: FakeAPI, status: int, body: Any
) -> None:
    fake_api.offer("tc_1")
    fake_api.answer("POST", "/v1/batch-runs", body, status)

    result = await mcp.call_tool("create_batch_run", {"agentId": AGENT, "testCases": ["tc_1"]})

    assert result.structured_content["batchId"] == BATCH_ID
    assert result.structured_content["state"] == "running"


@pytest.mark.parametrize(("status", "body"), [(200, b""), (201, b""), (204, b""), (200, b"null")])
async def test_created_batch_run_with_an_empty_body_is_started_with_an_unknown_id(
    mcp: Client, fake_api: FakeAPI, status: int, body: bytes
) -> None:
    fake_api.offer("tc_1")
    fake_api.answer("POST", "/v1/batch-runs", body, status)

    result = await mcp.call_tool("create_batch_run", {"agentId": AGENT, "testCases": ["tc_1"]})

    assert not result.is_error
    assert "batchId" not in result.structured_content
    assert "gave no usable id" in text_of(result)
    assert result.structured_content["nextCalls"] == [
        {"tool": "list_batch_runs", "arguments": {"agentId": AGENT}}
    ]


@pytest.mark.parametrize("status", [200, 201])
async def test_created_test_case(mcp: Client, fake_api: FakeAPI, status: int) -> None:
    fake_api.answer("POST", "/v1/test-cases", OLDER_CASE, status)

    result = await mcp.call_tool(
        "create_test_case", {"agentId": AGENT, "userPrompt": "x", "successCriteria": "y"}
    )

    assert result.structured_content["testCaseId"] == "tc_d17T6uReChpyfFeP"


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Angry Customer - Cancellation Flow"),
        ({"label": None}, "You are an angry customer who wants to cancel your subscript"),
        ({"label": None, "userPrompt": None}, "tc_d17T6uReChpyfFeP"),
    ],
)
async def test_label_falls_back_to_the_prompt_then_to_the_id(
    changes: dict[str, Any], title: str
) -> None:
    assert TestCase.read({**CASE, **changes}).title == title


@pytest.mark.parametrize("given", [None, [], "absent"])
async def test_mock_data_null_empty_or_absent(given: Any) -> None:
    case = {name: value for name, value in CASE.items() if name != "mockData"}
    assert TestCase.read(case if given == "absent" else {**case, "mockData": given}).mock_data == []


NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
LONG_AFTER = NOW + timedelta(hours=2)


def batch(**changes: Any) -> BatchRun:
    return BatchRun.read({**BATCH, **changes})


@pytest.mark.parametrize(
    ("changes", "now", "state", "expected"),
    [
        ({}, NOW, "finished", 5),
        ({"successfulAttempts": 0, "failedAttempts": 0, "totalAttempts": 0}, NOW, "running", 5),
        # totalAttempts grows with progress: two of two executed is not the end of five.
        ({"successfulAttempts": 1, "failedAttempts": 1, "totalAttempts": 2}, NOW, "running", 5),
        ({"successfulAttempts": 3, "failedAttempts": 1}, LONG_AFTER, "stalled", 5),
        (
            {"successfulAttempts": None, "failedAttempts": None, "totalAttempts": None},
            NOW,
            "running",
            5,
        ),
        ({"successfulAttempts": None, "failedAttempts": None}, LONG_AFTER, "unknown", 5),
        ({"successfulAttempts": 5, "failedAttempts": None}, NOW, "finished", 5),
        ({"testCases": None}, NOW, "finished", 5),
        ({"testCases": None, "totalAttempts": None}, LONG_AFTER, "unknown", None),
        (
            {"testCases": [{**CASE, "attempt": None}], "totalAttempts": None, "failedAttempts": 0},
            NOW,
            "finished",
            1,
        ),
        ({"totalAttempts": 8, "successfulAttempts": 4, "failedAttempts": 1}, NOW, "running", 8),
        ({"createdDate": None, "successfulAttempts": 1}, LONG_AFTER, "running", 5),
    ],
)
async def test_state_is_derived_from_counters_and_age(
    changes: dict[str, Any], now: datetime, state: str, expected: int | None
) -> None:
    assert (batch(**changes).state(now), batch(**changes).expected_attempts) == (state, expected)


@pytest.mark.parametrize("status", ["Live", "Testing", "Disabled", "active", "Something new"])
async def test_agent_status_is_any_text(status: str) -> None:
    agent = batch(agent={"name": "A", "agentId": "a1", "status": status}).agent
    assert agent is not None and agent.status == status


async def test_agent_name_in_either_spelling(client: SigmaMindClient, fake_api: FakeAPI) -> None:
    fake_api.answer(
        "GET",
        "/v1/agents",
        page([{"agentName": "One", "agentId": "a1"}, {"name": "Two", "agentId": "a2"}]),
    )

    assert [agent.name for agent in (await client.list_agents()).items] == ["One", "Two"]


@pytest.mark.parametrize("agent_id", ["agent_D5D0p7TUs66TTAEAx", "D5D0p7TUs66TTAEAx"])
async def test_agent_id_travels_as_given(mcp: Client, fake_api: FakeAPI, agent_id: str) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", BATCH)

    result = await mcp.call_tool("get_batch_run", {"agentId": agent_id, "batchId": BATCH_ID})

    assert fake_api.asked[0].query == {"agentId": agent_id}
    assert result.structured_content["agentId"] == agent_id


@pytest.mark.parametrize("chat_id", ["chat_IpELinkFvINQ1212", "chat-IpELinkFvINQ1212"])
async def test_chat_id_in_either_form(mcp: Client, fake_api: FakeAPI, chat_id: str) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", {**RUN, "chatId": chat_id})

    result = await mcp.call_tool(
        "get_test_run", {"agentId": AGENT, "batchId": BATCH_ID, "jobId": JOB}
    )

    assert result.structured_content["chatId"] == chat_id
    assert chat_id in text_of(result)


async def test_unknown_fields_appear_in_full_and_are_never_fatal(
    mcp: Client, fake_api: FakeAPI
) -> None:
    more = {
        "status": "COMPLETED",
        "cost": {"amount": 1.5, "note": None},
        "testCases": [{**CASE, "tags": ["a"]}],
    }
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {**BATCH, **more})
    call = {"agentId": AGENT, "batchId": BATCH_ID}

    full = await mcp.call_tool("get_batch_run", {**call, "detail": "full"})
    concise = await mcp.call_tool("get_batch_run", call)

    raw = full.structured_content["raw"]
    assert raw["status"] == "COMPLETED"
    assert raw["cost"] == {"amount": 1.5, "note": None}
    assert raw["testCases"][0]["tags"] == ["a"]
    assert "COMPLETED" in text_of(full) and "tags" in text_of(full)
    assert "status" not in concise.structured_content


@pytest.mark.parametrize(
    "moment",
    ["yesterday", "", 12, {"at": 1}, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"],
)
async def test_unreadable_time_is_no_time_and_is_named(moment: Any) -> None:
    batch_run = batch(createdDate=moment)

    assert batch_run.created_date is None
    assert batch_run.unreadable_fields() == (["createdDate"] if moment else [])


@pytest.mark.parametrize("zero", ZERO_DATES)
async def test_zero_of_a_date_type_is_no_time(zero: str) -> None:
    batch_run = batch(createdDate=zero)

    assert batch_run.created_date is None
    assert batch_run.unreadable_fields() == []


@pytest.mark.parametrize("name", END_NAMES)
async def test_end_under_another_name_is_the_end(name: str) -> None:
    given = {key: value for key, value in RUN.items() if key != "completedDate"}

    assert (
        TestRun.read({**given, name: RUN["completedDate"]}).completed_date == run().completed_date
    )


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", END_NAMES)
async def test_verdict_stays_without_what_the_run_was_read_from(name: str, end: Any) -> None:
    whole = TestRun.read({**UNFINISHED, "isSuccessful": False, name: end})

    assert whole.without("conversation").verdict == whole.without().verdict == whole.verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"testCases": [None, CASE]},
        {"testCases": "x"},
        {"testCases": [{**CASE, "attempt": "five"}]},
        {"testCases": [{**CASE, "attempt": 10**30}]},
    ],
)
async def test_attempts_that_are_unreadable_are_not_counted_as_some_number(
    changes: dict[str, Any],
) -> None:
    assert batch(**changes).expected_attempts is None
    assert batch(**changes).state(NOW) == "running"
    assert batch(**changes).state(LONG_AFTER) == "unknown"


@pytest.mark.parametrize("counter", ["successfulAttempts", "failedAttempts"])
async def test_unreadable_counter_is_not_zero(counter: str) -> None:
    assert batch(**{counter: "some"}).decided_attempts is None
    assert batch(**{counter: None}).decided_attempts is not None


HELLO = [("user", "Hello."), ("assistant", "Hi.")]


@pytest.mark.parametrize("name", ["conversation", "messages", "transcript"])
@pytest.mark.parametrize("empty", [None, [], "", "absent"])
async def test_transcript_is_read_under_each_of_its_names(name: str, empty: Any) -> None:
    turns = [{"role": role, "content": content} for role, content in HELLO]
    others = {"conversation", "messages", "transcript"} - {name}
    given = {**RUN, **dict.fromkeys(others, empty), name: turns}
    if empty == "absent":
        given = {key: value for key, value in given.items() if key not in others}

    test_run = TestRun.read(given)

    assert [(turn.role, turn.content) for turn in test_run.conversation or []] == HELLO
    assert test_run.unreadable_fields() == []


async def test_transcript_that_is_a_text_is_one_turn_of_an_unknown_role() -> None:
    for given in ("user: Hello.", ["user: Hello."]):
        (turn,) = run(conversation=given).conversation or []
        assert (turn.role, turn.content) == ("unknown", "user: Hello.")


@pytest.mark.parametrize(
    ("given", "role", "content"),
    [
        ({"role": "user", "content": "a"}, "user", "a"),
        ({"role": "user", "content": ["a", None, "b"]}, "user", "a\nb"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}, "user", "a\nb"),
        ({"role": "user", "content": {"type": "text", "text": "a"}}, "user", "a"),
        ({"role": "user", "content": {"parts": 1}}, "user", ""),
        ({"role": "user", "content": 7}, "user", "7"),
        ({"role": "user", "content": None, "tool_calls": [1]}, "user", ""),
        ({"role": "user", "content": None, "text": "a"}, "user", "a"),
        ({"speaker": "user", "message": "a"}, "user", "a"),
        ({"role": "user", "utterance": "a"}, "user", "a"),
        ({"role": "user", "utterance": {"text": "a"}}, "user", ""),
        ({"role": "user"}, "user", ""),
        ({"role": None, "content": "a"}, "unknown", "a"),
        ({"role": ["user"], "content": "a"}, "user", "a"),
        ({}, "unknown", ""),
    ],
)
async def test_turn_in_any_form_has_its_words(given: Any, role: str, content: str) -> None:
    (turn,) = run(conversation=[given]).conversation or [Turn()]

    assert (turn.role, turn.content) == (role, content)


@pytest.mark.parametrize("odd", [None, True, 7, 1.5, "x", "an id?", [], [CASE], {}, {"more": 1}])
async def test_odd_entry_of_a_list_is_left_out_and_named(odd: Any) -> None:
    listing = read_entries([CASE, odd, OLDER_CASE], TestCase, {})

    assert [case.raw for case in listing.items] == [CASE, OLDER_CASE]
    assert listing.unreadable == [(1, "x" if odd == "x" else None)]
    assert (listing.entry_count, listing.foreign) == (3, 0)
