"""Record what the server says before the first call; `scripts/surface` writes it to the package's listings.json."""

import json
from typing import Any

import anyio
import mcp_types as mcp
from mcp.shared.message import SessionMessage

from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.protocol.catalogue import advertise_tools
from sigmamind_mcp.protocol.recorded_listings import (
    ENVELOPE_REVISION,
    HANDSHAKE_REVISIONS,
    META_PREFIX,
)
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings

JSON = dict[str, Any]

LISTS = ("tools/list", "prompts/list", "resources/templates/list", "resources/list")
CLIENT = {"name": "recorder", "version": "0"}
ENVELOPE = {
    "_meta": {
        f"{META_PREFIX}protocolVersion": ENVELOPE_REVISION,
        f"{META_PREFIX}clientInfo": CLIENT,
        f"{META_PREFIX}clientCapabilities": {},
    }
}
# read_listings sets these by the settings and the version.
SET_LATER = ("instructions", "title", "version")


def build_requests(revision: str) -> list[tuple[str, JSON]]:
    """Return the methods of a revision that have recorded results, each with its parameters."""
    if revision == ENVELOPE_REVISION:
        return [(method, ENVELOPE) for method in ("server/discover", *LISTS)]
    hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": CLIENT}
    return [("initialize", hello), *((method, {}) for method in ("ping", *LISTS))]


async def ask_models(settings: Settings, requests: list[tuple[str, JSON]]) -> list[JSON]:
    """Return the answers of a server that advertises its tools by their models, not by the record."""
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](1)
    to_client, outgoing = anyio.create_memory_object_stream[SessionMessage](1)
    answers = []
    tools = advertise_tools(settings)
    async with (
        to_server,
        outgoing,
        open_server(settings, select_api(settings), tools) as server,
        anyio.create_task_group() as group,
    ):
        group.start_soon(server.run, incoming, to_client, server.create_initialization_options())
        for number, (method, params) in enumerate(requests):
            request = mcp.JSONRPCRequest(jsonrpc="2.0", id=number, method=method, params=params)
            await to_server.send(SessionMessage(request))
            answer = (await outgoing.receive()).message
            answers.append(json.loads(answer.model_dump_json(by_alias=True, exclude_unset=True)))
        to_server.close()
    return answers


async def record_listings() -> JSON:
    """Return the results of each era; those of 2026-07-28 without what they share with the others."""
    eras = [await _record(revision) for revision in (*HANDSHAKE_REVISIONS, ENVELOPE_REVISION)]
    *others, handshake, envelope = eras
    for other in others:
        other["initialize"]["protocolVersion"] = handshake["initialize"]["protocolVersion"]
        assert other == handshake, (
            "the handshake revisions differ, so a record of one is not enough"
        )
    for method in LISTS:
        for name, value in handshake[method].items():
            assert envelope[method].pop(name) == value, f"{name} of {method} differs by era"
    return {"handshake": handshake, "envelope": envelope}


async def _record(revision: str) -> JSON:
    requests = build_requests(revision)
    answers = await ask_models(Settings(), requests)
    results = {
        method: answer["result"] for (method, _), answer in zip(requests, answers, strict=True)
    }
    for result in results.values():
        info = result.get("serverInfo") or result.get("_meta", {}).get(
            f"{META_PREFIX}serverInfo", {}
        )
        for name in SET_LATER:
            result.pop(name, None)
            info.pop(name, None)
    return results
