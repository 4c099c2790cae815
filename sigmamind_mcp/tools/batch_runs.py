"""Batch runs: list, read and wait."""

from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple, TypedDict, TypeVar

import anyio
from pydantic import Field

from sigmamind_mcp.api.batch_run_pages import MAX_PAGE_REQUESTS, mark_batch_run
from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, BatchRunState
from sigmamind_mcp.api.repeated_entries import drop_copies
from sigmamind_mcp.api.run_reading import BatchRunStatus, Progress, read_progress, read_states
from sigmamind_mcp.errors import ConnectionFailed, ServerFault, TooManyRequests
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    Time,
    fit_items,
    format_time,
    one_line,
)
from sigmamind_mcp.tools.argument_forms import NotBool
from sigmamind_mcp.tools.arguments import (
    BatchId,
    Detail,
    ForAgent,
    LabelContains,
    ListPlace,
    Paged,
    PageSize,
)
from sigmamind_mcp.tools.call_context import CallContext, ProgressReport
from sigmamind_mcp.tools.cases import TestCaseRow
from sigmamind_mcp.tools.list_pages import PageSlice, add_next_page, explain_other_page
from sigmamind_mcp.tools.unread_notes import NO_ID, note_listing, note_record, shows_field
from sigmamind_mcp.uris import uri_of

LABELS_SHOWN = 3
MAX_LOOKED_UP = 4
FIRST_POLL_PAUSE = 1.0
LONGEST_POLL_PAUSE = 10.0

STATES_EXPLAINED: dict[BatchRunState, str] = {
    "stalled": (
        "Stalled: attempts are undecided, and nothing has happened for more than 15 minutes;"
        " some may never end."
    ),
    "unknown": (
        "Unknown: the counters, test cases and dates that could be read do not show a state."
    ),
}


REPEATED_HINT = (
    "The first {count} batch runs of this page are left out, since the last one of them was"
    " already shown: new batch runs have moved the list, or the API's pages overlap."
)


class ListBatchRuns(Paged, ForAgent):
    size: PageSize = 10
    label_contains: Annotated[
        LabelContains,
        Field(description="Part of a test case's label; looks only at this page."),
    ] = ""
    detail: Detail = "concise"


class GetBatchRun(ForAgent):
    batch_id: BatchId
    detail: Detail = "concise"


class WaitForBatchRun(ForAgent):
    batch_id: BatchId
    max_seconds: Annotated[
        int,
        Field(ge=0, le=300, description="0 reads once. Many clients give up after 60 s."),
        NotBool,
    ] = 45


class _ProgressFields(TypedDict):
    state: BatchRunState
    created_date: datetime | None
    successful_attempts: int | None
    failed_attempts: int | None
    expected_attempts: int | None
    undecided_attempts: int | None


class BatchRunProgress(AnswerPart):
    """How far a batch run is; `state` is derived from the counters, since the API has none."""

    state: BatchRunState
    created_date: Time | None = None
    successful_attempts: int | None = None
    failed_attempts: int | None = None
    expected_attempts: int | None = Field(
        default=None, description="Attempts that the whole batch run makes."
    )
    undecided_attempts: int | None = Field(
        default=None, description="Expected attempts without a verdict so far."
    )

    @property
    def may_go_on(self) -> bool:
        """Whether it runs, or may run: the ends of its attempts could not be read."""
        is_unseen = self.state == "unknown" and bool(self.undecided_attempts)
        return self.state == "running" or is_unseen

    def describe_progress(self) -> str:
        if self.successful_attempts is None and self.failed_attempts is None:
            return f"{self.state}, no counters to read"
        passed = _describe_counter(self.successful_attempts, "passed")
        failed = _describe_counter(self.failed_attempts, "failed")
        progress = f"{self.state}, {passed}, {failed}"
        if self.undecided_attempts:
            progress += f", {self.undecided_attempts} undecided"
        if self.expected_attempts is not None:
            progress += f" of {self.expected_attempts} attempts"
        return progress

    def describe_creation(self) -> str:
        return "" if self.created_date is None else f" Created {format_time(self.created_date)}."


