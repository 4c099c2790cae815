"""Compare two batch runs."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.api.run_reading import drop_conversation, list_complete_runs, read_runs
from sigmamind_mcp.concurrency import gather_errors, require_results
from sigmamind_mcp.errors import InvalidArguments, NotAllowed, NotFound, NotOffered
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
from sigmamind_mcp.tools.answers import CallArguments, NextCall, fit_items
from sigmamind_mcp.tools.arguments import ForAgent, Id
from sigmamind_mcp.tools.comparison_answer import (
    CaseChangeRow,
    ComparedBatchRuns,
    keep_counts,
    round_p,
)
from sigmamind_mcp.tools.cursors import Cursor, decode_cursor, encode_cursor
from sigmamind_mcp.tools.parts import JobIds, Rate
from sigmamind_mcp.tools.unread_notes import NotRead, note_listing, note_record


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

    Use it after a change; for why attempts failed use diagnose_batch_run, for their
    conversations read_test_runs. Reads both, no model calls. Says how many attempts would prove it.
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
        passed: dict[str, str | int] = {"batchId": base.batch_id, "jobId": pair.passed_job_id}
        failed: dict[str, str | int] = {"batchId": candidate.batch_id, "jobId": pair.failed_job_id}
        both: CallArguments = {**here, "turns": [passed, failed]}
        calls.append(NextCall(tool="read_test_runs", arguments=both))
    diagnosed: CallArguments = {**here, "batchId": args.candidate_batch_id}
    calls.append(NextCall(tool="diagnose_batch_run", arguments=diagnosed))
    seen = compared.start + case_count
    if seen < len(comparison.changes):
        given = args.model_dump(by_alias=True, exclude_unset=True)
        further: CallArguments = {**given, **here, "cursor": encode_cursor(testCase=seen)}
        calls.append(NextCall(tool="compare_batch_runs", arguments=further))
    return calls
