"""Arguments are validated in plain sentences, before anything is sent."""

import json
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.protocol.catalogue import TOOLS, Tool
from sigmamind_mcp.tools.argument_forms import ADDED_BY_CLIENTS
from sigmamind_mcp.tools.arguments import ForAgent, read_arguments
from sigmamind_mcp.tools.read_runs import ReadTestRuns
from sigmamind_mcp.tools.schemas import input_schema
from tests.conftest import text_of
from tests.support.fake_api import BATCH, FakeAPI, page
from tests.test_hostile_input import CALLS

pytestmark = pytest.mark.anyio

AGENT = "agent_D5D0p7TUs66TTAEAx"
IN_BATCH = {"agentId": AGENT, "batchId": "batch_1"}
IN_RUN = {**IN_BATCH, "jobId": "job_1"}
IN_CASE = {"agentId": AGENT, "testCaseId": "tc_1"}
NEW_CASE = {"agentId": AGENT, "userPrompt": "x", "successCriteria": "y"}


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("get_batch_run", {"batchId": "b"}, "agentId is missing."),
        ("get_batch_run", {"agentId": AGENT}, "batchId is missing."),
        ("get_batch_run", {**IN_BATCH, "agentId": None}, "agentId is missing."),
        ("get_batch_run", {**IN_BATCH, "batchId": "../x"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "a/b"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "a%2Fb"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "%2e%2e"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "a\n"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "ａ"}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": "a" * 129}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "batchId": 7}, "batchId must be a text."),
        ("get_batch_run", {**IN_BATCH, "batchid": "b"}, "get_batch_run does not take batchid. It takes: agentId, batchId, detail."),
        ("get_batch_run", {**IN_BATCH, "x\ny": 1}, "does not take an argument of that name"),
        ("get_batch_run", {**IN_BATCH, "detail": "all"}, "detail must be one of 'concise' or 'full'."),
        ("list_batch_runs", {"agentId": AGENT, "page": -1}, "page must be 0 or more."),
        ("list_batch_runs", {"agentId": AGENT, "size": 0}, "size must be 1 or more."),
        ("list_batch_runs", {"agentId": AGENT, "size": 101}, "size must be 100 or less."),
        ("list_batch_runs", {"agentId": AGENT, "page": True}, "page must be a whole number."),
        ("list_batch_runs", {"agentId": AGENT, "page": 7.5}, "page must be a whole number."),
        ("list_batch_runs", {"agentId": AGENT, "page": "two"}, "page must be a whole number."),
        ("create_test_case", {**NEW_CASE, "attempt": 0}, "attempt must be 1 or more."),
        ("create_test_case", {**NEW_CASE, "userPrompt": " \n"}, "userPrompt must not be blank."),
        ("create_test_case", {**NEW_CASE, "label": " "}, "label must not be blank."),
        ("create_test_case", {**NEW_CASE, "label": "\u00a0\t\n"}, "label must not be blank."),
        ("create_test_case", {**NEW_CASE, "label": "\u200b"}, "label must not be blank."),
        ("create_test_case", {**NEW_CASE, "llmModel": " "}, "llmModel must not be blank."),
        ("update_test_case", {**IN_CASE, "label": " "}, "label must not be blank."),
        ("update_test_case", {**IN_CASE, "llmModel": "\n"}, "llmModel must not be blank."),
        ("check_test_case", {**NEW_CASE, "label": " "}, "label must not be blank."),
        ("create_test_case", {**NEW_CASE, "userPrompt": "a" * 32_001}, "userPrompt must have at most 32,000 characters."),
        ("create_test_case", {**NEW_CASE, "label": "a" * 257}, "label must have at most 256 characters."),
        ("create_test_case", {**NEW_CASE, "mockData": [{"variableName": "a"}]}, "mockData[0].value is missing."),
        ("create_test_case", {**NEW_CASE, "mockData": [{"name": "a"}]}, "mockData[0].variableName is missing."),
        ("create_test_case", {**NEW_CASE, "mockData": {"a": "b"}}, "mockData must be a list of {variableName, value}."),
        ("create_test_case", {**NEW_CASE, "mockData": ["a"]}, "mockData[0] must be an object"),
        ("create_test_case", {**NEW_CASE, "mockData": [{"variableName": "a", "value": None}]}, "mockData[0].value must be a text, a number, true or false."),
        ("create_test_case", {**NEW_CASE, "attempt": 10**4000}, "attempt must be 1000000000 or less."),
        ("create_batch_run", {"agentId": AGENT, "testCases": []}, "testCases must not be empty."),
        ("create_batch_run", {"agentId": AGENT, "testCases": "tc_1"}, "testCases must be a list of test case ids."),
        ("create_batch_run", {"agentId": AGENT, "testCases": ["tc_1", "tc_2", "tc_1"]}, "tc_1 is there twice."),
        ("create_batch_run", {"agentId": AGENT, "testCases": ["tc/1"]}, "testCases[0] must be an id"),
        ("diagnose_batch_run", {**IN_BATCH, "jobIds": "job_1"}, "jobIds must be a list of job ids."),
        ("compare_batch_runs", {"agentId": AGENT, "baseBatchId": "a", "candidateBatchId": "b", "baseJobIds": 7}, "baseJobIds must be a list of job ids."),
        ("update_test_case", {**IN_CASE, "clear": "label"}, "clear must be a list of field names."),
        ("update_test_case", {**IN_CASE, "clear": ["attempt"]}, "clear[0] must be 'label', 'llmModel', or 'mockData.' with a variable's name."),
        ("update_test_case", {**IN_CASE, "clear": ["mockData."]}, "clear[0] must be 'label', 'llmModel', or 'mockData.' with a variable's name."),
        ("update_test_case", {**IN_CASE, "clear": ["label"], "label": "x"}, "clear empties label, which has a new value too."),
        ("list_test_cases", {"agentId": AGENT, "cursor": "page:3,skip:4"}, "cursor is not one that this tool has returned."),
        ("list_test_cases", {"agentId": AGENT, "cursor": "page:3,skip:4,last:0,call:5"}, "cursor continues a call with other arguments."),
        ("get_batch_run", {"agentId": "", "batchId": "b"}, "agentId is missing."),
        ("get_batch_run", {**IN_BATCH, "batchId": ""}, "batchId must be an id"),
        ("get_batch_run", {**IN_BATCH, "other": ""}, "get_batch_run does not take other."),
        ("get_batch_run", {**IN_BATCH, "SessionId": "a"}, "get_batch_run does not take SessionId."),
        ("create_test_case", {**NEW_CASE, "mockData": [{"variableName": "a", "value": "b", "sessionId": "c"}]}, "does not take mockData[0].sessionId"),
        ("get_test_run", {**IN_RUN, "fromTurn": 0}, "fromTurn must be 1 or more."),
        ("list_test_runs", {**IN_BATCH, "verdict": "broken"}, "verdict must be one of 'passed', 'failed' or 'undecided'."),
    ],
)  # fmt: skip
async def test_invalid_arguments_are_refused_before_anything_is_sent(
    mcp: Client, fake_api: FakeAPI, tool: str, arguments: Any, sentence: str
) -> None:
    result = await mcp.call_tool(tool, arguments)

    assert result.is_error
    assert text_of(result).startswith(sentence) or sentence in text_of(result)
    assert "pydantic" not in text_of(result)
    assert fake_api.asked == []


