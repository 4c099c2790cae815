"""The recorded listings are what the models say, for every setting and protocol revision."""

import itertools
import json
from pathlib import Path

import pytest

from sigmamind_mcp.protocol.catalogue import TOOLS, advertise_tools
from sigmamind_mcp.protocol.recorded_listings import (
    ENVELOPE_REVISION,
    HANDSHAKE_REVISIONS,
    RECORD,
    read_listings,
)
from sigmamind_mcp.settings import Settings
from tests.checks.listings import ask_models, build_requests, record_listings
from tests.conftest import connected

pytestmark = pytest.mark.anyio

ALL_SETTINGS = [
    Settings(
        sandbox=sandbox,
        read_only=read_only,
        viewer=viewer,
        agent_id=agent_id,
        api_key="key_of_somebody_1",
    )
    for sandbox, read_only, viewer, agent_id in itertools.product(
        (False, True), (False, True), (False, True), (None, 'agent_"é')
    )
]


RECORDED = json.loads(Path(RECORD).read_text(encoding="utf-8"))


async def test_record_is_what_the_server_says_by_its_models() -> None:
    assert RECORDED == await record_listings(), "scripts/surface writes it anew"


@pytest.mark.parametrize(
    "settings",
    ALL_SETTINGS,
    ids=lambda it: f"{it.sandbox}-{it.read_only}-{it.viewer}-{it.agent_id}",
)
async def test_listings_are_the_servers_for_every_setting_and_revision(settings: Settings) -> None:
    for revision in (*HANDSHAKE_REVISIONS, ENVELOPE_REVISION):
        handshake, envelope = read_listings(settings)
        results = envelope if revision == ENVELOPE_REVISION else handshake
        handshake["initialize"]["protocolVersion"] = revision
        requests = [request for request in build_requests(revision) if request[0] in results]

        answers = await ask_models(settings, requests)

        assert [results[method] for method, _ in requests] == [it["result"] for it in answers]


async def test_only_a_default_agent_keeps_a_list_out_of_the_record() -> None:
    methods = {method for revision in HANDSHAKE_REVISIONS for method, _ in build_requests(revision)}

    assert read_listings(Settings()).handshake.keys() == methods
    assert read_listings(Settings(agent_id="a")).handshake.keys() == methods - {"resources/list"}


@pytest.mark.parametrize("agent_id", [None, "agent_x"])
async def test_server_advertises_the_recorded_tools(agent_id: str | None) -> None:
    async with connected(agent_id=agent_id, api_key="k") as client:
        served = (await client.list_tools()).tools

    assert [tool.name for tool in served] == [tool.name for tool in TOOLS]
    assert served == advertise_tools(Settings(agent_id=agent_id))
