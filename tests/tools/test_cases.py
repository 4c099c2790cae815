"""Changing a test case: from the raw object, the whole of it, and told before and after."""

from collections.abc import Callable
from itertools import combinations
from threading import Event
from typing import Any

import anyio
import pytest
from mcp import Client

from sigmamind_mcp.api import client as client_module
from sigmamind_mcp.insight import draft_checks
from tests.conftest import KEY, connected, let_cancellation_arrive, text_of
from tests.support import fake_api as fake_api_module
from tests.support.answer_schemas import check_schema
from tests.support.fake_api import CREATED_BATCH, ERROR, FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
PATH = "/v1/test-cases/tc_1"
CALL = {"agentId": AGENT, "testCaseId": "tc_1"}
CASE = {**fake_api_module.CASE, "testCaseId": "tc_1"}
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
    assert result.structured_content["changed"] == ["label", "attempt"]
    assert result.structured_content["edits"] == [
        {"field": "label", "before": CASE["label"], "after": "New"},
        {"field": "attempt", "before": "5", "after": "9"},
    ]
    assert "Changed: label, attempt." in text_of(result)
    assert "\nlabel: Angry Customer - Cancellation Flow -> New\nattempt: 5 -> 9\n" in text_of(
        result
    )
    assert CASE["userPrompt"] not in text_of(result)


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
    assert not result.is_error
    renamed = await mcp.call_tool("update_test_case", {**CALL, "label": "whole"})
    assert renamed.structured_content["edits"][0]["before"] == "cut \ufffd"


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

    assert result.structured_content["changed"] == []
    assert result.structured_content["notAsSent"] == ["attempt"]
    assert "Changed: nothing." in text_of(result) and "Not stored as sent: attempt." in text_of(
        result
    )


def number_mocks(asked: Any) -> list[dict[str, Any]]:
    """Return the sent mock data as an API may store it: in its own order, each with a new id."""
    numbered = []
    for number, entry in enumerate(asked.body["mockData"]):
        numbered.append({**entry, "id": f"m{number}"})
    return sorted(numbered, key=lambda entry: entry["variableName"], reverse=True)


MOCKS = [{"variableName": name, "value": "1"} for name in "ab"]


async def test_what_the_api_adds_to_mock_data_is_no_change(mcp: Client, fake_api: FakeAPI) -> None:
    kept = {**CASE, "mockData": MOCKS}

    def change(asked: Any) -> Any:
        kept.update({**asked.body, "mockData": number_mocks(asked)})
        return kept

    fake_api.answer("GET", PATH, lambda asked: kept)
    fake_api.answer("PUT", PATH, change)
    sent = [MOCKS[0], {"variableName": "b", "value": "2"}]

    replaced = await mcp.call_tool("update_test_case", {**CALL, "mockData": sent})
    renamed = await mcp.call_tool("update_test_case", {**CALL, "label": "New"})

    assert [entry["id"] for entry in kept["mockData"]] == ["m0", "m1"]
    assert replaced.structured_content["changed"] == ["mockData"]
    assert replaced.structured_content["notAsSent"] == []
    assert "mockData b: 1 -> 2" in text_of(replaced)
    assert renamed.structured_content["changed"] == ["label"]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"userPrompt": "You call. "}, {"userPrompt": "You call."}),
        ({"attempt": 7}, {"attempt": "7"}),
        ({"clear": ["label"]}, {"label": None}),
        ({"mockData": []}, {"mockData": None}),
    ],
)
async def test_other_form_of_the_same_value_is_stored_as_sent(
    mcp: Client, fake_api: FakeAPI, sent: dict[str, Any], shown: dict[str, Any]
) -> None:
    kept = dict(CASE)
    fake_api.answer("GET", PATH, lambda asked: kept)
    fake_api.answer("PUT", PATH, lambda asked: kept.update(shown) or kept)

    result = await mcp.call_tool("update_test_case", {**CALL, **sent})

    assert result.structured_content["changed"] == list(shown)
    assert result.structured_content["notAsSent"] == []


async def test_empty_fields_that_appear_after_a_change_are_no_change(
    mcp: Client, fake_api: FakeAPI
) -> None:
    kept: dict[str, Any] = {"testCaseId": "tc_1", "userPrompt": "You call."}
    empty: dict[str, Any] = {"mockData": [], "llmModel": "", "label": None}
    fake_api.answer("GET", PATH, lambda asked: kept)
    fake_api.answer("PUT", PATH, lambda asked: kept.update({**empty, "attempt": 3}) or kept)

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 3})

    assert result.structured_content["changed"] == ["attempt"]


