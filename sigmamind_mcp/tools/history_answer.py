"""The answer of get_test_case_history, and its text."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from sigmamind_mcp.api.models import Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.history import CaseTrace
from sigmamind_mcp.insight.pass_k import Consistency, PassK
from sigmamind_mcp.insight.rate_series import TrendDirection
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Budgets,
    Rendered,
    group_by,
    name_days,
    one_line,
)
from sigmamind_mcp.tools.batch_run_walk import ReadProblem
from sigmamind_mcp.tools.parts import BoundedRate, EditShown, format_percent
from sigmamind_mcp.tools.quoted_exchanges import (
    ExchangeWords,
    QuotedExchange,
    join_by_run,
    mark_runs,
)
from sigmamind_mcp.tools.side_reading import KeptTranscripts
from sigmamind_mcp.tools.unread_notes import NO_ID

if TYPE_CHECKING:
    from sigmamind_mcp.insight.batch_sides import RunPlace
    from sigmamind_mcp.insight.history_quotes import HistoryQuote

HISTORY_CHARACTERS = 12_000
HISTORY_TEXT_CHARACTERS = 6_000
QUOTE_CHARACTERS = 160

HistoryProblem = ReadProblem | Literal["test cases not shown", "not all could be read"]


class HistoryRun(AnswerPart):
    """One batch run: of the test case, or of all of them together."""

    batch_id: str
    date: str | None = Field(default=None, description="The day it was created, UTC.")
    passed: int | None = None
    decided: int | None = Field(default=None, description="Absent when nothing is known.")
    undecided: int | None = None
    edited: list[str] | None = Field(
        default=None, description="Fields of the definition that differ from the one before."
    )
    failed_job_ids: list[str] | None = Field(
        default=None, description="Its first failed test runs, if one test case is asked for."
    )
    problem: HistoryProblem | None = None

    def line(self) -> str:
        name = f"{self.date or 'undated'} {self.batch_id}:"
        if self.problem:
            known = "" if self.decided is None else f"{self.passed}/{self.decided}, "
            return f"{name} {known}{self.problem}"
        parts = [f"{self.passed}/{self.decided}"]
        if self.undecided:
            parts.append(f"{self.undecided} undecided")
        if self.edited:
            parts.append(f"edited {', '.join(self.edited)}")
        if self.failed_job_ids:
            failed = (self.decided or 0) - (self.passed or 0)
            first = "first failed" if len(self.failed_job_ids) < failed else "failed"
            parts.append(f"{first} {' '.join(self.failed_job_ids)}")
        return f"{name} {', '.join(parts)}"


class TrendShown(AnswerPart):
    p: float = Field(description="Exact Cochran-Armitage test up to 400 attempts, two-sided.")
    direction: TrendDirection
    approximate: bool | None = None

    def __str__(self) -> str:
        about = ", approximate" if self.approximate else ""
        return f"{self.direction}, p {self.p:.3g}{about}"


class ChangePointShown(AnswerPart):
    batch_id: str = Field(description="The first batch run after the most likely change.")
    p: float
    approximate: bool | None = Field(default=None, description="True above 10,000 attempts.")
    before: str
    after: str
    edited: list[str] | None = Field(default=None, description="What was edited in that batch run.")

    def __str__(self) -> str:
        edited = f", where {', '.join(self.edited)} was edited" if self.edited else ""
        about = ", approximate" if self.approximate else ""
        return (
            f"{self.batch_id} (p {self.p:.3g}{about}), from {self.before} to {self.after}{edited}"
        )


class PassKShown(AnswerPart):
    """The chance that k attempts of a case all pass, as the mean over cases."""

    k: int
    rate: float
    cases: int = Field(description="Cases with at least k decided attempts.")
    low: float | None = Field(default=None, description="95 % bootstrap interval over cases.")
    high: float | None = None

    @classmethod
    def of(cls, estimate: PassK) -> "PassKShown":
        low, high = estimate.interval or (None, None)
        return cls(
            k=estimate.k,
            rate=round(estimate.rate, 3),
            cases=estimate.cases,
            low=None if low is None else round(low, 3),
            high=None if high is None else round(high, 3),
        )

    def __str__(self) -> str:
        shown = f"k={self.k} {format_percent(self.rate)}"
        if self.low is not None and self.high is not None:
            shown += f" ({format_percent(self.low)} to {format_percent(self.high)})"
        return shown


def describe_pass_k(estimates: Sequence[PassKShown]) -> str:
    """Write the estimates; those of the same number of cases name it once."""
    by_cases = group_by(estimates, lambda one: one.cases)
    parts = []
    for cases, group in by_cases.items():
        shown = ", ".join(map(str, group))
        parts.append(f"{shown} of {cases:,} cases" if cases > 1 else shown)
    return "; ".join(parts)


class RunEdits(AnswerPart):
    """The words that were edited before a batch run."""

    batch_id: str
    edits: list[EditShown]
    more_edits: int | None = Field(default=None, description="Edits that are not shown.")

    def lines(self) -> list[str]:
        lines = [f"{self.batch_id}, edited:", *[edit.line() for edit in self.edits]]
        if self.more_edits:
            lines.append(f"    and {pluralize(self.more_edits, 'more edit')}")
        return lines


class HistoryQuoteRow(QuotedExchange):
    """What tells of a failed attempt, or of a passed one."""

    batch_id: str
    verdict: Verdict

    @classmethod
    def of_quote(cls, found: "HistoryQuote") -> "HistoryQuoteRow":
        return cls(
            batch_id=found.place.batch_id,
            job_id=valid_id(found.place.job_id),
            verdict=found.run.verdict,
            turn=found.quote.number,
            **ExchangeWords.of(found.run, found.quote, QUOTE_CHARACTERS)._asdict(),
        )

    def head(self, days: Mapping[str, str]) -> str:
        day = days.get(self.batch_id, self.batch_id)
        return self.add_remarks(f"{day} {self.job_id or NO_ID} {self.verdict}")


def _show_history_quotes(found: Sequence["HistoryQuote"]) -> list[HistoryQuoteRow]:
    rows = list(map(HistoryQuoteRow.of_quote, found))
    mark_runs(zip((quote.run for quote in found), rows, strict=True))
    return rows


def _choose_dropped(places: Sequence["RunPlace"]) -> "RunPlace":
    """Choose a failed run between, then the oldest, then the passed one; it comes last."""
    if len(places) > 3:
        return places[1]
    return places[0] if len(places) == 3 else places[-1]


def quote_runs(
    trace: CaseTrace, kept: KeptTranscripts, has_time: Callable[[], bool]
) -> "list[HistoryQuote] | None":
    """Quote failed runs and a passed one; None if the transcripts of the failed ones lack."""
    from sigmamind_mcp.insight.history_quotes import quote_history  # patterns take time to compile

    found = quote_history(trace.runs, kept.load, others=kept.load_others(), has_time=has_time)
    has_failed = any(run.failed_runs for run in trace.runs)
    return None if has_failed and not found else found


class HistoryRow(AnswerPart):
    """One test case; `counts` has an entry for each batch run of `runs`, oldest first."""

    test_case_id: str | None = None
    label: str
    counts: str = Field(description="passed/decided by batch run; - where it was not run.")
    change_point: ChangePointShown | None = Field(
        default=None, description="p is corrected for the number of cases."
    )
    trend: TrendShown | None = Field(default=None, description="If there is no change point.")
    edited: list[str] | None = Field(default=None, description="Batch runs in which it was edited.")

    def line(self) -> str:
        parts = [f"{self.test_case_id or ''} {self.counts}"]
        if self.change_point:
            parts.append(f"change at {self.change_point}")
        if self.trend:
            parts.append(f"trend {self.trend}")
        if self.edited:
            parts.append(f"edited in {', '.join(self.edited)}")
        return one_line(f"{'; '.join(parts)}. Label: {self.label}")


class ConsistencyShown(AnswerPart):
    """How many cases pass always, sometimes and never."""

    always: int
    sometimes: int
    never: int

    @classmethod
    def of(cls, counted: Consistency) -> "ConsistencyShown":
        return cls(always=counted.always, sometimes=counted.sometimes, never=counted.never)

    def __str__(self) -> str:
        return f"{self.always} pass always, {self.sometimes} sometimes, {self.never} never"


class TestCaseHistory(Answer):
    """How the rate of a test case moved over its batch runs; without a case, of all of them."""

    budgets: ClassVar[Budgets] = Budgets(HISTORY_CHARACTERS, HISTORY_TEXT_CHARACTERS)
    __test__: ClassVar[bool] = False

    agent_id: str
    test_case_id: str | None = None
    label: str | None = None
    success_criteria: str | None = Field(default=None, description="The newest; of one test case.")
    total_batch_runs: int | None = Field(default=None, description="All that the agent has.")
    runs: list[HistoryRun] = Field(description="Oldest first.")
    not_run: int | None = Field(
        default=None, description="Batch runs that did not run this test case."
    )
    pooled: BoundedRate | None = Field(
        default=None, description="All decided attempts since the last edit of each case."
    )
    since: str | None = Field(
        default=None, description="The batch run of the last edit; pooled and passK begin there."
    )
    trend: TrendShown | None = None
    change_point: ChangePointShown | None = None
    pass_k: list[PassKShown] = []
    consistency: ConsistencyShown | None = None
    test_case_count: int | None = None
    test_cases: list[HistoryRow] = Field(default=[], description="Largest change first.")
    edits: list[RunEdits] = Field(default=[], description="Newest first.")
    turns_worth_reading: list[HistoryQuoteRow] | None = Field(
        default=None,
        description="Of a few failed attempts and a passed one; absent: not looked at.",
    )

    def render(self) -> Rendered:
        of_case = f"Test case {self.test_case_id}" if self.test_case_id else "All test cases"
        total = f" of {self.total_batch_runs:,}" if self.total_batch_runs is not None else ""
        runs = pluralize(len(self.runs), "batch run")
        before = [f"{of_case} of agent {self.agent_id}: {runs}{total}, oldest first."]
        before += [run.line() for run in self.runs]
        if self.not_run:
            before.append(f"Not run in {pluralize(self.not_run, 'more batch run')}.")
        before += self._summary_lines()
        data = [one_line(f"Label: {self.label}")] if self.label else []
        if self.success_criteria:
            data.append(one_line(f"criteria: {self.success_criteria}"))
        data += [row.line() for row in self.test_cases]
        for edited in self.edits:
            data += edited.lines()
        if self.turns_worth_reading:
            data.append("Turns worth reading (U: user, A: agent):")
            days = name_days((run.batch_id, run.date) for run in self.runs)
            data += join_by_run(self.turns_worth_reading, lambda row: row.head(days))
        return Rendered(before, data, [])

    def add_quotes(self, found: Sequence["HistoryQuote"], *, must_fit: bool) -> None:
        """Add the quotes; if they must fit, at last only those of the newest failed run."""
        left = list(found)
        self.turns_worth_reading = _show_history_quotes(left)
        while must_fit and left and not self.fits():
            places = list(dict.fromkeys(quote.place for quote in left))
            dropped = _choose_dropped(places)
            left = [quote for quote in left if quote.place != dropped]
            self.turns_worth_reading = _show_history_quotes(left) if left else None

    def _summary_lines(self) -> list[str]:
        lines = []
        across = ", across the edits" if self.since else ""
        if self.pooled:
            since = f", since the edit in {self.since}" if self.since else ""
            if self.test_case_count is not None:
                since = ", each test case since its last edit"
            lines.append(f"Pooled{since}: {self.pooled}.")
            bounds = self.pooled.describe_bounds()
            if bounds:
                lines.append(f"Bounds: {bounds}.")
        if self.trend:
            lines.append(f"Trend{across}: {self.trend}.")
        if self.change_point:
            lines.append(f"Most likely change{across}: {self.change_point}.")
        if self.pass_k:
            lines.append(f"pass^k: {describe_pass_k(self.pass_k)}.")
        if self.test_case_count is not None:
            passing = f"; {self.consistency}" if self.consistency else ""
            cases = pluralize(self.test_case_count, "test case")
            lines.append(f"{cases}, largest change first{passing}.")
        return lines
