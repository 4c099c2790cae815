"""Batch runs and test runs: following them, and reading what was said and judged."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, Self, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.client import SigmaMindClient
from sigmamind_mcp.errors import (
    ConnectionFailed,
    InvalidArguments,
    NotFound,
    ServerFault,
    SigmaMindError,
    TooManyRequests,
)
from sigmamind_mcp.models import BatchRun, BatchRunState, TestCase, TestRun, Verdict
from sigmamind_mcp.together import together
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Said,
    Time,
    in_pages,
    known_id,
    most_that_fit,
    named,
    one_line,
    spelt,
)
from sigmamind_mcp.tools.arguments import (
    BatchId,
    Detail,
    ForAgent,
    Id,
    JobId,
    LabelContains,
    NotBool,
    Paged,
    PageSize,
)
from sigmamind_mcp.tools.cases import TestCaseRow
from sigmamind_mcp.transcripts import NumberedTurn, markdown_turn, numbered, without_heads
from sigmamind_mcp.uris import uri_of

LABELS_SHOWN = 5
MAX_READ_ONE_BY_ONE = 200
VERDICT_FIELDS = {"isSuccessful", "isSuccesful", "completedDate", "remarks"}
"""A listed run that has none of these tells no more than its job id."""
FIRST_LOOK_AFTER = 1.0
LONGEST_BETWEEN_LOOKS = 10.0
READ_SECONDS = 30.0

UNDECIDED = "Undecided: the run has not ended, or it broke. One older than 15 minutes will hardly end any more."

Report = Callable[[float, float | None, str], Awaitable[None]]
"""Tells a client that asked for progress: how much, of how much, in words."""


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


class ListTestRuns(Paged, ForAgent):
    batch_id: BatchId
    verdict: Annotated[
        Literal["passed", "failed", "undecided"] | None,
        Field(description="Keep this outcome."),
    ] = None
    test_case_id: Annotated[Id, Field(description="Keep this test case.")] = ""
    detail: Detail = "concise"


class GetTestRun(ForAgent):
    job_id: JobId
    batch_id: BatchId
    from_turn: Annotated[int, Field(ge=1, description="First turn to return, from 1."), NotBool] = 1
    turns: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="At most so many; by default as many as fit.",
            json_schema_extra=lambda schema: schema.pop("default"),
        ),
        NotBool,
    ] = 1000
    detail: Detail = "concise"


class Counted(BaseModel):
    """How far a batch run is; `state` is derived from the counters, since the API has no status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    state: BatchRunState
    created_date: Time | None = None
    successful_attempts: int | None = None
    failed_attempts: int | None = None
    expected_attempts: int | None = Field(default=None, description="Attempts there will have been at the end.")
    undecided_attempts: int | None = Field(default=None, description="Expected attempts without a verdict so far.")

    def progress(self) -> str:
        if self.successful_attempts is None and self.failed_attempts is None:
            return f"{self.state}, no counters yet"
        of = "" if self.expected_attempts is None else f" of {self.expected_attempts} attempts"
        left = f", {self.undecided_attempts} undecided" if self.undecided_attempts else ""
        return f"{self.state}, {self.successful_attempts or 0} passed, {self.failed_attempts or 0} failed{left}{of}"


def counts(batch_run: BatchRun, now: datetime, last_completed: datetime | None = None) -> dict[str, object]:
    expected, decided = batch_run.expected_attempts, batch_run.decided_attempts
    return {
        "state": batch_run.state(now, last_completed),
        "created_date": batch_run.created_date,
        "successful_attempts": batch_run.successful_attempts,
        "failed_attempts": batch_run.failed_attempts,
        "expected_attempts": expected,
        "undecided_attempts": None if expected is None or decided is None else max(expected - decided, 0),
    }