class BatchRunAnswer(BatchRunProgress, Answer):
    """One batch run."""

    batch_id: str
    agent_id: str
    agent_name: str | None = None
    test_cases: list[TestCaseRow] = []
    uri: str

    def render(self) -> Rendered:
        head = f"Batch run {self.batch_id} of agent {self.agent_id}: {self.describe_progress()}."
        data = [one_line(f"agent: {self.agent_name}")] if self.agent_name else []
        data += [row.line() for row in self.test_cases]
        after = [*_explain_states({self.state}), f"Resource: {self.uri}"]
        return Rendered([head + self.describe_creation()], data, after)


class WaitedBatchRun(BatchRunAnswer):
    """A batch run after waiting for it."""

    waited_seconds: float = 0.0

    def render(self) -> Rendered:
        batch_run = super().render()
        waited = f"Waited {self.waited_seconds} s."
        return batch_run._replace(after=[waited, *batch_run.after])


class BatchRunRow(BatchRunProgress):
    batch_id: str | None = None
    test_case_count: int | None = Field(
        default=None, description="Absent when the API's answer does not show its test cases."
    )
    labels: list[str] = Field(description=f"Labels of the first {LABELS_SHOWN} test cases.")

    def line(self) -> str:
        name = self.batch_id or NO_ID
        if self.created_date is not None:
            name += f" {format_time(self.created_date)}"
        labels = [*self.labels]
        more = (self.test_case_count or 0) - len(labels)
        if more > 0:
            labels.append(f"and {more} more")
        cases = "not shown" if self.test_case_count is None else "; ".join(labels)
        return one_line(f"{name}: {self.describe_progress()}. Cases: {cases}")


class BatchRunList(Answer):
    """A page of an agent's batch runs, newest first."""

    agent_id: str
    page: int
    size: int
    total_count: int | None = Field(
        default=None, description="All batch runs of this agent, whatever their labels."
    )
    batch_runs: list[BatchRunRow]

    def render(self) -> Rendered:
        total = "" if self.total_count is None else f" of {self.total_count}"
        shown = f"{len(self.batch_runs)}{total} batch runs of agent {self.agent_id}, newest first"
        page = f"(page {self.page}, size {self.size})"
        rows = [row.line() for row in self.batch_runs]
        states = _explain_states({row.state for row in self.batch_runs})
        return Rendered([f"{shown} {page}."], rows, states)


class MatchingRun(NamedTuple):
    """A batch run whose label matches, and its position on the page.

    `needs_look` says that its test runs would show the state, and that they were not all read.
    """

    position: int
    batch_run: BatchRun
    row: BatchRunRow
    needs_look: bool


async def list_batch_runs(args: ListBatchRuns, api: SigmaMindClient) -> BatchRunList:
    """List an agent's batch runs, newest first, with states and pass counts.

    With a batchId use get_batch_run, or list_test_runs for its test runs. Reads only.
    """
    place = args.place
    last_mark = place.last_mark
    page, now = await api.list_batch_runs(
        args.agent_id, page=place.page, size=args.size, last_mark=last_mark
    )
    if args.cursor and page.size and page.size < args.size:
        # The API's pages became smaller: count them by its size, to lose no entry.
        place = ListPlace(*divmod(place.page * args.size + place.skip, page.size))
        if place.page != page.number:
            page, now = await api.list_batch_runs(
                args.agent_id, page=place.page, size=page.size, last_mark=last_mark
            )
    asked_page = place.page * args.size // (page.size or args.size)
    is_other_page = page.number not in (None, place.page, asked_page)
    # The API may page by less than was asked: its size and number continue without a loss.
    args = args.model_copy(update={"size": page.size or args.size})
    number = place.page if page.number is None else page.number
    repeated = _count_repeated(page.items[place.skip :], last_mark)
    place = ListPlace(number, place.skip + repeated, last_mark)
    # An empty page ends the list, whatever the API says.
    has_next = page.has_next and bool(page.entry_count) and not is_other_page
    left = PageSlice(page.items[place.skip :], place, page.total, has_next)
    most = min(MAX_LOOKED_UP, MAX_PAGE_REQUESTS - page.request_count)
    matching = await _match_runs(left.items, args, now, api, most=most)
    build = partial(_build_batch_run_list, args, left, matching)
    start = place.page * args.size
    notes = note_listing("batch run", page, lambda batch_run: batch_run.batch_id, start=start)
    answer = await fit_items(len(left.items), build, notes)
    if is_other_page:
        answer.hint = explain_other_page(page, asked=asked_page)
    elif repeated:
        hints = filter(None, [REPEATED_HINT.format(count=repeated), answer.hint])
        answer.hint = " ".join(hints)
    return answer