PROMPT = " ".join(f"Word{number} stays." for number in range(80))


@pytest.mark.parametrize(
    ("before", "sent", "line", "edit"),
    [
        (
            {"userPrompt": f"{PROMPT} You pay by card. {PROMPT}"},
            {"userPrompt": f"{PROMPT} You pay by bill. {PROMPT}"},
            "userPrompt: … You pay by card. -> bill. Word0 stays. Word1 …",
            {"before": "card.", "after": "bill."},
        ),
        (
            {"successCriteria": "The agent greets."},
            {"successCriteria": "The agent greets "},
            "successCriteria: The agent greets. -> The agent greets",
            {},
        ),
        (
            {"userPrompt": f"{PROMPT} end"},
            {"userPrompt": f"{PROMPT}  end"},
            "userPrompt: only spaces, invisible characters or the Unicode form differ",
            {"onlySpaces": True},
        ),
        ({"label": None}, {"label": "Ben"}, "label: added, Ben", {"after": "Ben"}),
        ({"mockData": "?"}, {"mockData": []}, "mockData: ? -> []", {"before": "?", "after": "[]"}),
        (
            {
                "mockData": [
                    {"variableName": "a", "value": "1"},
                    {"variableName": "b", "value": "2"},
                ]
            },
            {
                "mockData": [
                    {"variableName": "b", "value": "2"},
                    {"variableName": "a", "value": "1"},
                ]
            },
            'mockData: [{"variableName": "a", ',
            {},
        ),
    ],
    ids=["words", "mark", "space", "absent", "unreadable", "order"],
)
async def test_answer_shows_the_words_that_changed(
    mcp: Client,
    fake_api: FakeAPI,
    before: dict[str, Any],
    sent: dict[str, Any],
    line: str,
    edit: dict[str, Any],
) -> None:
    stored(fake_api, {**CASE, **before})

    result = await mcp.call_tool("update_test_case", {**CALL, **sent})

    answer = result.structured_content
    assert answer["changed"] == list(sent) and "moreEdits" not in answer
    assert any(shown.startswith(line) for shown in text_of(result).splitlines())
    assert edit.items() <= answer["edits"][0].items()


async def test_replaced_text_can_be_restored_from_the_answer(
    mcp: Client, fake_api: FakeAPI
) -> None:
    stored(fake_api, {**CASE, "userPrompt": PROMPT})
    new = " ".join(f"Other{number} text" for number in range(80))

    result = await mcp.call_tool("update_test_case", {**CALL, "userPrompt": new})

    assert PROMPT in text_of(result) and new not in text_of(result)
    assert "[cut: 160 of" in result.structured_content["edits"][0]["after"]


A, B = ({"variableName": name, "value": "1", "note": "kept"} for name in "ab")


@pytest.mark.parametrize(
    ("before", "sent", "written"),
    [
        ([A, B], {"b": "2"}, [A, {**B, "value": "2"}]),
        ([A, B], {"c": "3"}, [A, B, {"variableName": "c", "value": "3"}]),
        ([A, B], {"b": "2", "a": ""}, [{**A, "value": ""}, {**B, "value": "2"}]),
        ([A, A], {"a": "2"}, [{**A, "value": "2"}] * 2),
        ([A, "odd", {"x": 1}], {"a": "2"}, [{**A, "value": "2"}, "odd", {"x": 1}]),
        ([], {"a": "1"}, [{"variableName": "a", "value": "1"}]),
        ([{"variableName": "a"}, B], {"a": "1"}, [{"variableName": "a", "value": "1"}, B]),
    ],
    ids=["one", "new", "both", "twice", "odd", "none", "hidden"],
)
async def test_single_mock_values_change_and_the_others_travel_back(
    mcp: Client, fake_api: FakeAPI, before: object, sent: dict[str, str], written: list[Any]
) -> None:
    stored(fake_api, {**CASE, "mockData": before})
    entries = [{"variableName": name, "value": value} for name, value in sent.items()]

    result = await mcp.call_tool("update_test_case", {**CALL, "setMockData": entries})

    assert fake_api.asked[1].body == {"agentId": AGENT, **WRITTEN, "mockData": written}
    assert result.structured_content["changed"] == ["mockData"]
    assert not result.structured_content["notAsSent"]


