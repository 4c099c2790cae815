"""A batch run is counted by test case, from its test runs or its counters."""

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.insight.batch_sides import (
    CaseSide,
    RunPlace,
    build_side_from_counters,
    build_side_from_runs,
    pool_case_sides,
)
from sigmamind_mcp.insight.statistics import Counts
from tests.support.fake_api import BATCH, CASE, RUN


def run_of(case_number: int, job_id: str, passed: bool) -> TestRun:
    definition = {"testCaseId": f"tc_{case_number}", "userPrompt": "x", "successCriteria": "y"}
    return TestRun.read({**RUN, "jobId": job_id, "isSuccessful": passed, "testCase": definition})


def test_side_without_runs_has_the_counters_of_its_only_case() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [CASE]})
    two = BatchRun.read({**BATCH, "testCases": [CASE, {**CASE, "testCaseId": "tc_other"}]})

    alone, among_two = build_side_from_counters(batch), build_side_from_counters(two)

    assert alone.cases["tc_d17T6uReChpyfFeP"].counts == Counts(4, 5)
    assert not among_two.is_by_case and among_two.overall == Counts(4, 5)


def test_undecided_runs_count_on_neither_side() -> None:
    runs = [TestRun.read({**RUN, "isSuccessful": verdict}) for verdict in (True, False, None)]

    assert build_side_from_runs(BatchRun.read(BATCH), runs).overall == Counts(1, 2)


def test_side_has_the_definitions_that_its_runs_show() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [{"testCaseId": "tc_1"}, {"testCaseId": "tc_2"}]})

    built = build_side_from_runs(batch, [run_of(1, "job_1", True), run_of(3, "job_2", False)])

    assert built.definitions == "test runs" and built.overall == Counts(1, 2)
    assert {name: side.counts for name, side in built.cases.items()} == {
        "tc_1": Counts(1, 1),
        "tc_2": Counts(0, 0),
        "tc_3": Counts(0, 1),
    }
    assert built.cases["tc_1"].case.user_prompt == "x"


def test_side_has_only_totals_when_a_run_names_no_case() -> None:
    batch = BatchRun.read({**BATCH, "testCases": [CASE, {**CASE, "testCaseId": "tc_other"}]})
    nameless = TestRun.read({**RUN, "testCase": None})

    built = build_side_from_runs(batch, [nameless, run_of(1, "job_1", False)])

    assert not built.is_by_case and built.overall == Counts(1, 2)


def test_pooled_case_has_the_newest_definition_and_examples() -> None:
    old, new = TestCase.read({"userPrompt": "old"}), TestCase.read({"userPrompt": "new"})
    first = CaseSide(old, Counts(1, 2), 1, ("b1",), {"passed": RunPlace("b1", "j1")})
    second = CaseSide(new, Counts(3, 3), 0, ("b2",), {"passed": RunPlace("b2", "j2")})

    pooled = pool_case_sides([first, second])

    assert (pooled.case, pooled.counts, pooled.undecided) == (new, Counts(4, 5), 1)
    assert pooled.batch_ids == ("b1", "b2") and pooled.examples == {"passed": ("b2", "j2")}
