"""Changing a test case: from the raw object, the whole of it, and told before and after."""

from typing import Any

import jsonschema
import pytest
from mcp import Client

from tests.conftest import text_of
from tests.support.fake_api import CASE, ERROR, FakeAPI

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
PATH = "/v1/test-cases/tc_d17T6uReChpyfFeP"
CALL = {"agentId": AGENT, "testCaseId": "tc_d17T6uReChpyfFeP"}
WRITTEN = {
    name: CASE[name]
    for name in ("label", "llmModel", "mockData", "userPrompt", "attempt", "successCriteria")
}


def stored(fake_api: FakeAPI, case: dict[str, Any], *, by: str = "PUT") -> dict[str, Any]:
    """Let the fake API keep a test case that one method can change."""
    kept = dict(case)

    def change(asked: Any) -> Any:
        kept.update({name: value for name, value in asked.body.items() if name != "agentId"})
        return kept

    fake_api.answer("GET", PATH, lambda asked: kept)
    fake_api.answer(by, PATH, change)
    return kept


async def test_whole_case_is_written_with_what_was_given(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, CASE)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 9, "label": "New"})

    assert fake_api.paths == [f"GET {PATH}", f"PUT {PATH}", f"GET {PATH}"]
    assert fake_api.asked[1].body == {"agentId": AGENT, **WRITTEN, "attempt": 9, "label": "New"}
    assert fake_api.asked[1].query == {}
    assert result.structured_content["changes"] == [
        {"field": "label", "before": CASE["label"], "after": "New"},
        {"field": "attempt", "before": 5, "after": 9},
    ]
    assert "Changed: label, attempt." in text_of(result)
    assert 'label before: "Angry Customer - Cancellation Flow"\nlabel after: "New"' in text_of(
        result
    )


async def test_half_a_character_travels_back_as_it_came(mcp: Client, fake_api: FakeAPI) -> None:
    """R19: where somebody's program cut a label in the middle of an emoji, the case can be changed all the same."""
    case = {
        **CASE,
        "label": "cut \ud83d",
        "mockData": [{"variableName": "v", "value": "\udc00 中"}],
    }
    stored(fake_api, case)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    kept = {name: case[name] for name in ("label", "mockData")}
    assert fake_api.asked[1].body == {"agentId": AGENT, **WRITTEN, **kept, "attempt": 2}
    assert fake_api.asked[1].headers["content-type"] == "application/json"
    assert not result.is_error and result.structured_content["label"] == "cut \ufffd"


async def test_untouched_fields_travel_back_letter_by_letter(
    mcp: Client, fake_api: FakeAPI
) -> None:
    odd = "in\u200bvisi\u202eble \x1b[31m \U000e0041 \r\n tail "
    case = {
        **CASE,
        "userPrompt": odd,
        "successCriteria": odd,
        "mockData": [{"variableName": odd, "value": odd, "x": 1}],
    }
    stored(fake_api, case)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    sent = fake_api.asked[1].body
    assert (sent["userPrompt"], sent["successCriteria"], sent["mockData"]) == (
        odd,
        odd,
        case["mockData"],
    )
    assert "\u202e" not in text_of(result)


@pytest.mark.parametrize("status", [405, 501])
async def test_patch_is_sent_only_where_put_is_not_offered(
    mcp: Client, fake_api: FakeAPI, status: int
) -> None:
    stored(fake_api, CASE, by="PATCH")
    fake_api.answer("PUT", PATH, ERROR, status)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    assert not result.is_error
    assert [asked.method for asked in fake_api.asked] == ["GET", "PUT", "PATCH", "GET"]
    assert fake_api.asked[1].body == fake_api.asked[2].body


async def test_field_that_the_api_stored_otherwise_is_named(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", PATH, CASE)
    fake_api.answer("PUT", PATH, CASE)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 2, "label": CASE["label"]})

    assert result.structured_content["changes"] == []
    assert result.structured_content["notAsSent"] == ["attempt"]
    assert "Changed: nothing." in text_of(result) and "Not stored as sent: attempt." in text_of(
        result
    )


async def test_absent_and_null_fields_are_not_written(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, {"testCaseId": "tc_d17T6uReChpyfFeP", "userPrompt": "x", "label": None})

    await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    assert fake_api.asked[1].body == {"agentId": AGENT, "userPrompt": "x", "attempt": 2}


async def test_nothing_to_change_is_refused_without_a_request(
    mcp: Client, fake_api: FakeAPI
) -> None:
    result = await mcp.call_tool("update_test_case", CALL)

    assert result.is_error and "Nothing to change" in text_of(result)
    assert fake_api.asked == []


@pytest.mark.parametrize(
    ("status", "unknown"), [(500, True), (504, True), (400, False), (404, False)]
)
async def test_lost_answer_is_no_failure(
    mcp: Client, fake_api: FakeAPI, status: int, unknown: bool
) -> None:
    fake_api.answer("GET", PATH, CASE)
    fake_api.answer("PUT", PATH, ERROR, status)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    assert result.is_error and ("may have been made" in text_of(result)) is unknown
    assert [asked.method for asked in fake_api.asked].count("PUT") == 1


async def test_answer_obeys_the_advertised_schema(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, CASE)
    schema = next(
        tool.output_schema
        for tool in (await mcp.list_tools()).tools
        if tool.name == "update_test_case"
    )

    result = await mcp.call_tool("update_test_case", {**CALL, "mockData": []})

    jsonschema.validate(result.structured_content, schema)
    assert result.structured_content["changes"][0]["after"] == []
