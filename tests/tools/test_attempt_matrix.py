"""The matrix of attempts that the viewer's page gets."""

import pytest

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import summarize_cases
from sigmamind_mcp.tools.attempt_matrix import build_matrix


def make_case(number: int, label: str = "", attempt: int = 1) -> TestCase:
    fields = {"testCaseId": f"tc_{number}", "label": label or f"Case {number}", "attempt": attempt}
    return TestCase.read(fields)


def make_run(number: int, case: TestCase, *, passed: bool | None) -> TestRun:
    ended = {} if passed is None else {"completedDate": "2026-03-26T10:54:45.565Z"}
    fields = {"jobId": f"job_{number}", "isSuccessful": passed, "testCase": case.raw, **ended}
    return TestRun.read(fields)


def test_worst_case_comes_first_and_attempts_keep_their_order() -> None:
    good, bad = make_case(1), make_case(2)
    runs = [
        make_run(1, good, passed=True),
        make_run(2, bad, passed=False),
        make_run(3, bad, passed=None),
        make_run(4, bad, passed=True),
    ]

    assert build_matrix(summarize_cases([good, bad], runs), runs) == [
        ["tc_2", "Case 2", [["job_2", "f"], ["job_3", "u"], ["job_4", "p"]]],
        ["tc_1", "Case 1", [["job_1", "p"]]],
    ]


def test_it_has_at_most_1000_attempts_unless_all_are_wanted() -> None:
    cases = [make_case(number, attempt=600) for number in (1, 2)]
    runs = [make_run(number, cases[number % 2], passed=bool(number % 2)) for number in range(1200)]
    results = summarize_cases(cases, runs)

    counts = [len(cells) for _, _, cells in build_matrix(results, runs)]
    assert counts == [600, 400]
    assert [len(cells) for _, _, cells in build_matrix(results, runs, most=None)] == [600, 600]


def test_labels_are_clean_and_short_and_unusable_ids_are_empty() -> None:
    case = TestCase.read({"testCaseId": "tc <1>", "label": "\u202e🙂\n" * 256})
    run = make_run(1, case, passed=True).model_copy(update={"job_id": "job\n<1>"})

    ((case_id, label, cells),) = build_matrix(summarize_cases([case], [run]), [run])

    assert (case_id, cells) == ("", [["", "p"]])
    assert len(label) < 150 and "\u202e" not in label and "\n" not in label


@pytest.mark.parametrize("most", [1000, None])
def test_test_case_without_runs_has_an_empty_row(most: int | None) -> None:
    results = summarize_cases([make_case(1)], [])

    assert build_matrix(results, [], most=most) == [["tc_1", "Case 1", []]]
    assert build_matrix([], [], most=most) == []