async def test_mock_variable_is_renamed_in_one_update(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, {**CASE, "mockData": [A, B, "odd"]})
    entries = [{"variableName": "c", "value": "1"}]

    result = await mcp.call_tool(
        "update_test_case", {**CALL, "clear": ["mockData.a"], "setMockData": entries}
    )

    written = [B, "odd", {"variableName": "c", "value": "1"}]
    assert fake_api.asked[1].body == {"agentId": AGENT, **WRITTEN, "mockData": written}
    assert not result.structured_content["notAsSent"]


@pytest.mark.parametrize(
    ("stored_data", "more", "says", "asked"),
    [
        ([A], {"mockData": []}, "Give it alone, or them.", 0),
        ([A], {"clear": ["mockData.a"]}, "Give one of them.", 0),
        ([A], {"clear": ["label", "mockData.b"]}, "clear[1] names a variable that", 1),
        ([], {"clear": ["mockData.b"]}, "the API does not show", 1),
        (None, {"clear": ["mockData.b"]}, "the API does not show", 2),
        ([{**A, "variableName": "b\u200b"}], {"clear": ["mockData.b"]}, "exactly this name", 1),
        (
            [A],
            {"setMockData": [{"variableName": "a", "value": value} for value in "23"]},
            "twice",
            0,
        ),
        ("?", {}, "Send all of it as mockData.", 1),
    ],
)
async def test_mock_values_that_cannot_be_set_are_refused(
    mcp: Client,
    fake_api: FakeAPI,
    stored_data: object,
    more: dict[str, Any],
    says: str,
    asked: int,
) -> None:
    stored(fake_api, {**CASE, "mockData": stored_data})
    entries = [{"variableName": "a", "value": "2"}]

    result = await mcp.call_tool("update_test_case", {**CALL, "setMockData": entries, **more})

    assert result.is_error and says in text_of(result)
    assert [request.method for request in fake_api.asked] == ["GET"] * asked


SENT_A, SENT_B = ({"variableName": name, "value": "2"} for name in "ab")


def _hide_values(case: dict[str, Any]) -> list[dict[str, str]]:
    return [{"variableName": mock["variableName"]} for mock in case["mockData"]]


HIDING: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "absent": lambda case: {name: case[name] for name in case if name != "mockData"},
    "null": lambda case: {**case, "mockData": None},
    "no values": lambda case: {**case, "mockData": _hide_values(case)},
    "null values": lambda case: {
        **case,
        "mockData": [{**mock, "value": None} for mock in _hide_values(case)],
    },
}


HIDDEN = [{"testCaseId": name, "userPrompt": "x", "mockData": None} for name in ("tc_1", "tc_2")]
MASKED = {**HIDDEN[1], "mockData": "***"}


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ([], 200),
        (HIDDEN, 200),
        ([HIDDEN[0], MASKED], 200),
        ([{**CASE, "testCaseId": "tc_2"}], 200),
        ([], 403),
        ([], 404),
    ],
)
@pytest.mark.parametrize("hide", HIDING.values(), ids=HIDING)
@pytest.mark.parametrize(
    "change",
    [
        {"setMockData": [{"variableName": "new", "value": "1"}]},
        {"clear": ["mockData.account_status"]},
    ],
    ids=["set", "clear"],
)
async def test_part_of_mock_data_is_not_written_where_the_rest_is_hidden(
    mcp: Client,
    fake_api: FakeAPI,
    change: dict[str, Any],
    hide: Callable[[dict[str, Any]], dict[str, Any]],
    others: list[dict[str, Any]],
    status: int,
) -> None:
    """Neither the test case nor the agent's list shows whether it has some."""
    kept = stored(fake_api, CASE)
    fake_api.answer("GET", PATH, lambda asked: hide(kept))
    fake_api.answer("GET", "/v1/test-cases", page(others), status)

    result = await mcp.call_tool("update_test_case", {**CALL, **change})

    assert result.is_error and "Send all of it as mockData." in text_of(result)
    assert kept == CASE and {asked.method for asked in fake_api.asked} == {"GET"}