def _count_repeated(items: Sequence[BatchRun], last_mark: int) -> int:
    """Return how many items end with the last one that an earlier answer has shown."""
    # A new batch run moves all others towards the next page. An API may also take the number of a
    # page for the position of a batch run.
    marks = [mark_batch_run(item.batch_id) for item in items]
    if not last_mark or last_mark not in marks:
        return 0
    return marks.index(last_mark) + 1


async def get_batch_run(args: GetBatchRun, api: SigmaMindClient) -> BatchRunAnswer:
    """Read one batch run as it is now: state, pass counts, test cases.

    To follow it use wait_for_batch_run; for verdicts list_test_runs; for why attempts failed
    diagnose_batch_run. Reads only.
    """
    status = await read_progress(args.batch_id, args.agent_id, api)
    answer = _build_batch_run(BatchRunAnswer, status, args)
    if args.detail == "full":
        answer.raw = status.batch_run.raw
    return answer


async def wait_for_batch_run(
    args: WaitForBatchRun, api: SigmaMindClient, context: CallContext
) -> WaitedBatchRun:
    """Wait until a batch run ends, at most maxSeconds; returns its state and counts then.

    Use it after create_batch_run, and again while still running; to read it once use
    get_batch_run. Costs nothing, stops nothing.
    """
    started = anyio.current_time()
    answer = await _read_waited(args, api)
    with anyio.CancelScope(deadline=started + args.max_seconds):
        for pause in _growing_pauses():
            await _report_progress(answer, context.report_progress)
            if not answer.may_go_on:
                break
            await anyio.sleep(pause)
            # One failed read does not end the wait; the next one may succeed.
            with suppress(ConnectionFailed, ServerFault, TooManyRequests):
                answer = await _read_waited(args, api)
    if answer.state == "running":
        again = args.model_dump(by_alias=True)
        answer.next_calls = [NextCall(tool="wait_for_batch_run", arguments=again)]
    answer.waited_seconds = round(anyio.current_time() - started, 1)
    return answer


async def _read_waited(args: WaitForBatchRun, api: SigmaMindClient) -> WaitedBatchRun:
    status = await read_progress(args.batch_id, args.agent_id, api)
    return _build_batch_run(WaitedBatchRun, status, args)


BatchRunAnswerT = TypeVar("BatchRunAnswerT", bound=BatchRunAnswer)


def _build_batch_run(
    kind: type[BatchRunAnswerT],
    status: BatchRunStatus,
    args: GetBatchRun | WaitForBatchRun,
) -> BatchRunAnswerT:
    batch_run, progress = status
    here: CallArguments = {"agentId": args.agent_id, "batchId": args.batch_id}
    follow = "list_test_runs"
    if progress.state == "running":
        follow = "wait_for_batch_run"
    elif progress.failed:
        follow = "diagnose_batch_run"
    answer = kind(
        **_list_progress_fields(progress),
        batch_id=args.batch_id,
        agent_id=args.agent_id,
        agent_name=batch_run.agent.name if batch_run.agent else None,
        test_cases=list(map(TestCaseRow.of, batch_run.test_cases)),
        uri=uri_of("batch-run", agentId=args.agent_id, batchId=args.batch_id),
        next_calls=[NextCall(tool=follow, arguments=here)],
    )
    answer.add_notes(note_record("batch run", batch_run, args.batch_id))
    return answer.add_links(Link(answer.uri, f"Batch run {args.batch_id}", "application/json"))


