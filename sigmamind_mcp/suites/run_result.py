"""The result of a run of a suite: its verdict in a sentence, and as JSON."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import Quote
from sigmamind_mcp.insight.endings import find_ending
from sigmamind_mcp.insight.error_rates import MAX_LOOKS
from sigmamind_mcp.insight.key_turns import choose_key_turns
from sigmamind_mcp.insight.statistics import Counts, Interval, compute_wilson_interval
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.gate import (
    BROKEN,
    PASSED,
    UNSETTLED,
    WORSE,
    CaseOutcome,
    list_failing_words,
)
from sigmamind_mcp.suites.shown_text import disarm, shorten_text
from sigmamind_mcp.suites.yaml_tree import FilePlace

STATUS_WORDS = {PASSED: "passed", WORSE: "failed", UNSETTLED: "not settled", BROKEN: "broken"}
Weight = Literal["failed", "broken", "not settled"]
REMARKS_SHOWN = 500
TURN_SHOWN = 300


class QuotedTurn(NamedTuple):
    """A turn of a failed test run: words of others, cleaned."""

    number: int
    role: str
    content: str


class ShownFailure(NamedTuple):
    """A failed test run; remarks and turns are words of others, cleaned."""

    job_id: str
    remarks: str
    turns: list[QuotedTurn]


class RowResult(NamedTuple):
    """What a report shows of one case."""

    outcome: CaseOutcome
    place: FilePlace
    failures: list[ShownFailure]

    @property
    def key(self) -> str:
        return self.outcome.case.key

    @property
    def interval(self) -> Interval:
        return compute_wilson_interval(self.outcome.counts)


class RunResult(NamedTuple):
    """A run that has ended; `broken` says why it ended early."""

    status: int
    file: str
    agent_id: str
    rows: list[RowResult]
    batch_ids: list[str]
    looks: int
    planned: int
    used: int
    budget: int
    baseline_ids: list[str]
    broken: str | None = None
    unfinished_ids: Sequence[str] = ()
    """Batch runs that still ran when the baseline was read, and are not in it."""
    baseline_gap: str | None = None
    """What of the baseline could not be read, in a sentence."""
    baseline_unread: int = 0
    """Earlier batch runs that could not be read for the baseline."""
    fail_on_suspect: bool = False
    is_baseline_chosen: bool = False
    """Whether the lock or the caller names the batch runs of the baseline."""

    def list_keys(self, *words: str) -> list[str]:
        """Return the keys of the cases with these words that count."""
        counted = [row for row in self.rows if not row.outcome.case.quarantine]
        return [row.key for row in counted if row.outcome.word in words]

    def weigh_row(self, row: RowResult) -> Weight | None:
        """Return what a case outside of quarantine does to the exit status; None if nothing."""
        outcome = row.outcome
        if outcome.word in list_failing_words(fail_on_suspect=self.fail_on_suspect):
            return "failed"
        if self.status == BROKEN and outcome.undecided:
            return "broken"
        if outcome.word == "undecided" or outcome.is_unsettled:
            return "not settled"
        return None

    def write_verdict(self) -> str:
        """Return the verdict in a sentence or two, in our words."""
        word = STATUS_WORDS[self.status].upper()
        return f"{word}: {' '.join(self._list_reasons())}"

    def _list_reasons(self) -> list[str]:
        reasons = [f"{self.broken}"] if self.broken else []
        undecided = sum(row.outcome.undecided for row in self.rows)
        if undecided and self.status == BROKEN and not self.broken:
            verb = "has" if undecided == 1 else "have"
            reasons.append(f"{pluralize(undecided, 'attempt')} {verb} no verdict.")
        sentences = {
            "worse": "proven worse than the baseline",
            "below its bar": "proven below the bar",
            "suspect": "suspect: probably worse, not proven",
            "undecided": "without any verdict",
            "open": f"still open after {pluralize(self.looks, 'look')}",
        }
        for word, sentence in sentences.items():
            if keys := self.list_keys(word):
                reasons.append(f"{sentence}: {', '.join(keys)}.")
        if self.status == PASSED and not reasons:
            reasons.append("no case is proven worse than its baseline or below its bar.")
        if keys := self.list_keys("not shown"):
            reasons.append(
                f"looked worse, but {MAX_LOOKS} looks cannot prove it: {', '.join(keys)}."
            )
        if self.baseline_gap:
            reasons.append(self.baseline_gap)
        elif self.rows and len(self.list_keys("no baseline")) == len(self.rows):
            if self.is_baseline_chosen:
                reasons.append("No batch run of the chosen baseline ran these cases as they are.")
            else:
                reasons.append("There is no baseline yet; this run becomes a part of it.")
        return reasons

    def to_json(self) -> JSONObject:
        """Return the result for programs."""
        left_out: JSONObject = {}
        if self.baseline_unread:
            left_out["baselineUnread"] = self.baseline_unread
        if self.unfinished_ids:
            left_out["baselineUnfinishedIds"] = list(self.unfinished_ids)
        return {
            "status": self.status,
            "result": STATUS_WORDS[self.status],
            "verdict": self.write_verdict(),
            "file": self.file,
            "agentId": self.agent_id,
            "batchIds": self.batch_ids,
            "baselineBatchIds": self.baseline_ids,
            **left_out,
            "looks": self.looks,
            "plannedLooks": self.planned,
            "attempts": self.used,
            "maxAttempts": self.budget,
            "cases": [_build_case_json(row) for row in self.rows],
        }


def _build_case_json(row: RowResult) -> JSONObject:
    outcome = row.outcome
    case: JSONObject = {
        "key": row.key,
        "line": row.place.line,
        "word": outcome.word,
        **list_figures(row),
    }
    if outcome.case.quarantine:
        case["quarantine"] = True
    case["failures"] = list(map(_build_failure_json, row.failures))
    return case


def _build_failure_json(failure: ShownFailure) -> JSONObject:
    return {
        "jobId": failure.job_id,
        "remarks": failure.remarks,
        "turns": [turn._asdict() for turn in failure.turns],
    }


def list_figures(row: RowResult) -> JSONObject:
    """Return the figures of a case; absent ones are absent."""
    outcome = row.outcome
    counts, baseline = outcome.counts, outcome.case.baseline
    figures: JSONObject = {
        "passed": counts.passed,
        "decided": counts.decided,
        "undecided": outcome.undecided,
    }
    if counts.decided:
        figures["low"] = round(row.interval.low, 4)
        figures["high"] = round(row.interval.high, 4)
    if baseline.decided:
        figures["baselinePassed"] = baseline.passed
        figures["baselineDecided"] = baseline.decided
    if outcome.decision and outcome.decision.p is not None:
        figures["p"] = float(f"{outcome.decision.p:.3g}")
    if outcome.case.bar is not None:
        figures["bar"] = outcome.case.bar
        figures["barVerdict"] = outcome.bar_verdict
    return figures


def build_failures(runs: Sequence[TestRun], *, mask: Callable[[str], str]) -> list[ShownFailure]:
    """Return what is shown of failed test runs, masked, with the turns worth reading."""
    ranking = ExchangeRanking(runs)
    failures = []
    for run in runs:
        job_id = valid_id(run.job_id) or "(no usable id)"
        remarks = mask(_shorten(run.remarks or "", REMARKS_SHOWN))
        turns = []
        for quote in _choose_turns(run, ranking):
            role = _shorten(quote.turn.role or "", 20)
            content = mask(_shorten(quote.turn.content or "", TURN_SHOWN))
            turns.append(QuotedTurn(quote.number, role, content))
        failures.append(ShownFailure(job_id, remarks, turns))
    return failures


def _choose_turns(run: TestRun, ranking: ExchangeRanking) -> list[Quote]:
    ending = find_ending(run.conversation or [])
    quotes = choose_key_turns(run, ending, [], ranking.rank(run))
    return sorted(quotes, key=lambda quote: quote.number)


def _shorten(text: str, longest: int) -> str:
    return disarm(shorten_text(text, longest))


def select_failing(outcomes: Sequence[CaseOutcome]) -> list[str]:
    """Return the keys of the cases whose failures are worth reading."""
    keys = []
    for outcome in outcomes:
        looks_bad = outcome.word in ("worse", "below its bar", "suspect", "open", "not shown")
        has_failures = outcome.counts.passed < outcome.counts.decided
        if looks_bad or (outcome.case.quarantine and has_failures):
            keys.append(outcome.case.key)
    return keys


def format_counts(counts: Counts) -> str:
    return f"{counts.passed}/{counts.decided}"
