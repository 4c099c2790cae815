"""Read the batch runs of both sides, and compare them."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Annotated, Literal, NamedTuple

import anyio
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import InvalidArguments, NotAllowed, NotFound
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.insight.baselines import BaseRuns, LeftOut
from sigmamind_mcp.insight.batch_sides import Side, order_by_date
from sigmamind_mcp.insight.case_definitions import DefinitionEdit, find_edits
from sigmamind_mcp.insight.comparison import (
    CaseChange,
    Comparison,
    compare_sides,
)
from sigmamind_mcp.insight.error_rates import MAX_LOOKS, Question
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import Continued, ForAgent, Id
from sigmamind_mcp.tools.batch_run_walk import BATCH_RUNS_AT_ONCE, walk_batch_runs
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.parts import JobIds
from sigmamind_mcp.tools.said_answer import AgentSays, find_agent_says
from sigmamind_mcp.tools.search_scope import list_newest_batch_runs
from sigmamind_mcp.tools.side_reading import (
    MAX_KEPT_BYTES,
    KeptTranscripts,
    ReadSide,
    SideReader,
)
from sigmamind_mcp.tools.unread_notes import NotRead

MAX_POOLED = 30
MAX_LISTED = 100
BASELINE_SECONDS = 25.0
WORDS_SECONDS = 4.0
"""Of CPU, for reading what the agent says."""

BatchIds = Annotated[list[Id], Field(max_length=MAX_POOLED), list_of("batch run ids")]


class CompareBatchRuns(Continued, ForAgent):
    position_names = ("testCase",)

    base_batch_id: Annotated[Id, Field(description="The earlier one, from list_batch_runs.")] = ""
    base_batch_ids: Annotated[BatchIds, Field(description="Or several, pooled.")] = []
    baseline: Annotated[Literal["recent"] | None, Field(description="Or all alike before it.")] = (
        None
    )
    candidate_batch_id: Annotated[Id, Field(description="The later one.")] = ""
    candidate_batch_ids: Annotated[BatchIds, Field(description="Or several, oldest first.")] = []
    question: Annotated[Question, Field(description="What to test.")] = "regression"
    looks: Annotated[
        int,
        Field(ge=1, le=MAX_LOOKS, description="Planned before the first."),
        NotBool,
    ] = 1
    base_job_ids: Annotated[JobIds, Field(description="If the API lists none.")] = []
    candidate_job_ids: Annotated[JobIds, Field(description="Likewise.")] = []


async def read_comparison(
    args: CompareBatchRuns, api: SigmaMindClient, context: CallContext
) -> "ReadComparison":
    """Read the batch runs of both sides and compare them."""
    ids = _choose_ids(args)
    start = args.position["testCase"]
    # Answers that continue the list of cases do not repeat what the agent says.
    kept = None if start else KeptTranscripts(MAX_KEPT_BYTES)
    reader = SideReader(args.agent_id, api, context.run_heavy, kept)
    read = await _read_batches(args, ids, reader, context)
    clock = WorkClock(WORDS_SECONDS)
    return await context.run_heavy(clock, partial(_compare_batches, args, read, start, kept, clock))


class _AskedIds(NamedTuple):
    """The batch runs of both sides; no base if it is to be found."""

    base: list[str]
    candidate: list[str]
    base_name: str
    candidate_name: str


class _AskedRun(NamedTuple):
    """A batch run to read, and the argument that names it."""

    argument: str
    batch_id: str
    job_ids: list[str]


class ReadBatches(NamedTuple):
    """Both sides, oldest first, and what is known about batch runs that are not in them.

    `now` is the time by the API's clock.
    """

    base: BaseRuns
    candidates: list[Side]
    now: datetime
    left_out: list[LeftOut]
    notes: list[NotRead]


class ReadComparison(NamedTuple):
    """Both sides, and their comparison.

    `edits` are those of each changed test case from number `start` on. `says` is only known at the
    first one.
    """

    read: ReadBatches
    comparison: Comparison
    start: int
    edits: list[list[DefinitionEdit]]
    says: AgentSays | None


def _choose_ids(args: CompareBatchRuns) -> _AskedIds:
    """Check which batch runs are asked for.

    Raises:
        InvalidArguments: a side is given twice or not at all, or both sides share a batch run.
    """
    _require_one_choice(args)
    bases = [args.base_batch_id] if args.base_batch_id else args.base_batch_ids
    candidates = args.candidate_batch_ids or [args.candidate_batch_id]
    asked = _AskedIds(
        base=list(dict.fromkeys(bases)),
        candidate=list(dict.fromkeys(candidates)),
        base_name="baseBatchId" if args.base_batch_id else "baseBatchIds",
        candidate_name="candidateBatchId" if args.candidate_batch_id else "candidateBatchIds",
    )
    _refuse_shared_ids(asked)
    if 1 < args.looks < len(asked.candidate):
        raise InvalidArguments(
            f"candidateBatchIds has {len(asked.candidate)} batch runs, more than the looks that"
            f" were planned, {args.looks}. Each batch run is one look."
        )
    _refuse_job_ids(args, asked)
    return asked


def _require_one_choice(args: CompareBatchRuns) -> None:
    """Refuse a side that is given twice or not at all."""
    bases = [args.base_batch_id, args.base_batch_ids, args.baseline]
    if sum(map(bool, bases)) != 1:
        raise InvalidArguments(
            "Give one of baseBatchId, baseBatchIds and baseline; list_batch_runs shows batch runs."
        )
    if bool(args.candidate_batch_id) == bool(args.candidate_batch_ids):
        raise InvalidArguments(
            "Give one of candidateBatchId and candidateBatchIds; list_batch_runs shows batch runs."
        )


def _refuse_shared_ids(asked: _AskedIds) -> None:
    for batch_id in asked.base:
        if batch_id in asked.candidate:
            raise InvalidArguments(
                f"{asked.base_name} and {asked.candidate_name} are the same batch run or share one,"
                f" {batch_id}; list_batch_runs shows others."
            )


def _refuse_job_ids(args: CompareBatchRuns, asked: _AskedIds) -> None:
    for name, job_ids, batch_ids in (
        ("baseJobIds", args.base_job_ids, asked.base),
        ("candidateJobIds", args.candidate_job_ids, asked.candidate),
    ):
        if job_ids and len(batch_ids) != 1:
            raise InvalidArguments(f"{name} needs a single batch run on its side.")


async def _read_batches(
    args: CompareBatchRuns, ids: _AskedIds, reader: SideReader, context: CallContext
) -> ReadBatches:
    asked = _list_asked_runs(args, ids)
    calls = []
    for run in asked:
        calls.append(partial(reader.read_by_id, run.batch_id, job_ids=run.job_ids))
    outcomes = await gather_errors(calls, limit=BATCH_RUNS_AT_ONCE)
    for run, outcome in zip(asked, outcomes, strict=True):
        _name_refused(run, outcome)

    dates: list[datetime] = []
    sides: list[Side] = []
    notes: list[NotRead] = []
    for read in require_results(outcomes):
        dates.append(read.date)
        sides.append(read.value.side)
        notes += read.value.notes
    base_count = len(ids.base)
    batches = ReadBatches(
        base=BaseRuns(order_by_date(sides[:base_count])),
        candidates=order_by_date(sides[base_count:]),
        now=max(dates),
        left_out=[],
        notes=notes,
    )
    if not args.baseline:
        return batches
    return await _add_recent(args, batches, reader, context)


def _list_asked_runs(args: CompareBatchRuns, ids: _AskedIds) -> list[_AskedRun]:
    """Return the batch runs that are named, those of the base first."""
    asked = []
    for batch_id in ids.base:
        asked.append(_AskedRun(ids.base_name, batch_id, args.base_job_ids))
    for batch_id in ids.candidate:
        asked.append(_AskedRun(ids.candidate_name, batch_id, args.candidate_job_ids))
    return asked


def _name_refused(run: _AskedRun, outcome: object) -> None:
    """Raise a 403 or 404 that names the argument that caused it."""
    if isinstance(outcome, NotAllowed | NotFound):
        raise type(outcome)(
            f"{run.argument} {run.batch_id}: {outcome}",
            status=outcome.status,
            upstream=outcome.upstream,
        ) from outcome


async def _add_recent(
    args: CompareBatchRuns, asked: ReadBatches, reader: SideReader, context: CallContext
) -> ReadBatches:
    """Read the last batch runs before the first candidate."""
    before = find_oldest_date(asked.candidates)
    if before is None:
        raise InvalidArguments(
            "The candidate shows no date, so what came before is unknown. Name baseBatchIds."
        )
    deadline = anyio.current_time() + BASELINE_SECONDS
    scope = await list_newest_batch_runs(args.agent_id, reader.api, count=MAX_LISTED, known_total=0)
    candidate_ids = {side.batch_id for side in asked.candidates}
    others = [run for run in scope.batch_runs if run.batch_id not in candidate_ids]
    earlier, undated = split_by_date(others, before)
    chosen = earlier[-MAX_POOLED:]
    outcomes = await walk_batch_runs(
        chosen,
        reader.read,
        context.report_progress,
        deadline=deadline,
        done="read",
    )
    sides: list[Side] = []
    left_out = [LeftOut(run.batch_id or "", "date unknown") for run in undated]
    notes = [*asked.notes, *scope.notes]
    for run, outcome in zip(chosen, outcomes, strict=True):
        batch_id = run.batch_id or ""
        if not isinstance(outcome, ReadSide):
            left_out.append(LeftOut(batch_id, outcome))
            continue
        notes += outcome.notes
        if outcome.side.is_by_case:
            sides.append(outcome.side)
        else:
            left_out.append(LeftOut(batch_id, "test cases not shown"))
    is_listed = scope.total is not None and len(scope.batch_runs) >= scope.total
    is_complete = is_listed and len(chosen) == len(earlier) and not left_out
    base = BaseRuns(sides, is_recent=True, is_complete=is_complete)
    return asked._replace(base=base, left_out=left_out, notes=notes)


class EarlierRuns(NamedTuple):
    """The batch runs that are older than another one, oldest first, and those without a date."""

    earlier: list[BatchRun]
    undated: list[BatchRun]


def split_by_date(batch_runs: Sequence[BatchRun], before: datetime) -> EarlierRuns:
    """Find the batch runs that are or may be older than `before`."""
    earlier: list[tuple[datetime, BatchRun]] = []
    undated = []
    for run in batch_runs:
        if run.created_date is None:
            undated.append(run)
        elif run.created_date < before:
            earlier.append((run.created_date, run))
    earlier.sort(key=itemgetter(0))
    return EarlierRuns([run for _, run in earlier], undated)


def find_oldest_date(sides: Sequence[Side]) -> datetime | None:
    """Return the date of the oldest batch run that shows one."""
    return min(list_dates(sides), default=None)


def list_dates(sides: Sequence[Side]) -> list[datetime]:
    """Return the dates of the batch runs that show one."""
    return [side.created for side in sides if side.created]


def _compare_batches(
    args: CompareBatchRuns,
    read: ReadBatches,
    start: int,
    kept: KeptTranscripts | None,
    clock: WorkClock,
) -> ReadComparison:
    comparison = compare_sides(read.base, read.candidates, question=args.question, looks=args.looks)
    edits = list(map(_list_edits, comparison.changes[start:]))
    says = find_agent_says(comparison, kept, clock) if kept else None
    return ReadComparison(read, comparison, start, edits, says)


def _list_edits(change: CaseChange) -> list[DefinitionEdit]:
    if not (change.base and change.candidate):
        return []
    return find_edits(change.base.case, change.candidate.case)
