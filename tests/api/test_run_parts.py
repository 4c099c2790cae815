"""Test runs keep what they share once, and their texts packed, without any loss."""

from typing import Any

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.api.run_parts import SharedParts, pack_texts, unpack_texts
from tests.support.fake_api import CASE, RUN

ENTRIES: list[dict[str, Any]] = [
    RUN,
    {**RUN, "jobId": "job_2"},
    {**RUN, "testCase": {**CASE, "label": "edited"}},
    {**RUN, "testCase": {**CASE, "attempt": "three"}},
    {**RUN, "testCase": "tc_1", "agent": None},
    {**RUN, "testCase": {**CASE, "testCaseId": ["odd"]}, "agent": "odd"},
    {"jobId": "job_3"},
]


def test_run_with_shared_parts_is_as_if_read_alone() -> None:
    shared = SharedParts()
    for entry in [*ENTRIES, *ENTRIES]:
        run, alone = shared.read_run(entry), TestRun.read(entry)
        assert (run, run.raw) == (alone, entry)
        assert run.unreadable_fields() == alone.unreadable_fields()


def test_equal_test_cases_are_one_object() -> None:
    shared = SharedParts()
    first, second = (shared.read_run({**RUN, "testCase": dict(CASE)}) for _ in range(2))
    assert first.test_case is second.test_case
    assert first.raw["testCase"] is second.raw["testCase"]


@pytest.mark.parametrize("name", ["conversation", "messages", "transcript"])
def test_packed_conversation_comes_back_as_it_was(name: str) -> None:
    entry = {key: value for key, value in RUN.items() if key != "conversation"}
    run = TestRun.read({**entry, name: [{"role": "user", "content": "Hé"}, {"text": "x"}]})

    assert run.conversation and unpack_texts(pack_texts(run)).conversation == run.conversation
