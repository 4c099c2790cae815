"""The verdict of a run, as a sentence."""

import pytest

from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.suites.gate import GateCase, Look, choose_status, judge_cases
from sigmamind_mcp.suites.github_output import write_summary
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
    assert "baselineUnread" not in whole.to_json()
    in_part = whole._replace(baseline_gap=GAP, baseline_unread=2)
    verdict = in_part.write_verdict()
    assert verdict.endswith(f" {GAP}") and "no baseline yet" not in verdict
    assert in_part.to_json()["baselineUnread"] == 2 and GAP in write_summary(in_part)
    chosen = whole._replace(is_baseline_chosen=True).write_verdict()
    assert ("No batch run of the chosen baseline ran these cases" in chosen) is not is_known
    assert "no baseline yet" not in chosen
