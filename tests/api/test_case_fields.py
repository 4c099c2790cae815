"""A field is as sent, whatever the API adds to it or leaves out of it."""

from typing import Any

import pytest

from sigmamind_mcp.api.case_fields import has_same_value, is_as_sent
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.errors import OutcomeUnknown
from tests.support.fake_api import AGENT, CASE, FakeAPI

AGENT_ID, CASE_ID = AGENT["agentId"], CASE["testCaseId"]
MOCK = {"variableName": "a", "value": "5"}
OTHER = {"variableName": "b", "value": "x"}
SENT = {
    "userPrompt": "You call.",
    "successCriteria": "It helps.",
    "label": "L",
    "llmModel": "gpt-5.2",
    "attempt": 3,
    "mockData": [MOCK, OTHER],
}
SAME: list[tuple[str, Any]] = [
    ("mockData", [{"id": "m1", **MOCK}, {"type": "text", **OTHER}]),
    ("mockData", [OTHER, MOCK]),
    ("mockData", [{"variableName": "a", "value": 5}, OTHER]),
    ("userPrompt", "You call."),
    ("attempt", "3"),
]
DIFFERENT: list[tuple[str, Any]] = [
    ("mockData", [MOCK]),
    ("mockData", [MOCK, {**OTHER, "value": "y"}]),
    ("mockData", [MOCK, OTHER, OTHER]),
    ("mockData", "a"),
    ("mockData", None),
    ("userPrompt", "You call"),
    ("userPrompt", None),
    ("attempt", 4),
    ("attempt", "many"),
    ("label", ""),
]


@pytest.mark.parametrize(("name", "shown"), SAME)
def test_other_form_of_a_value_is_as_sent(name: str, shown: Any) -> None:
    assert is_as_sent(name, TestCase.read({name: shown}), TestCase.read(SENT))


@pytest.mark.parametrize(("name", "shown"), DIFFERENT)
def test_other_value_is_not_as_sent(name: str, shown: Any) -> None:
    stored, sent = TestCase.read({name: shown}), TestCase.read(SENT)

    assert not is_as_sent(name, stored, sent)
    assert not has_same_value(name, stored, sent)


def test_removed_blank_is_a_change_and_still_as_sent() -> None:
    stored, sent = TestCase.read({"label": "L"}), TestCase.read({"label": "L "})

    assert is_as_sent("label", stored, sent) and not has_same_value("label", stored, sent)


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "shown"), SAME)
async def test_write_with_an_empty_object_as_answer_is_found_by_its_values(
    client: SigmaMindClient, fake_api: FakeAPI, name: str, shown: Any
) -> None:
    stored = {**SENT, "testCaseId": CASE_ID, "agent": AGENT, name: shown}
    fake_api.answer("GET", "/v1/test-cases", [stored])
    fake_api.answer("GET", f"/v1/test-cases/{CASE_ID}", stored)
    fake_api.answer("POST", "/v1/test-cases", {})
    fake_api.answer("PUT", f"/v1/test-cases/{CASE_ID}", {})

    created = await client.create_test_case(AGENT_ID, SENT)
    await client.update_test_case(CASE_ID, {"agentId": AGENT_ID, **SENT})

    assert created.record and created.record.test_case_id == CASE_ID


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "shown"), DIFFERENT)
async def test_write_with_an_empty_object_as_answer_is_not_found_by_other_values(
    client: SigmaMindClient, fake_api: FakeAPI, name: str, shown: Any
) -> None:
    stored = {**SENT, "testCaseId": CASE_ID, "agent": AGENT, name: shown}
    fake_api.answer("GET", "/v1/test-cases", [stored])
    fake_api.answer("POST", "/v1/test-cases", {})

    with pytest.raises(OutcomeUnknown):
        await client.create_test_case(AGENT_ID, SENT)
