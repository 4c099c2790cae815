"""Remarks that go clause by clause say which clauses are unmet, and what is said of these."""

import pytest

from sigmamind_mcp.insight.judged_clauses import keep_unmet, read_clauses


@pytest.mark.parametrize(
    ("remarks", "clauses"),
    [
        ('"verifies identity": not met. "states the price": met at turn 4.',
         {"verifies identity": True, "states the price": False}),
        ("1. Confirms the booking: NOT MET\n2. States the price - met",
         {"Confirms the booking": True, "States the price": False}),
        ("- Agent greeted: yes\n- Agent verified: no", {"Agent greeted": False, "Agent verified": True}),
        ("✅ Greets: passed\n❌ Confirms: failed", {"Greets": False, "Confirms": True}),
        ("The agent was rude: it hung up.", {}),
        ("No mention of the fee.", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_clauses_with_their_verdicts(remarks: str, clauses: dict[str, bool]) -> None:
    assert read_clauses(remarks) == clauses


@pytest.mark.parametrize(
    ("remarks", "kept"),
    [
        ('"verifies identity": met at turn 4. "states the price": not met.', '"states the price": not met.'),
        ("A: met at turn 2.\n1. Confirms it: NOT MET, it hangs up.\n2. Says bye: no", "1. Confirms it: NOT MET, it hangs up. 2. Says bye: no"),
        ('"verifies identity": met at turn 4.', '"verifies identity": met at turn 4.'),
        ("The agent was rude: it hung up.", "The agent was rude: it hung up."),
        ("", ""),
    ],
)  # fmt: skip
def test_only_unmet_clauses_are_kept(remarks: str, kept: str) -> None:
    assert keep_unmet(remarks) == kept
