"""Batch runs: list, read and wait."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestCase
from sigmamind_mcp.api.run_reading import (
    Progress,
    derive_progress,
    find_last_completed,
    read_progress,
)
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import ConnectionFailed, ServerFault, TooManyRequests
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    Time,
    add_next_page,
    fit_items,
    format_time,
    one_line,
)
from sigmamind_mcp.tools.arguments import (
    BatchId,
    Detail,
    ForAgent,
    LabelContains,
    NotBool,
    Paged,
    PageSize,
)
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.cases import TestCaseRow
from sigmamind_mcp.uris import uri_of

LABELS_SHOWN = 5


FIRST_LOOK_AFTER = 1.0


LONGEST_BETWEEN_LOOKS = 10.0


class ListBatchRuns(Paged, ForAgent):
    size: PageSize = 10
    label_contains: Annotated[
        LabelContains,
        Field(description="Of this page: part of a test case's label."),
    ] = ""
    detail: Detail = "concise"


class GetBatchRun(ForAgent):
    batch_id: BatchId
    detail: Detail = "concise"


class WaitForBatchRun(ForAgent):
    batch_id: BatchId
    max_seconds: Annotated[int, Field(ge=0, le=300, description="0 takes one look."), NotBool] = 45


class Counted(BaseModel):
    """How far a batch run is; `state` is derived from the counters, since the API has no status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    state: BatchRunState
    created_date: Time | None = None
    successful_attempts: int | None = None
    failed_attempts: int | None = None
    expected_attempts: int | None = Field(
        default=None, description="Attempts there will have been at the end."
    )
    undecided_attempts: int | None = Field(
        default=None, description="Expected attempts without a verdict so far."
    )

    def progress(self) -> str:
        if self.successful_attempts is None and self.failed_attempts is None:
            return f"{self.state}, no counters yet"
        of = "" if self.expected_attempts is None else f" of {self.expected_attempts} attempts"
        left = f", {self.undecided_attempts} undecided" if self.undecided_attempts else ""
        return f"{self.state}, {self.successful_attempts or 0} passed, {self.failed_attempts or 0} failed{left}{of}"


class BatchRunAnswer(Counted, Answer):
    """One batch run."""

    batch_id: str
    agent_id: str
    agent_name: str | None = None
    test_cases: list[TestCaseRow] = []
    uri: str

    def render(self) -> Rendered:
        created = "" if self.created_date is None else f" Created {format_time(self.created_date)}."
        agent = [one_line(f"agent: {self.agent_name}")] if self.agent_name else []
        return Rendered(
            [f"Batch run {self.batch_id} of agent {self.agent_id}: {self.progress()}.{created}"],
            agent + [row.line() for row in self.test_cases],
            [*_explained(self.state), f"Resource: {self.uri}"],
        )


class WaitedBatchRun(BatchRunAnswer):
    """A batch run after waiting for it."""

    waited_seconds: float = 0.0

    def render(self) -> Rendered:
        said = super().render()
        return said._replace(after=[f"Waited {self.waited_seconds} s.", *said.after])


class BatchRunRow(Counted):
    batch_id: str | None = None
    test_case_count: int
    labels: list[str] = Field(description=f"Labels of the first {LABELS_SHOWN} test cases.")

    def line(self) -> str:
        when = "" if self.created_date is None else f" {format_time(self.created_date)}"
        more = self.test_case_count - len(self.labels)
        labels = "; ".join(self.labels) + (f"; and {more} more" if more > 0 else "")
        return one_line(f"{self.batch_id or '(no id)'}{when}: {self.progress()}. Cases: {labels}")


class BatchRunList(Answer):
    """A page of an agent's batch runs, newest first."""

    agent_id: str
    page: int
    size: int
    total_count: int | None = Field(
        default=None, description="Batch runs of this agent, before narrowing."
    )
    batch_runs: list[BatchRunRow]

    def render(self) -> Rendered:
        total = "" if self.total_count is None else f" of {self.total_count}"
        shown = f"{len(self.batch_runs)}{total} batch runs of agent {self.agent_id}, newest first"
        states = {row.state for row in self.batch_runs}
        explained = [line for state in sorted(states) for line in _explained(state)]
        shown += f" (page {self.page}, size {self.size})."
        return Rendered([shown], [row.line() for row in self.batch_runs], explained)


async def list_batch_runs(args: ListBatchRuns, api: SigmaMindClient) -> BatchRunList:
    """List an agent's batch runs, newest first, with states and pass counts.

    With a batchId use get_batch_run, or list_test_runs for its conversations. Reads only.
    """
    is_full = args.detail == "full"
    page, now = await api.list_batch_runs(args.agent_id, page=args.page, size=args.size)
    # An API that pages by less than was asked for would lose entries to a next page counted by what was asked.
    size = page.size if page.size and page.size <= args.size else args.size
    going_on = args.model_copy(update={"size": size})
    wanted = args.label_contains.casefold()
    on_page = page.items[args.skip :]
    shown = [run for run in on_page if _has_label(run, wanted)]
    ended = await gather_errors(
        [partial(find_last_completed, run, run.batch_id, args.agent_id, now, api) for run in shown]
    )
    last_completed = {
        id(run): end for run, end in zip(shown, ended, strict=True) if isinstance(end, datetime)
    }

    def build(count: int) -> BatchRunList:
        kept = [run for run in on_page[:count] if _has_label(run, wanted)]
        answer = BatchRunList(
            agent_id=args.agent_id,
            page=args.page,
            size=size,
            total_count=page.total,
            batch_runs=[
                _batch_run_row(run, derive_progress(run, now, last_completed.get(id(run))))
                for run in kept
            ],
        )
        has_next = page.has_next and bool(page.items)  # an empty page ends any list
        add_next_page(
            answer,
            "list_batch_runs",
            going_on,
            count,
            len(on_page),
            total=page.total,
            has_next=has_next,
        )
        if worth := next(
            (run for run in kept if run.failed_attempts and valid_id(run.batch_id)), None
        ):
            here: CallArguments = {"agentId": args.agent_id, "batchId": worth.batch_id or ""}
            answer.next_calls.append(NextCall(tool="diagnose_batch_run", arguments=here))
        if wanted and on_page and not kept:
            answer.hint = (
                f"None of the {len(on_page)} batch runs on this page has that text in a label."
            )
        return answer.with_raw({"batchRuns": [run.raw for run in kept]}, when=is_full)

    return await fit_items(len(on_page), build)


