"""Decide whether a suite passes: which cases became worse, which are below their bar."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.insight.attempts_needed import BarVerdict, judge_by_bar
from sigmamind_mcp.insight.decisions import CaseDecision, CaseEvidence, decide_cases
from sigmamind_mcp.insight.error_rates import MAX_LOOKS
from sigmamind_mcp.insight.statistics import Counts

NOTHING = Counts(0, 0)

Word = Literal[
    "worse", "below its bar", "suspect", "open", "undecided", "passed", "not shown", "no baseline"
]
"""What became of a case; 'passed' means that nothing speaks against it.

'open' means that the budget allowed no further look of it, 'not shown' that all looks were made and
could not call a case that looked worse: without a change, 3 of 10 p values look so.
"""

PASSED, WORSE, NOT_STARTED, UNSETTLED, BROKEN = range(5)
"""The exit statuses of a run."""


class GateCase(NamedTuple):
    """A case of the gate: what it costs, and what it is judged by."""

    key: str
    attempts: int
    baseline: Counts
    bar: float | None = None
    quarantine: bool = False


class CaseOutcome(NamedTuple):
    """What the looks so far say about one case.

    `decision` is None without a baseline or a verdict, `bar_verdict` without a bar.
    """

    case: GateCase
    counts: Counts
    undecided: int
    word: Word
    decision: CaseDecision | None
    bar_verdict: BarVerdict | None

    @property
    def is_unsettled(self) -> bool:
        """Whether more attempts may settle it."""
        is_waiting = self.bar_verdict == "continue" and self.word != "worse"
        return self.word in ("suspect", "open") or is_waiting


class Look(NamedTuple):
    """What one look added, by key: the counts, and how many attempts have no verdict."""

    counts: Mapping[str, Counts]
    undecided: Mapping[str, int]


def plan_looks(cases: Sequence[GateCase], budget: int) -> int:
    """Return how many looks the budget allows at most; it is fixed before the first look."""
    first = sum(case.attempts for case in cases)
    repeated = [case.attempts for case in cases if not case.quarantine]
    if budget < first or not repeated:
        return 1
    return min(MAX_LOOKS, 1 + (budget - first) // min(repeated))


def judge_cases(
    cases: Sequence[GateCase], looks: Sequence[Look], *, planned: int
) -> list[CaseOutcome]:
    """Judge each case by all looks so far, against its pooled baseline and its bar.

    Cases in quarantine are judged apart, so that they cost the others no certainty.
    """
    judged = [case for case in cases if not case.quarantine]
    apart = [case for case in cases if case.quarantine]
    outcomes = _judge_group(judged, looks, planned) + _judge_group(apart, looks, planned)
    by_key = {outcome.case.key: outcome for outcome in outcomes}
    return [by_key[case.key] for case in cases]


def _judge_group(
    cases: Sequence[GateCase], looks: Sequence[Look], planned: int
) -> list[CaseOutcome]:
    evidence = []
    for case in cases:
        by_look = tuple(look.counts.get(case.key, NOTHING) for look in looks)
        evidence.append(CaseEvidence(case.baseline, by_look))
    decisions = decide_cases(evidence, looks=planned).cases if cases else []
    bars = sum(case.bar is not None for case in cases)
    outcomes = []
    for case, shown, decision in zip(cases, evidence, decisions, strict=True):
        counts = shown.pool_candidate(len(looks))
        undecided = sum(look.undecided.get(case.key, 0) for look in looks)
        is_compared = bool(case.baseline.decided and counts.decided)
        known = decision if is_compared else None
        bar_verdict = _judge_bar(case, shown, bars)
        word = _choose_word(counts, known, bar_verdict)
        if word == "open" and bar_verdict != "continue" and len(looks) == MAX_LOOKS:
            word = "not shown"
        outcomes.append(CaseOutcome(case, counts, undecided, word, known, bar_verdict))
    return outcomes


def _judge_bar(case: GateCase, evidence: CaseEvidence, bars: int) -> BarVerdict | None:
    """Return the first verdict of the looks: the test ends with it."""
    if case.bar is None:
        return None
    for look in range(1, len(evidence.looks) + 1):
        counts = evidence.pool_candidate(look)
        verdict = judge_by_bar(counts, case.bar, cases=bars)
        if verdict != "continue":
            return verdict
    return "continue"


def _choose_word(
    counts: Counts, decision: CaseDecision | None, bar_verdict: BarVerdict | None
) -> Word:
    if not counts.decided:
        return "undecided"
    is_worse = decision is not None and decision.change == "regressed"
    if decision is not None and is_worse and decision.level == "proven":
        return "worse"
    if bar_verdict == "failed":
        return "below its bar"
    if decision is not None and is_worse:
        return "suspect"
    is_open = decision is not None and decision.level == "open"
    if bar_verdict == "continue" or is_open:
        return "open"
    if decision is None and bar_verdict is None:
        return "no baseline"
    return "passed"


def choose_rerun(outcomes: Sequence[CaseOutcome], budget_left: int) -> list[str]:
    """Return the keys of the unsettled cases that the budget still allows, suspects first."""
    unsettled = [one for one in outcomes if one.is_unsettled and not one.case.quarantine]
    unsettled.sort(key=_rank_urgency)
    keys = []
    for outcome in unsettled:
        if outcome.case.attempts <= budget_left:
            budget_left -= outcome.case.attempts
            keys.append(outcome.case.key)
    return keys


def _rank_urgency(outcome: CaseOutcome) -> tuple[bool, float]:
    p = outcome.decision.p if outcome.decision else None
    return outcome.word != "suspect", 1.0 if p is None else p


def list_failing_words(*, fail_on_suspect: bool) -> list[Word]:
    """Return the words that fail a run."""
    failing: list[Word] = ["worse", "below its bar"]
    return [*failing, "suspect"] if fail_on_suspect else failing


def choose_status(
    outcomes: Sequence[CaseOutcome], *, allow_undecided: int = 0, fail_on_suspect: bool = False
) -> int:
    """Return the exit status of a run that has ended; cases in quarantine do not count."""
    counted = [outcome for outcome in outcomes if not outcome.case.quarantine]
    if sum(outcome.undecided for outcome in counted) > allow_undecided:
        return BROKEN
    words = {outcome.word for outcome in counted}
    if not words.isdisjoint(list_failing_words(fail_on_suspect=fail_on_suspect)):
        return WORSE
    # Without a single verdict, nothing is known of a case, also if its attempts are allowed.
    if "undecided" in words or any(outcome.is_unsettled for outcome in counted):
        return UNSETTLED
    return PASSED
