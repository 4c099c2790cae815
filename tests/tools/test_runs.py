"""Test runs: ranges of turns, transcripts, remarks."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mcp_types
import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import CASE, OLDER_RUN, RUN, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
BATCH_ID = "batch_s0OJu2JWR8R45Fai"
JOB = "job_ksUu5yRHGTLLrLeM"
IN_BATCH = {"agentId": AGENT, "batchId": BATCH_ID}
IN_RUN = {**IN_BATCH, "jobId": JOB}
LONG = "All work and no play makes a dull agent. "


def links(result: mcp_types.CallToolResult) -> list[str]:
    return [str(block.uri) for block in result.content if isinstance(block, mcp_types.ResourceLink)]


def conversation(turns: int) -> list[dict[str, str]]:
    return [
        {
            "role": ("user", "assistant")[number % 2],
            "content": f"This is turn {number + 1}. {LONG * (number % 7)}",
        }
        for number in range(turns)
    ]


async def test_run_links_its_transcript_and_repeats_the_uri_in_both_forms(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", RUN)
    uri = f"sigmamind://agents/{AGENT}/batch-runs/{BATCH_ID}/test-runs/{JOB}/transcript"

    result = await mcp.call_tool("get_test_run", IN_RUN)

    assert uri in links(result) and uri in text_of(result)
    assert result.structured_content["transcriptUri"] == uri


async def test_list_shows_the_uri_and_each_label_once_for_all_its_rows(
    mcp: Client, fake_api: FakeAPI
) -> None:
    runs = [{**RUN, "jobId": f"job_{number}"} for number in range(50)]
    fake_api.answer("GET", "/v1/test-runs", page(runs))
    uri = f"sigmamind://agents/{AGENT}/batch-runs/{BATCH_ID}/test-runs/{{jobId}}/transcript"

    result = await mcp.call_tool("list_test_runs", {**IN_BATCH, "size": 50})

    text, answer = text_of(result), result.structured_content
    assert text.count("sigmamind://") == 1 and uri in text and answer["transcriptUri"] == uri
    assert text.count(CASE["testCaseId"]) == text.count(CASE["label"]) == 1
    assert answer["labels"] == {CASE["testCaseId"]: CASE["label"]}
    assert text.count(RUN["remarks"]) == 1 and links(result) == []
    assert all(f"job_{number}" in text.split() for number in range(49))


@pytest.mark.parametrize("field", ["conversation", "messages", "transcript"])
async def test_list_has_no_conversation_also_in_full_detail(
    mcp: Client, fake_api: FakeAPI, field: str
) -> None:
    run = {name: value for name, value in RUN.items() if name != "conversation"}
    fake_api.answer("GET", "/v1/test-runs", page([{**run, field: conversation(9)}]))

    result = await mcp.call_tool("list_test_runs", {**IN_BATCH, "detail": "full"})

    said = [text_of(result), json.dumps(result.structured_content)]
    assert all("This is turn" not in form and "createdDate" in form for form in said)
    assert result.structured_content["raw"] == {"testRuns": [run]}


async def test_list_shows_a_label_without_a_test_case_id(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", "/v1/test-runs", page([{**RUN, "testCase": {"label": "Angry caller"}}]))

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert "(no usable id) Angry caller" in text_of(result)
    assert result.structured_content["testRuns"][0]["label"] == "Angry caller"


async def test_walking_the_ranges_of_a_long_transcript_yields_every_turn_once(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", {**RUN, "conversation": conversation(2000)})
    seen: list[tuple[int, str]] = []
    call: dict[str, Any] | None = IN_RUN

    while call is not None:
        result = await mcp.call_tool("get_test_run", call)
        answer = result.structured_content
        assert (
            len(text_of(result)) <= 25_000 and len(json.dumps(answer, ensure_ascii=False)) <= 25_000
        )
        seen += [(turn["turn"], turn["content"]) for turn in answer["conversation"]]
        assert all(
            f"**{turn['turn']} {turn['role']}:**" in text_of(result)
            for turn in answer["conversation"]
        )
        assert answer["turnCount"] == 2000
        call = answer["nextCalls"][0]["arguments"] if "nextCalls" in answer else None

    assert seen == [
        (number, turn["content"]) for number, turn in enumerate(conversation(2000), start=1)
    ]


async def test_walking_a_transcript_resource_yields_every_turn_once(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", {**RUN, "conversation": conversation(2000)})
    uri: str | None = f"sigmamind://agents/{AGENT}/batch-runs/{BATCH_ID}/test-runs/{JOB}/transcript"
    seen: list[int] = []

    while uri is not None:
        (contents,) = (await mcp.read_resource(uri)).contents
        assert isinstance(contents, mcp_types.TextResourceContents)
        assert contents.mime_type == "text/markdown" and len(contents.text) <= 25_000
        seen += [
            int(number)
            for number in re.findall(r"^\*\*(\d+) (?:user|assistant):\*\*", contents.text, re.M)
        ]
        going_on = re.search(r"More: (\S+)", contents.text)
        uri = going_on.group(1) if going_on else None
        assert uri is None or set(parse_qs(urlsplit(uri).query)) == {"fromTurn"}

    assert seen == list(range(1, 2001))


async def test_range_of_turns_as_asked(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", {**RUN, "conversation": conversation(30)})

    result = await mcp.call_tool("get_test_run", {**IN_RUN, "fromTurn": 10, "turns": 5})

    assert [turn["turn"] for turn in result.structured_content["conversation"]] == [
        10,
        11,
        12,
        13,
        14,
    ]
    assert result.structured_content["nextFromTurn"] == 15
    assert "Turns 10 to 14 of 30." in text_of(result)


async def test_range_past_the_end_is_refused_with_the_last_turn(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", {**RUN, "conversation": conversation(30)})

    result = await mcp.call_tool("get_test_run", {**IN_RUN, "fromTurn": 31})

    assert result.is_error and "fromTurn must be at most 30" in text_of(result)


async def test_missing_transcript_is_said_with_the_chat_id(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", OLDER_RUN)

    result = await mcp.call_tool("get_test_run", IN_RUN)

    assert f"The API's answer has no conversation of test run {JOB}." in text_of(result)
    assert "turnCount" not in result.structured_content
    assert result.structured_content["chatId"] == "chat-IpELinkFvINQ1212"


async def test_long_remarks_are_cut_in_the_list(mcp: Client, fake_api: FakeAPI) -> None:
    remarks = f"Met: greeting. {LONG * 10} Not met: the refund."
    fake_api.answer("GET", "/v1/test-runs", page([{**RUN, "remarks": remarks}]))

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    shown = result.structured_content["testRuns"][0]["remarks"]
    whole = " ".join(remarks.split())
    assert shown == f"{whole[:300]} [cut: 300 of {len(whole)} characters]"
    assert shown in text_of(result)
