"""MCP over stdio by raw JSON-RPC: every protocol revision, and only protocol on stdout."""

from collections.abc import Iterator

import pytest

from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import RawClient

IN_BATCH = {"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": "batch_s0OJu2JWR8R45Fai"}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}


@pytest.fixture
def raw(fake_api: FakeAPI) -> Iterator[RawClient]:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    client = RawClient(SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_API_KEY="key_stdio")
    yield client
    client.process.kill()
    client.process.communicate(timeout=10)


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_handshake_revision_is_spoken(raw: RawClient, version: str) -> None:
    assert raw.initialize(version)["result"]["protocolVersion"] == version

    result = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"]

    assert result["structuredContent"]["state"] == "finished"
    assert "finished, 4 passed, 1 failed of 5 attempts" in result["content"][0]["text"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_older_clients_get_the_uri_in_the_text_alone(raw: RawClient, version: str) -> None:
    raw.initialize(version)

    (block,) = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"][
        "content"
    ]

    assert "Resource: sigmamind://agents/" in block["text"]


def test_the_revision_without_handshake_is_spoken(raw: RawClient) -> None:
    discovered = raw.ask("server/discover", {"_meta": MODERN})["result"]
    listed = raw.ask("tools/list", {"_meta": MODERN})["result"]
    called = raw.ask(
        "tools/call", {"name": "get_batch_run", "arguments": IN_BATCH, "_meta": MODERN}
    )["result"]

    assert discovered["supportedVersions"] == ["2026-07-28"]
    assert (listed["ttlMs"], listed["cacheScope"]) == (3_600_000, "public")
    assert called["structuredContent"]["state"] == "finished"


def test_server_names_itself_and_tells_the_loop_briefly(raw: RawClient) -> None:
    result = raw.initialize("2025-11-25")["result"]

    assert (result["serverInfo"]["name"], result["serverInfo"]["title"]) == (
        "sigmamind-mcp",
        "SigmaMind",
    )
    assert len(result["instructions"].split()) <= 150
    assert set(result["capabilities"]) == {"completions", "prompts", "resources", "tools"}


def test_unknown_tool_is_a_protocol_error_that_names_the_nearest_in_one_sentence(
    raw: RawClient,
) -> None:
    raw.initialize("2025-11-25")

    error = raw.ask("tools/call", {"name": "list_testcases", "arguments": {}})["error"]

    assert (error["code"], error["message"]) == (
        -32602,
        "There is no such tool; the nearest are list_test_cases, get_test_case, list_test_runs, and tools/list shows all.",
    )


def test_nothing_but_protocol_stands_on_stdout_and_end_of_input_ends_the_server(
    raw: RawClient,
) -> None:
    raw.initialize("2025-11-25")
    raw.ask("tools/list", {})

    left, log = raw.close()

    assert (left, raw.process.returncode) == ("", 0)
    assert "key_stdio" not in log and "Traceback" not in log


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


def test_debug_log_has_no_key_and_no_conversation(fake_api: FakeAPI) -> None:
    run = {
        "jobId": "job_1",
        "conversation": [{"role": "user", "content": "canary sentence"}],
        "remarks": "canary",
    }
    fake_api.answer("GET", "/v1/test-runs/job_1", run)
    raw = RawClient(
        "--log-level", "debug", SIGMAMIND_BASE_URL=fake_api.url, SIGMAMIND_API_KEY="key_canary"
    )
    raw.initialize("2025-11-25")
    raw.ask("tools/call", {"name": "get_test_run", "arguments": {**IN_BATCH, "jobId": "job_1"}})

    _, log = raw.close()

    assert log  # the level is on
    assert "canary" not in log