@pytest.mark.parametrize(("page_number", "size"), [(7, 7), ("7", "7"), (7.0, 7)])
async def test_whole_numbers_are_accepted_in_every_form(
    mcp: Client, fake_api: FakeAPI, page_number: Any, size: Any
) -> None:
    fake_api.answer("GET", "/v1/batch-runs", page([]))

    result = await mcp.call_tool(
        "list_batch_runs", {"agentId": AGENT, "page": page_number, "size": size}
    )

    assert not result.is_error
    assert fake_api.asked[0].query == {"agentId": AGENT, "page": "7", "size": "7"}


async def test_list_sent_as_json_text_is_accepted(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.offer("tc_1", "tc_2")
    fake_api.answer("POST", "/v1/batch-runs", BATCH, 201)

    await mcp.call_tool("create_batch_run", {"agentId": AGENT, "testCases": '["tc_1", "tc_2"]'})

    assert fake_api.posts[0].body["testCases"] == ["tc_1", "tc_2"]


@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
def test_empty_text_for_an_option_is_not_given_in_any_tool(tool: Tool) -> None:
    call = CALLS[tool.name]
    schema = input_schema(tool.arguments, default_agent_id=None)
    required = schema.get("required", [])
    sent = {name: value for name, value in call.items() if name in required}
    options = set(schema["properties"]) - set(required)
    empty: list[dict[str, Any]] = [{}, dict.fromkeys(options, ""), dict.fromkeys(options)]
    read = [
        read_arguments(tool.arguments, {**sent, **more}, tool=tool.name, default_agent_id=None)
        for more in empty
    ]

    assert read[0] == read[1] == read[2]
    assert read[0].model_fields_set == read[1].model_fields_set == read[2].model_fields_set


@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
def test_what_known_clients_add_is_ignored_by_every_tool(tool: Tool) -> None:
    call = CALLS[tool.name]
    added = dict.fromkeys(ADDED_BY_CLIENTS, "x")

    plain, more = [
        read_arguments(tool.arguments, sent, tool=tool.name, default_agent_id=None)
        for sent in (call, {**call, **added})
    ]

    assert plain == more


@pytest.mark.parametrize("empty", ["", None])
def test_empty_agent_id_uses_the_default_agent(empty: str | None) -> None:
    args = read_arguments(ForAgent, {"agentId": empty}, tool="x", default_agent_id="agent_9")

    assert args.agent_id == "agent_9"


async def test_mock_values_and_lists_are_stored_as_they_were_meant(
    mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("POST", "/v1/test-cases", lambda asked: {**asked.body, "testCaseId": "tc_1"})
    entries = [{"variableName": "n", "value": 42}, '{"variableName": "b", "value": true}']

    await mcp.call_tool("create_test_case", {**NEW_CASE, "label": "", "mockData": entries})

    assert fake_api.posts[0].body == {
        **NEW_CASE,
        "mockData": [{"variableName": "n", "value": "42"}, {"variableName": "b", "value": "true"}],
    }


ENTRY_OPTIONS = [
    {"turn": ""}, {"turn": None}, {"batchId": ""}, {"batchId": None},
    {"turn": "", "batchId": ""}, {"turn": None, "batchId": None},
]  # fmt: skip


@pytest.mark.parametrize("form", ["list", "JSON text", "list of JSON texts"])
@pytest.mark.parametrize("options", ENTRY_OPTIONS, ids=str)
def test_empty_option_of_an_entry_counts_as_not_given(options: dict[str, Any], form: str) -> None:
    entry = {"jobId": "job_1", **options}
    sent = {
        "list": [entry],
        "JSON text": json.dumps([entry]),
        "list of JSON texts": [json.dumps(entry)],
    }[form]

    args = _read_turns(sent)

    assert args == _read_turns([{"jobId": "job_1"}])


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"jobId": "", "turn": 1}, "turns[0].jobId must be an id"),
        ({"jobId": None}, "turns[0].jobId must be a text."),
        ({"jobId": "job_1", "turns": ""}, "does not take turns[0].turns"),
        ({"jobId": "job_1", "turn": " "}, "turns[0].turn must be a whole number."),
    ],
)
def test_entry_still_needs_its_required_fields(entry: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArguments) as refused:
        _read_turns([entry])

    assert sentence in str(refused.value)


def _read_turns(turns: object) -> ReadTestRuns:
    return read_arguments(
        ReadTestRuns, {**IN_BATCH, "turns": turns}, tool="read_test_runs", default_agent_id=None
    )