class BatchRunAnswer(Counted, Answer):
    """One batch run."""

    batch_id: str
    agent_id: str
    agent_name: str | None = None
    test_cases: list[TestCaseRow] = []
    uri: str

    def said(self) -> Said:
        created = "" if self.created_date is None else f" Created {spelt(self.created_date)}."
        agent = [one_line(f"agent: {self.agent_name}")] if self.agent_name else []
        return Said(
            [f"Batch run {self.batch_id} of agent {self.agent_id}: {self.progress()}.{created}"],
            agent + [row.line() for row in self.test_cases],
            [*_explained(self.state), f"Resource: {self.uri}"],
        )


class WaitedBatchRun(BatchRunAnswer):
    """A batch run after waiting for it."""

    waited_seconds: float = 0.0

    def said(self) -> Said:
        said = super().said()
        return said._replace(after=[f"Waited {self.waited_seconds} s.", *said.after])


class BatchRunRow(Counted):
    batch_id: str | None = None
    test_case_count: int
    labels: list[str] = Field(description=f"Labels of the first {LABELS_SHOWN} test cases.")

    def line(self) -> str:
        when = "" if self.created_date is None else f" {spelt(self.created_date)}"
        more = self.test_case_count - len(self.labels)
        labels = "; ".join(self.labels) + (f"; and {more} more" if more > 0 else "")
        return one_line(f"{self.batch_id or '(no id)'}{when}: {self.progress()}. Cases: {labels}")


class BatchRunList(Answer):
    """A page of an agent's batch runs, newest first."""

    agent_id: str
    page: int
    size: int
    total_count: int | None = Field(default=None, description="Batch runs of this agent, before narrowing.")
    batch_runs: list[BatchRunRow]

    def said(self) -> Said:
        total = "" if self.total_count is None else f" of {self.total_count}"
        shown = f"{len(self.batch_runs)}{total} batch runs of agent {self.agent_id}, newest first"
        states = {row.state for row in self.batch_runs}
        explained = [line for state in sorted(states) for line in _explained(state)]
        shown += f" (page {self.page}, size {self.size})."
        return Said([shown], [row.line() for row in self.batch_runs], explained)


