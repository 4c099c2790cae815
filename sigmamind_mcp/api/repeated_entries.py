"""Entries that a list of the API has more than once."""

from collections.abc import Callable, Sequence

from sigmamind_mcp.api.asked_ids import RecordT
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.strict_json import JSONObject


def merge_repeated_runs(runs: Sequence[TestRun]) -> list[TestRun]:
    """Keep the first test run of each job id, and all runs without one.

    Where their verdicts differ, only the job id is kept, so that the run must be read.
    """
    # Pages shift while a batch run goes on, so that one run can be on two of them.
    kept: list[TestRun] = []
    positions: dict[str, int] = {}
    for run in runs:
        if run.job_id is None or run.job_id not in positions:
            positions[run.job_id or ""] = len(kept)
            kept.append(run)
        elif run.verdict != kept[positions[run.job_id]].verdict:
            kept[positions[run.job_id]] = TestRun.read({"jobId": run.job_id})
    return kept


def drop_copies(
    records: Sequence[RecordT],
    get_id: Callable[[RecordT], str | None],
) -> list[RecordT]:
    """Drop each record that equals an earlier one of the same id."""
    # Where pages count from 1, pages 0 and 1 are the same.
    kept: list[RecordT] = []
    objects: dict[str, JSONObject] = {}
    for record in records:
        record_id = get_id(record)
        if record_id is None or objects.get(record_id) != record.raw:
            objects[record_id or ""] = record.raw
            kept.append(record)
    return kept
