"""The verdict of a run, as a sentence."""

import pytest

from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import GateCase, Look, choose_status, judge_cases
from sigmamind_mcp.suites.run_result import RowResult, RunResult
from sigmamind_mcp.suites.yaml_tree import FilePlace

GAP = "2 earlier batch runs could not be read for the baseline."


@pytest.mark.parametrize("is_known", [True, False])
def test_baseline_that_was_not_read_whole_is_not_called_absent(is_known: bool) -> None:
    case = GateCase("a", 10, Counts(10, 10) if is_known else Counts(0, 0))
    outcomes = judge_cases([case], [Look({"a": Counts(10, 10)}, {"a": 0})], planned=1)
    rows = [RowResult(outcome, FilePlace(1, 1), []) for outcome in outcomes]
    status = choose_status(outcomes)
    whole = RunResult(status, "suite.yaml", "agent_1", rows, ["batch_1"], 1, 1, 10, 10, [])

    assert ("There is no baseline yet" in whole.write_verdict()) is not is_known
    in_part = whole._replace(baseline_gap=GAP).write_verdict()
    assert in_part.endswith(f" {GAP}") and "no baseline yet" not in in_part
