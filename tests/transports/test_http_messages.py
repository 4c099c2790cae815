"""What is in a body over HTTP: one message, or an error in our words under its id."""

import json
from contextlib import closing
from typing import Any

import httpx2
import pytest

from sigmamind_mcp.transports.http_messages import (
    MAX_BATCH_ERRORS,
    NO_JSON_TYPE,
    SERVED_REVISIONS,
)
from tests.conftest import KEY
from tests.support.fake_api import FakeAPI
from tests.support.processes import Served
from tests.transports.raw_http import ACCEPT, CALL, authority, opened

HEADERS = {**ACCEPT, "X-API-Key": KEY}
MARK = b"\xef\xbb\xbf"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
BATCHES = "Batches are not served. Send each message in its own request."
NOT_JSON = "This body is not JSON."
NOT_A_MESSAGE = "Send a JSON-RPC request"


def refused(server: Served, content: bytes, **headers: str) -> Any:
    response = httpx2.post(
        f"{server.url}/mcp", content=content, headers={**HEADERS, **headers}, timeout=60
    )
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json")
    return response.json()


@pytest.mark.parametrize("version", ["2025-03-26", "2025-11-25", "2026-07-28"])
@pytest.mark.parametrize(
    ("batch", "ids"),
    [
        ([PING, {**PING, "id": "b", "method": "tools/list"}], [1, "b"]),
        ([PING], [1]),
        ([PING, {"jsonrpc": "2.0", "method": "notifications/initialized"}], [1]),
        ([PING, {"jsonrpc": "2.0", "id": 9, "result": {}}, 7], [1]),
        ([{**PING, "id": None}, PING], [None, 1]),
        ([], None),
        ([7], None),
        ([{"jsonrpc": "2.0", "method": "notifications/initialized"}], None),
        ([PING] * (MAX_BATCH_ERRORS + 1), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_batch_is_refused_under_the_ids_of_its_requests(
    server: Served, fake_api: FakeAPI, batch: list[Any], ids: list[Any] | None, version: str
) -> None:
    errors = refused(server, json.dumps(batch).encode(), **{"MCP-Protocol-Version": version})

    error = {"code": -32600, "message": BATCHES}
    if ids is None:
        assert errors == {"jsonrpc": "2.0", "id": None, "error": error}
    else:
        assert errors == [{"jsonrpc": "2.0", "id": number, "error": error} for number in ids]
    assert fake_api.asked == []


@pytest.mark.parametrize(
    ("content", "number", "code", "sentence"),
    [
        (b"", None, -32700, NOT_JSON),
        (MARK, None, -32700, NOT_JSON),
        (b"{", None, -32700, NOT_JSON),
        (MARK + b'{"jsonrpc":"2.0","id":4,"method":"ping"', 4, -32700, NOT_JSON),
        (b'{"jsonrpc":"2.0","id":4,"method":"ping","params":{"a":NaN}}', 4, -32700, NOT_JSON),
        (b"null", None, -32600, NOT_A_MESSAGE),
        (b'{"id":4,"method":"ping"}', 4, -32600, NOT_A_MESSAGE),
        (b'{"jsonrpc":"2.0","id":4,"method":"ping","params":[1]}', 4, -32600, NOT_A_MESSAGE),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', None, -32600, NOT_A_MESSAGE),
        (b'{"jsonrpc":"2.0","method":"notifications/x","params":[1]}', None, -32600, NOT_A_MESSAGE),
    ],
)
def test_body_that_is_no_message_is_refused_under_its_id(
    server: Served, content: bytes, number: int | None, code: int, sentence: str
) -> None:
    answer = refused(server, content)

    assert (answer["id"], answer["error"]["code"]) == (number, code)
    assert answer["error"]["message"].startswith(sentence)
    assert set(answer["error"]) == {"code", "message"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_before_the_message_is_ignored(server: Served, encoding: str) -> None:
    content = json.dumps(CALL).encode(encoding)
    response = httpx2.post(f"{server.url}/mcp", content=content, headers=HEADERS, timeout=60)

    assert response.status_code == 200 and '"finished"' in response.text


def test_messages_of_a_stream_are_checked_too(server: Served) -> None:
    headers = [("Host", authority(server.url)), ("X-API-Key", KEY)]
    connection, stream = opened(server.url, "GET", "/sse", headers)
    with closing(connection), stream:
        stream.readline()
        path = stream.readline().decode().removeprefix("data: ").strip()
        url = f"{server.url}{path}"
        batch = httpx2.post(url, content=json.dumps([PING]), headers=HEADERS)
        marked = httpx2.post(url, content=MARK + json.dumps(PING).encode(), headers=HEADERS)
        lines = iter(stream.readline, b"")
        answer = next(line for line in lines if line.startswith(b'data: {"jsonrpc"'))

    assert (batch.status_code, batch.json()[0]["error"]["message"]) == (400, BATCHES)
    assert marked.status_code == 202
    assert json.loads(answer.removeprefix(b"data: ")) == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/jsonx", "application/vnd.api+json", "json", ";"]
)
def test_body_of_another_type_is_refused_in_our_words(
    server: Served, fake_api: FakeAPI, content_type: str
) -> None:
    headers = {**HEADERS, "Content-Type": content_type}

    response = httpx2.post(f"{server.url}/mcp", content=json.dumps(CALL), headers=headers)

    assert (response.status_code, response.json()) == (415, {"error": NO_JSON_TYPE})
    assert fake_api.asked == []


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/json ;a=b"]
)
def test_json_type_is_read_in_any_form(server: Served, content_type: str) -> None:
    headers = {**HEADERS, "Content-Type": content_type}

    response = httpx2.post(f"{server.url}/mcp", content=json.dumps(PING), headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("revision", ["1999-01-01", "2027-01-01", "latest", "2025-6-18"])
@pytest.mark.parametrize("message", [CALL, PING, {**PING, "id": "a", "params": {"_meta": {}}}])
def test_revision_that_is_not_served_is_refused_with_those_that_are(
    server: Served, fake_api: FakeAPI, message: dict[str, Any], revision: str
) -> None:
    refusal = refused(server, json.dumps(message).encode(), **{"MCP-Protocol-Version": revision})

    error = refusal["error"]
    assert (refusal["id"], error["code"]) == (message["id"], -32022)
    assert "MCP-Protocol-Version" in error["message"]
    assert all(served in error["message"] for served in SERVED_REVISIONS)
    assert revision not in error["message"] and fake_api.asked == []