class TestRunRow(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    job_id: str | None = None
    test_case_id: str | None = None
    label: str | None = None
    verdict: Verdict
    remarks: str | None = Field(default=None, description="The judge's reason for the verdict.")
    chat_id: str | None = Field(default=None, description="Finds the run in the dashboard.")
    transcript_uri: str | None = None

    def line(self) -> str:
        chat = f", chat {self.chat_id}" if self.chat_id else ""
        case = f" {self.test_case_id or ''} {self.label or ''}".rstrip()
        remarks = f"\n  {self.remarks}" if self.remarks else ""
        head = one_line(f"{self.job_id or '(no id)'} {self.verdict}:{case}{chat}")
        return f"{head}{remarks}\n  {self.transcript_uri or ''}".rstrip()


class TestRunList(Answer):
    """A page of a batch run's test runs."""

    batch_id: str
    agent_id: str
    page: int
    size: int
    total_count: int = Field(description="Test runs that match, on all pages.")
    passed: int | None = Field(default=None, description="Of all runs of the batch; absent when not all were read.")
    failed: int | None = None
    undecided: int | None = None
    test_runs: list[TestRunRow]

    def said(self) -> Said:
        shown = f"{len(self.test_runs)} of {self.total_count} matching test runs of batch run {self.batch_id}"
        counted = "" if self.passed is None else f" All runs: {self.passed} passed, {self.failed} failed"
        counted += f", {self.undecided} undecided." if counted else ""
        return Said(
            [f"{shown} of agent {self.agent_id} (page {self.page}, size {self.size}).{counted}"],
            [row.line() for row in self.test_runs],
            [],
        )


class TurnShown(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    turn: int = Field(description="Counts from 1.")
    role: str
    content: str


class TestRunAnswer(Answer):
    """One test run: the verdict, its reason, and the conversation."""

    job_id: str
    batch_id: str
    agent_id: str
    test_case_id: str | None = None
    label: str | None = None
    verdict: Verdict
    remarks: str | None = Field(default=None, description="The judge's reason for the verdict.")
    success_criteria: str | None = None
    chat_id: str | None = Field(default=None, description="Finds the run in the dashboard.")
    created_date: Time | None = None
    completed_date: Time | None = None
    turn_count: int = Field(description="Turns of the whole conversation.")
    conversation: list[TurnShown]
    next_from_turn: int | None = Field(default=None, description="Where the next range begins, if there is more.")
    next_uri: str | None = Field(default=None, description="The next range of the transcript.")
    uri: str
    transcript_uri: str

    def said(self) -> Said:
        case = f", test case {self.test_case_id}" if self.test_case_id else ""
        begun = "" if self.created_date is None else f" Started {spelt(self.created_date)}."
        ended = " Not completed." if self.completed_date is None else f" Completed {spelt(self.completed_date)}."
        head = f"Test run {self.job_id} of batch run {self.batch_id} (agent {self.agent_id}{case}): {self.verdict}."
        fields = named(
            ("label", self.label),
            ("successCriteria", self.success_criteria),
            ("remarks", self.remarks),
            ("chatId", self.chat_id),
        )
        data = [without_heads(field) for field in fields]
        data += ["", *(markdown_turn(turn.turn, turn.role, turn.content) for turn in self.conversation)]
        return Said([head + begun + ended], data, [self._range(), f"Transcript: {self.transcript_uri}"])

    def _range(self) -> str:
        if self.turn_count == 0:
            return "There is no transcript: the API gave none with this run. The chat id finds it in the dashboard."
        first, last = self.conversation[0].turn, self.conversation[-1].turn
        more = f" More: {self.next_uri}" if self.next_uri else ""
        return f"Turns {first} to {last} of {self.turn_count}.{more}"

    @classmethod
    def of(cls, run: TestRun, args: GetTestRun, turns: Sequence[NumberedTurn]) -> Self:
        place = {"agentId": args.agent_id, "batchId": args.batch_id, "jobId": args.job_id}
        count = len(run.conversation or [])
        after = turns[-1].number + 1 if turns else count + 1
        case = run.test_case or TestCase()
        uri = uri_of("transcript", **place)
        ranged = f"&turns={args.turns}" if "turns" in args.model_fields_set else ""
        return cls(
            job_id=args.job_id,
            batch_id=args.batch_id,
            agent_id=args.agent_id,
            test_case_id=known_id(case.test_case_id),
            label=case.label,
            verdict=run.verdict,
            remarks=run.remarks,
            success_criteria=case.success_criteria,
            chat_id=run.chat_id,
            created_date=run.created_date,
            completed_date=run.completed_date,
            turn_count=count,
            conversation=[TurnShown(turn=n, role=turn.role, content=turn.content) for n, turn in turns],
            next_from_turn=after if after <= count else None,
            next_uri=f"{uri}?fromTurn={after}{ranged}" if after <= count else None,
            uri=uri_of("test-run", **place),
            transcript_uri=uri,
            hint=UNDECIDED if run.verdict == "undecided" else None,
        )


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
    ended = await together([partial(_last_completed, run, run.batch_id, args.agent_id, now, api) for run in shown])
    last_completed = {id(run): end for run, end in zip(shown, ended, strict=True) if isinstance(end, datetime)}

    def build(count: int) -> BatchRunList:
        kept = [run for run in on_page[:count] if _has_label(run, wanted)]
        answer = BatchRunList(
            agent_id=args.agent_id,
            page=args.page,
            size=size,
            total_count=page.total,
            batch_runs=[_batch_run_row(run, counts(run, now, last_completed.get(id(run)))) for run in kept],
        )
        has_next = page.has_next and bool(page.items)  # an empty page ends any list
        in_pages(answer, "list_batch_runs", going_on, count, len(on_page), total=page.total, has_next=has_next)
        if worth := next((run for run in kept if run.failed_attempts and known_id(run.batch_id)), None):
            here: CallArguments = {"agentId": args.agent_id, "batchId": worth.batch_id or ""}
            answer.next_calls.append(NextCall(tool="diagnose_batch_run", arguments=here))
        if wanted and on_page and not kept:
            answer.hint = f"None of the {len(on_page)} batch runs on this page has that text in a label."
        return answer.with_raw({"batchRuns": [run.raw for run in kept]}, when=is_full)

    return await most_that_fit(len(on_page), build)


async def get_batch_run(args: GetBatchRun, api: SigmaMindClient) -> BatchRunAnswer:
    """Read one batch run as it is now: state, pass counts, test cases.

    To follow it use wait_for_batch_run; for verdicts list_test_runs; for why attempts failed diagnose_batch_run.
    Reads only.
    """
    batch_run, counted = await _look(args.batch_id, args.agent_id, api)
    answer = _batch_run_answer(BatchRunAnswer, batch_run, counted, args.agent_id, args.batch_id)
    return answer.with_raw(batch_run.raw, when=args.detail == "full")


async def wait_for_batch_run(args: WaitForBatchRun, api: SigmaMindClient, report: Report) -> WaitedBatchRun:
    """Wait until a batch run ends, at most maxSeconds; returns its state and counts then.

    Use it after create_batch_run, and again while still running; for one look use get_batch_run. Only polls: costs
    nothing, stops nothing.
    """

    async def look() -> WaitedBatchRun:
        batch_run, counted = await _look(args.batch_id, args.agent_id, api)
        return _batch_run_answer(WaitedBatchRun, batch_run, counted, args.agent_id, args.batch_id)

    started = anyio.current_time()
    answer = await look()
    with anyio.CancelScope(deadline=started + args.max_seconds):
        for pause in _growing_pauses():
            await report(*_progress(answer))
            if answer.state != "running":
                break
            await anyio.sleep(pause)
            # One failed look is no reason to give up a wait; the next one may succeed.
            with suppress(ConnectionFailed, ServerFault, TooManyRequests):
                answer = await look()
    if answer.state == "running":
        answer.next_calls = [NextCall(tool="wait_for_batch_run", arguments=args.model_dump(by_alias=True))]
    answer.waited_seconds = round(anyio.current_time() - started, 1)
    return answer


async def list_test_runs(args: ListTestRuns, api: SigmaMindClient) -> TestRunList:
    """List a batch run's test runs: job id, test case, verdict, reason, transcript URI.

    Use verdict 'failed' to pick failures; for one conversation use get_test_run, for all failures explained
    diagnose_batch_run. Reads only.
    """
    runs = await runs_of(args.batch_id, args.agent_id, api)
    verdicts = [run.verdict for run in runs]
    kept = [run for run in runs if _matches(run, args)]
    end = (args.page + 1) * args.size
    shown = kept[args.page * args.size + args.skip : end]

    def build(count: int) -> TestRunList:
        answer = TestRunList(
            batch_id=args.batch_id,
            agent_id=args.agent_id,
            page=args.page,
            size=args.size,
            total_count=len(kept),
            passed=verdicts.count("passed"),
            failed=verdicts.count("failed"),
            undecided=verdicts.count("undecided"),
            test_runs=[_run_row(run, args) for run in shown[:count]],
        )
        in_pages(answer, "list_test_runs", args, count, len(shown), total=len(kept), has_next=end < len(kept))
        if args.test_case_id and not any(_is_of(run, args.test_case_id) for run in runs):
            answer.hint = f"This batch run has no run of test case {args.test_case_id}; get_batch_run shows its cases."
        rows = [run.raw for run in shown[:count]]
        links = [_transcript_link(row.transcript_uri, row.job_id) for row in answer.test_runs if row.transcript_uri]
        return answer.with_raw({"testRuns": rows}, when=args.detail == "full").linking(*links)

    return await most_that_fit(len(shown), build)


async def get_test_run(args: GetTestRun, api: SigmaMindClient) -> TestRunAnswer:
    """Read one test run: verdict, the judge's remarks, the conversation by turns.

    For a jobId use list_test_runs; for two conversations side by side compare_test_runs. Reads only; long ones come
    in ranges, each naming the next fromTurn.
    """
    run = await api.get_test_run(args.job_id, args.batch_id, args.agent_id)
    count = len(run.conversation or [])
    if args.from_turn > max(count, 1):
        raise InvalidArguments(f"fromTurn must be at most {max(count, 1)}: this conversation has {count} turns.")
    turns = numbered(run.conversation, from_turn=args.from_turn)[: args.turns]

    def build(shown: int) -> TestRunAnswer:
        answer = TestRunAnswer.of(run, args, turns[:shown])
        if answer.next_from_turn:
            given = args.model_dump(by_alias=True, exclude_unset=True)
            going_on = {**given, "agentId": args.agent_id, "fromTurn": answer.next_from_turn}
            answer.next_calls = [NextCall(tool="get_test_run", arguments=going_on)]
        raw = {**run.raw, "conversation": [turn.raw for _, turn in turns[:shown]]}
        return answer.with_raw(raw, when=args.detail == "full")

    answer = await most_that_fit(len(turns), build)
    return answer.linking(
        _transcript_link(answer.transcript_uri, args.job_id),
        Link(answer.uri, f"Test run {args.job_id}", "application/json"),
    )


BatchRunAnswerT = TypeVar("BatchRunAnswerT", bound=BatchRunAnswer)


def _batch_run_answer(
    kind: type[BatchRunAnswerT], batch_run: BatchRun, counted: dict[str, object], agent_id: str, batch_id: str
) -> BatchRunAnswerT:
    here: CallArguments = {"agentId": agent_id, "batchId": batch_id}
    follow = NextCall(tool="list_test_runs", arguments=here)
    if counted["state"] == "running":
        follow = NextCall(tool="wait_for_batch_run", arguments=here)
    elif batch_run.failed_attempts:
        follow = NextCall(tool="diagnose_batch_run", arguments=here)
    answer = kind.model_validate(
        {
            **counted,
            "batch_id": batch_id,
            "agent_id": agent_id,
            "agent_name": batch_run.agent and batch_run.agent.name,
            "test_cases": [_case_row(case) for case in batch_run.test_cases],
            "uri": uri_of("batch-run", agentId=agent_id, batchId=batch_id),
            "next_calls": [follow],
        }
    )
    return answer.linking(_batch_run_link(agent_id, batch_id))


async def _look(batch_id: str, agent_id: str, api: SigmaMindClient) -> tuple[BatchRun, dict[str, object]]:
    batch_run, now = await api.get_batch_run(batch_id, agent_id)
    return batch_run, counts(batch_run, now, await _last_completed(batch_run, batch_id, agent_id, now, api))


async def _last_completed(
    batch_run: BatchRun, batch_id: str | None, agent_id: str, now: datetime, api: SigmaMindClient
) -> datetime | None:
    """When the newest attempt ended. Only a batch run that seems stalled without it is worth the asking."""
    if batch_id is None or batch_run.state(now) != "stalled":
        return None
    try:
        ended = [run.completed_date for run in await api.list_test_runs(batch_id, agent_id)]
    except SigmaMindError:
        return None
    return max((moment for moment in ended if moment), default=None)


def _growing_pauses() -> Iterator[float]:
    pause = FIRST_LOOK_AFTER
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_BETWEEN_LOOKS)


def _progress(answer: BatchRunAnswer) -> tuple[float, float | None, str]:
    decided = (answer.successful_attempts or 0) + (answer.failed_attempts or 0)
    return decided, answer.expected_attempts, answer.progress()


def _explained(state: BatchRunState) -> list[str]:
    if state == "stalled":
        return ["Stalled: attempts are still undecided more than 15 minutes after the launch; some may have broken."]
    if state == "unknown":
        return ["Unknown: the API gave no counters to derive a state from."]
    return []


def _has_label(batch_run: BatchRun, wanted: str) -> bool:
    return not wanted or any(wanted in case.title.casefold() for case in batch_run.test_cases)


def _batch_run_row(batch_run: BatchRun, counted: dict[str, object]) -> BatchRunRow:
    return BatchRunRow.model_validate(
        {
            **counted,
            "batch_id": known_id(batch_run.batch_id),
            "test_case_count": len(batch_run.test_cases),
            "labels": [case.title for case in batch_run.test_cases[:LABELS_SHOWN]],
        }
    )


def _case_row(case: TestCase) -> TestCaseRow:
    return TestCaseRow(
        test_case_id=known_id(case.test_case_id),
        label=case.title,
        attempt=case.attempt,
        llm_model=case.llm_model,
    )


async def runs_of(batch_id: str, agent_id: str, api: SigmaMindClient) -> list[TestRun]:
    """Every test run of a batch; those that the API lists without a verdict or an end are read one by one."""
    runs = await api.list_test_runs(batch_id, agent_id)
    bare = [job_id for run in runs if not VERDICT_FIELDS & set(run.raw) and (job_id := known_id(run.job_id))]
    if not any(set(run.raw) <= {"jobId", "testCase"} for run in runs):
        # What is listed says something, so it stands where reading says no more.
        read = await together(
            [partial(api.get_test_run, name, batch_id, agent_id) for name in bare[:MAX_READ_ONE_BY_ONE]]
        )
        found = {name: run for name, run in zip(bare, read, strict=False) if isinstance(run, TestRun)}
        return [found.get(run.job_id or "", run) for run in runs]
    if len(bare) > MAX_READ_ONE_BY_ONE:
        raise InvalidArguments(
            f"This batch run lists {len(bare)} job ids without verdicts, too many to read one by one."
            " Read single runs with get_test_run."
        )
    by_id = dict(zip(bare, await read_runs(bare, batch_id, agent_id, api), strict=True)) if bare else {}
    return [by_id.get(run.job_id or "", run) for run in runs]


async def read_runs(job_ids: Sequence[str], batch_id: str, agent_id: str, api: SigmaMindClient) -> list[TestRun]:
    """These test runs of a batch, in this order.

    Raises:
        InvalidArguments: the batch run has no test run of such an id; the first few are named.
        SigmaMindError: the first other failure of a read.
    """
    read: list[TestRun | SigmaMindError] = []
    with anyio.move_on_after(READ_SECONDS):
        read = await together([partial(api.get_test_run, job_id, batch_id, agent_id) for job_id in job_ids])
    if len(read) < len(job_ids):
        raise ConnectionFailed(
            f"The {len(job_ids)} test runs were not all read within {READ_SECONDS:.0f} s. Ask for fewer.", sent=True
        )
    if missing := [job_id for job_id, run in zip(job_ids, read, strict=True) if isinstance(run, NotFound)]:
        raise InvalidArguments(f"Batch run {batch_id} has no test run {', '.join(missing[:5])}.")
    if failures := [run for run in read if isinstance(run, SigmaMindError)]:
        raise failures[0]
    return [run for run in read if isinstance(run, TestRun)]


def _matches(run: TestRun, args: ListTestRuns) -> bool:
    return args.verdict in (None, run.verdict) and (not args.test_case_id or _is_of(run, args.test_case_id))


def _is_of(run: TestRun, test_case_id: str) -> bool:
    return run.test_case is not None and run.test_case.test_case_id == test_case_id


def _run_row(run: TestRun, args: ListTestRuns) -> TestRunRow:
    case = run.test_case or TestCase()
    job_id = known_id(run.job_id)
    return TestRunRow(
        job_id=job_id,
        test_case_id=known_id(case.test_case_id),
        label=case.title if run.test_case else None,
        verdict=run.verdict,
        remarks=" ".join((run.remarks or "").split()) or None,
        chat_id=run.chat_id,
        transcript_uri=job_id and uri_of("transcript", agentId=args.agent_id, batchId=args.batch_id, jobId=job_id),
    )


def _batch_run_link(agent_id: str, batch_id: str) -> Link:
    return Link(uri_of("batch-run", agentId=agent_id, batchId=batch_id), f"Batch run {batch_id}", "application/json")


def _transcript_link(uri: str, job_id: str | None) -> Link:
    return Link(uri, f"Transcript of {job_id}", "text/markdown")
