"""Entries that a list of the API has more than once."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sigmamind_mcp.api.asked_ids import RecordT
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.strict_json import JSONObject

_NO_END = datetime.min.replace(tzinfo=UTC)


def merge_repeated_runs(runs: Sequence[TestRun]) -> list[TestRun]:
    """Keep the newest state of each test run, by job id, and all runs without one.

    Where two verdicts are equally new, only the job id is kept, so that the run must be read.
    """
    # Pages shift while a batch run goes on, so that one run can be on two of them.
    merged: list[TestRun] = []
    positions: dict[str, int] = {}
    contradicted: set[str] = set()
    for run in runs:
        if not run.job_id:
            merged.append(run)
            continue
        if run.job_id not in positions:
            positions[run.job_id] = len(merged)
            merged.append(run)
            continue
        position = positions[run.job_id]
        known = merged[position]
        rank, known_rank = _rank_state(run), _rank_state(known)
        if rank > known_rank:
            merged[position] = run
            contradicted.discard(run.job_id)
        elif rank == known_rank and run.verdict != known.verdict:
            contradicted.add(run.job_id)
    for job_id in contradicted:
        merged[positions[job_id]] = TestRun.read({"jobId": job_id})
    return merged


def _rank_state(run: TestRun) -> tuple[bool, datetime]:
    """Rank a test run by how far it is: decided before undecided, then by its end."""
    return run.verdict != "undecided", run.completed_date or _NO_END


def drop_copies(
    records: Sequence[RecordT],
    get_id: Callable[[RecordT], str | None],
) -> list[RecordT]:
    """Drop each record that equals an earlier one of the same id; keep all without one."""
    # Where pages count from 1, pages 0 and 1 are the same.
    kept: list[RecordT] = []
    first: dict[str, JSONObject] = {}
    others: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        record_id = get_id(record)
        if record_id and record_id in first:
            text = json.dumps(record.raw, sort_keys=True)
            if record.raw == first[record_id] or text in others[record_id]:
                continue
            others[record_id].add(text)
        elif record_id:
            first[record_id] = record.raw
        kept.append(record)
    return kept
