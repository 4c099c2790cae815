"""Test runs: ranges of turns, transcripts, remarks."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mcp_types
import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import OLDER_RUN, RUN, FakeAPI, page

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


async def test_runs_link_their_transcripts_and_repeat_the_uri_in_both_forms(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", "/v1/test-runs", page([RUN]))
    fake_api.answer("GET", f"/v1/test-runs/{JOB}", RUN)
    uri = f"sigmamind://agents/{AGENT}/batch-runs/{BATCH_ID}/test-runs/{JOB}/transcript"

    listed = await mcp.call_tool("list_test_runs", IN_BATCH)
    single = await mcp.call_tool("get_test_run", IN_RUN)

    for result, structured in (
        (listed, listed.structured_content["testRuns"][0]),
        (single, single.structured_content),
    ):
        assert uri in links(result)
        assert uri in text_of(result)
        assert structured["transcriptUri"] == uri


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


async def test_remarks_are_listed_whole(mcp: Client, fake_api: FakeAPI) -> None:
    remarks = f"Met: greeting. {LONG * 10} Not met: the refund."
    fake_api.answer("GET", "/v1/test-runs", page([{**RUN, "remarks": remarks}]))

    result = await mcp.call_tool("list_test_runs", IN_BATCH)

    assert result.structured_content["testRuns"][0]["remarks"] == " ".join(remarks.split())
    assert "Not met: the refund." in text_of(result)
