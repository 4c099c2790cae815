"""JUnit XML agrees with the exit status."""

from itertools import product
from xml.etree import ElementTree

import pytest

from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import (
    BROKEN,
    PASSED,
    UNSETTLED,
    WORSE,
    GateCase,
    Look,
    choose_status,
    judge_cases,
)
from sigmamind_mcp.suites.github_output import list_annotations
from sigmamind_mcp.suites.junit import BROKEN_RUN, write_junit
from sigmamind_mcp.suites.run_result import RowResult, RunResult
from sigmamind_mcp.suites.yaml_tree import FilePlace
from tests.suites.test_hostile_results import check_junit

ATTEMPTS = 8
BASE = Counts(48, 50)
# Passed attempts of a case, and those without a verdict.
SHOWN = [(8, 0), (5, 0), (0, 0), (6, 2), (0, 1), (0, 8)]
BROKEN_BY = "look 2 could not start: the API gave no answer"


def build_result(
    shown: list[tuple[int, int]],
    *,
    allowed: int = 0,
    fail_on_suspect: bool = False,
    broken: str | None = None,
    quarantined: bool = False,
    others: int = 0,
) -> RunResult:
    """Judge one look of the cases, and of others that passed."""
    shown = shown + [(ATTEMPTS, 0)] * others
    cases, counts, undecided = [], {}, {}
    for number, (passed, missing) in enumerate(shown):
        key = f"k{number}"
        cases.append(GateCase(key, ATTEMPTS, BASE, None, quarantined and number == 0))
        counts[key] = Counts(passed, ATTEMPTS - missing)
        undecided[key] = missing
    outcomes = judge_cases(cases, [Look(counts, undecided)], planned=1)
    status = choose_status(outcomes, allow_undecided=allowed, fail_on_suspect=fail_on_suspect)
    rows = [RowResult(outcome, FilePlace(), []) for outcome in outcomes]
    status = BROKEN if broken else status
    used = ATTEMPTS * len(cases)
    return RunResult(
        status,
        "suite.yaml",
        "agent_1",
        rows,
        ["batch_1"],
        1,
        1,
        used,
        used,
        [],
        broken,
        fail_on_suspect=fail_on_suspect,
    )


def read_elements(result: RunResult) -> dict[str, list[str]]:
    text = write_junit(result)
    check_junit(text)
    root = ElementTree.fromstring(text.split("\n", 1)[1])
    return {case.attrib["name"]: [part.tag for part in case][1:] for case in root.iter("testcase")}


@pytest.mark.parametrize("allowed", [0, 1, 2, 16])
@pytest.mark.parametrize("broken", [None, BROKEN_BY])
@pytest.mark.parametrize("quarantined", [False, True])
def test_failures_and_errors_are_those_of_the_status(
    allowed: int, broken: str | None, quarantined: bool
) -> None:
    statuses = set()
    for first, second, fails in product(SHOWN, SHOWN, [True, False]):
        result = build_result(
            [first, second],
            allowed=allowed,
            broken=broken,
            quarantined=quarantined,
            fail_on_suspect=fails,
        )
        elements = read_elements(result).values()
        statuses.add(result.status)

        is_red = ["failure"] in elements or ["error"] in elements
        assert is_red is (result.status in (WORSE, BROKEN))
        assert ["error"] not in elements or result.status == BROKEN
        annotations = list(list_annotations(result))
        has_errors = any(one.startswith("::error") for one in annotations)
        assert has_errors is is_red or broken
    last = UNSETTLED if allowed == 16 else BROKEN
    assert statuses == ({BROKEN} if broken else {PASSED, WORSE, last})


def test_suspect_is_a_failure_if_it_fails_the_run() -> None:
    """Of many cases, four with small p values are suspect: each alone may be chance."""
    failing, unsettled = (
        build_result([(5, 0)] * 4, others=16, fail_on_suspect=fails) for fails in (True, False)
    )

    assert [row.outcome.word for row in failing.rows[:4]] == ["suspect"] * 4
    assert (failing.status, unsettled.status) == (WORSE, UNSETTLED)
    assert [read_elements(failing)[f"k{number}"] for number in range(5)] == [["failure"]] * 4 + [[]]
    assert read_elements(unsettled)["k0"] == ["skipped"]
    assert next(iter(list_annotations(failing))).startswith("::error")


@pytest.mark.parametrize(
    ("shown", "allowed", "status", "element"),
    [
        ((0, 1), 1, WORSE, "failure"),
        ((0, 1), 0, BROKEN, "failure"),
        ((0, 8), 8, UNSETTLED, "skipped"),
        ((0, 8), 7, BROKEN, "error"),
        ((7, 1), 0, BROKEN, "error"),
    ],
)
def test_case_with_undecided_attempts(
    shown: tuple[int, int], allowed: int, status: int, element: str
) -> None:
    result = build_result([shown], allowed=allowed)

    assert result.status == status
    assert read_elements(result) == {"k0": [element]}


def test_run_that_ended_early_is_an_error() -> None:
    result = build_result([(8, 0)], broken=BROKEN_BY)

    assert read_elements(result) == {"k0": [], BROKEN_RUN: ["error"]}
    assert BROKEN_BY in write_junit(result)


def test_case_without_any_verdict_is_named() -> None:
    verdict = build_result([(8, 0), (0, 8)], allowed=8).write_verdict()

    assert verdict == "NOT SETTLED: without any verdict: k1."
