"""Diagnose a batch run: what its test runs show together, with the turns that show it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, NamedTuple

import anyio
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.last_ends import find_last_end
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestRun
from sigmamind_mcp.api.run_reading import (
    derive_state,
    drop_source,
    find_end_if_stalled,
    list_complete_runs,
    read_runs,
)
from sigmamind_mcp.call_deadlines import limit_to_call
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import NotOffered, SigmaMindError
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import (
    CaseResult,
    assign_single_case,
    count_verdicts,
    get_case_id,
    round_robin,
    summarize_cases,
)
from sigmamind_mcp.tools.arguments import BatchId, Continued, ForAgent
from sigmamind_mcp.tools.attempt_matrix import build_matrix
from sigmamind_mcp.tools.call_context import CallContext, ProgressReport
from sigmamind_mcp.tools.diagnosis_answer import DiagnosedBatchRun, Section
from sigmamind_mcp.tools.diagnosis_sections import Diagnosis, fit_diagnosis
from sigmamind_mcp.tools.known_definitions import (
    KnownDefinitions,
    find_problems,
    read_definitions,
)
from sigmamind_mcp.tools.parts import JobIds
from sigmamind_mcp.tools.unread_notes import note_failed_read, note_listing, note_record

READING_SECONDS = 30.0
SPARE_SECONDS = 14.0
"""So much of the call is left after reading transcripts, and half of it after all reading."""
WORK_SECONDS = 6.0
"""The CPU time for the work on the transcripts."""
PROBLEMS_SHARE = 0.2
VALUES_SHARE = 0.4
"""Values take up to 1.5 times as long as the evidence: begun later, they do not end in time."""
MAX_TRANSCRIPTS_READ = 200
"""If the list has no conversations, so many are read one by one."""


class DiagnoseBatchRun(Continued, ForAgent):
    position_names = ("row",)

    batch_id: BatchId
    job_ids: Annotated[
        JobIds, Field(description="Test runs to read, if the API cannot list them.")
    ] = []
    section: Annotated[Section | None, Field(description="Only this section, whole.")] = None


async def diagnose_batch_run(
    args: DiagnoseBatchRun, api: SigmaMindClient, context: CallContext
) -> DiagnosedBatchRun:
    """Explain a batch run: what separates failed from passed attempts, over all transcripts.

    Also edits and missing variables, groups of failures, the turns of each failed run that tell
    most, and of passed ones; doubtful verdicts, faults of the test. Use it first when attempts
    failed; for two batch runs compare_batch_runs. Reads only, no model calls.
    """
    known = await read_known_batch_run(args, api, context.report_progress)
    clock = WorkClock(WORK_SECONDS)
    return await context.run_heavy(clock, partial(make_diagnosis, args, known, clock))


class _Transcripts(NamedTuple):
    """All runs, with their conversations where they could be read; `failed` has job ids."""

    runs: list[TestRun]
    failed: list[str]


class KnownBatchRun(NamedTuple):
    """All that a diagnosis reads."""

    batch_run: BatchRun
    state: BatchRunState
    listing: Listing[TestRun]
    reading: _Transcripts
    definitions: KnownDefinitions

    def list_results(self, *, is_of_job_ids: bool = False) -> list[CaseResult]:
        """Return how each test case ended, worst first."""
        listed = [] if is_of_job_ids else self.batch_run.test_cases
        return summarize_cases(listed, self.reading.runs)


async def read_known_batch_run(
    args: DiagnoseBatchRun, api: SigmaMindClient, report: ProgressReport
) -> KnownBatchRun:
    """Read a batch run, its test runs with their conversations, and their definitions."""
    batch_run, now = await api.get_batch_run(args.batch_id, args.agent_id)
    last_end = None
    if args.job_ids:
        # The state depends on all attempts.
        with anyio.move_on_after(limit_to_call(READING_SECONDS, spare=SPARE_SECONDS)):
            last_end = await find_end_if_stalled(batch_run, args.batch_id, args.agent_id, now, api)
    listing = await _list_runs(args, api)
    runs = assign_single_case(batch_run.test_cases, listing.items)
    reading = await _read_transcripts(runs, args, api, report)
    definitions = await read_definitions(
        batch_run,
        reading.runs,
        args.agent_id,
        api,
        seconds=limit_to_call(READING_SECONDS, spare=SPARE_SECONDS / 2),
    )
    if not args.job_ids:
        last_end = find_last_end(replace(listing, items=reading.runs))
    state = derive_state(batch_run, now, last_end)
    return KnownBatchRun(batch_run, state, listing, reading, definitions)


def make_diagnosis(
    args: DiagnoseBatchRun, known: KnownBatchRun, clock: WorkClock
) -> DiagnosedBatchRun:
    """Work on what was read until the clock is spent, and build the answer."""
    # Patterns take time to compile.
    from sigmamind_mcp.insight.evidence import collect_evidence
    from sigmamind_mcp.insight.values_not_given import find_values_not_given

    has_time = clock.start_counting()
    batch_run = known.batch_run
    runs = known.reading.runs
    results = known.list_results(is_of_job_ids=bool(args.job_ids))
    problems = find_problems(known.definitions, has_time=lambda: has_time(PROBLEMS_SHARE))
    transcripts = [run for run in runs if run.conversation is not None]
    evidence = collect_evidence(transcripts, has_time=has_time)
    agent = known.definitions.agent
    values = None
    if agent is not None and agent.is_prompt_shown and has_time(VALUES_SHARE):
        values = find_values_not_given(
            transcripts,
            agent.list_given_texts(),
            known.definitions.cases,
            has_time=lambda: has_time(1.0),
        )
    diagnosis = Diagnosis(
        args=args,
        agent_id=args.agent_id,
        batch_id=args.batch_id,
        section=args.section,
        is_of_job_ids=bool(args.job_ids),
        batch_run=batch_run,
        state=known.state,
        counts=count_verdicts(runs),
        read_counts=count_verdicts(evidence.read),
        results=results,
        run_count=len(runs),
        undecided_ids=_list_undecided_ids(runs),
        problems=problems,
        evidence=evidence,
        values=values,
    )
    notes = note_record("batch run", batch_run, args.batch_id)
    notes += note_listing("test run", known.listing, lambda run: run.job_id)
    for job_id in known.reading.failed:
        notes.append(note_failed_read("transcript of test run", job_id))
    answer = fit_diagnosis(diagnosis, args.position["row"], notes)
    return answer.add_matrix(build_matrix(results, runs))


def _list_undecided_ids(runs: Sequence[TestRun]) -> list[str]:
    ids = []
    for run in runs:
        if run.verdict == "undecided" and valid_id(run.job_id):
            ids.append(run.job_id or "")
    return ids


async def _list_runs(args: DiagnoseBatchRun, api: SigmaMindClient) -> Listing[TestRun]:
    if args.job_ids:
        job_ids = list(dict.fromkeys(args.job_ids))
        return await read_runs(job_ids, args.batch_id, args.agent_id, api)
    try:
        return await list_complete_runs(args.batch_id, args.agent_id, api, keep=drop_source)
    except NotOffered as exc:
        message = f"{exc} This tool takes several job ids in jobIds."
        raise NotOffered(message, status=exc.status) from exc


async def _read_transcripts(
    runs: Sequence[TestRun], args: DiagnoseBatchRun, api: SigmaMindClient, report: ProgressReport
) -> _Transcripts:
    """Read the conversations that the list lacks, as many as READING_SECONDS allow."""
    read: dict[str, TestRun] = {}
    failed: list[str] = []
    lacking = [run for run in runs if run.conversation is None and valid_id(run.job_id)]
    # Failed and passed runs of each test case in turn, so that they can be compared.
    wanted = round_robin(lacking, lambda run: (get_case_id(run), run.verdict))

    async def read_one(listed: TestRun, job_id: str) -> None:
        try:
            run = await api.get_test_run(job_id, args.batch_id, args.agent_id)
            known = {"job_id": job_id, "test_case": run.test_case or listed.test_case}
            read[job_id] = run.model_copy(update=known)
        except SigmaMindError:
            failed.append(job_id)
        done = len(read) + len(failed)
        await report(done, len(wanted), f"{done} of {len(wanted)} transcripts read")

    chosen = wanted[:MAX_TRANSCRIPTS_READ]
    calls = [partial(read_one, run, run.job_id or "") for run in chosen]
    with anyio.move_on_after(limit_to_call(READING_SECONDS, spare=SPARE_SECONDS)):
        await gather_errors(calls)
    completed = [read.get(run.job_id or "", run) for run in runs]
    return _Transcripts(completed, failed)
