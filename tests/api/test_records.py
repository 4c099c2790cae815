"""A record without what cannot be read of it, and the names of that."""

from collections.abc import Iterator
from typing import Any

import pytest

from sigmamind_mcp.api.models import Agent, BatchRun, TestCase, TestRun
from sigmamind_mcp.api.records import Record
from sigmamind_mcp.errors import UnexpectedAnswer
from tests.support.fake_api import AGENT, BATCH, CASE, RUN

FULL_AGENT = {
    **AGENT,
    "agentName": "New AI Agent",
    "instructions": "Help {{customer_name}}.",
    "welcomeMessage": "Hello.",
    "agentSettings": {
        "llmModel": "gpt-4o",
        "globalPrompt": "Be kind.",
        "aiStartsConversation": True,
        "webhooks": [{"secret": "s"}],
    },
    "tools": [{"type": "voice_transfer_call"}],
}
SAMPLES: dict[type[Record], dict[str, Any]] = {
    Agent: FULL_AGENT,
    TestCase: CASE,
    BatchRun: BATCH,
    TestRun: RUN,
}
ODD: list[Any] = [
    None, True, False, 0, -1, 2.5, 10**30, 1e308, "", " ", "x", "12", "x" * 100_000, [], [None], ["a", 1], [[]], [{}],
    {}, {"a": {"b": []}}, {"": ""}, [{"role": 1, "content": {"parts": [None]}}], "\x00\ud800",
]  # fmt: skip


def list_places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside decoded JSON."""
    if isinstance(data, dict | list):
        for key in data if isinstance(data, dict) else range(len(data)):
            yield (*path, key)
            yield from list_places(data[key], (*path, key))


def replace_at(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the data with another value at this path."""
    if not path:
        return value
    first, *rest = path
    copied = dict(data) if isinstance(data, dict) else list(data)
    copied[first] = replace_at(data[first], tuple(rest), value)
    return copied


PLACES = [(kind, place) for kind, sample in SAMPLES.items() for place in list_places(sample)]


@pytest.mark.parametrize(
    ("kind", "place"), PLACES, ids=[f"{kind.__name__}-{place}" for kind, place in PLACES]
)
def test_no_value_of_any_field_loses_the_other_fields(
    kind: type[Record], place: tuple[Any, ...]
) -> None:
    whole = kind.read(SAMPLES[kind])
    changed = {place[0]}
    for value in ODD:
        data = replace_at(SAMPLES[kind], place, value)
        record = kind.read(data)
        assert record.raw == data
        names = record.unreadable_fields()
        assert {name.split(".")[0] for name in names} <= changed, (value, names)
        for field, info in kind.model_fields.items():
            aliases = {info.alias, *getattr(info.validation_alias, "choices", ())}
            if changed.isdisjoint(aliases):
                assert getattr(record, field) == getattr(whole, field), (value, field)


@pytest.mark.parametrize(
    ("kind", "changes", "names"),
    [
        (TestRun, {}, []),
        (TestRun, {"isSuccessful": "n/a"}, ["isSuccessful"]),
        (TestRun, {"isSuccessful": "n/a", "isSuccesful": []}, ["isSuccessful"]),
        (TestRun, {"isSuccessful": "n/a", "isSuccesful": {}}, ["isSuccessful", "isSuccesful"]),
        (TestRun, {"testCase": {**CASE, "attempt": "three"}}, ["testCase.attempt"]),
        (TestRun, {"testCase": {"agent": "x"}, "agent": 7}, ["agent", "testCase.agent"]),
        (TestRun, {"testCase": {"agent": {"agentId": [1]}}}, ["testCase.agent.agentId"]),
        (TestRun, {"conversation": 5}, ["conversation"]),
        (TestRun, {"conversation": [None, {"content": "Hi"}, 7]}, ["conversation.0", "conversation.2"]),
        (TestRun, {"completedDate": "yesterday", "createdDate": {"at": 1}}, ["createdDate", "completedDate"]),
        (TestRun, {"jobId": {}, "batchId": True, "chatId": 1.5}, ["jobId", "batchId", "chatId"]),
        (TestRun, {"completedDate": None, "remarks": None, "conversation": None, "agent": None}, []),
        (TestRun, {"completedDate": "", "isSuccessful": "", "conversation": "", "testCase": ""}, []),
        (BatchRun, {"failedAttempts": "many", "totalAttempts": 10**30}, ["failedAttempts", "totalAttempts"]),
        (BatchRun, {"testCases": [None, {"attempt": 0}, "x"]}, ["testCases.0", "testCases.2", "testCases.1.attempt"]),
        (BatchRun, {"testCases": {"a": 1}}, ["testCases"]),
        (TestCase, {"mockData": {"order_id": "A-0"}}, ["mockData"]),
        (TestCase, {"mockData": [{"variableName": "n", "value": 42}, "x"]}, ["mockData.1"]),
        (TestCase, {"attempt": -1}, ["attempt"]),
        (Agent, {"agentSettings": {"aiStartsConversation": "n/a", "webhooks": 1}},
         ["agentSettings.aiStartsConversation", "agentSettings.webhooks"]),
        (Agent, {"agentSettings": "x", "tools": "y"}, ["agentSettings", "tools"]),
    ],
)  # fmt: skip
def test_unreadable_fields_are_named_and_absent_ones_are_not(
    kind: type[Record], changes: dict[str, Any], names: list[str]
) -> None:
    record = kind.read({**SAMPLES[kind], **changes})

    assert sorted(record.unreadable_fields()) == sorted(names)
    assert sorted(record.model_copy().unreadable_fields()) == sorted(names)


def test_name_with_a_value_counts_where_another_name_is_empty_or_unreadable() -> None:
    odd_values: list[Any] = [None, "", [], "n/a"]
    for odd in odd_values:
        assert TestRun.read({"isSuccessful": odd, "isSuccesful": True}).is_successful is True
        assert TestRun.read({"isSuccesful": odd, "isSuccessful": False}).is_successful is False


@pytest.mark.parametrize(
    ("data", "words"),
    [(None, "null"), ("x", "a text"), (1, "a number"), (True, "a boolean"), ([{}], "a list")],
)
def test_value_that_is_no_object_is_no_record(data: Any, words: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=f"it is {words}, not an object"):
        TestCase.read(data)


def test_readable_record_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Record, "_read_readable_fields")

    for kind, sample in SAMPLES.items():
        assert kind.read(sample).unreadable_fields() == []


def test_copy_without_a_field_still_names_what_was_unreadable() -> None:
    run = TestRun.read(
        {
            "jobId": "job_1",
            "isSuccessful": "x",
            "conversation": [{"role": "user"}, 7],
            "batchId": "b",
        }
    )

    kept = run.without("conversation")

    assert kept.conversation is None and run.conversation
    assert kept.raw == {"jobId": "job_1", "isSuccessful": "x", "batchId": "b"}
    assert sorted(kept.unreadable_fields()) == sorted(run.unreadable_fields())
