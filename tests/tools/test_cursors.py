"""Cursors: their form, and that each counts only with the arguments of its call."""

import re
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.tools.arguments import Continued
from sigmamind_mcp.tools.cursors import decode_cursor, encode_cursor
from tests.conftest import text_of
from tests.support.fake_api import AGENT, FakeAPI, page
from tests.support.sample_batches import make_sample_batch, serve_batches

HERE = {"agentId": AGENT["agentId"]}
IN_BATCH = {**HERE, "batchId": "b1"}
PAIR = {**HERE, "baseBatchId": "b1", "candidateBatchId": "b2"}

CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "list_agents": ({}, {"nameContains": "a", "size": 8}),
    "list_test_cases": ({**HERE, "size": 7}, {"agentId": "x", "labelContains": "a", "size": 8}),
    "list_batch_runs": ({**HERE, "size": 7}, {"agentId": "x", "labelContains": "a", "size": 8}),
    "list_test_runs": (
        IN_BATCH,
        {"agentId": "x", "batchId": "b2", "verdict": "failed", "testCaseId": "t", "size": 8},
    ),
    "read_test_runs": (
        IN_BATCH,
        {
            "agentId": "x",
            "batchId": "b2",
            "jobIds": ["j1"],
            "turns": [{"jobId": "j1", "turn": 3}],
            "verdict": "failed",
            "testCaseId": "t",
            "side": "agent",
        },
    ),
    "search_test_runs": (
        {**HERE, "text": "a"},
        {
            "agentId": "x",
            "text": "b",
            "batchIds": ["b1"],
            "batchRuns": 3,
            "testCaseId": "t",
            "verdict": "failed",
            "side": "agent",
        },
    ),
    "diagnose_batch_run": (
        {**IN_BATCH, "section": "testCases"},
        {"agentId": "x", "batchId": "b2", "section": "groups", "jobIds": ["j1"]},
    ),
    "compare_batch_runs": (
        PAIR,
        {
            "agentId": "x",
            "baseBatchId": "b3",
            "baseBatchIds": ["b3"],
            "baseline": "recent",
            "candidateBatchId": "b3",
            "candidateBatchIds": ["b3"],
            "question": "improvement",
            "looks": 2,
            "baseJobIds": ["j1"],
            "candidateJobIds": ["j1"],
        },
    ),
    "get_test_case_history": (HERE, {"agentId": "x", "testCaseId": "t", "batchIds": ["b1"]}),
}
"""The arguments of a call by tool, and another value for each argument that chooses items."""


def test_cursor_gives_back_its_position() -> None:
    cursor = encode_cursor(page=2, skip=7)
    assert cursor == "page:2,skip:7"
    assert decode_cursor(cursor, "page", "skip") == {"page": 2, "skip": 7}


def test_no_cursor_is_the_beginning() -> None:
    assert decode_cursor("", "page", "skip") == {"page": 0, "skip": 0}


@pytest.mark.parametrize(
    "cursor",
    [
        "2",
        "page:2",
        "page:2,skip:-1",
        "page:2,skip:x",
        "page:2,skip:7,page:3,more:1",
        "page:٢,skip:1",
    ],
)
def test_foreign_cursor_is_refused_and_says_where_to_get_one(cursor: str) -> None:
    with pytest.raises(InvalidArguments, match="nextCalls"):
        decode_cursor(cursor, "page", "skip")


def continue_call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that continue a call of this tool far behind its end."""
    model = {one.name: one.arguments for one in TOOLS}[tool]
    assert issubclass(model, Continued)
    position = dict.fromkeys(model.position_names, 0)
    position[model.position_names[0]] = 999_999_999_999_999_999
    return model(**arguments).continue_at(**position)


def test_every_tool_that_takes_a_cursor_is_covered_here_with_all_its_arguments() -> None:
    continued = [tool for tool in TOOLS if "cursor" in tool.arguments.model_fields]

    assert {tool.name for tool in continued} == set(CALLS)
    for tool in continued:
        names = {field.alias for field in tool.arguments.model_fields.values()}
        assert names - {"cursor", "page", "detail"} == set(CALLS[tool.name][1]), tool.name


@pytest.mark.anyio
@pytest.mark.parametrize("tool", CALLS)
async def test_cursor_is_refused_unsent_with_any_other_argument(
    mcp: Client, fake_api: FakeAPI, tool: str
) -> None:
    call, others = CALLS[tool]
    further = continue_call(tool, call)
    assert len(further["cursor"]) <= 200

    for name, value in others.items():
        result = await mcp.call_tool(tool, {**further, name: value})
        assert result.is_error and "a call with other arguments" in text_of(result), name
    for other in set(CALLS) - {tool}:
        result = await mcp.call_tool(other, {**CALLS[other][0], "cursor": further["cursor"]})
        assert result.is_error and text_of(result).startswith("cursor "), other
    assert fake_api.asked == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "end"),
    [
        ("read_test_runs", "6 test runs"),
        ("compare_batch_runs", "3 test cases"),
        ("diagnose_batch_run", "2 rows"),
        ("get_test_case_history", "3 test cases"),
        ("search_test_runs", r"\d+ results"),
    ],
)
async def test_position_past_the_end_is_said(
    mcp: Client, fake_api: FakeAPI, tool: str, end: str
) -> None:
    results = [(2, 0), (1, 1), (0, 2)]
    samples = [make_sample_batch(batch_id, results) for batch_id in ("b1", "b2")]
    serve_batches(fake_api, *samples)
    fake_api.answer("GET", "/v1/batch-runs", page([sample.batch for sample in samples]))

    result = await mcp.call_tool(tool, continue_call(tool, CALLS[tool][0]))

    assert not result.is_error, text_of(result)
    assert re.search(f"cursor is past the end of {end};", text_of(result))
    assert "cursor is past the end" in result.structured_content["hint"]
    calls = result.structured_content.get("nextCalls", [])
    assert not [one for one in calls if "cursor" in one["arguments"]]