@pytest.mark.parametrize("hide", HIDING.values(), ids=HIDING)
async def test_hidden_mock_data_outlives_other_changes_and_can_be_replaced(
    mcp: Client, fake_api: FakeAPI, hide: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    kept = stored(fake_api, CASE)
    fake_api.answer("GET", PATH, lambda asked: hide(kept))

    await mcp.call_tool("update_test_case", {**CALL, "label": "New"})
    assert (kept["label"], kept["mockData"]) == ("New", CASE["mockData"])

    replaced = await mcp.call_tool("update_test_case", {**CALL, "mockData": [SENT_A]})
    assert kept["mockData"] == [SENT_A]
    assert replaced.structured_content["nextCalls"][0]["tool"] == "check_test_case"


@pytest.mark.parametrize("mock_data", [CASE["mockData"], []])
@pytest.mark.parametrize("hide", [HIDING["absent"], HIDING["null"]])
async def test_mock_data_that_only_the_list_shows_is_kept(
    mcp: Client,
    fake_api: FakeAPI,
    hide: Callable[[dict[str, Any]], dict[str, Any]],
    mock_data: list[dict[str, str]],
) -> None:
    kept = stored(fake_api, {**CASE, "mockData": mock_data})
    fake_api.answer("GET", PATH, lambda asked: hide(kept))
    fake_api.answer("GET", "/v1/test-cases", lambda asked: page([kept]))

    result = await mcp.call_tool("update_test_case", {**CALL, "setMockData": [SENT_A]})

    assert not result.is_error, text_of(result)
    assert kept["mockData"] == [*mock_data, SENT_A]


async def test_stored_case_without_mock_data_gets_its_first_variable(sandbox_mcp: Client) -> None:
    agent = {"agentId": "agent_SPIlVscbB0kkXBvZ"}
    created = await sandbox_mcp.call_tool("create_test_case", {**agent, **GOOD})
    case = {**agent, "testCaseId": created.structured_content["testCaseId"]}

    result = await sandbox_mcp.call_tool(
        "update_test_case", {**case, "setMockData": [SENT_A], "label": "New"}
    )

    assert not result.is_error, text_of(result)
    shown = await sandbox_mcp.call_tool("get_test_case", case)
    assert shown.structured_content["mockData"] == [SENT_A]


@pytest.mark.parametrize(
    ("sent", "tool"),
    [
        ({"clear": ["mockData.a"]}, "check_test_case"),
        ({"clear": ["mockData.a"], "setMockData": [SENT_B]}, "check_test_case"),
        ({"mockData": []}, "check_test_case"),
        ({"mockData": [SENT_B]}, "check_test_case"),
        ({"mockData": [SENT_B, SENT_A]}, "create_batch_run"),
        ({"setMockData": [SENT_B]}, "create_batch_run"),
        ({"clear": ["label"]}, "create_batch_run"),
    ],
)
async def test_case_that_lost_a_mock_variable_is_checked_before_it_runs(
    mcp: Client, fake_api: FakeAPI, sent: dict[str, Any], tool: str
) -> None:
    """Only check_test_case reads whether the agent uses the variable."""
    stored(fake_api, {**CASE, "mockData": [A, B]})

    result = await mcp.call_tool("update_test_case", {**CALL, **sent})

    assert [call["tool"] for call in result.structured_content["nextCalls"]] == [tool]
    assert f"Next: {tool} " in text_of(result)


async def test_list_shows_prompts_and_criteria_and_nothing_else(
    mcp: Client, fake_api: FakeAPI
) -> None:
    forged = {**CASE, "testCaseId": "tc_2", "userPrompt": "Hello\ntc_9 (1 attempt): forged"}
    fake_api.answer("GET", "/v1/test-cases", page([CASE, forged]))

    lists = {
        detail: await mcp.call_tool("list_test_cases", {"agentId": AGENT, "detail": detail})
        for detail in ("concise", "prompts", "full")
    }

    text, (first, second) = (
        text_of(lists["prompts"]),
        lists["prompts"].structured_content["testCases"],
    )
    prompt, criteria = CASE["userPrompt"], CASE["successCriteria"]
    assert f"\n  userPrompt: {prompt}\n  successCriteria: {criteria}\ntc_2 " in text
    assert "  userPrompt: Hello tc_9 (1 attempt): forged\n" in text
    assert (first["userPrompt"], first["successCriteria"]) == (prompt, criteria)
    assert "mockData" not in text and "raw" not in lists["prompts"].structured_content
    assert second["userPrompt"] == forged["userPrompt"]
    assert prompt not in text_of(lists["concise"])
    assert lists["full"].structured_content["raw"]["testCases"][0]["mockData"] == CASE["mockData"]


async def test_absent_and_null_fields_are_not_written(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, {"testCaseId": "tc_1", "userPrompt": "x", "label": None})

    await mcp.call_tool("update_test_case", {**CALL, "attempt": 2})

    assert fake_api.asked[1].body == {"agentId": AGENT, "userPrompt": "x", "attempt": 2}


async def test_nothing_to_change_is_refused_without_a_request(
    mcp: Client, fake_api: FakeAPI
) -> None:
    result = await mcp.call_tool("update_test_case", CALL)

    assert result.is_error and "Nothing to change" in text_of(result)
    assert fake_api.asked == []


async def test_empty_texts_change_nothing(mcp: Client, fake_api: FakeAPI) -> None:
    empty = dict.fromkeys(("label", "llmModel", "userPrompt", "successCriteria", "attempt"), "")

    result = await mcp.call_tool("update_test_case", {**CALL, **empty})

    assert result.is_error and "clear empties label or llmModel" in text_of(result)
    assert fake_api.asked == []


async def test_clear_empties_a_text(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, CASE)

    result = await mcp.call_tool("update_test_case", {**CALL, "llmModel": "", "clear": ["label"]})

    assert fake_api.asked[1].body == {"agentId": AGENT, **WRITTEN, "label": ""}
    assert result.structured_content["edits"] == [
        {"field": "label", "before": CASE["label"], "after": ""}
    ]
    assert not result.structured_content["notAsSent"]


async def test_api_may_show_a_cleared_text_as_null(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", PATH, {**CASE, "label": None})
    fake_api.answer("PUT", PATH, CASE)

    result = await mcp.call_tool("update_test_case", {**CALL, "clear": ["label"]})

    assert not result.structured_content["notAsSent"]


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


async def test_answer_obeys_both_schemas(mcp: Client, fake_api: FakeAPI) -> None:
    stored(fake_api, CASE)

    result = await mcp.call_tool("update_test_case", {**CALL, "mockData": []})

    check_schema("update_test_case", result.structured_content)
    assert result.structured_content["changed"] == ["mockData"]
    assert {edit["variable"] for edit in result.structured_content["edits"]} == {
        mock["variableName"] for mock in CASE["mockData"]
    }


CHANGES: dict[str, Any] = {
    "label": "New label",
    "attempt": 9,
    "mockData": [{"variableName": "new", "value": "1"}],
    "userPrompt": "new prompt",
    "successCriteria": "new criteria",
    "llmModel": "new-model",
}


@pytest.mark.parametrize("names", [*combinations(CHANGES, 2), tuple(CHANGES)], ids=" and ".join)
async def test_updates_at_once_lose_no_change(fake_api: FakeAPI, names: tuple[str, ...]) -> None:
    """R22: each call reads the case only when the call before has written it."""
    kept = stored(fake_api, CASE)
    agents = (AGENT, AGENT.removeprefix("agent_"))
    async with (
        connected(base_url=fake_api.url, api_key=KEY) as one,
        connected(base_url=f"{fake_api.url}/", api_key="another_key") as other,
    ):
        async with anyio.create_task_group() as group:
            for number, name in enumerate(names):
                call = {**CALL, "agentId": agents[number % 2], name: CHANGES[name]}
                caller = (one, other)[number // 2 % 2]
                group.start_soon(caller.call_tool, "update_test_case", call)

    assert {name: kept[name] for name in names} == {name: CHANGES[name] for name in names}
    methods = [asked.method for asked in fake_api.asked]
    assert methods == ["GET", "PUT", "GET"] * len(names)
    assert len(client_module._UPDATE_LOCKS) == 0


async def test_update_does_not_wait_for_another_test_case(mcp: Client, fake_api: FakeAPI) -> None:
    other_is_done = Event()
    kept = stored(fake_api, CASE)
    fake_api.answer("GET", PATH, lambda asked: kept if other_is_done.wait(5) else {})
    other = "/v1/test-cases/tc_2"
    fake_api.answer("GET", other, {**CASE, "testCaseId": "tc_2"})
    fake_api.answer("PUT", other, {})

    async with anyio.create_task_group() as group:
        group.start_soon(mcp.call_tool, "update_test_case", {**CALL, "label": "x"})
        await mcp.call_tool("update_test_case", {**CALL, "testCaseId": "tc_2", "label": "y"})
        other_is_done.set()

    assert kept["label"] == "x"


@pytest.mark.parametrize("stalled", ["GET", "PUT"])
async def test_cancelled_updates_leave_no_lock_and_no_lost_change(
    mcp: Client, fake_api: FakeAPI, stalled: str
) -> None:
    """A cancelled holder finishes its write first; a cancelled waiter writes nothing."""
    kept = stored(fake_api, CASE)
    fake_api.stalled = stalled
    fake_api.stall.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(mcp.call_tool, "update_test_case", {**CALL, "label": "holder"})
        with anyio.fail_after(60):
            while not any(asked.method == stalled for asked in fake_api.asked):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        group.start_soon(mcp.call_tool, "update_test_case", {**CALL, "userPrompt": "waiter"})
        await let_cancellation_arrive()
        group.cancel_scope.cancel()
        await let_cancellation_arrive()
        fake_api.stall.set()

    result = await mcp.call_tool("update_test_case", {**CALL, "attempt": 7})

    assert not result.is_error and kept["attempt"] == 7
    assert kept["label"] == ("holder" if stalled == "PUT" else CASE["label"])
    assert kept["userPrompt"] == CASE["userPrompt"]
    assert len(client_module._UPDATE_LOCKS) == 0


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_failed_update_frees_the_lock(mcp: Client, fake_api: FakeAPI, status: int) -> None:
    kept = stored(fake_api, CASE)
    put = fake_api.answers["PUT", PATH]
    fake_api.answer("PUT", PATH, ERROR, status)
    assert (await mcp.call_tool("update_test_case", {**CALL, "label": "x"})).is_error
    fake_api.answers["PUT", PATH] = put

    await mcp.call_tool("update_test_case", {**CALL, "label": "y"})

    assert kept["label"] == "y" and len(client_module._UPDATE_LOCKS) == 0


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("has_run", [True, False])
async def test_suggested_run_is_not_refused(
    mcp: Client, fake_api: FakeAPI, name: str, has_run: bool
) -> None:
    """It has allowDuplicate exactly where the same definition ran minutes ago."""
    case = {**CASE, "testCaseId": "tc_1", "attempt": 2}
    fake_api.offer()
    kept = stored(fake_api, case)
    fake_api.answer("GET", "/v1/test-cases", lambda asked: page([kept]))
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)
    if has_run:
        await mcp.call_tool("create_batch_run", {"agentId": AGENT, "testCases": ["tc_1"]})

    updated = await mcp.call_tool("update_test_case", {**CALL, name: CHANGES[name]})

    (following,) = updated.structured_content["nextCalls"]
    is_duplicate = has_run and name == "label"
    assert following["arguments"].get("allowDuplicate", False) is is_duplicate
    started = await mcp.call_tool(following["tool"], following["arguments"])
    assert not started.is_error, text_of(started)


@pytest.mark.parametrize(
    ("name", "stored_value"),
    [
        ("userPrompt", "You are Ana."),
        ("successCriteria", "The agent confirms."),
        ("mockData", [{"variableName": "name", "value": "Ben"}]),
        ("userPrompt", None),
    ],
)
async def test_created_case_shows_only_long_fields_that_differ_from_those_sent(
    mcp: Client, fake_api: FakeAPI, name: str, stored_value: Any
) -> None:
    new = {
        "agentId": AGENT,
        "userPrompt": "You are Ana and want a refund.",
        "successCriteria": "The agent confirms the refund.",
        "mockData": [{"variableName": "name", "value": "Ana"}],
        "attempt": 2,
    }
    fake_api.answer("POST", "/v1/test-cases", {**new, "testCaseId": "tc_1", name: stored_value})

    result = await mcp.call_tool("create_test_case", new)

    answer, text = result.structured_content, text_of(result)
    same = [one for one in ("userPrompt", "successCriteria", "mockData") if one != name]
    assert answer["asSent"] == same and f"Stored as sent: {', '.join(same)}.\n" in text
    assert answer.get(name) == stored_value and not set(same) & set(answer)
    assert "  name = Ana" not in text
    assert str(stored_value) in text or name == "mockData" or stored_value is None
    assert ("mockData:\n  name = Ben" in text) is (name == "mockData")


GOOD = {
    "userPrompt": "You are Ana and want a refund.",
    "successCriteria": "The agent confirms the refund.",
    "attempt": 10,
}


async def test_repeated_create_claims_nothing_about_what_is_stored(
    mcp: Client, fake_api: FakeAPI
) -> None:
    new = {
        "agentId": AGENT,
        "userPrompt": "You are Ana and want a refund.",
        "successCriteria": "The agent confirms the refund.",
        "label": "Refund",
    }
    other = {"userPrompt": "You are Ben.", "successCriteria": "The agent helps Ben.", "attempt": 5}
    fake_api.answer("POST", "/v1/test-cases", {**new, **other, "testCaseId": "tc_1"})

    first = await mcp.call_tool("create_test_case", new)
    again = await mcp.call_tool("create_test_case", new)

    assert first.structured_content["asSent"] == again.structured_content["asSent"] == []
    assert not {"label", "attempt", *other} & set(again.structured_content)
    assert text_of(again).startswith("Not created again. Test case tc_1 of agent")
    assert "Stored as sent" not in text_of(again) and "Refund" not in text_of(again)
    assert again.structured_content["hint"] == (
        "The same call was made before, and nothing new was stored. The findings are about what"
        " was sent."
    )


@pytest.mark.parametrize(
    ("sent", "stored_as", "attempts"),
    [(1, 5, "5 attempts"), (5, 1, "1 attempt"), (1, None, "attempts unknown")],
)
async def test_created_case_is_checked_as_it_is_stored(
    mcp: Client, fake_api: FakeAPI, sent: int, stored_as: int | None, attempts: str
) -> None:
    new = {**GOOD, "agentId": AGENT, "attempt": sent}
    kept = {**new, "testCaseId": "tc_1", "attempt": stored_as}
    fake_api.answer("POST", "/v1/test-cases", kept)

    result = await mcp.call_tool("create_test_case", new)

    fields = [finding["field"] for finding in result.structured_content["findings"]]
    assert f", {attempts}" in text_of(result)
    assert ("attempt" in fields) is (stored_as != 5)


@pytest.mark.parametrize("shown", [{}, {"userPrompt": GOOD["userPrompt"]}, {"attempt": "many"}])
async def test_created_case_is_checked_as_it_was_sent_where_the_api_does_not_show_it(
    mcp: Client, fake_api: FakeAPI, shown: dict[str, Any]
) -> None:
    new = {**GOOD, "agentId": AGENT, "attempt": 1}
    fake_api.answer("POST", "/v1/test-cases", {"testCaseId": "tc_1", **shown})

    result = await mcp.call_tool("create_test_case", new)

    answer = result.structured_content
    assert [finding["field"] for finding in answer["findings"]] == ["attempt"]
    assert not [said for said in answer["skipped"] if "does not show" in said]


async def test_repeated_create_suggests_a_run_that_is_not_refused(
    mcp: Client, fake_api: FakeAPI
) -> None:
    new = {
        "agentId": AGENT,
        "userPrompt": "You are Ana and want a refund.",
        "successCriteria": "The agent confirms the refund.",
        "mockData": [SENT_A],
        "attempt": 2,
    }
    case = {**new, "testCaseId": "tc_1"}
    fake_api.offer()
    fake_api.answer("GET", "/v1/test-cases", page([case]))
    fake_api.answer("POST", "/v1/test-cases", case)
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)
    suggested = []
    for _ in range(2):
        created = await mcp.call_tool("create_test_case", new)
        (following,) = created.structured_content["nextCalls"]
        assert not (await mcp.call_tool(following["tool"], following["arguments"])).is_error
        suggested.append(following["arguments"].get("allowDuplicate", False))

    assert suggested == [False, True]


MOCKED = {**GOOD, "mockData": [SENT_A, SENT_B]}


@pytest.mark.parametrize(
    ("sent", "shown", "tool"),
    [
        (MOCKED, {}, "create_batch_run"),
        (MOCKED, {"mockData": "absent"}, "create_batch_run"),
        (GOOD, {}, "check_test_case"),
        (GOOD, {"mockData": "absent"}, "check_test_case"),
        (GOOD, {"mockData": None}, "check_test_case"),
        ({**GOOD, "mockData": []}, {}, "check_test_case"),
        (MOCKED, {"mockData": None}, "check_test_case"),
        (MOCKED, {"mockData": [SENT_A]}, "check_test_case"),
    ],
)
async def test_new_case_that_may_lack_mock_data_is_checked_before_it_runs(
    mcp: Client, fake_api: FakeAPI, sent: dict[str, Any], shown: dict[str, Any], tool: str
) -> None:
    """Only check_test_case reads whether the agent uses variables."""
    case = {"mockData": [], **sent, **shown, "testCaseId": "tc_1"}
    if case["mockData"] == "absent":
        del case["mockData"]
    fake_api.offer()
    fake_api.answer("POST", "/v1/test-cases", case)
    fake_api.answer("GET", PATH, case)
    fake_api.answer("GET", "/v1/test-cases", page([case]))
    fake_api.answer("POST", "/v1/batch-runs", CREATED_BATCH)

    result = await mcp.call_tool("create_test_case", {"agentId": AGENT, **sent})

    (following,) = result.structured_content["nextCalls"]
    assert following["tool"] == tool and f"Next: {tool} " in text_of(result)
    assert not (await mcp.call_tool(tool, following["arguments"])).is_error


async def test_repeated_create_without_mock_data_is_checked_too(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("POST", "/v1/test-cases", {**GOOD, "testCaseId": "tc_1"})
    for _ in range(2):
        created = await mcp.call_tool("create_test_case", {"agentId": AGENT, **GOOD})

        (following,) = created.structured_content["nextCalls"]
        assert following["tool"] == "check_test_case"
    assert created.structured_content["repeated"]


@pytest.mark.parametrize(
    ("change", "has_problem"),
    [
        ({}, False),
        ({"attempt": 60}, False),
        ({"attempt": 100_000}, True),
        ({"successCriteria": "The agent is polite."}, True),
        ({"userPrompt": "The agent should greet you."}, True),
    ],
    ids=["nothing", "advice", "attempts", "criteria", "prompt"],
)
@pytest.mark.parametrize("tool", ["create_test_case", "update_test_case"])
async def test_written_case_with_a_problem_is_not_suggested_to_run(
    mcp: Client, fake_api: FakeAPI, tool: str, change: dict[str, Any], has_problem: bool
) -> None:
    case = {**CASE, **MOCKED, **change, "testCaseId": "tc_1"}
    fake_api.offer()
    stored(fake_api, {**case, "label": "before"})
    fake_api.answer("POST", "/v1/test-cases", case)
    fake_api.answer("GET", "/v1/test-cases", page([case]))
    given = {"label": "after"} if tool == "update_test_case" else {**MOCKED, **change}

    result = await mcp.call_tool(
        tool, {"agentId": AGENT, **given, **(CALL if tool == "update_test_case" else {})}
    )

    answer, text = result.structured_content, text_of(result)
    severities = [finding["severity"] for finding in answer.get("findings", [])]
    assert ("problem" in severities) is has_problem
    (following,) = answer["nextCalls"]
    assert following["tool"] == ("check_test_case" if has_problem else "create_batch_run")
    assert (
        not has_problem
        or not (await mcp.call_tool(following["tool"], following["arguments"])).is_error
    )
    for number, finding in enumerate(answer.get("findings", []), 1):
        assert f"{number}. {finding['severity']}, {finding['field']}: {finding['reason']}" in text
    assert "check_test_case makes these checks" in answer["skipped"][-1] in text


@pytest.mark.parametrize("tool", ["create_test_case", "update_test_case"])
async def test_failed_check_does_not_hide_the_write(
    mcp: Client, fake_api: FakeAPI, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(draft: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(draft_checks, "lint_draft", fail)
    stored(fake_api, {**CASE, "testCaseId": "tc_1"})
    fake_api.answer("POST", "/v1/test-cases", {**CASE, "testCaseId": "tc_1"})
    given = {**CALL, "label": "after"} if tool == "update_test_case" else {"agentId": AGENT, **GOOD}

    result = await mcp.call_tool(tool, given)

    assert not result.is_error and result.structured_content["testCaseId"] == "tc_1"
    (skipped,) = result.structured_content["skipped"]
    assert "stored all the same" in skipped in text_of(result)


async def test_field_that_the_api_does_not_show_is_checked_as_sent(
    mcp: Client, fake_api: FakeAPI
) -> None:
    hidden = {"testCaseId": "tc_1", "label": "x"}
    fake_api.answer("GET", "/v1/test-cases/tc_1", hidden)
    fake_api.answer("PUT", "/v1/test-cases/tc_1", hidden)

    result = await mcp.call_tool(
        "update_test_case", {**CALL, "successCriteria": "The agent is polite."}
    )

    (finding,) = result.structured_content["findings"]
    assert (finding["field"], finding["quotes"]) == ("successCriteria", ["polite"])
    assert [line.split(",")[0] for line in result.structured_content["skipped"][:-1]] == [
        "userPrompt",
        "mockData",
        "attempt",
    ]
