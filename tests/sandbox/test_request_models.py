"""The sandbox refuses invalid bodies."""

import json

import httpx2
import pytest

from tests.sandbox.conftest import AGENT, NEW_CASE, get

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_unreadable_body_is_a_400(api: httpx2.AsyncClient, body: bytes) -> None:
    assert (await api.post("/v1/test-cases", content=body)).status_code == 400


@pytest.mark.parametrize("value", ["NaN", "1e999", r'"\ud800"', r'{"\udfff": 1}'])
async def test_value_that_json_cannot_encode_is_not_stored(
    api: httpx2.AsyncClient, value: str
) -> None:
    body = json.dumps({**AGENT, **NEW_CASE, "label": "Mine", "mockData": [{"note": "VALUE"}]})
    stored = await api.post("/v1/test-cases", content=body)
    refused = await api.post("/v1/test-cases", content=body.replace('"VALUE"', value))
    cases = await get(api, "/v1/test-cases", size=100, **AGENT)

    assert stored.json()["mockData"] == [{"note": "VALUE"}]
    assert refused.status_code == 400
    assert [case["label"] for case in cases["data"]].count("Mine") == 1


async def test_body_of_another_type_is_a_415(api: httpx2.AsyncClient) -> None:
    body = json.dumps({**AGENT, **NEW_CASE})
    plain = {"Content-Type": "text/plain"}
    json_with_charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    refused = await api.post("/v1/test-cases", content=body, headers=plain)
    accepted = await api.post("/v1/test-cases", content=body, headers=json_with_charset)

    assert (refused.status_code, refused.json()["status"]) == (415, 415)
    assert accepted.status_code == 200