async def get_batch_run(args: GetBatchRun, api: SigmaMindClient) -> BatchRunAnswer:
    """Read one batch run as it is now: state, pass counts, test cases.

    To follow it use wait_for_batch_run; for verdicts list_test_runs; for why attempts failed diagnose_batch_run.
    Reads only.
    """
    batch_run, progress = await read_progress(args.batch_id, args.agent_id, api)
    answer = _batch_run_answer(BatchRunAnswer, batch_run, progress, args.agent_id, args.batch_id)
    return answer.with_raw(batch_run.raw, when=args.detail == "full")


async def wait_for_batch_run(
    args: WaitForBatchRun, api: SigmaMindClient, context: CallContext
) -> WaitedBatchRun:
    """Wait until a batch run ends, at most maxSeconds; returns its state and counts then.

    Use it after create_batch_run, and again while still running; for one look use get_batch_run. Only polls: costs
    nothing, stops nothing.
    """

    async def look() -> WaitedBatchRun:
        batch_run, progress = await read_progress(args.batch_id, args.agent_id, api)
        return _batch_run_answer(WaitedBatchRun, batch_run, progress, args.agent_id, args.batch_id)

    started = anyio.current_time()
    answer = await look()
    with anyio.CancelScope(deadline=started + args.max_seconds):
        for pause in _growing_pauses():
            await context.report_progress(*_report_of(answer))
            if answer.state != "running":
                break
            await anyio.sleep(pause)
            # One failed look is no reason to give up a wait; the next one may succeed.
            with suppress(ConnectionFailed, ServerFault, TooManyRequests):
                answer = await look()
    if answer.state == "running":
        answer.next_calls = [
            NextCall(tool="wait_for_batch_run", arguments=args.model_dump(by_alias=True))
        ]
    answer.waited_seconds = round(anyio.current_time() - started, 1)
    return answer


BatchRunAnswerT = TypeVar("BatchRunAnswerT", bound=BatchRunAnswer)


def _batch_run_answer(
    kind: type[BatchRunAnswerT],
    batch_run: BatchRun,
    progress: Progress,
    agent_id: str,
    batch_id: str,
) -> BatchRunAnswerT:
    here: CallArguments = {"agentId": agent_id, "batchId": batch_id}
    follow = NextCall(tool="list_test_runs", arguments=here)
    if progress.state == "running":
        follow = NextCall(tool="wait_for_batch_run", arguments=here)
    elif batch_run.failed_attempts:
        follow = NextCall(tool="diagnose_batch_run", arguments=here)
    answer = kind(
        state=progress.state,
        created_date=progress.created_date,
        successful_attempts=progress.passed,
        failed_attempts=progress.failed,
        expected_attempts=progress.expected,
        undecided_attempts=progress.undecided,
        batch_id=batch_id,
        agent_id=agent_id,
        agent_name=batch_run.agent.name if batch_run.agent else None,
        test_cases=[_case_row(case) for case in batch_run.test_cases],
        uri=uri_of("batch-run", agentId=agent_id, batchId=batch_id),
        next_calls=[follow],
    )
    return answer.linking(_batch_run_link(agent_id, batch_id))


def _growing_pauses() -> Iterator[float]:
    pause = FIRST_LOOK_AFTER
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_BETWEEN_LOOKS)


def _report_of(answer: BatchRunAnswer) -> tuple[float, float | None, str]:
    decided = (answer.successful_attempts or 0) + (answer.failed_attempts or 0)
    return decided, answer.expected_attempts, answer.progress()


def _explained(state: BatchRunState) -> list[str]:
    if state == "stalled":
        return [
            "Stalled: attempts are still undecided more than 15 minutes after the launch; some may have broken."
        ]
    if state == "unknown":
        return ["Unknown: the API gave no counters to derive a state from."]
    return []


def _has_label(batch_run: BatchRun, wanted: str) -> bool:
    return not wanted or any(wanted in case.title.casefold() for case in batch_run.test_cases)


def _batch_run_row(batch_run: BatchRun, progress: Progress) -> BatchRunRow:
    return BatchRunRow(
        state=progress.state,
        created_date=progress.created_date,
        successful_attempts=progress.passed,
        failed_attempts=progress.failed,
        expected_attempts=progress.expected,
        undecided_attempts=progress.undecided,
        batch_id=valid_id(batch_run.batch_id),
        test_case_count=len(batch_run.test_cases),
        labels=[case.title for case in batch_run.test_cases[:LABELS_SHOWN]],
    )


def _case_row(case: TestCase) -> TestCaseRow:
    return TestCaseRow(
        test_case_id=valid_id(case.test_case_id),
        label=case.title,
        attempt=case.attempt,
        llm_model=case.llm_model,
    )


def _batch_run_link(agent_id: str, batch_id: str) -> Link:
    return Link(
        uri_of("batch-run", agentId=agent_id, batchId=batch_id),
        f"Batch run {batch_id}",
        "application/json",
    )
