"""MCP Apps: the viewer's page on every transport, what models get, and the switch."""

import json
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.protocol.apps import (
    APP_MIME_TYPE,
    MATRIX_KEY,
    VIEWED_TOOLS,
)
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.viewer import APPS_EXTENSION, VIEWER_URI
from sigmamind_mcp.viewer.page import read_page
from tests.conftest import KEY, connected
from tests.support.all_transports import CLIENT, NEWEST, Connection
from tests.support.fake_api import FakeAPI
from tests.support.sample_batches import make_sample_batch, serve_batches

pytestmark = pytest.mark.anyio

AGENT_ID = "agent_D5D0p7TUs66TTAEAx"
PAGE_META = {"ui": {"csp": {}, "prefersBorder": False}}
DIAGNOSIS = {"agentId": AGENT_ID, "batchId": "batch_1"}


def serve_failing_batch(api: FakeAPI) -> None:
    serve_batches(api, make_sample_batch("batch_1", [(2, 0), (1, 2)]))


def test_the_page_and_what_it_needs_are_offered(
    connection: Connection, shared_api: FakeAPI
) -> None:
    serve_failing_batch(shared_api)

    tools = connection.ask("tools/list", {}).result["tools"]
    listed = connection.ask("resources/list", {}).result["resources"]
    (contents,) = connection.read(VIEWER_URI).result["contents"]
    diagnosis = connection.call("diagnose_batch_run", DIAGNOSIS).result

    meta = {"ui": {"resourceUri": VIEWER_URI}, "ui/resourceUri": VIEWER_URI}
    assert {tool["name"]: tool["_meta"] for tool in tools if "_meta" in tool} == dict.fromkeys(
        VIEWED_TOOLS, meta
    )
    (entry,) = [entry for entry in listed if entry["uri"] == VIEWER_URI]
    assert (entry["mimeType"], entry["_meta"]) == (APP_MIME_TYPE, PAGE_META)
    assert contents == {
        "uri": VIEWER_URI,
        "mimeType": "text/html;profile=mcp-app",
        "text": read_page(),
        "_meta": PAGE_META,
    }
    # Failed attempts come first, in the order of the structured content.
    rows = diagnosis["_meta"][MATRIX_KEY]
    assert [[row[0], "".join(letter for _, letter in row[2])] for row in rows] == [
        ["tc_1", "pff"],
        ["tc_0", "pp"],
    ]
    failing = diagnosis["structuredContent"]["testCases"]
    assert [row["testCaseId"] for row in failing] == ["tc_1"]
    assert (failing[0]["passed"], failing[0]["decided"]) == (1, 3)


def test_the_extension_is_advertised(connection: Connection) -> None:
    is_newest = connection.name == NEWEST
    answer = connection.ask("server/discover", {}) if is_newest else None
    if answer is None and connection.name.startswith("HTTP"):
        answer = connection.ask("initialize", CLIENT)
    if answer is None:
        pytest.skip("the handshake is over; test_the_switch_turns_all_of_it_off reads it")

    extensions = answer.result["capabilities"].get("extensions", {})
    # Revisions before 2026-07-28 have no extensions: their hosts look at the tools.
    assert extensions.get(APPS_EXTENSION) == ({} if is_newest else None)


async def read_offer(client: Client) -> dict[str, Any]:
    """Return all that a client gets, as JSON."""
    tools = (await client.list_tools()).tools
    resources = (await client.list_resources()).resources
    result = await client.call_tool("diagnose_batch_run", DIAGNOSIS)
    capabilities = client.server_capabilities
    assert capabilities
    return {
        "tools": [json.loads(tool.model_dump_json(by_alias=True)) for tool in tools],
        "resources": [str(resource.uri) for resource in resources],
        "structured": result.structured_content,
        "meta": {name: value for name, value in (result.meta or {}).items() if name == MATRIX_KEY},
        "extensions": capabilities.extensions or {},
    }


async def test_the_switch_turns_all_of_it_off_and_nothing_else(fake_api: FakeAPI) -> None:
    serve_failing_batch(fake_api)

    async with connected(base_url=fake_api.url, api_key=KEY) as client:
        on = await read_offer(client)
    async with connected(base_url=fake_api.url, api_key=KEY, viewer=False) as client:
        off = await read_offer(client)

    assert on["extensions"] == {**off["extensions"], APPS_EXTENSION: {}}
    assert APPS_EXTENSION not in off["extensions"]
    assert set(on["resources"]) - set(off["resources"]) == {VIEWER_URI}
    assert set(on["meta"]) == {MATRIX_KEY} and off["meta"] == {}
    assert on["structured"] == off["structured"]
    assert [{**tool, "_meta": None} for tool in on["tools"]] == off["tools"]


async def test_a_read_only_server_has_the_page_on_the_tools_that_it_offers(
    fake_api: FakeAPI,
) -> None:
    async with connected(base_url=fake_api.url, api_key=KEY, read_only=True) as client:
        viewed = {tool.name for tool in (await client.list_tools()).tools if tool.meta}

    assert viewed == VIEWED_TOOLS - {"create_batch_run"}
    assert {tool.name for tool in TOOLS} >= VIEWED_TOOLS
