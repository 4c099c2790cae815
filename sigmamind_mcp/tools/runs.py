"""Batch runs and test runs: following them, and reading what was said and judged."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.api.run_reading import list_complete_runs
from sigmamind_mcp.errors import (
    InvalidArguments,
)
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import (
    Answer,
    Link,
    NextCall,
    Rendered,
    Time,
    add_next_page,
    field_lines,
    fit_items,
    format_time,
    one_line,
)
from sigmamind_mcp.tools.arguments import BatchId, Detail, ForAgent, Id, JobId, NotBool, Paged
from sigmamind_mcp.tools.transcripts import NumberedTurn, markdown_turn, numbered, without_heads
from sigmamind_mcp.uris import uri_of

UNDECIDED = "Undecided: the run has not ended, or it broke. One older than 15 minutes will hardly end any more."


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
    passed: int | None = Field(
        default=None, description="Of all runs of the batch; absent when not all were read."
    )
    failed: int | None = None
    undecided: int | None = None
    test_runs: list[TestRunRow]

    def render(self) -> Rendered:
        shown = f"{len(self.test_runs)} of {self.total_count} matching test runs of batch run {self.batch_id}"
        counted = (
            "" if self.passed is None else f" All runs: {self.passed} passed, {self.failed} failed"
        )
        counted += f", {self.undecided} undecided." if counted else ""
        return Rendered(
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
    next_from_turn: int | None = Field(
        default=None, description="Where the next range begins, if there is more."
    )
    next_uri: str | None = Field(default=None, description="The next range of the transcript.")
    uri: str
    transcript_uri: str

    def render(self) -> Rendered:
        case = f", test case {self.test_case_id}" if self.test_case_id else ""
        begun = "" if self.created_date is None else f" Started {format_time(self.created_date)}."
        ended = (
            " Not completed."
            if self.completed_date is None
            else f" Completed {format_time(self.completed_date)}."
        )
        head = f"Test run {self.job_id} of batch run {self.batch_id} (agent {self.agent_id}{case}): {self.verdict}."
        fields = field_lines(
            ("label", self.label),
            ("successCriteria", self.success_criteria),
            ("remarks", self.remarks),
            ("chatId", self.chat_id),
        )
        data = [without_heads(field) for field in fields]
        data += [
            "",
            *(markdown_turn(turn.turn, turn.role, turn.content) for turn in self.conversation),
        ]
        return Rendered(
            [head + begun + ended], data, [self._range(), f"Transcript: {self.transcript_uri}"]
        )

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
            test_case_id=valid_id(case.test_case_id),
            label=case.label,
            verdict=run.verdict,
            remarks=run.remarks,
            success_criteria=case.success_criteria,
            chat_id=run.chat_id,
            created_date=run.created_date,
            completed_date=run.completed_date,
            turn_count=count,
            conversation=[
                TurnShown(turn=n, role=turn.role, content=turn.content) for n, turn in turns
            ],
            next_from_turn=after if after <= count else None,
            next_uri=f"{uri}?fromTurn={after}{ranged}" if after <= count else None,
            uri=uri_of("test-run", **place),
            transcript_uri=uri,
            hint=UNDECIDED if run.verdict == "undecided" else None,
        )


async def list_test_runs(args: ListTestRuns, api: SigmaMindClient) -> TestRunList:
    """List a batch run's test runs: job id, test case, verdict, reason, transcript URI.

    Use verdict 'failed' to pick failures; for one conversation use get_test_run, for all failures explained
    diagnose_batch_run. Reads only.
    """
    runs = await list_complete_runs(args.batch_id, args.agent_id, api)
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
        add_next_page(
            answer,
            "list_test_runs",
            args,
            count,
            len(shown),
            total=len(kept),
            has_next=end < len(kept),
        )
        if args.test_case_id and not any(_is_of(run, args.test_case_id) for run in runs):
            answer.hint = f"This batch run has no run of test case {args.test_case_id}; get_batch_run shows its cases."
        rows = [run.raw for run in shown[:count]]
        links = [
            _transcript_link(row.transcript_uri, row.job_id)
            for row in answer.test_runs
            if row.transcript_uri
        ]
        return answer.with_raw({"testRuns": rows}, when=args.detail == "full").linking(*links)

    return await fit_items(len(shown), build)


async def get_test_run(args: GetTestRun, api: SigmaMindClient) -> TestRunAnswer:
    """Read one test run: verdict, the judge's remarks, the conversation by turns.

    For a jobId use list_test_runs; for two conversations side by side compare_test_runs. Reads only; long ones come
    in ranges, each naming the next fromTurn.
    """
    run = await api.get_test_run(args.job_id, args.batch_id, args.agent_id)
    count = len(run.conversation or [])
    if args.from_turn > max(count, 1):
        raise InvalidArguments(
            f"fromTurn must be at most {max(count, 1)}: this conversation has {count} turns."
        )
    turns = numbered(run.conversation, from_turn=args.from_turn)[: args.turns]

    def build(shown: int) -> TestRunAnswer:
        answer = TestRunAnswer.of(run, args, turns[:shown])
        if answer.next_from_turn:
            given = args.model_dump(by_alias=True, exclude_unset=True)
            going_on = {**given, "agentId": args.agent_id, "fromTurn": answer.next_from_turn}
            answer.next_calls = [NextCall(tool="get_test_run", arguments=going_on)]
        raw = {**run.raw, "conversation": [turn.raw for _, turn in turns[:shown]]}
        return answer.with_raw(raw, when=args.detail == "full")

    answer = await fit_items(len(turns), build)
    return answer.linking(
        _transcript_link(answer.transcript_uri, args.job_id),
        Link(answer.uri, f"Test run {args.job_id}", "application/json"),
    )


def _matches(run: TestRun, args: ListTestRuns) -> bool:
    return args.verdict in (None, run.verdict) and (
        not args.test_case_id or _is_of(run, args.test_case_id)
    )


def _is_of(run: TestRun, test_case_id: str) -> bool:
    return run.test_case is not None and run.test_case.test_case_id == test_case_id


def _run_row(run: TestRun, args: ListTestRuns) -> TestRunRow:
    case = run.test_case or TestCase()
    job_id = valid_id(run.job_id)
    return TestRunRow(
        job_id=job_id,
        test_case_id=valid_id(case.test_case_id),
        label=case.title if run.test_case else None,
        verdict=run.verdict,
        remarks=" ".join((run.remarks or "").split()) or None,
        chat_id=run.chat_id,
        transcript_uri=job_id
        and uri_of("transcript", agentId=args.agent_id, batchId=args.batch_id, jobId=job_id),
    )


def _transcript_link(uri: str, job_id: str | None) -> Link:
    return Link(uri, f"Transcript of {job_id}", "text/markdown")
