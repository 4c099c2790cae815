"""The history of test cases over an agent's batch runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import anyio
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.batch_sides import Side
from sigmamind_mcp.insight.case_definitions import find_edits
from sigmamind_mcp.insight.history import (
    CaseEdit,
    CaseHistory,
    CaseTrace,
    RankedCase,
    SuiteHistory,
    summarize_case_history,
    summarize_suite_history,
    trace_cases,
)
from sigmamind_mcp.insight.rate_series import ChangePoint, Trend
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.remembered_texts import forgetting_texts
from sigmamind_mcp.tools.answers import (
    CallArguments,
    NextCall,
    explain_past_end,
    fit_items,
    format_day,
)
from sigmamind_mcp.tools.argument_forms import list_of
from sigmamind_mcp.tools.arguments import Continued, ForAgent, Id
from sigmamind_mcp.tools.batch_run_walk import ReadProblem, walk_batch_runs
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.comparison_answer import round_p
from sigmamind_mcp.tools.history_answer import (
    ChangePointShown,
    ConsistencyShown,
    HistoryRow,
    HistoryRun,
    PassKShown,
    RunEdits,
    TestCaseHistory,
    TrendShown,
    quote_runs,
)
from sigmamind_mcp.tools.parts import BoundedRate, ListedEdits, SuiteRate, truncate_line
from sigmamind_mcp.tools.search_scope import SearchScope, find_scope
from sigmamind_mcp.tools.side_reading import (
    MAX_KEPT_BYTES,
    KeptTranscripts,
    ReadSide,
    SideReader,
)
from sigmamind_mcp.tools.unread_notes import NotRead

if TYPE_CHECKING:
    from sigmamind_mcp.insight.history_quotes import HistoryQuote

MAX_BATCH_RUNS = 30
HISTORY_SECONDS = 18.0
"""For all reads together; the statistics of 100 test cases take a second or two more."""
SUMMARY_SECONDS = 20.0

CASE_LABEL_CHARACTERS = 40
CRITERIA_CHARACTERS = 300
EDITS_BEFORE_QUOTES = 3
"""With more edits, fewer of them are shown before quotes are left out."""
CHANGE_LIMIT = 0.05
MAX_FAILED_OF_RUN = 3
MAX_FAILED_SHOWN = 60


class GetTestCaseHistory(Continued, ForAgent):
    position_names = ("shown",)

    test_case_id: Annotated[Id, Field(description="Not all cases.")] = ""
    batch_ids: Annotated[
        list[Id],
        Field(max_length=MAX_BATCH_RUNS, description="Not the newest."),
        list_of("batch run ids"),
    ] = []


async def get_test_case_history(
    args: GetTestCaseHistory, api: SigmaMindClient, context: CallContext
) -> TestCaseHistory:
    """Show how a test case did over the last 30 batch runs, and since when it changed.

    Counts, trend, change point, edits, quotes, pass^k. Without testCaseId all cases, largest
    change first. Reads only. To judge a change use compare_batch_runs.
    """
    history = await read_history(args, api, context)
    with forgetting_texts():
        return await fit_items(history.item_count, history.build, history.reading.list_notes())


async def read_history(
    args: GetTestCaseHistory, api: SigmaMindClient, context: CallContext
) -> "_CaseAnswer | _SuiteAnswer":
    """Read the batch runs and summarize them; `build` of the result makes the answer."""
    deadline = anyio.current_time() + HISTORY_SECONDS
    scope = await find_scope(
        args.batch_ids, args.agent_id, api, count=MAX_BATCH_RUNS, seconds=HISTORY_SECONDS
    )
    # Answers that continue the list of edits do not repeat what was said.
    is_quoted = args.test_case_id and not args.cursor
    kept = KeptTranscripts(MAX_KEPT_BYTES, case_id=args.test_case_id) if is_quoted else None
    outcomes = await walk_batch_runs(
        scope.batch_runs,
        SideReader(args.agent_id, api, context.run_heavy, kept).read,
        context.report_progress,
        deadline=deadline,
        done="read",
    )
    reading = _ReadHistory(args, scope, outcomes, args.position["shown"])
    clock = WorkClock(SUMMARY_SECONDS)
    summarize = partial(_answer_for_suite, reading)
    if args.test_case_id:
        summarize = partial(_answer_for_case, reading, kept, clock)
    return await context.run_heavy(clock, summarize)


@dataclass(frozen=True)
class _ReadHistory:
    """What was asked for and read; `outcomes` has a side or a problem for each batch run."""

    args: GetTestCaseHistory
    scope: SearchScope
    outcomes: Sequence[ReadSide | ReadProblem]
    position: int

    @property
    def known(self) -> list[Side]:
        """The batch runs that show their test cases, oldest first."""
        sides = []
        for outcome in self.outcomes:
            if isinstance(outcome, ReadSide) and outcome.side.is_by_case:
                sides.append(outcome.side)
        return sides

    def list_notes(self) -> list[NotRead]:
        """Return what could not be read."""
        notes = list(self.scope.notes)
        for outcome in self.outcomes:
            if isinstance(outcome, ReadSide):
                notes += outcome.notes
        return notes

    def iterate_runs(self) -> Iterator[tuple[HistoryRun, Side | None]]:
        """Yield a row for each batch run, with what was read of it."""
        for batch_run, outcome in zip(self.scope.batch_runs, self.outcomes, strict=True):
            date = format_day(batch_run.created_date)
            row = HistoryRun(batch_id=batch_run.batch_id or "", date=date)
            if isinstance(outcome, ReadSide):
                yield row, outcome.side
            else:
                row.problem = outcome
                yield row, None

    def build_answer(self, runs: list[HistoryRun], past_end: str | None) -> TestCaseHistory:
        hints = filter(None, [past_end, self._write_hint()])
        return TestCaseHistory(
            agent_id=self.args.agent_id,
            total_batch_runs=self.scope.total,
            runs=runs,
            hint=" ".join(hints) or None,
        )

    def list_calls(self, shown: int, item_count: int) -> list[NextCall]:
        """Return the calls that read what this answer lacks."""
        calls = []
        if shown < item_count:
            further = self.args.continue_at(shown=self.position + shown)
            calls.append(NextCall(tool="get_test_case_history", arguments=further))
        unread = [row.batch_id for row, _ in self.iterate_runs() if row.problem]
        if unread and len(unread) < len(self.outcomes):
            left_over = {**self.args.repeat(), "batchIds": unread}
            calls.append(NextCall(tool="get_test_case_history", arguments=left_over))
        return calls

    def _write_hint(self) -> str | None:
        unread = sum(isinstance(outcome, str) for outcome in self.outcomes)
        if not unread:
            return None
        return f"{pluralize(unread, 'batch run')} could not be read, and counts nowhere."


@dataclass(frozen=True)
class _CaseAnswer:
    """The history of one test case; its edits are the items of the answer, newest first."""

    reading: _ReadHistory
    trace: CaseTrace | None
    history: CaseHistory | None
    edits: list[RunEdits]
    quotes: "list[HistoryQuote] | None"

    @property
    def item_count(self) -> int:
        return len(self.edits)

    def build(self, count: int) -> TestCaseHistory:
        reading = self.reading
        trace = self.trace
        history = self.history
        case_id = reading.args.test_case_id
        runs = list(self._iterate_case_runs(case_id))
        shown = [row for row in runs if row.decided is not None or row.problem]
        edit_count = len(trace.edits) if trace else 0
        past_end = explain_past_end(reading.position, edit_count, "edited batch run")
        answer = reading.build_answer(shown, past_end)
        answer.test_case_id = case_id
        answer.edits = self.edits[:count]
        answer.next_calls = reading.list_calls(count, len(self.edits))
        if trace is None or history is None:
            hints = filter(None, [answer.hint, _explain_unknown(case_id)])
            answer.hint = " ".join(hints)
            return answer
        answer.not_run = len(runs) - len(shown) or None
        newest = trace.runs[-1].case
        answer.label = truncate_line(newest.title, CASE_LABEL_CHARACTERS)
        if newest.success_criteria:
            answer.success_criteria = truncate_line(newest.success_criteria, CRITERIA_CHARACTERS)
        answer.pooled = BoundedRate.of(history.pooled)
        answer.pooled.add_bounds(_count_without_verdict(trace))
        if trace.edits:
            answer.since = trace.runs[trace.since].batch_ids[0]
        if history.trend:
            answer.trend = _show_trend(history.trend, history.trend.p)
        if history.change_point:
            answer.change_point = _show_change(history.change_point, trace)
        answer.pass_k = _show_pass_k(history)
        change = history.change_point
        if change and change.p <= CHANGE_LIMIT and not self.quotes:
            compare = _compare_around(reading.args.agent_id, change, trace)
            answer.next_calls = [*compare, *answer.next_calls]
        if self.quotes is not None:
            answer.add_quotes(self.quotes, must_fit=count <= EDITS_BEFORE_QUOTES)
        return answer

    def _iterate_case_runs(self, case_id: str) -> Iterator[HistoryRun]:
        edited = {}
        if self.trace:
            edited = _name_edits(self.trace)
        share = MAX_FAILED_SHOWN // max(1, len(self.reading.outcomes))
        most = min(MAX_FAILED_OF_RUN, share)
        for row, side in self.reading.iterate_runs():
            run = side.cases.get(case_id) if side else None
            if run:
                row.failed_job_ids = [place.job_id for place in run.failed_runs[:most]] or None
                row.passed, row.decided = run.counts
                row.undecided = run.undecided or None
                row.edited = edited.get(row.batch_id)
            elif side and not side.is_by_case:
                row.problem = "test cases not shown"
            elif side and not side.is_complete:
                row.problem = "not all could be read"
            yield row


@dataclass(frozen=True)
class _SuiteAnswer:
    """The history of all test cases; the cases are the items of the answer."""

    reading: _ReadHistory
    traces: dict[str, CaseTrace]
    history: SuiteHistory
    ranked: Sequence[RankedCase]

    @property
    def item_count(self) -> int:
        return len(self.ranked)

    def build(self, count: int) -> TestCaseHistory:
        reading, history = self.reading, self.history
        past_end = explain_past_end(reading.position, len(history.ranked), "test case")
        answer = reading.build_answer(list(self._iterate_totals()), past_end)
        answer.test_case_count = len(self.traces)
        answer.next_calls = reading.list_calls(count, len(self.ranked))
        if not self.traces:
            return answer
        undecided = sum(map(_count_without_verdict, self.traces.values()))
        answer.pooled = SuiteRate.of(history.pooled, history.interval)
        answer.pooled.add_bounds(undecided)
        answer.pass_k = list(map(PassKShown.of, history.pass_k))
        answer.consistency = ConsistencyShown.of(history.consistency)
        answer.test_cases = list(map(self._build_row, self.ranked[:count]))
        first = self.ranked[0] if self.ranked else None
        if first and first.adjusted_p <= CHANGE_LIMIT:
            answer.next_calls = [*self._call_for_case(first), *answer.next_calls]
        return answer

    def _iterate_totals(self) -> Iterator[HistoryRun]:
        for row, side in self.reading.iterate_runs():
            if side:
                row.passed, row.decided = side.overall
                row.undecided = side.undecided or None
                if not side.is_by_case:
                    row.problem = "test cases not shown"
            yield row

    def _build_row(self, ranked: RankedCase) -> HistoryRow:
        trace = self._get_trace(ranked)
        newest = trace.runs[-1].case
        change = None
        if ranked.change_point and ranked.adjusted_p <= CHANGE_LIMIT:
            change = _show_change(ranked.change_point, trace)
            change.p = round_p(ranked.adjusted_p) or 0.0
        trend = None
        if ranked.trend and not change and ranked.trend_p <= CHANGE_LIMIT:
            trend = _show_trend(ranked.trend, ranked.trend_p)
        return HistoryRow(
            test_case_id=valid_id(newest.test_case_id),
            label=truncate_line(newest.title, CASE_LABEL_CHARACTERS),
            counts=self._list_counts(trace),
            change_point=change,
            trend=trend,
            edited=list(_name_edits(trace)) or None,
        )

    def _get_trace(self, ranked: RankedCase) -> CaseTrace:
        return list(self.traces.values())[ranked.place]

    def _list_counts(self, trace: CaseTrace) -> str:
        by_id = {run.batch_ids[0]: run.counts for run in trace.runs}
        cells = []
        for row, _ in self.reading.iterate_runs():
            counts = by_id.get(row.batch_id)
            cells.append(_show_counts(counts) if counts else "-")
        return " ".join(cells)

    def _call_for_case(self, ranked: RankedCase) -> list[NextCall]:
        trace = self._get_trace(ranked)
        case_id = valid_id(trace.runs[-1].case.test_case_id)
        if ranked.change_point or not case_id:
            return _compare_around(self.reading.args.agent_id, ranked.change_point, trace)
        here: CallArguments = {**self.reading.args.repeat(), "testCaseId": case_id}
        return [NextCall(tool="get_test_case_history", arguments=here)]


def _answer_for_case(
    reading: _ReadHistory, kept: KeptTranscripts | None, clock: WorkClock
) -> _CaseAnswer | _SuiteAnswer:
    has_time = clock.start_counting()
    known = reading.known
    trace = trace_cases(known).get(reading.args.test_case_id)
    if trace is None:
        return _CaseAnswer(reading, None, None, [], None)
    history = summarize_case_history(trace.series, since=trace.since)
    edits = []
    for place in sorted(trace.edits, reverse=True):
        edits.append(_show_edits(trace.edits[place], known[place].batch_id))
    quotes = quote_runs(trace, kept, lambda: has_time(1.0)) if kept else None
    return _CaseAnswer(reading, trace, history, edits[reading.position :], quotes)


def _show_edits(edit: CaseEdit, batch_id: str) -> RunEdits:
    found = find_edits(edit.before, edit.after)
    of_fields = [place for place in found if place.field in edit.fields]
    listed = ListedEdits.of(of_fields)
    return RunEdits(batch_id=batch_id, edits=listed.shown, more_edits=listed.more)


def _answer_for_suite(reading: _ReadHistory) -> _CaseAnswer | _SuiteAnswer:
    traces = trace_cases(reading.known)
    series = []
    starts = []
    for trace in traces.values():
        series.append(trace.series)
        starts.append(trace.since)
    history = summarize_suite_history(series, starts)
    return _SuiteAnswer(reading, traces, history, history.ranked[reading.position :])


def _show_pass_k(history: CaseHistory) -> list[PassKShown]:
    return [PassKShown(k=k, rate=round(rate, 3), cases=1) for k, rate in history.pass_k.items()]


def _count_without_verdict(trace: CaseTrace) -> int:
    """Count the attempts without a verdict since the last edit."""
    return sum(run.undecided for run in trace.runs[trace.since :])


def _name_edits(trace: CaseTrace) -> dict[str, list[str]]:
    """Return the edited fields by the batch run in which they differ from the one before."""
    named = {}
    for place, run in zip(trace.places, trace.runs, strict=True):
        if place in trace.edits:
            named[run.batch_ids[0]] = trace.edits[place].fields
    return named


def _show_change(change: ChangePoint, trace: CaseTrace) -> ChangePointShown:
    batch_id = trace.runs[change.place].batch_ids[0]
    return ChangePointShown(
        batch_id=batch_id,
        p=round_p(change.p) or 0.0,
        approximate=None if change.is_exact else True,
        before=_show_counts(change.before),
        after=_show_counts(change.after),
        edited=_name_edits(trace).get(batch_id),
    )


def _show_trend(trend: Trend, p: float) -> TrendShown:
    return TrendShown(
        p=round_p(p) or 0.0,
        direction=trend.direction,
        approximate=None if trend.is_exact else True,
    )


def _show_counts(counts: Counts) -> str:
    return f"{counts.passed}/{counts.decided}"


def _compare_around(agent_id: str, change: ChangePoint | None, trace: CaseTrace) -> list[NextCall]:
    """Make the call that compares the batch runs before and after a change."""
    if change is None or change.place < 1:
        return []
    call: CallArguments = {
        "agentId": agent_id,
        "baseBatchId": trace.runs[change.place - 1].batch_ids[0],
        "candidateBatchId": trace.runs[change.place].batch_ids[0],
    }
    if change.after.rate > change.before.rate:
        call["question"] = "improvement"
    return [NextCall(tool="compare_batch_runs", arguments=call)]


def _explain_unknown(test_case_id: str) -> str:
    return (
        f"None of the batch runs that were read shows test case {test_case_id};"
        " list_test_cases shows those of the agent."
    )
