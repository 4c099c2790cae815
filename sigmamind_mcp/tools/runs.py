"""Test runs: list them, and read what was said and judged."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Annotated, NamedTuple, Self

from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.message_parts import hide_data
from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.api.run_reading import list_complete_runs
from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    Link,
    NextCall,
    Rendered,
    Time,
    field_lines,
    fit_items,
    format_time,
    group_by,
)
from sigmamind_mcp.tools.argument_forms import NotBool
from sigmamind_mcp.tools.arguments import (
    BatchId,
    Detail,
    ForAgent,
    Id,
    JobId,
    Paged,
    hide_default,
)
from sigmamind_mcp.tools.list_pages import PageSlice, add_next_page, select_page
from sigmamind_mcp.tools.parts import LABEL_CHARACTERS, truncate_line
from sigmamind_mcp.tools.transcripts import (
    CONVERSATION_FIELDS,
    NumberedTurn,
    TurnText,
    describe_missing_conversation,
    escape_turn_heads,
    number_turns,
    render_short_turn,
    render_turn,
)
from sigmamind_mcp.tools.unread_notes import NO_ID, is_unreadable, note_listing, note_record
from sigmamind_mcp.uris import uri_of

RESULT_FIELDS = ("isSuccessful", "isSuccesful")
UNREADABLE_RESULT = "Undecided: the result in the API's answer cannot be read."
NO_RESULT = (
    "Undecided: the API's answer has no result. The run may not have ended, or it broke."
    " A run that started more than 15 minutes ago will probably never end."
)
UNCERTAIN_FAILURE = (
    "Undecided: the API says isSuccessful false, without an end or remarks."
    " It may say so of a run that is still running."
)


REMARKS_CHARACTERS = 300

KeptVerdict = Annotated[Verdict | None, Field(description="Keep this one.")]
KeptTestCase = Annotated[Id, Field(description="Keep this test case.")]


class ListTestRuns(Paged, ForAgent):
    batch_id: BatchId
    verdict: KeptVerdict = None
    test_case_id: KeptTestCase = ""
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
            description="Most turns to return; by default all that fit.",
            json_schema_extra=hide_default,
        ),
        NotBool,
    ] = 1000
    detail: Detail = "concise"


class TestRunRow(AnswerPart):
    job_id: str | None = None
    test_case_id: str | None = None
    label: str | None = Field(default=None, description="Only without testCaseId; see labels.")
    verdict: Verdict
    remarks: str | None = Field(default=None, description="The judge's reason; long ones are cut.")

    @classmethod
    def of(cls, run: TestRun) -> Self:
        case_id = valid_id(get_case_id(run))
        return cls(
            job_id=valid_id(run.job_id),
            test_case_id=case_id,
            label=_get_title(run) if case_id is None else None,
            verdict=run.verdict,
            remarks=truncate_line(run.remarks or "", REMARKS_CHARACTERS) or None,
        )


class TestRunList(Answer):
    """A page of a batch run's test runs."""

    batch_id: str
    agent_id: str
    page: int
    size: int
    total_count: int = Field(description="Test runs that match, on all pages.")
    passed: int | None = Field(default=None, description="Of all listed test runs that were read.")
    failed: int | None = None
    undecided: int | None = None
    labels: dict[str, str] = Field(default={}, description="By test case id.")
    test_runs: list[TestRunRow] = Field(description="By test case.")
    transcript_uri: str = Field(description="Of each test run, with its job id for {jobId}.")

    def render(self) -> Rendered:
        shown = f"{len(self.test_runs)} of {self.total_count} matching test runs"
        place = f"of batch run {self.batch_id} of agent {self.agent_id}"
        page = f"(page {self.page}, size {self.size})"
        counts = f"{self.passed} passed, {self.failed} failed, {self.undecided} undecided"
        after = f"Transcripts: {self.transcript_uri}"
        return Rendered(
            [f"{shown} {place} {page}. Of the runs that were read: {counts}."],
            self._list_rows(),
            [after],
        )

    def _list_rows(self) -> list[str]:
        """Return a line for each test case, and below it one for all runs that say the same."""
        lines: list[str] = []
        by_case = group_by(self.test_runs, lambda row: (row.test_case_id, row.label))
        for (case_id, label), rows in by_case.items():
            shown_label = label or self.labels.get(case_id or "", "")
            lines.append(f"{case_id or NO_ID} {shown_label}".strip())
            by_verdict = sorted(rows, key=lambda row: row.verdict)
            alike = group_by(by_verdict, lambda row: (row.verdict, row.remarks))
            for (verdict, remarks), runs in alike.items():
                job_ids = " ".join(row.job_id or NO_ID for row in runs)
                shown_remarks = f": {remarks}" if remarks else ""
                lines.append(f"  {verdict} {job_ids}{shown_remarks}")
        return lines


