"""Compare batch runs."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Literal, NamedTuple

import anyio
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.idempotency import REMEMBERED_SECONDS
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import InvalidArguments, NotAllowed, NotFound
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.baselines import BaseRuns, LeftOut
from sigmamind_mcp.insight.batch_sides import Side, order_by_date
from sigmamind_mcp.insight.case_definitions import DefinitionEdit, find_edits
from sigmamind_mcp.insight.comparison import (
    CaseChange,
    Comparison,
    Total,
    compare_sides,
    pick_pair_to_read,
)
from sigmamind_mcp.insight.decisions import LEVELS
from sigmamind_mcp.insight.error_rates import MAX_LOOKS, Question
from sigmamind_mcp.tools.answers import CallArguments, NextCall, explain_past_end, fit_items
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import Continued, ForAgent, Id
from sigmamind_mcp.tools.batch_run_walk import BATCH_RUNS_AT_ONCE, walk_batch_runs
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.comparison_answer import (
    POOLING_CAVEAT,
    CaseChangeRow,
    ComparedBatchRuns,
    define_levels,
    group_left_out,
    keep_counts,
    name_change,
    round_p,
)
from sigmamind_mcp.tools.parts import JobIds, SuiteRate
from sigmamind_mcp.tools.said_answer import AgentSays, find_agent_says
from sigmamind_mcp.tools.search_scope import list_newest_batch_runs
from sigmamind_mcp.tools.side_reading import KeptTranscripts, ReadSide, SideReader
from sigmamind_mcp.tools.unread_notes import NotRead

MAX_POOLED = 30
MAX_LISTED = 100
BASELINE_SECONDS = 25.0
WORDS_SECONDS = 4.0
"""Of CPU, for reading what the agent says."""
MAX_KEPT_BYTES = 32 * 2**20

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


async def compare_batch_runs(
    args: CompareBatchRuns, api: SigmaMindClient, context: CallContext
) -> ComparedBatchRuns:
    """Compare batch runs by case: changes beyond noise and how sure, words edited.

    Use it after a change; for why attempts failed use diagnose_batch_run. Reads only.
    """
    compared = await read_comparison(args, api, context)
    build = partial(build_comparison, args, compared)
    return await fit_items(len(compared.edits), build, compared.read.notes)


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


class _ReadBatches(NamedTuple):
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

    read: _ReadBatches
    comparison: Comparison
    start: int
    edits: list[list[DefinitionEdit]]
    says: AgentSays | None


def _choose_ids(args: CompareBatchRuns) -> _AskedIds:
    """Check which batch runs are asked for.

    Raises:
        InvalidArguments: a side is given twice or not at all, or both sides share a batch run.
    """
    bases = [bool(args.base_batch_id), bool(args.base_batch_ids), bool(args.baseline)]
    if sum(bases) != 1:
        raise InvalidArguments(
            "Give one of baseBatchId, baseBatchIds and baseline; list_batch_runs shows batch runs."
        )
    if bool(args.candidate_batch_id) == bool(args.candidate_batch_ids):
        raise InvalidArguments(
            "Give one of candidateBatchId and candidateBatchIds; list_batch_runs shows batch runs."
        )
    asked = _AskedIds(
        list(dict.fromkeys([args.base_batch_id] if args.base_batch_id else args.base_batch_ids)),
        list(dict.fromkeys(args.candidate_batch_ids or [args.candidate_batch_id])),
        "baseBatchId" if args.base_batch_id else "baseBatchIds",
        "candidateBatchId" if args.candidate_batch_id else "candidateBatchIds",
    )
    shared = [batch_id for batch_id in asked.base if batch_id in asked.candidate]
    if shared:
        raise InvalidArguments(
            f"{asked.base_name} and {asked.candidate_name} are the same batch run or share one,"
            f" {shared[0]}; list_batch_runs shows others."
        )
    if 1 < args.looks < len(asked.candidate):
        raise InvalidArguments(
            f"candidateBatchIds has {len(asked.candidate)} batch runs, more than the looks that"
            f" were planned, {args.looks}. Each batch run is one look."
        )
    _refuse_job_ids(args, asked)
    return asked


def _refuse_job_ids(args: CompareBatchRuns, asked: _AskedIds) -> None:
    for name, job_ids, batch_ids in (
        ("baseJobIds", args.base_job_ids, asked.base),
        ("candidateJobIds", args.candidate_job_ids, asked.candidate),
    ):
        if job_ids and len(batch_ids) != 1:
            raise InvalidArguments(f"{name} needs a single batch run on its side.")


async def _read_batches(
    args: CompareBatchRuns, ids: _AskedIds, reader: SideReader, context: CallContext
) -> _ReadBatches:
    named = [(ids.base_name, batch_id, args.base_job_ids) for batch_id in ids.base]
    named += [(ids.candidate_name, one, args.candidate_job_ids) for one in ids.candidate]
    outcomes = await gather_errors(
        [partial(reader.read_by_id, batch_id, job_ids=job_ids) for _, batch_id, job_ids in named],
        limit=BATCH_RUNS_AT_ONCE,
    )
    for (name, batch_id, _), outcome in zip(named, outcomes, strict=True):
        _name_refused(f"{name} {batch_id}", outcome)
    dated = require_results(outcomes)
    now = max(read.date for read in dated)
    notes = [note for read in dated for note in read.value.notes]
    sides = [read.value.side for read in dated]
    base = BaseRuns(order_by_date(sides[: len(ids.base)]))
    asked = _ReadBatches(base, order_by_date(sides[len(ids.base) :]), now, [], notes)
    return await _add_recent(args, asked, reader, context) if args.baseline else asked


def _name_refused(named: str, outcome: object) -> None:
    """Raise a 403 or 404 that names the argument that caused it."""
    if isinstance(outcome, NotAllowed | NotFound):
        raise type(outcome)(
            f"{named}: {outcome}", status=outcome.status, upstream=outcome.upstream
        ) from outcome


async def _add_recent(
    args: CompareBatchRuns, asked: _ReadBatches, reader: SideReader, context: CallContext
) -> _ReadBatches:
    """Read the last batch runs before the first candidate."""
    dates = [side.created for side in asked.candidates if side.created]
    if not dates:
        raise InvalidArguments(
            "The candidate shows no date, so what came before is unknown. Name baseBatchIds."
        )
    before = min(dates)
    deadline = anyio.current_time() + BASELINE_SECONDS
    scope = await list_newest_batch_runs(args.agent_id, reader.api, count=MAX_LISTED, known_total=0)
    earlier = [run for run in scope.batch_runs if run.created_date and run.created_date < before]
    chosen = earlier[-MAX_POOLED:]
    outcomes = await walk_batch_runs(
        chosen,
        reader.read,
        context.report_progress,
        deadline=deadline,
        done="read",
    )
    sides: list[Side] = []
    left_out: list[LeftOut] = []
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


def _compare_batches(
    args: CompareBatchRuns,
    read: _ReadBatches,
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


def build_comparison(
    args: CompareBatchRuns, compared: ReadComparison, case_count: int
) -> ComparedBatchRuns:
    """Build the answer with so many test cases."""
    read, comparison = compared.read, compared.comparison
    changes = comparison.changes[compared.start : compared.start + case_count]
    edits = compared.edits[:case_count]
    overall = comparison.overall
    bases, candidates = _list_pooled(read, comparison), read.candidates
    base_date = max((s.created for s in bases if s.created), default=None)
    candidate_date = min((s.created for s in candidates if s.created), default=None)
    base_ids, candidate_ids = _list_batch_ids(bases), _list_batch_ids(candidates)
    is_pooled = len(bases) + len(candidates) > 2 or read.base.is_recent
    answer = ComparedBatchRuns(
        base_batch_id=base_ids[0] if len(base_ids) == 1 else None,
        base_batch_ids=base_ids if len(base_ids) != 1 else [],
        candidate_batch_id=candidate_ids[0] if len(candidate_ids) == 1 else None,
        candidate_batch_ids=candidate_ids if len(candidate_ids) != 1 else [],
        base_created_date=base_date,
        candidate_created_date=candidate_date,
        base_is_newer=_is_newer(base_date, candidate_date) or None,
        agent_id=args.agent_id,
        question=comparison.question,
        look=comparison.look,
        looks=comparison.looks,
        alpha=float(f"{comparison.alpha:.3g}"),
        levels=define_levels(comparison) if comparison.overall.separates_mix else {},
        p=round_p(overall.p),
        p_is_approximate=None if overall.is_exact else True,
        separates_mix=overall.separates_mix,
        mix_differs=overall.mix_differs or None,
        undecided=keep_counts(*comparison.undecided),
        unassigned=keep_counts(
            sum(side.unassigned for side in bases), sum(side.unassigned for side in candidates)
        ),
        compared=comparison.compared,
        counted=comparison.counted,
        could_prove=comparison.could_call,
        definitions_unknown=comparison.definitions_unknown or None,
        counts=dict(Counter(map(name_change, comparison.changes))),
        level_counts=_count_levels(comparison),
        open_attempts=_count_open_attempts(comparison),
        definitions_from={"base": _name_sources(bases), "candidate": _name_sources(candidates)},
        not_pooled=group_left_out(_list_left_out(read, comparison, base_ids)),
        pooling=POOLING_CAVEAT if is_pooled else None,
        test_case_count=len(comparison.changes),
        test_cases=[
            CaseChangeRow.of(change, own_edits, comparison.looks)
            for change, own_edits in zip(changes, edits, strict=True)
        ],
    )
    if compared.says:
        answer.agent_says_in, answer.agent_says = compared.says
    if overall.p is not None:
        answer.base, answer.candidate = _show_total(overall.base), _show_total(overall.candidate)
        answer.direction = overall.direction
    past_end = explain_past_end(compared.start, len(comparison.changes), "test case")
    answer.hint = past_end or _write_open_hint(comparison)
    answer.next_calls = _list_comparison_calls(args, compared, case_count)
    return answer


def _list_pooled(read: _ReadBatches, comparison: Comparison) -> list[Side]:
    """Return the batch runs of the base; if they were found, those that any case uses."""
    if not read.base.is_recent:
        return list(read.base.sides)
    used = {one for change in comparison.changes if change.base for one in change.base.batch_ids}
    return [side for side in read.base.sides if side.batch_id in used]


def _list_left_out(
    read: _ReadBatches, comparison: Comparison, base_ids: Sequence[str]
) -> list[LeftOut]:
    """Return why batch runs are not pooled, also those that have none of the test cases."""
    left_out = [*read.left_out, *comparison.left_out]
    if read.base.is_recent:
        known = {*base_ids, *(one.batch_id for one in left_out)}
        others = [side.batch_id for side in read.base.sides if side.batch_id not in known]
        left_out += [LeftOut(batch_id, "none of these test cases") for batch_id in others]
    return left_out


def _list_batch_ids(sides: Sequence[Side]) -> list[str]:
    return [side.batch_id for side in sides]


def _show_total(total: Total) -> SuiteRate:
    return SuiteRate.of(total.counts, total.interval).add_bounds(total.undecided)


def _is_newer(base: datetime | None, candidate: datetime | None) -> bool:
    return base is not None and candidate is not None and base > candidate


def _name_sources(sides: Sequence[Side]) -> str:
    return " and ".join(sorted({side.definitions for side in sides}, reverse=True)) or "nowhere"


def _count_levels(comparison: Comparison) -> dict[str, int]:
    tally = Counter(change.level for change in comparison.changes if change.p is not None)
    return {level: tally[level] for level in LEVELS if tally[level]}


def _count_open_attempts(comparison: Comparison) -> int | None:
    """Return how many attempts the open cases ask for; None if one does not say."""
    attempts = [change.case.attempt for change in comparison.open_cases]
    known = [number for number in attempts if number is not None]
    return sum(known) if known and len(known) == len(attempts) else None


def _write_open_hint(comparison: Comparison) -> str | None:
    if not comparison.open_cases:
        return None
    if comparison.look < comparison.looks:
        return (
            "To decide the open cases, run them again, then compare with the new batch run added"
            " to candidateBatchIds, and the same base, question and looks."
        )
    return (
        "This was the last planned look. If the open cases are run again, compare the new batch"
        " run alone: added here, it would exceed the stated error rates."
    )


def _list_comparison_calls(
    args: CompareBatchRuns, compared: ReadComparison, case_count: int
) -> list[NextCall]:
    comparison = compared.comparison
    here: CallArguments = {"agentId": args.agent_id}
    calls = []
    pair = pick_pair_to_read(comparison.changes)
    if pair:
        turns: list[dict[str, str | int]] = [
            {"batchId": place.batch_id, "jobId": place.job_id} for place in pair
        ]
        read: CallArguments = {**here, "turns": turns, "side": "agent"}
        calls.append(NextCall(tool="read_test_runs", arguments=read))
    said = compared.says.list_turns() if compared.says else []
    if said:
        calls.append(NextCall(tool="read_test_runs", arguments={**here, "turns": said}))
    again = _run_open_again(args, compared)
    if again:
        calls.append(again)
    newest = compared.read.candidates[-1].batch_id
    calls.append(NextCall(tool="diagnose_batch_run", arguments={**here, "batchId": newest}))
    seen = compared.start + case_count
    if seen < len(comparison.changes):
        further = args.continue_at(testCase=seen)
        calls.append(NextCall(tool="compare_batch_runs", arguments=further))
    return calls


def _run_open_again(args: CompareBatchRuns, compared: ReadComparison) -> NextCall | None:
    ids = [valid_id(change.case.test_case_id) for change in compared.comparison.open_cases]
    known = list(dict.fromkeys(filter(None, ids)))
    if not known:
        return None
    again: CallArguments = {"agentId": args.agent_id, "testCases": known}
    read = compared.read
    if any(
        _is_refused_again(side, known, read.now) for side in [*read.base.sides, *read.candidates]
    ):
        again["allowDuplicate"] = True
    return NextCall(tool="create_batch_run", arguments=again)


def _is_refused_again(side: Side, test_case_ids: Sequence[str], now: datetime) -> bool:
    """Whether create_batch_run refuses these test cases, since they were started moments ago."""
    is_recent = side.created is None or (now - side.created).total_seconds() < REMEMBERED_SECONDS
    return is_recent and set(side.cases) == set(test_case_ids)