def _list_progress_fields(progress: Progress) -> _ProgressFields:
    return {
        "state": progress.state,
        "created_date": progress.created_date,
        "successful_attempts": progress.passed,
        "failed_attempts": progress.failed,
        "expected_attempts": progress.expected,
        "undecided_attempts": progress.undecided,
    }


def _describe_counter(count: int | None, verdict: str) -> str:
    return f"{verdict} unknown" if count is None else f"{count} {verdict}"


def _growing_pauses() -> Iterator[float]:
    pause = FIRST_POLL_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_POLL_PAUSE)


async def _report_progress(answer: BatchRunAnswer, report: ProgressReport) -> None:
    decided = (answer.successful_attempts or 0) + (answer.failed_attempts or 0)
    await report(decided, answer.expected_attempts, answer.describe_progress())


def _explain_states(states: Set[BatchRunState]) -> list[str]:
    return [text for state, text in STATES_EXPLAINED.items() if state in states]


async def _match_runs(
    left: Sequence[BatchRun],
    args: ListBatchRuns,
    now: datetime,
    api: SigmaMindClient,
    *,
    most: int,
) -> list[MatchingRun]:
    """Return the batch runs with the wanted label, with their rows."""
    wanted = args.label_contains.casefold()
    positions = []
    batch_runs = []
    distinct = set(map(id, drop_copies(left, lambda run: run.batch_id)))
    for position, run in enumerate(left):
        if id(run) in distinct and _has_label(run, wanted):
            positions.append(position)
            batch_runs.append(run)
    states = await read_states(batch_runs, args.agent_id, now, api, most=most)
    matching = []
    for position, run, progress in zip(positions, batch_runs, states, strict=True):
        row = _build_row(run, progress)
        needs_look = progress.state == "unknown" and run.state(now) != "unknown"
        matching.append(MatchingRun(position, run, row, needs_look=needs_look))
    return matching


def _has_label(batch_run: BatchRun, wanted: str) -> bool:
    return not wanted or any(wanted in case.title.casefold() for case in batch_run.test_cases)


def _build_batch_run_list(
    args: ListBatchRuns,
    left: PageSlice[BatchRun],
    matching: Sequence[MatchingRun],
    count: int,
) -> BatchRunList:
    shown = [match for match in matching if match.position < count]
    answer = BatchRunList(
        agent_id=args.agent_id,
        page=left.place.page,
        size=args.size,
        total_count=left.total,
        batch_runs=[match.row for match in shown],
    )
    last_mark = left.place.last_mark
    if count:
        last_mark = mark_batch_run(left.items[count - 1].batch_id)
    add_next_page(answer, "list_batch_runs", args, left, count=count, last_mark=last_mark)
    answer.next_calls += _call_to_diagnose(answer.batch_runs, args.agent_id)
    if any(match.needs_look for match in shown):
        answer.hint = (
            f"At most {MAX_LOOKED_UP} batch runs that seem stalled are looked up, with one"
            " request each; get_batch_run shows the state of another."
        )
    if args.label_contains and left.items and not shown:
        answer.hint = (
            f"None of the {len(left.items)} batch runs on this page has that text in a label."
        )
    if args.detail == "full":
        answer.raw = {"batchRuns": [match.batch_run.raw for match in shown]}
    return answer


def _call_to_diagnose(rows: Sequence[BatchRunRow], agent_id: str) -> list[NextCall]:
    """Return a call for the newest batch run that has failed attempts."""
    for row in rows:
        if row.failed_attempts and row.batch_id:
            here: CallArguments = {"agentId": agent_id, "batchId": row.batch_id}
            return [NextCall(tool="diagnose_batch_run", arguments=here)]
    return []


def _build_row(batch_run: BatchRun, progress: Progress) -> BatchRunRow:
    shows_cases = shows_field(batch_run, "testCases")
    return BatchRunRow(
        **_list_progress_fields(progress),
        batch_id=valid_id(batch_run.batch_id),
        test_case_count=len(batch_run.test_cases) if shows_cases else None,
        labels=[case.title for case in batch_run.test_cases[:LABELS_SHOWN]],
    )
