"""Compare two batch runs, or two conversations."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import TestRun, Verdict
from sigmamind_mcp.api.run_reading import drop_conversation, list_complete_runs, read_runs
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import InvalidArguments, NotAllowed, NotFound, NotOffered
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.alignment import (
    MAX_ALIGNED_TURNS,
    AlignedTurn,
    ConversationDiff,
    compare_conversations,
)
from sigmamind_mcp.insight.case_definitions import DefinitionEdit, find_edits
from sigmamind_mcp.insight.comparison import (
    WORST_FIRST,
    CaseChange,
    Comparison,
    Side,
    build_side_from_counters,
    build_side_from_runs,
    compare_sides,
    pick_pair_to_read,
)
from sigmamind_mcp.insight.diagnosis import Quote, get_case_id
from sigmamind_mcp.tools.answers import (
    Answer,
    AnswerPart,
    CallArguments,
    NextCall,
    Rendered,
    fit_items,
    pluralize,
)
from sigmamind_mcp.tools.arguments import BatchId, ForAgent, Id, JobId
from sigmamind_mcp.tools.comparison_answer import (
    CaseChangeRow,
    ComparedBatchRuns,
    keep_counts,
    round_p,
)
from sigmamind_mcp.tools.cursors import Cursor, decode_cursor, encode_cursor
from sigmamind_mcp.tools.parts import (
    NO_REMARKS,
    PROSE_CHARACTERS,
    QUOTE_CHARACTERS,
    ROLE_CHARACTERS,
    JobIds,
    QuoteShown,
    Rate,
    truncate_line,
)
from sigmamind_mcp.tools.transcripts import describe_missing_conversation
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record
from sigmamind_mcp.uris import uri_of

ONLY_SHOWN = 8


class CompareBatchRuns(ForAgent):
    base_batch_id: Annotated[Id, Field(description="The earlier one, from list_batch_runs.")]
    candidate_batch_id: Annotated[Id, Field(description="The one to judge against it.")]
    base_job_ids: Annotated[
        JobIds, Field(description="Base test runs, if the API cannot list them.")
    ] = []
    candidate_job_ids: Annotated[
        JobIds, Field(description="Candidate test runs, if the API cannot list them.")
    ] = []
    cursor: Cursor = ""


async def compare_batch_runs(args: CompareBatchRuns, api: SigmaMindClient) -> ComparedBatchRuns:
    """Compare two batch runs by case: changes beyond noise, what is unproven, words edited.

    Use it after a change; for why attempts failed use diagnose_batch_run, for two conversations
    compare_test_runs. Reads both, no model calls. Says how many attempts would prove it.
    """
    if args.base_batch_id == args.candidate_batch_id:
        raise InvalidArguments(
            "baseBatchId and candidateBatchId are the same batch run; list_batch_runs shows others."
        )
    start = decode_cursor(args.cursor, "testCase")["testCase"]
    base, candidate = await _read_batches(args, api)
    compared = await anyio.to_thread.run_sync(
        _compare_batches, base, candidate, start, abandon_on_cancel=True
    )
    build = partial(_build_comparison, args, compared)
    return await fit_items(len(compared.edits), build, [*base.notes, *candidate.notes])


class _ReadBatch(NamedTuple):
    """One of the two batch runs, as it was read."""

    batch_id: str
    created_date: datetime | None
    side: Side
    runs: list[TestRun]
    notes: list[NotRead]


class _Compared(NamedTuple):
    """Both batch runs, and their comparison.

    `edits` are those of each changed test case from number `start` on.
    """

    base: _ReadBatch
    candidate: _ReadBatch
    comparison: Comparison
    start: int
    edits: list[list[DefinitionEdit]]


def _compare_batches(base: _ReadBatch, candidate: _ReadBatch, start: int) -> _Compared:
    comparison = compare_sides(base.side, candidate.side)
    edits = list(map(_list_edits, comparison.changes[start:]))
    return _Compared(base, candidate, comparison, start, edits)


def _list_edits(change: CaseChange) -> list[DefinitionEdit]:
    if not (change.base and change.candidate):
        return []
    return find_edits(change.base.case, change.candidate.case)


async def _read_batches(
    args: CompareBatchRuns, api: SigmaMindClient
) -> tuple[_ReadBatch, _ReadBatch]:
    read = partial(_read_batch, agent_id=args.agent_id, api=api)
    outcomes = await gather_errors(
        [
            partial(read, args.base_batch_id, args.base_job_ids),
            partial(read, args.candidate_batch_id, args.candidate_job_ids),
        ]
    )
    _name_refused_side(args, outcomes)
    base, candidate = require_results(outcomes)
    return base, candidate


def _name_refused_side(args: CompareBatchRuns, outcomes: Sequence[object]) -> None:
    """Raise a 403 or 404 that names the argument that caused it; of two, the first."""
    sides = (
        ("baseBatchId", args.base_batch_id),
        ("candidateBatchId", args.candidate_batch_id),
    )
    for (name, batch_id), outcome in zip(sides, outcomes, strict=True):
        if isinstance(outcome, NotAllowed | NotFound):
            message = f"{name} {batch_id}: {outcome}"
            raise type(outcome)(
                message, status=outcome.status, upstream=outcome.upstream
            ) from outcome


async def _read_batch(
    batch_id: str, job_ids: Sequence[str], *, agent_id: str, api: SigmaMindClient
) -> _ReadBatch:
    batch_run, _ = await api.get_batch_run(batch_id, agent_id)
    notes = note_record("batch run", batch_run, batch_id)
    try:
        listing = await _list_side_runs(batch_id, job_ids, agent_id, api)
    except NotOffered:
        side = build_side_from_counters(batch_run)
        return _ReadBatch(batch_id, batch_run.created_date, side, [], notes)
    runs = listing.items
    side = build_side_from_runs(batch_run, runs, unreadable_count=listing.unread_count)
    notes += note_listing("test run", listing, lambda run: run.job_id, batch_id=batch_id)
    return _ReadBatch(batch_id, batch_run.created_date, side, runs, notes)


async def _list_side_runs(
    batch_id: str, job_ids: Sequence[str], agent_id: str, api: SigmaMindClient
) -> Listing[TestRun]:
    if not job_ids:
        return await list_complete_runs(batch_id, agent_id, api, keep=drop_conversation)
    return await read_runs(list(dict.fromkeys(job_ids)), batch_id, agent_id, api)


def _build_comparison(
    args: CompareBatchRuns, compared: _Compared, case_count: int
) -> ComparedBatchRuns:
    base, candidate, comparison = compared.base, compared.candidate, compared.comparison
    changes = comparison.changes[compared.start : compared.start + case_count]
    tally = Counter(change.change for change in comparison.changes)
    overall = comparison.overall
    answer = ComparedBatchRuns(
        base_batch_id=args.base_batch_id,
        candidate_batch_id=args.candidate_batch_id,
        base_created_date=base.created_date,
        candidate_created_date=candidate.created_date,
        base_is_newer=_is_newer(base, candidate) or None,
        agent_id=args.agent_id,
        p=round_p(overall.p),
        separates_mix=overall.separates_mix,
        mix_differs=comparison.mix_differs or None,
        undecided=keep_counts(base.side.undecided, candidate.side.undecided),
        unassigned=keep_counts(base.side.unassigned, candidate.side.unassigned),
        compared=comparison.compared,
        could_prove=comparison.could_prove,
        definitions_unknown=comparison.definitions_unknown or None,
        counts={change: tally[change] for change in WORST_FIRST if tally[change]},
        definitions_from={"base": base.side.definitions, "candidate": candidate.side.definitions},
        test_case_count=len(comparison.changes),
        test_cases=list(map(CaseChangeRow.of, changes, compared.edits)),
    )
    if overall.p is not None:
        answer.base = Rate.of(overall.base)
        answer.candidate = Rate.of(overall.candidate)
        answer.direction = overall.direction
    answer.next_calls = _list_comparison_calls(args, compared, case_count)
    return answer


def _is_newer(base: _ReadBatch, candidate: _ReadBatch) -> bool:
    if base.created_date is None or candidate.created_date is None:
        return False
    return base.created_date > candidate.created_date


def _list_comparison_calls(
    args: CompareBatchRuns, compared: _Compared, case_count: int
) -> list[NextCall]:
    base, candidate, comparison = compared.base, compared.candidate, compared.comparison
    here: CallArguments = {"agentId": args.agent_id}
    calls = []
    pair = pick_pair_to_read(comparison.changes, base.runs, candidate.runs)
    if pair:
        passed: CallArguments = {"jobId": pair.passed_job_id, "batchId": base.batch_id}
        failed: CallArguments = {
            "otherJobId": pair.failed_job_id,
            "otherBatchId": candidate.batch_id,
        }
        calls.append(NextCall(tool="compare_test_runs", arguments={**here, **passed, **failed}))
    diagnosed: CallArguments = {**here, "batchId": args.candidate_batch_id}
    calls.append(NextCall(tool="diagnose_batch_run", arguments=diagnosed))
    seen = compared.start + case_count
    if seen < len(comparison.changes):
        given = args.model_dump(by_alias=True, exclude_unset=True)
        further: CallArguments = {**given, **here, "cursor": encode_cursor(testCase=seen)}
        calls.append(NextCall(tool="compare_batch_runs", arguments=further))
    return calls


class CompareTestRuns(ForAgent):
    job_id: JobId
    batch_id: BatchId
    other_job_id: Annotated[Id, Field(description="The test run to compare it with.")]
    other_batch_id: Annotated[Id, Field(description="Its batch run; may be the same.")]


async def compare_test_runs(args: CompareTestRuns, api: SigmaMindClient) -> "ComparedTestRuns":
    """Compare two conversations of one test case: where they diverge, what only the passed one did.

    Use it on a passed and a failed run from list_test_runs; for one whole conversation use
    get_test_run. Reads only.
    """
    if args.job_id == args.other_job_id and args.batch_id == args.other_batch_id:
        raise InvalidArguments(
            "jobId and otherJobId are the same test run; list_test_runs shows others."
        )
    outcomes = await gather_errors(
        [
            partial(api.get_test_run, args.job_id, args.batch_id, args.agent_id),
            partial(api.get_test_run, args.other_job_id, args.other_batch_id, args.agent_id),
        ]
    )
    run, other = require_results(outcomes)
    diff = await anyio.to_thread.run_sync(
        compare_conversations,
        run.conversation or [],
        other.conversation or [],
        abandon_on_cancel=True,
    )
    notes = [
        *note_record("test run", run, args.job_id),
        *note_record("test run", other, args.other_job_id),
    ]
    return ComparedTestRuns.of(args, run, other, diff).add_notes(notes)


class PairShown(AnswerPart):
    turn: int | None = None
    other_turn: int | None = None
    role: str
    content: str | None = None
    other_content: str | None = None

    @classmethod
    def of(
        cls, pair: AlignedTurn, turns: Sequence[Turn], other_turns: Sequence[Turn]
    ) -> "PairShown":
        turn = turns[pair.base - 1] if pair.base else None
        other = other_turns[pair.candidate - 1] if pair.candidate else None
        shown = turn or other
        return cls(
            turn=pair.base,
            other_turn=pair.candidate,
            role=truncate_line(shown.role, ROLE_CHARACTERS) if shown else "",
            content=truncate_line(turn.summarize(), QUOTE_CHARACTERS) if turn else None,
            other_content=truncate_line(other.summarize(), QUOTE_CHARACTERS) if other else None,
        )

    def lines(self) -> list[str]:
        return [
            f"turn {self.turn or '-'} {self.role}: {_show_content(self.content)}",
            f"    other {self.other_turn or '-'}: {_show_content(self.other_content)}",
        ]


class RunShown(AnswerPart):
    job_id: str
    batch_id: str
    verdict: Verdict
    turn_count: int | None = Field(
        default=None, description="Absent when the API's answer shows no conversation."
    )
    remarks: str | None = None
    transcript_uri: str

    @classmethod
    def of(cls, run: TestRun, job_id: str, batch_id: str, agent_id: str) -> "RunShown":
        return cls(
            job_id=job_id,
            batch_id=batch_id,
            verdict=run.verdict,
            turn_count=None if run.conversation is None else len(run.conversation),
            remarks=truncate_line(run.remarks or "", PROSE_CHARACTERS) or None,
            transcript_uri=uri_of("transcript", agentId=agent_id, batchId=batch_id, jobId=job_id),
        )

    def line(self, name: str) -> str:
        turns = "" if self.turn_count is None else f", {pluralize(self.turn_count, 'turn')}"
        return f"{name} {self.job_id} of batch run {self.batch_id}: {self.verdict}{turns}."


class ComparedTestRuns(Answer):
    """Two conversations of one test case, and where they diverge."""

    agent_id: str
    run: RunShown
    other: RunShown
    test_case_id: str | None = None
    parts_at_turn: int | None = Field(
        default=None, description="Absent when the agent says similar things in both conversations."
    )
    parts_at_other_turn: int | None = None
    around: list[PairShown] = Field(description="The turns around that point, in pairs.")
    passed_job_id: str | None = Field(
        default=None, description="The passed one, where the other failed."
    )
    only_passed: list[QuoteShown] = Field(
        default=[], description="What the agent said in the passed run alone."
    )
    only_failed: list[QuoteShown] = Field(
        default=[], description="What it said in the failed run alone."
    )

    @classmethod
    def of(
        cls, args: CompareTestRuns, run: TestRun, other: TestRun, diff: ConversationDiff
    ) -> "ComparedTestRuns":
        turns, other_turns = run.conversation or [], other.conversation or []
        answer = cls(
            agent_id=args.agent_id,
            run=RunShown.of(run, args.job_id, args.batch_id, args.agent_id),
            other=RunShown.of(other, args.other_job_id, args.other_batch_id, args.agent_id),
            test_case_id=valid_id(get_case_id(run)),
            parts_at_turn=diff.divergence.base if diff.divergence else None,
            parts_at_other_turn=diff.divergence.candidate if diff.divergence else None,
            around=[PairShown.of(pair, turns, other_turns) for pair in diff.around],
            hint=_write_conversation_hint(args, run, other, diff),
        )
        only_run = [_quote_turn(number, turns) for number in diff.only_base[:ONLY_SHOWN]]
        only_other = [
            _quote_turn(number, other_turns) for number in diff.only_candidate[:ONLY_SHOWN]
        ]
        if turns and other_turns:
            if (run.verdict, other.verdict) == ("passed", "failed"):
                answer.passed_job_id = args.job_id
                answer.only_passed, answer.only_failed = only_run, only_other
            elif (run.verdict, other.verdict) == ("failed", "passed"):
                answer.passed_job_id = args.other_job_id
                answer.only_passed, answer.only_failed = only_other, only_run
        answer.next_calls = [
            _make_transcript_call(answer.run, answer.parts_at_turn, args.agent_id),
            _make_transcript_call(answer.other, answer.parts_at_other_turn, args.agent_id),
        ]
        return answer

    def render(self) -> Rendered:
        before = [
            self.run.line("Test run"),
            self.other.line("Other test run"),
            f"{self._divergence_text()} Turns are matched by similar words, not by meaning.",
        ]
        data = [
            f"remarks: {self.run.remarks or NO_REMARKS}",
            f"other remarks: {self.other.remarks or NO_REMARKS}",
            "",
        ]
        for pair in self.around:
            data += pair.lines()
        if self.passed_job_id:
            data += _list_quotes("passed", self.only_passed)
            data += _list_quotes("failed", self.only_failed)
        uris = [f"Transcript: {run.transcript_uri}" for run in (self.run, self.other)]
        return Rendered(before, data, uris)

    def _divergence_text(self) -> str:
        turn, other_turn = self.parts_at_turn, self.parts_at_other_turn
        if turn and other_turn:
            return f"They diverge at turn {turn} and other turn {other_turn}."
        if turn:
            return f"They diverge at turn {turn}, which has no counterpart in the other."
        if other_turn:
            return (
                f"They diverge at other turn {other_turn}, which has no counterpart in the first."
            )
        if self.run.turn_count and self.other.turn_count:
            return "The agent says similar things in both conversations."
        return "Where they diverge is unknown: at least one has no turns to compare."


def _write_conversation_hint(
    args: CompareTestRuns, run: TestRun, other: TestRun, diff: ConversationDiff
) -> str | None:
    hints = []
    for job_id, read in ((args.job_id, run), (args.other_job_id, other)):
        hints += describe_missing_conversation(read, job_id)
    case_id, other_case_id = get_case_id(run), get_case_id(other)
    is_known = case_id and other_case_id
    if is_known and case_id != other_case_id:
        hints.append("These are runs of different test cases.")
    if not diff.is_complete:
        hints.append(f"Only the first {MAX_ALIGNED_TURNS} turns of each were compared.")
    return " ".join(hints) or None


def _show_content(content: str | None) -> str:
    return "(no counterpart)" if content is None else content or "(no text)"


def _quote_turn(number: int, turns: Sequence[Turn]) -> QuoteShown:
    return QuoteShown.of(Quote(number, turns[number - 1], "only here"))


def _list_quotes(verdict: str, quotes: Sequence[QuoteShown]) -> list[str]:
    lines = [quote.line() for quote in quotes] or ["    (no turn)"]
    return ["", f"The agent only in the {verdict} run:", *lines]


def _make_transcript_call(run: RunShown, turn: int | None, agent_id: str) -> NextCall:
    arguments: CallArguments = {
        "agentId": agent_id,
        "batchId": run.batch_id,
        "jobId": run.job_id,
    }
    if turn:
        arguments["fromTurn"] = turn
    return NextCall(tool="get_test_run", arguments=arguments)
