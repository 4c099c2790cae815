"""tools/list and tools/call: which tools are on offer, and what a call without one gets."""

import pytest

from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.support.processes import RawClient
from tests.transports.raw_http import IN_BATCH


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_older_clients_get_the_uri_in_the_text_alone(raw: RawClient, version: str) -> None:
    raw.initialize(version)

    (block,) = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"][
        "content"
    ]

    assert "Resource: sigmamind://agents/" in block["text"]


def test_unknown_tool_is_a_protocol_error_that_names_the_nearest_in_one_sentence(
    raw: RawClient,
) -> None:
    raw.initialize("2025-11-25")

    error = raw.ask("tools/call", {"name": "list_testcases", "arguments": {}})["error"]

    assert (error["code"], error["message"]) == (
        -32602,
        "There is no such tool. Similar names: list_test_cases, get_test_case, list_test_runs. tools/list shows all.",
    )


def test_without_a_key_the_server_starts_and_each_call_says_which_setting_is_missing() -> None:
    raw = RawClient()
    raw.initialize("2025-11-25")

    tools = raw.ask("tools/list", {})["result"]["tools"]
    result = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"]

    assert len(tools) == len(TOOLS)
    assert result["isError"] and "SIGMAMIND_API_KEY" in result["content"][0]["text"]
    raw.close()


def test_read_only_hides_the_tools_that_write_and_refuses_them() -> None:
    raw = RawClient("--read-only", SIGMAMIND_API_KEY="k")
    raw.initialize("2025-11-25")

    tools = [tool["name"] for tool in raw.ask("tools/list", {})["result"]["tools"]]
    error = raw.ask("tools/call", {"name": "create_test_case", "arguments": {}})["error"]

    assert not any(name.startswith("create") for name in tools) and len(tools) == sum(
        not tool.writes for tool in TOOLS
    )
    assert "read-only" in error["message"]
    raw.close()
