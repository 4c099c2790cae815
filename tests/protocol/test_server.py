"""Every protocol revision, and what the server says of itself."""

import struct
from base64 import b64decode

import pytest

from tests.support.processes import RawClient
from tests.transports.raw_http import IN_BATCH

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_handshake_revision_is_spoken(raw: RawClient, version: str) -> None:
    assert raw.initialize(version)["result"]["protocolVersion"] == version

    result = raw.ask("tools/call", {"name": "get_batch_run", "arguments": IN_BATCH})["result"]

    assert result["structuredContent"]["state"] == "finished"
    assert "finished, 4 passed, 1 failed of 5 attempts" in result["content"][0]["text"]


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


@pytest.mark.slow
def test_server_shows_a_small_icon(raw: RawClient) -> None:
    discovered = raw.ask("server/discover", {"_meta": MODERN})["result"]
    info = discovered["_meta"]["io.modelcontextprotocol/serverInfo"]
    (icon,) = info["icons"]
    image = b64decode(icon["src"].removeprefix("data:image/png;base64,"))

    assert len(icon["src"]) <= 2048
    assert image[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", image[16:24]) == (48, 48)
