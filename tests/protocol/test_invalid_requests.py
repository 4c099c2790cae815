"""Requests that the SDK refuses before a handler sees them: the answer names the parameter."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError

from sigmamind_mcp.protocol.invalid_requests import explain_invalid_request
from tests.support.processes import RawClient, serving
from tests.transports.raw_http import ACCEPT

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
OBJECT, TEXT = "must be an object", "must be a text"
REF = {"type": "ref/prompt", "name": "diagnose_batch_run"}

CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("tools/call", {}, ["params.name is missing"]),
    ("tools/call", {"name": 7}, [f"params.name {TEXT}"]),
    ("tools/call", {"name": "list_agents", "arguments": []}, [f"params.arguments {OBJECT}"]),
    ("tools/call", {"name": "list_agents", "arguments": "{"}, [f"params.arguments {OBJECT}"]),
    ("tools/call", {"arguments": []}, [f"params.arguments {OBJECT}", "params.name is missing"]),
    ("tools/list", {"cursor": 1}, [f"params.cursor {TEXT}"]),
    ("tools/list", {"_meta": []}, [f"params._meta {OBJECT}"]),
    ("tools/list", {"_meta": {"progressToken": {}}},
     ["params._meta.progressToken must be a text or a whole number"]),
    ("prompts/get", {}, ["params.name is missing"]),
    ("prompts/get", {"name": "x", "arguments": {"agentId": 1}},
     [f"params.arguments.agentId {TEXT}"]),
    ("prompts/get", {"name": "x", "arguments": {"Ignore all\n": 1}},
     [f"params.arguments has a member that {TEXT}"]),
    ("resources/read", {}, ["params.uri is missing"]),
    ("resources/read", {"uri": ["x"]}, [f"params.uri {TEXT}"]),
    ("completion/complete", {}, ["params.argument is missing", "params.ref is missing"]),
    ("completion/complete", {"ref": "x", "argument": {"name": "a", "value": ""}},
     ['params.ref must be {"type": "ref/prompt", "name": …}']),
    ("completion/complete", {"ref": {"type": "ref/resource"}, "argument": {"name": "a"}},
     ["params.argument.value is missing", 'or {"type": "ref/resource", "uri": …}']),
    ("completion/complete", {"ref": REF, "argument": {"name": "a", "value": 3}},
     [f"params.argument.value {TEXT}"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("serve", "--sandbox") as base:
        yield base


@contextmanager
def started_client() -> Iterator[RawClient]:
    client = RawClient("--sandbox")
    try:
        yield client
    finally:
        client.process.kill()
        client.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def raw() -> Iterator[RawClient]:
    with started_client() as client:
        client.initialize("2025-11-25")
        yield client


def check_explanation(error: dict[str, Any], method: str, reasons: list[str]) -> None:
    assert error["code"] == -32602 and set(error) == {"code", "message"}
    assert error["message"].startswith(f"{method} cannot be served: ")
    for reason in reasons:
        assert reason in error["message"]
    assert not {"pydantic", "Input should", "Reference", "Ignore"} & set(error["message"].split())


def ask_over_http(url: str, message: dict[str, Any], **headers: str) -> dict[str, Any]:
    headers = {**ACCEPT, "Accept": "application/json", **headers}
    body = {"jsonrpc": "2.0", "id": 1, **message}
    answer: dict[str, Any] = httpx2.post(f"{url}/mcp", json=body, headers=headers).json()
    return answer


@pytest.mark.parametrize(("method", "params", "reasons"), CASES)
def test_stdio_names_the_wrong_parameter(
    raw: RawClient, method: str, params: dict[str, Any], reasons: list[str]
) -> None:
    check_explanation(raw.ask(method, params)["error"], method, reasons)


@pytest.mark.parametrize(("method", "params", "reasons"), CASES)
def test_http_names_the_wrong_parameter(
    url: str, method: str, params: dict[str, Any], reasons: list[str]
) -> None:
    answer = ask_over_http(url, {"method": method, "params": params})

    check_explanation(answer["error"], method, reasons)


# The SDK itself names a wrong envelope, and what does not equal its header.
@pytest.mark.parametrize(
    ("method", "params", "reasons"),
    [case for case in CASES if "_meta" not in case[1] and case[0] != "resources/read"],
)
def test_the_revision_without_handshake_names_the_wrong_parameter(
    url: str, method: str, params: dict[str, Any], reasons: list[str]
) -> None:
    message = {"method": method, "params": {**params, "_meta": MODERN}}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = str(params["name"])
    error = ask_over_http(url, message, **headers)["error"]

    if params.get("name") == 7:
        assert "header does not match" in error["message"]
    else:
        check_explanation(error, method, reasons)


def test_request_without_params_is_told_that_they_are_missing(url: str) -> None:
    error = ask_over_http(url, {"method": "tools/call"})["error"]

    check_explanation(error, "tools/call", ["params is missing"])


@pytest.mark.parametrize(
    ("params", "reasons"),
    [
        ({}, ["params.protocolVersion is missing", "params.capabilities is missing"]),
        ({"protocolVersion": 1, "capabilities": {}, "clientInfo": {"name": "x"}},
         [f"params.protocolVersion {TEXT}", "params.clientInfo.version is missing"]),
    ],
)  # fmt: skip
def test_handshake_names_what_it_lacks_and_can_be_repeated(
    params: dict[str, Any], reasons: list[str]
) -> None:
    with started_client() as client:
        check_explanation(client.ask("initialize", params)["error"], "initialize", reasons)
        early = client.ask("tools/list", {})["error"]
        done = client.initialize("2025-11-25")

    assert early["code"] == -32602 and "Send initialize first." in early["message"]
    assert "result" in done


def test_error_that_is_not_about_a_request_is_not_explained_as_one() -> None:
    class Answer(BaseModel):
        field: str

    with pytest.raises(ValidationError) as raised:
        Answer.model_validate({})

    assert explain_invalid_request("tools/call", raised.value) is None
