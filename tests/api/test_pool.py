"""Where requests go and what of an answer is let in: no redirect, no strange URL, no proxy, no bomb (R4-R6, R18)."""

import gzip
import time
from itertools import product
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.settings import Settings
from tests.conftest import KEY, connected, text_of
from tests.support.all_transports import Wire
from tests.support.fake_api import BATCH, FakeAPI, running_fake_api
from tests.transports.raw_http import IN_BATCH

pytestmark = pytest.mark.anyio

REDIRECTS = (301, 302, 303, 307, 308)
HOSTILE_URLS = [
    "http://api.sigmamind.ai", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://localhost@evil.example",
    "http://2130706433", "http://0x7f000001", "http://0177.0.0.1", "http://127.1", "http://0.0.0.0", "http://[::]", "http://[::ffff:7f00:1]:1",
    "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]", "https://user:secret@api.sigmamind.ai", "https://secret@api.sigmamind.ai",
    "https://api.sigmamind.ai?key=secret", "https://api.sigmamind.ai#x", "ftp://api.sigmamind.ai", "file:///etc/passwd", "javascript:alert(1)",
    "//api.sigmamind.ai", "api.sigmamind.ai", "https://", "https://[::1", "https://:443", "https:/api.sigmamind.ai", "http://localhost:1@evil.example",
]  # fmt: skip


async def test_no_redirect_is_followed(mcp: Client, fake_api: FakeAPI, figures: list[str]) -> None:
    """R4: reads and writes, to another host as to the same one; the answer names only the status."""
    writing = {"agentId": "a", "userPrompt": "x", "successCriteria": "y"}
    tools: list[tuple[str, str, str, dict[str, Any]]] = [
        ("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", "get_batch_run", IN_BATCH),
        ("POST", "/v1/test-cases", "create_test_case", writing),
    ]
    with running_fake_api() as elsewhere:
        for status, (method, path, tool, arguments) in product(REDIRECTS, tools):
            fake_api.asked.clear()
            fake_api.headers["Location"] = f"{elsewhere.url}{path}"
            fake_api.answer(method, path, b"", status)
            fresh = {"label": str(status)} if method == "POST" else {}
            result = await mcp.call_tool(tool, {**arguments, **fresh})
            assert result.is_error and elsewhere.url not in text_of(result)
            assert method == "POST" or f"redirect ({status})" in text_of(result)
            assert fake_api.paths == [f"{method} {path}"]
        assert elsewhere.connections == 0
    figures.append(
        f"R4 {len(REDIRECTS) * 2} of {len(REDIRECTS) * 2} redirects not followed, {elsewhere.connections} requests elsewhere"
    )


async def test_no_strange_base_url_is_taken(figures: list[str]) -> None:
    """R5: https alone, http for loopback, and nothing that hides where it goes; the refusal repeats none of it."""
    for url in HOSTILE_URLS:
        with pytest.raises(ConfigurationError, match="SIGMAMIND_BASE_URL") as refused:
            Settings.from_env({"SIGMAMIND_BASE_URL": url})
        assert "secret" not in str(refused.value) and "evil" not in str(refused.value), url
    figures.append(f"R5 {len(HOSTILE_URLS)} of {len(HOSTILE_URLS)} hostile base URLs refused")


async def test_no_proxy_of_the_environment_sees_the_key(
    fake_api: FakeAPI, monkeypatch: pytest.MonkeyPatch, figures: list[str]
) -> None:
    """R6: httpx would obey each of these."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with running_fake_api() as decoy:
        for variable in (
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ):
            monkeypatch.setenv(variable, decoy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with connected(base_url=fake_api.url, api_key=KEY) as mcp:
            assert not (await mcp.call_tool("get_batch_run", IN_BATCH)).is_error

    assert decoy.connections == 0 and len(fake_api.asked) == 1
    figures.append(f"R6 {decoy.connections} connections to a proxy of the environment")


@pytest.mark.parametrize("kind", ["300 MB in gzip", "100 MB as they are"])
async def test_answer_that_would_fill_the_memory_is_refused(
    wires: tuple[FakeAPI, dict[str, Wire]], wired_api: FakeAPI, figures: list[str], kind: str
) -> None:
    """R18: compressed answers are refused unread, others at 8 MiB, in less than a second."""
    wire = wires[1]["HTTP 2026-07-28"]
    blank = b" " * 100_000_000
    bomb = gzip.compress(blank, 1) * 3 if "gzip" in kind else blank
    wired_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", bomb)
    wired_api.headers |= {"Content-Encoding": "gzip"} if "gzip" in kind else {}
    before, began = wire.server.memory(), time.monotonic()

    answer = wire.call("get_batch_run", IN_BATCH)

    took, grown = time.monotonic() - began, wire.server.memory() - before
    assert answer.is_error and ("compressed" in answer.said or "larger than 8 MiB" in answer.said)
    assert grown < 16
    assert all(asked.headers["accept-encoding"] == "identity" for asked in wired_api.asked)
    figures.append(f"R18 an answer of {kind}: memory {grown:+.1f} MB, refused in {took:.2f} s")