class TurnShown(AnswerPart):
    turn: int = Field(description="Counts from 1.")
    role: str
    content: str
    tool_calls: list[str] | None = Field(
        default=None, description="Tool calls and results, a line each."
    )
    tool_name: str | None = Field(default=None, description="The tool that a tool's turn is from.")
    other_fields: str | None = Field(
        default=None, description="What the API shows of a turn with nothing else, as JSON."
    )

    @classmethod
    def of(cls, numbered: NumberedTurn) -> Self:
        number, turn = numbered
        return cls(
            turn=number,
            role=turn.role,
            content=turn.text,
            tool_calls=list(turn.tool_calls) or None,
            tool_name=turn.tool_name,
            other_fields=turn.other_fields,
        )

    def render(self) -> str:
        return render_turn(self.turn, self.role, self._text)

    def render_short(self) -> str:
        return render_short_turn(self.turn, self.role, self._text)

    @property
    def _text(self) -> TurnText:
        return TurnText(self.content, self.tool_calls or [], self.tool_name, self.other_fields)


class TestRunAnswer(Answer):
    """One test run: the verdict, its reason, and the conversation."""

    job_id: str
    batch_id: str
    agent_id: str
    test_case_id: str | None = None
    label: str | None = None
    verdict: Verdict
    remarks: str | None = Field(default=None, description="The judge's reason for its result.")
    success_criteria: str | None = None
    chat_id: str | None = Field(default=None, description="Finds the run in the dashboard.")
    created_date: Time | None = None
    completed_date: Time | None = None
    turn_count: int | None = Field(
        default=None,
        description="Turns of the whole conversation; absent when the API's answer shows none.",
    )
    conversation: list[TurnShown]
    next_from_turn: int | None = Field(
        default=None, description="Where the next range begins, if there is more."
    )
    next_uri: str | None = Field(default=None, description="The next range of the transcript.")
    uri: str
    transcript_uri: str

    def render(self) -> Rendered:
        place = f"of batch run {self.batch_id} (agent {self.agent_id}"
        place += f", test case {self.test_case_id})" if self.test_case_id else ")"
        head = f"Test run {self.job_id} {place}: {self.verdict}."
        fields = field_lines(
            ("label", self.label),
            ("successCriteria", self.success_criteria),
            ("remarks", self.remarks),
            ("chatId", self.chat_id),
        )
        data = [escape_turn_heads(field) for field in fields]
        data.append("")
        for turn in self.conversation:
            data.append(turn.render())
        after = [*self._describe_range(), f"Transcript: {self.transcript_uri}"]
        return Rendered([f"{head}{self._describe_times()}"], data, after)

    def _describe_times(self) -> str:
        times = ""
        if self.created_date is not None:
            times += f" Started {format_time(self.created_date)}."
        if self.completed_date is not None:
            times += f" Completed {format_time(self.completed_date)}."
        return times

    def _describe_range(self) -> list[str]:
        if not self.conversation:  # the hint says why
            return []
        first, last = self.conversation[0].turn, self.conversation[-1].turn
        more = f" More: {self.next_uri}" if self.next_uri else ""
        return [f"Turns {first} to {last} of {self.turn_count}.{more}"]

    @classmethod
    def of(
        cls,
        run: TestRun,
        args: GetTestRun,
        turns: Sequence[NumberedTurn],
    ) -> Self:
        place = {"agentId": args.agent_id, "batchId": args.batch_id, "jobId": args.job_id}
        case = run.test_case or TestCase()
        answer = cls(
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
            turn_count=None if run.conversation is None else len(run.conversation),
            conversation=list(map(TurnShown.of, turns)),
            uri=uri_of("test-run", **place),
            transcript_uri=uri_of("transcript", **place),
            hint=_write_run_hint(run, args.job_id),
        )
        return answer.add_links(
            _link_transcript(answer.transcript_uri, args.job_id),
            Link(answer.uri, f"Test run {args.job_id}", "application/json"),
        )

    def add_next_range(self, args: GetTestRun) -> None:
        """Add the next turn, URI and call, if the shown turns are not the last."""
        last = self.conversation[-1].turn if self.conversation else 0
        if last >= (self.turn_count or 0):
            return
        self.next_from_turn = last + 1
        turns = f"&turns={args.turns}" if "turns" in args.model_fields_set else ""
        self.next_uri = f"{self.transcript_uri}?fromTurn={self.next_from_turn}{turns}"
        given = args.model_dump(by_alias=True, exclude_unset=True)
        further = {**given, "agentId": args.agent_id, "fromTurn": self.next_from_turn}
        self.next_calls = [NextCall(tool="get_test_run", arguments=further)]


class MatchingRuns(NamedTuple):
    """The listed test runs of a batch, those that match, and those left on the page."""

    every: Sequence[TestRun]
    matching: Sequence[TestRun]
    page: PageSlice[TestRun]


async def list_test_runs(args: ListTestRuns, api: SigmaMindClient) -> TestRunList:
    """List a batch run's test runs by test case: job id, verdict, the judge's reason.

    For conversations use read_test_runs, for failures explained diagnose_batch_run. Reads only.
    """
    listing = await list_complete_runs(args.batch_id, args.agent_id, api)
    matching = select_runs(listing.items, args.verdict, args.test_case_id)
    runs = MatchingRuns(listing.items, matching, select_page(matching, args))
    notes = note_listing("test run", listing, lambda run: run.job_id)
    build = partial(_build_test_run_list, args, runs)
    return await fit_items(len(runs.page.items), build, notes)


