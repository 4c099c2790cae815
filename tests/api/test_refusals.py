"""A refusal in a 2xx answer is a refusal, whatever is read or written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.api.client import ReadyLaunch, SigmaMindClient
from sigmamind_mcp.api.refusals import find_refusal
from sigmamind_mcp.errors import (
    APIError,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    SigmaMindError,
    TooManyRequests,
    UnexpectedAnswer,
)
from tests.api.test_asked_ids import AGENT_ID, ASKED, BATCH_ID, LISTS, SINGLE, Read
from tests.conftest import text_of
from tests.support.fake_api import AGENT, BATCH, CASE, ERROR, RUN, FakeAPI, page

pytestmark = pytest.mark.anyio

CASE_ID = ASKED["testCaseId"]
READS = [
    *SINGLE,
    *LISTS,
    Read("/v1/agents", AGENT, (), lambda api: api.list_agents()),
]
MESSAGE = "Insufficient credits"
REFUSALS: list[tuple[dict[str, Any], type[APIError]]] = [
    ({"success": False, "message": MESSAGE}, InvalidRequest),
    ({"success": "false", "error": MESSAGE, "data": None}, InvalidRequest),
    ({"ok": False, "message": MESSAGE}, InvalidRequest),
    ({"success": False, "message": MESSAGE, "data": []}, InvalidRequest),
    ({"success": False, "status": 404, "message": MESSAGE}, NotFound),
    ({"status": 400, "error": "Bad Request", "message": MESSAGE}, InvalidRequest),
    ({"status": 422, "validationErrors": {"label": MESSAGE}}, InvalidRequest),
    ({**ERROR, "message": MESSAGE}, NotFound),
    ({"status": "429", "message": MESSAGE}, TooManyRequests),
    ({"statusCode": 402, "message": MESSAGE}, APIError),
    ({"error": MESSAGE}, InvalidRequest),
    ({"error": {"code": 402, "message": MESSAGE}}, InvalidRequest),
    ({"errors": [{"message": MESSAGE}], "data": None}, InvalidRequest),
    ({"status": "error", "message": MESSAGE}, InvalidRequest),
    ({"status": "Failed", "message": MESSAGE, "data": []}, InvalidRequest),
    ({"errorMessage": MESSAGE, "data": []}, InvalidRequest),
    ({"isError": True, "message": MESSAGE, "data": []}, InvalidRequest),
    ({"success": "no", "message": MESSAGE, "data": []}, InvalidRequest),
]
# No page of the API documents these: they are no refusal, and nothing that was asked for.
UNRECOGNISED: list[Any] = [
    {}, [], {"data": {}}, {"success": True}, {"status": "error"}, {"message": ""}, {"more": 1}, "text", 7, True, b"<html>",
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), REFUSALS)
@pytest.mark.parametrize("read", READS, ids=lambda read: str(read.path))
async def test_read_that_is_refused_in_a_2xx_raises_the_error_that_it_names(
    client: SigmaMindClient, fake_api: FakeAPI, read: Read, body: Any, kind: type[APIError]
) -> None:
    fake_api.answer("GET", read.path, body)
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", body)

    with pytest.raises(APIError) as raised:
        await read.call(client)

    assert isinstance(raised.value, kind)
    assert MESSAGE in str(raised.value.upstream)
    assert MESSAGE not in str(raised.value)


@pytest.mark.parametrize("body", UNRECOGNISED, ids=str)
@pytest.mark.parametrize("read", SINGLE, ids=lambda read: str(read.path))
async def test_object_without_any_expected_field_is_unexpected(
    client: SigmaMindClient, fake_api: FakeAPI, read: Read, body: Any
) -> None:
    fake_api.answer("GET", read.path, body)

    with pytest.raises(UnexpectedAnswer):
        await read.call(client)


async def test_message_instead_of_an_object_is_shown(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", {"message": MESSAGE, "name": "Error"})

    result = await mcp.call_tool("get_batch_run", {"agentId": AGENT_ID, "batchId": BATCH_ID})

    assert result.is_error
    assert "has a message instead of this batch run" in text_of(result)
    assert f"message: {MESSAGE}" in text_of(result)


@pytest.mark.parametrize("sample", [AGENT, CASE, BATCH, RUN, page([CASE]), page([]), []])
@pytest.mark.parametrize(
    "more", [{}, {"success": True}, {"error": None}, {"message": "OK"}, {"code": 200}]
)
def test_documented_answer_is_no_refusal(sample: Any, more: dict[str, Any]) -> None:
    assert find_refusal({**sample, **more} if isinstance(sample, dict) else sample) is None


async def write_case(client: SigmaMindClient) -> None:
    await client.create_test_case(AGENT_ID, {"userPrompt": "p", "successCriteria": "c"})


async def write_batch_run(client: SigmaMindClient) -> None:
    @asynccontextmanager
    async def find_none() -> AsyncIterator[ReadyLaunch]:
        yield ReadyLaunch(CASE_ID, [])

    await client.create_batch_run(AGENT_ID, [CASE_ID], find_none)


async def write_change(client: SigmaMindClient) -> None:
    await client.update_test_case(CASE_ID, {"agentId": AGENT_ID, "label": "new"})


WRITES = [
    ("POST", "/v1/test-cases", write_case),
    ("POST", "/v1/batch-runs", write_batch_run),
    ("PUT", f"/v1/test-cases/{CASE_ID}", write_change),
]
STORED = {"userPrompt": "p", "successCriteria": "c", "label": "new"}


@pytest.mark.parametrize(("body", "kind"), REFUSALS)
@pytest.mark.parametrize(("method", "path", "write"), WRITES)
async def test_write_that_is_refused_in_a_2xx_was_not_made(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    method: str,
    path: str,
    write: Any,
    body: Any,
    kind: type[APIError],
) -> None:
    fake_api.answer(method, path, body)

    with pytest.raises(SigmaMindError) as raised:
        await write(client)

    # Nobody knows what an API means that names an undocumented status.
    assert isinstance(raised.value, OutcomeUnknown if kind is APIError else kind)
    assert MESSAGE in str(raised.value.upstream)
    assert fake_api.paths[0] == f"{method} {path}"


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize(("method", "path", "write"), WRITES)
async def test_write_that_failed_inside_the_api_may_have_been_made(
    client: SigmaMindClient, fake_api: FakeAPI, method: str, path: str, write: Any, status: int
) -> None:
    fake_api.answer(method, path, {"success": False, "status": status, "message": MESSAGE})

    with pytest.raises(OutcomeUnknown, match="may have been made") as raised:
        await write(client)

    assert raised.value.upstream == {"message": MESSAGE}


@pytest.mark.parametrize("body", [*UNRECOGNISED, {"message": MESSAGE}], ids=str)
@pytest.mark.parametrize(("method", "path", "write"), WRITES)
async def test_write_with_an_unrecognised_answer_may_have_been_made(
    client: SigmaMindClient, fake_api: FakeAPI, method: str, path: str, write: Any, body: Any
) -> None:
    fake_api.answer(method, path, body)
    fake_api.answer("GET", "/v1/test-cases", [])
    fake_api.answer("GET", "/v1/batch-runs", [])
    fake_api.answer("GET", f"/v1/test-cases/{CASE_ID}", CASE)

    with pytest.raises(OutcomeUnknown, match="may have been made") as raised:
        await write(client)

    assert sum(not asked.startswith("GET") for asked in fake_api.paths) == 1
    expected = {"message": MESSAGE} if body == {"message": MESSAGE} else {}
    assert raised.value.upstream == expected


@pytest.mark.parametrize("body", [*UNRECOGNISED, b"", b"null"], ids=str)
@pytest.mark.parametrize(("method", "path", "write"), WRITES)
async def test_write_that_the_api_shows_afterwards_was_made(
    client: SigmaMindClient, fake_api: FakeAPI, method: str, path: str, write: Any, body: Any
) -> None:
    fake_api.answer(method, path, body)
    fake_api.answer("GET", "/v1/test-cases", [{**CASE, **STORED}])
    fake_api.answer("GET", "/v1/batch-runs", [BATCH])
    fake_api.answer("GET", f"/v1/test-cases/{CASE_ID}", {**CASE, **STORED})

    await write(client)


@pytest.mark.parametrize(("method", "path", "write"), WRITES)
async def test_confirmation_of_another_agents_object_confirms_nothing(
    client: SigmaMindClient, fake_api: FakeAPI, method: str, path: str, write: Any
) -> None:
    sample = BATCH if "batch" in path else CASE
    fake_api.answer(method, path, {**sample, "agent": {"agentId": "agent_other"}})
    fake_api.answer("GET", f"/v1/test-cases/{CASE_ID}", CASE)

    with pytest.raises(OutcomeUnknown):
        await write(client)


@pytest.mark.parametrize(
    "body", [{"success": 0, "data": []}, {"ok": 0}, {"status": "fail", "data": []}], ids=str
)
@pytest.mark.parametrize("read", LISTS, ids=lambda read: str(read.path))
async def test_failure_without_a_message_is_no_empty_list(
    client: SigmaMindClient, fake_api: FakeAPI, read: Read, body: Any
) -> None:
    fake_api.answer("GET", read.path, body)
    fake_api.answer("GET", f"/v1/batch-runs/{BATCH_ID}", body)

    with pytest.raises(InvalidRequest):
        await read.call(client)


@pytest.mark.parametrize("zero", [{"success": 0}, {"errors": []}, {"errorCount": 0}], ids=str)
def test_zero_beside_values_is_no_refusal(zero: dict[str, Any]) -> None:
    assert find_refusal({**BATCH, **zero}) is None


@pytest.mark.parametrize(
    "error",
    [
        {"error": MESSAGE},
        {"errors": [MESSAGE]},
        {"errorMessage": MESSAGE},
        {"status": "failed", "message": MESSAGE},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path", "write"), WRITES[:2])
async def test_error_beside_the_id_of_a_write_confirms_nothing(
    client: SigmaMindClient, fake_api: FakeAPI, method: str, path: str, write: Any, error: Any
) -> None:
    fake_api.answer(method, path, {"batchId": "batch_9", "testCaseId": "tc_9", **error}, 201)
    fake_api.answer("GET", "/v1/test-cases", [])
    fake_api.answer("GET", "/v1/batch-runs", [])

    with pytest.raises(OutcomeUnknown) as raised:
        await write(client)

    assert MESSAGE in str(raised.value.upstream)
