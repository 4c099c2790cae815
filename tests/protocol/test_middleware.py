"""One line of the log for each request, without keys and content (R1, R36, R39)."""

import json
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.conftest import RoundCount
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import RawClient, served
from tests.transports.raw_http import ACCEPT, CALL, IN_BATCH, env_for

pytestmark = pytest.mark.anyio


async def test_each_call_is_one_line_of_the_log(fake_api: FakeAPI) -> None:
    """R39: which call, how it ended, how long it took, and whose it was, without the key."""
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    with served("serve", env=env_for(fake_api)) as server:
        for key in ("one", "two", "one"):
            httpx2.post(f"{server.url}/mcp", json=CALL, headers={**ACCEPT, "X-API-Key": key})
        async with Client(sse_client(f"{server.url}/sse", headers={"X-API-Key": "two"})) as client:
            await client.call_tool("get_batch_run", {**IN_BATCH, "batchId": "batch_none"})

    lines = [json.loads(line) for line in server.log.splitlines()]
    calls = [line for line in lines if line.get("name") == "get_batch_run"]
    assert [line["status"] for line in calls] == ["ok", "ok", "ok", "refused"]
    assert {tuple(line) for line in calls} == {
        ("time", "level", "event", "method", "name", "id", "status", "ms", "caller")
    }
    callers = [line["caller"] for line in calls]
    assert callers[0] == callers[2] != callers[1] == callers[3]
    assert all(len(caller) == 8 for caller in callers)


async def test_bad_requests_cost_little_log_and_show_no_body(
    fake_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R36, R1: neither key nor body stands in the log, at the level that logs most."""
    count = rounds(short=200, long=1_000)
    with served("serve", "--log-level", "debug", env=env_for(fake_api)) as server:
        headers = {**ACCEPT, "X-API-Key": "canary-key"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as client:
            bad: list[tuple[str, dict[str, Any]]] = [
                ("/mcp", {"content": b'{"canary'}),
                ("/mcp", {"content": b"\xff\xfe canary"}),
                ("/mcp", {"json": {**CALL, "method": "canary/none"}}),
                ("/mcp", {"json": {**CALL, "id": "canary canary"}}),
                (
                    "/mcp",
                    {
                        "json": {
                            **CALL,
                            "params": {"name": "canary", "arguments": {"canary": "canary"}},
                        }
                    },
                ),
                ("/messages/?session_id=canary", {"content": b"canary"}),
                ("/messages/?session_id=" + "0" * 32, {"json": {"canary": 1}}),
                ("/canary", {"content": b"canary"}),
            ]
            for number in range(count):
                path, body = bad[number % len(bad)]
                assert client.post(path, **body).status_code < 500
            assert client.post("/mcp", json=CALL).status_code == 200

    assert "canary" not in server.log
    assert all(json.loads(line) for line in server.log.splitlines())
    figures.append(f"R36 {count} bad requests: {len(server.log) / count:.0f} bytes of log each")
    assert len(server.log) < 300 * count


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


TEXT_ARGUMENTS = {
    json.dumps(IN_BATCH): "Batch run",
    f" {json.dumps(IN_BATCH)}\n": "Batch run",
    "{}": "agentId is missing.",
    "": "agentId is missing.",
    "null": "agentId is missing.",
    "[1]": "params.arguments must be an object",
    "7": "params.arguments must be an object",
    '"{}"': "params.arguments must be an object",
    "{": "params.arguments must be an object",
    "[" * 100_000: "params.arguments must be an object",
}


async def test_arguments_may_be_json_text(fake_api: FakeAPI) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    answers = []
    with served("serve", env=env_for(fake_api)) as server:
        for arguments in TEXT_ARGUMENTS:
            params = {"name": "get_batch_run", "arguments": arguments}
            headers = {**ACCEPT, "X-API-Key": "one"}
            call = {**CALL, "params": params}
            answers.append(httpx2.post(f"{server.url}/mcp", json=call, headers=headers).text)

    for answer, expected in zip(answers, TEXT_ARGUMENTS.values(), strict=True):
        assert expected in answer
    assert len(fake_api.asked) == 2
