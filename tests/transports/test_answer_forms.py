"""Which form an answer has: the one that the client accepts."""

import json
from typing import Any

import httpx2
import pytest

from sigmamind_mcp.transports.answer_forms import EVENTS, JSON, UNACCEPTABLE
from tests.conftest import KEY
from tests.support.fake_api import FakeAPI
from tests.support.processes import Served
from tests.transports.raw_http import CALL, IN_BATCH, Pairs, authority, exchange

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def ask(server: Served, accepts: list[str], *, is_modern: bool) -> tuple[int, str, Any]:
    """Return status, content type and the message of a call with these Accept headers."""
    message: dict[str, Any] = CALL
    headers: Pairs = [("Host", authority(server.url)), ("X-API-Key", KEY)]
    if is_modern:
        message = {**CALL, "params": {**CALL["params"], "_meta": MODERN}}  # type: ignore[dict-item]
        headers += [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", "get_batch_run"),
        ]
    body = json.dumps(message).encode()
    headers += [("Content-Type", JSON), ("Content-Length", str(len(body)))]
    headers += [("Accept", value) for value in accepts]
    answer = exchange(server.url, "POST", "/mcp", headers, body)
    content_type = answer.headers["Content-Type"] or ""
    text = answer.body.decode()
    if content_type.startswith(EVENTS):
        (line,) = [line for line in text.splitlines() if line.startswith("data: ")]
        text = line.removeprefix("data: ")
    return answer.status, content_type.partition(";")[0], json.loads(text)


@pytest.mark.parametrize("is_modern", [False, True], ids=["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize(
    ("accepts", "form"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["application/json"], JSON),
        (["application/*;q=0.5"], JSON),
        (["Application/JSON; charset=utf-8, text/plain, */*"], JSON),
        (["text/event-stream"], EVENTS),
        (["TEXT/*"], EVENTS),
        (["text/html, text/event-stream;q=0.9"], EVENTS),
    ],
)
def test_client_that_names_one_form_gets_that_form(
    server: Served, accepts: list[str], form: str, is_modern: bool
) -> None:
    status, content_type, message = ask(server, accepts, is_modern=is_modern)

    assert (status, content_type) == (200, form)
    assert message["id"] == 1 and message["result"]["structuredContent"]["state"] == "finished"


@pytest.mark.parametrize(
    ("accepts", "is_modern", "form"),
    [
        ([f"{JSON}, {EVENTS}"], False, EVENTS),
        ([JSON, EVENTS], False, EVENTS),
        ([f"{EVENTS}, */*"], False, EVENTS),
        ([f"{JSON}, {EVENTS}"], True, JSON),
    ],
)
def test_client_that_names_both_forms_gets_what_the_sdk_chooses(
    server: Served, accepts: list[str], is_modern: bool, form: str
) -> None:
    assert ask(server, accepts, is_modern=is_modern)[1] == form


@pytest.mark.parametrize("is_modern", [False, True], ids=["2025-11-25", "2026-07-28"])
def test_client_that_accepts_neither_form_is_told_which_there_are(
    server: Served, fake_api: FakeAPI, is_modern: bool
) -> None:
    status, _, message = ask(server, ["text/html, image/png"], is_modern=is_modern)

    assert (status, message) == (406, {"error": UNACCEPTABLE})
    assert fake_api.asked == []


def test_progress_is_left_out_of_a_json_answer(server: Served) -> None:
    params = {
        "name": "wait_for_batch_run",
        "arguments": IN_BATCH,
        "_meta": {"progressToken": "p"},
    }
    headers = {"Accept": JSON, "X-API-Key": KEY}
    message = {**CALL, "params": params}
    response = httpx2.post(f"{server.url}/mcp", json=message, headers=headers, timeout=60)

    assert response.headers["Content-Type"] == JSON
    assert response.json()["result"]["structuredContent"]["state"] == "finished"


def test_notification_needs_no_form(server: Served) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    headers = {"Accept": EVENTS, "X-API-Key": KEY}

    assert httpx2.post(f"{server.url}/mcp", json=message, headers=headers).status_code == 202
