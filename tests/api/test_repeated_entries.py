"""Entries that a list has more than once: copies go, and whatever has no id stays."""

from typing import Any

import pytest

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.api.repeated_entries import drop_copies, merge_repeated_runs


def make_runs(*ids: Any) -> list[TestRun]:
    """Build runs whose remarks are their place in the list."""
    return [
        TestRun.read({"jobId": job_id, "isSuccessful": True, "remarks": str(place)})
        for place, job_id in enumerate(ids)
    ]


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["", "", None], "012"),
        ([None, "", ""], "012"),
        (["", "job_1", "", "job_1"], "012"),
        (["job_1", None, "job_1", None], "013"),
    ],
)
def test_runs_without_an_id_all_stay(ids: list[Any], kept: str) -> None:
    runs = merge_repeated_runs(make_runs(*ids))

    assert "".join(run.remarks or "" for run in runs) == kept


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ([("tc_1", "A"), ("tc_1", "B"), ("tc_1", "A")], "AB"),
        ([("tc_1", "A"), ("tc_2", "B"), ("tc_1", "A"), ("tc_2", "B")], "AB"),
        ([("", "A"), ("", "A"), (None, "A"), (None, "A")], "AAAA"),
    ],
)
def test_copy_is_dropped_wherever_the_first_one_stands(
    entries: list[tuple[str | None, str]], kept: str
) -> None:
    cases = [TestCase.read({"testCaseId": case_id, "label": label}) for case_id, label in entries]

    cases = drop_copies(cases, lambda case: case.test_case_id)

    assert "".join(case.label or "" for case in cases) == kept