async def get_test_run(args: GetTestRun, api: SigmaMindClient) -> TestRunAnswer:
    """Read one test run: verdict, the judge's remarks, the conversation by turns.

    For a jobId use list_test_runs; for several conversations read_test_runs. Reads only; long ones
    in ranges.
    """
    run = await api.get_test_run(args.job_id, args.batch_id, args.agent_id)
    count = len(run.conversation or [])
    if run.conversation is not None and args.from_turn > max(count, 1):
        raise InvalidArguments(
            f"fromTurn must be at most {max(count, 1)}: this conversation has {count} turns."
        )
    turns = number_turns(run.conversation, from_turn=args.from_turn)[: args.turns]
    notes = note_record("test run", run, args.job_id)
    return await fit_items(len(turns), partial(_build_test_run, run, args, turns), notes)


def _build_test_run_list(args: ListTestRuns, runs: MatchingRuns, count: int) -> TestRunList:
    shown = runs.page.items[:count]
    verdicts = [run.verdict for run in runs.every]
    answer = TestRunList(
        batch_id=args.batch_id,
        agent_id=args.agent_id,
        page=runs.page.place.page,
        size=args.size,
        total_count=len(runs.matching),
        passed=verdicts.count("passed"),
        failed=verdicts.count("failed"),
        undecided=verdicts.count("undecided"),
        labels=_list_labels(shown),
        test_runs=list(map(TestRunRow.of, shown)),
        transcript_uri=uri_of(
            "transcript", agentId=args.agent_id, batchId=args.batch_id, jobId="{jobId}"
        ),
    )
    add_next_page(answer, "list_test_runs", args, runs.page, count=count)
    is_known_case = any(_is_of(run, args.test_case_id) for run in runs.every)
    if args.test_case_id and not is_known_case:
        answer.hint = (
            f"None of the {len(runs.every)} listed test runs names test case {args.test_case_id};"
            " get_batch_run shows the test cases."
        )
    if args.detail == "full":
        answer.raw = {"testRuns": [_omit_conversation(run.raw) for run in shown]}
    return answer


def _list_labels(runs: Sequence[TestRun]) -> dict[str, str]:
    labels = {}
    for run in runs:
        case_id = valid_id(get_case_id(run))
        title = _get_title(run)
        if case_id and title and title != case_id:
            labels[case_id] = title
    return labels


def _get_title(run: TestRun) -> str | None:
    return truncate_line(run.test_case.title, LABEL_CHARACTERS) if run.test_case else None


def _omit_conversation(raw: JSONObject) -> JSONObject:
    return {name: value for name, value in raw.items() if name not in CONVERSATION_FIELDS}


def _build_test_run(
    run: TestRun, args: GetTestRun, turns: Sequence[NumberedTurn], count: int
) -> TestRunAnswer:
    shown = turns[:count]
    answer = TestRunAnswer.of(run, args, shown)
    answer.add_next_range(args)
    if args.detail == "full":
        answer.raw = _take_raw_turns(run, shown)
    return answer


def _take_raw_turns(run: TestRun, shown: Sequence[NumberedTurn]) -> JSONObject:
    """Return the API's object with the shown messages only, and without encoded files."""
    raw = dict(run.raw)
    for name in CONVERSATION_FIELDS:
        messages = raw.get(name)
        if isinstance(messages, list):
            first = shown[0].number - 1 if shown else 0
            raw[name] = messages[first : first + len(shown)]
    hidden: JSONObject = hide_data(raw)
    return hidden


def _write_run_hint(run: TestRun, job_id: str) -> str | None:
    hints = [_explain_undecided(run)] if run.verdict == "undecided" else []
    missing = describe_missing_conversation(run, job_id)
    hints += missing
    if missing and run.chat_id:
        hints.append("The chat id finds it in the dashboard.")
    return " ".join(hints) or None


def _explain_undecided(run: TestRun) -> str:
    """Say what the API's answer lacks for a verdict."""
    if is_unreadable(run, *RESULT_FIELDS):
        return UNREADABLE_RESULT
    return NO_RESULT if run.is_successful is None else UNCERTAIN_FAILURE


def select_runs(
    runs: Sequence[TestRun], verdict: Verdict | None, test_case_id: str
) -> list[TestRun]:
    """Return the runs with this verdict and test case, if given; those of a test case together."""
    kept = [run for run in runs if verdict in (None, run.verdict)]
    if test_case_id:
        kept = [run for run in kept if _is_of(run, test_case_id)]
    by_case = group_by(kept, get_case_id)
    return list(chain.from_iterable(by_case.values()))


def _is_of(run: TestRun, test_case_id: str) -> bool:
    return get_case_id(run) == test_case_id


def _link_transcript(uri: str, job_id: str | None) -> Link:
    return Link(uri, f"Transcript of {job_id}", "text/markdown")
