"""What the server says before the first call, from the record in listings.json.

`scripts/surface` writes the record from the running server. This loads the standard library only,
so that a client gets the listings before the SDK is imported.
"""

import json
import os
from typing import NamedTuple

from sigmamind_mcp import __version__
from sigmamind_mcp.protocol.instructions import choose_title, write_instructions
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.viewer import APPS_EXTENSION, VIEWER_URI

RECORD = os.path.join(os.path.dirname(__file__), "listings.json")
HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Their results differ in `protocolVersion` only."""
ENVELOPE_REVISION = "2026-07-28"
META_PREFIX = "io.modelcontextprotocol/"

Results = dict[str, JSONObject]
"""One result for each method."""


class Listings(NamedTuple):
    """The results of a server with certain settings."""

    handshake: Results
    envelope: Results


def read_listings(settings: Settings) -> Listings:
    """Return what a server with these settings answers; not what depends on the API."""
    with open(RECORD, encoding="utf-8") as file:
        listings = Listings(**json.load(file))
    handshake, envelope = listings
    _describe_server(listings, settings)
    if settings.read_only:
        tools = handshake["tools/list"]
        tools["tools"] = list(filter(_is_read_only, tools["tools"]))
    if not settings.viewer:
        _leave_out_viewer(listings)
    if settings.agent_id:
        _set_default_agent(listings, settings.agent_id)
    for method in handshake.keys() & envelope.keys():
        # The record has each list once.
        envelope[method] |= handshake[method]
    return listings


def _is_read_only(tool: JSONObject) -> bool:
    read_only: bool = tool["annotations"]["readOnlyHint"]
    return read_only


def _set_default_agent(listings: Listings, agent_id: str) -> None:
    handshake, envelope = listings
    for tool in handshake["tools/list"]["tools"]:
        _make_agent_optional(tool["inputSchema"], agent_id)
    for prompt in handshake["prompts/list"]["prompts"]:
        for argument in prompt["arguments"]:
            if argument["name"] == "agentId":
                argument["required"] = False
    # It lists transcripts of this agent.
    del handshake["resources/list"]
    del envelope["resources/list"]


def _describe_server(listings: Listings, settings: Settings) -> None:
    greeting = listings.handshake["initialize"]
    for result in (greeting, listings.envelope["server/discover"]):
        result["instructions"] = write_instructions(settings)
    descriptions = [greeting["serverInfo"]]
    for result in listings.envelope.values():
        descriptions.append(result["_meta"][f"{META_PREFIX}serverInfo"])
    for description in descriptions:
        description["title"] = choose_title(settings)
        description["version"] = __version__


def _leave_out_viewer(listings: Listings) -> None:
    handshake, envelope = listings
    for tool in handshake["tools/list"]["tools"]:
        tool.pop("_meta", None)
    resources = handshake["resources/list"]
    others = [resource for resource in resources["resources"] if resource["uri"] != VIEWER_URI]
    resources["resources"] = others
    del envelope["server/discover"]["capabilities"]["extensions"][APPS_EXTENSION]


def _make_agent_optional(schema: JSONObject, agent_id: str) -> None:
    if "agentId" in schema.get("required", []):
        schema["required"].remove("agentId")
        agent = schema["properties"]["agentId"]
        # An empty text counts as not given.
        agent.pop("minLength", None)
        agent["default"] = agent_id
