"""Diagnose a batch run: what its test runs show together, with the turns that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import anyio
import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Listing
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestRun
from sigmamind_mcp.api.run_parts import PackedConversations
from sigmamind_mcp.api.run_reading import Keep, list_complete_runs, read_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import NotOffered, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import (
    CaseResult,
    FailureGroup,
    ReadingPlan,
    assign_single_case,
    choose_quotes,
    choose_representative,
    count_verdicts,
    find_last_end,
    find_signals_by_job,
    get_case_id,
    group_by_verdict,
    group_failures,
    plan_reading,
    summarize_cases,
    tally_signals,
)
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.tools.answers import CallArguments, Link, NextCall, fit_items, pluralize
from sigmamind_mcp.tools.arguments import BatchId, ForAgent
from sigmamind_mcp.tools.call_context import CallContext, ProgressReport
from sigmamind_mcp.tools.diagnosis_answer import (
    CaseRow,
    DiagnosedBatchRun,
    GroupShown,
    SignalShown,
)
from sigmamind_mcp.tools.parts import JobIds, Offset, Rate
from sigmamind_mcp.tools.unread_notes import (
    NotRead,
    note_failed_read,
    note_listing,
    note_record,
)
from sigmamind_mcp.uris import uri_of

if TYPE_CHECKING:
    from sigmamind_mcp.insight.signals import Signal

READING_SECONDS = 45.0


class DiagnoseBatchRun(ForAgent):
    batch_id: BatchId
    job_ids: Annotated[
        JobIds, Field(description="Test runs to read, if the API cannot list them.")
    ] = []
    from_failure: Annotated[Offset, Field(description="Failures that earlier calls have read.")] = 0
    from_group: Annotated[Offset, Field(description="Groups that earlier calls have shown.")] = 0
    from_test_case: Annotated[
        Offset, Field(description="Test cases that earlier calls have shown.")
    ] = 0


async def diagnose_batch_run(
    args: DiagnoseBatchRun, api: SigmaMindClient, context: CallContext
) -> DiagnosedBatchRun:
    """Explain a batch run: pass rates with intervals, failures grouped with quoted turns, signals.

    Use it first when attempts failed; for conversations read_test_runs, for two batch runs
    compare_batch_runs. Reads up to 70 transcripts within 45 seconds, no model calls; its next call
    continues.
    """
    batch_run, now = await api.get_batch_run(args.batch_id, args.agent_id)
    conversations = PackedConversations()
    listing = await _list_runs(args, api, conversations.pack)
    runs = assign_single_case(batch_run.test_cases, listing.items)
    results = summarize_cases([] if args.job_ids else batch_run.test_cases, runs)
    by_verdict = group_by_verdict(runs)
    failed, passed = by_verdict["failed"], by_verdict["passed"]
    groups = await anyio.to_thread.run_sync(group_failures, failed, abandon_on_cancel=True)

    plan = plan_reading(
        groups, passed, results, from_group=args.from_group, from_failure=args.from_failure
    )
    planned = list(map(conversations.unpack, [*plan.failed, *plan.passed]))
    reading = await _read_transcripts(planned, args, api, context.report_progress)
    evidence = await anyio.to_thread.run_sync(
        _collect_evidence, plan, reading, args, abandon_on_cancel=True
    )
    diagnosis = _Diagnosis(
        args=args,
        batch_run=batch_run,
        state=batch_run.state(now, find_last_end(runs)),
        counts=count_verdicts(runs),
        results=results,
        group_count=len(groups),
        plan=plan,
        reading=reading,
        evidence=evidence,
        notes=[
            *note_record("batch run", batch_run, args.batch_id),
            *note_listing("test run", listing, lambda run: run.job_id),
            *reading.note_failures(),
        ],
    )
    return await _fit_answer(diagnosis)


class _Reading(NamedTuple):
    """The job ids that were tried in time, and by job id the runs that were read.

    `failed` has the job ids whose request failed.
    """

    tried: set[str]
    runs: dict[str, TestRun]
    failed: list[str]

    @property
    def transcripts(self) -> list[TestRun]:
        """The runs that were read with a conversation."""
        return [run for run in self.runs.values() if run.conversation is not None]

    @property
    def lacking_count(self) -> int:
        """How many runs were read, and show no conversation."""
        return len(self.runs) - len(self.transcripts)

    def select(self, runs: Sequence[TestRun]) -> list[TestRun]:
        """Return the runs whose transcripts were read."""
        read = {run.job_id for run in self.transcripts}
        return [run for run in runs if run.job_id in read]

    def note_failures(self) -> list[NotRead]:
        """Note what the runs that were read one by one lack."""
        notes = [note_failed_read("transcript of test run", job_id) for job_id in self.failed]
        for job_id, run in self.runs.items():
            notes += note_record("test run", run, job_id)
        return notes


class _Evidence(NamedTuple):
    """What the transcripts show, ready for the answer."""

    groups: list[GroupShown]
    signals: list[SignalShown]


class _Position(NamedTuple):
    """How far the calls so far got in one list; `argument` continues from there."""

    argument: str
    seen: int
    total: int


@dataclass(frozen=True)
class _Diagnosis:
    """Everything that an answer is built from."""

    args: DiagnoseBatchRun
    batch_run: BatchRun
    state: BatchRunState
    counts: Counts
    results: list[CaseResult]
    group_count: int
    plan: ReadingPlan
    reading: _Reading
    evidence: _Evidence
    notes: list[NotRead]

    @property
    def failed_count(self) -> int:
        return self.counts.decided - self.counts.passed

    @property
    def next_failure(self) -> int:
        return self.args.from_failure + self.plan.count_handled(self.reading.tried)

    @property
    def failed_read_so_far(self) -> int:
        """How many failed runs have been read, if earlier calls read all that they tried."""
        queue = self.plan.queue[: self.plan.count_handled(self.reading.tried)]
        handled = self.args.from_failure + len(self.reading.select(queue))
        return max(handled, len(self.reading.select(self.plan.failed)))

    @property
    def is_exhausted(self) -> bool:
        """Whether earlier calls have shown everything."""
        return (
            self.args.from_failure >= self.failed_count
            and self.args.from_group >= self.group_count
            and self.args.from_test_case >= len(self.results)
        )

    def get_positions(self, group_count: int, case_count: int) -> list[_Position]:
        """Return the positions after an answer with this many groups and test cases."""
        from_group, from_test_case = self.args.from_group, self.args.from_test_case
        return [
            _Position("fromFailure", self.next_failure, self.plan.readable_count),
            _Position("fromGroup", from_group + group_count, self.group_count),
            _Position("fromTestCase", from_test_case + case_count, len(self.results)),
        ]


async def _list_runs(args: DiagnoseBatchRun, api: SigmaMindClient, keep: Keep) -> Listing[TestRun]:
    if args.job_ids:
        job_ids = list(dict.fromkeys(args.job_ids))
        return await read_runs(job_ids, args.batch_id, args.agent_id, api)
    try:
        return await list_complete_runs(args.batch_id, args.agent_id, api, keep=keep)
    except NotOffered as exc:
        message = f"{exc} This tool takes several job ids in jobIds."
        raise NotOffered(message, status=exc.status) from exc


async def _read_transcripts(
    runs: Sequence[TestRun], args: DiagnoseBatchRun, api: SigmaMindClient, report: ProgressReport
) -> _Reading:
    """Read the runs with their conversations, as many as READING_SECONDS allow."""
    read: dict[str, TestRun] = {}
    unread: dict[str, TestRun] = {}
    for run in runs:
        job_id = valid_id(run.job_id)
        if job_id:
            by_job = unread if run.conversation is None else read
            by_job[job_id] = run
    tried = set(read)
    failed: list[str] = []

    async def read_one(listed: TestRun, job_id: str) -> None:
        try:
            run = await api.get_test_run(job_id, args.batch_id, args.agent_id)
            known = {"job_id": job_id, "test_case": run.test_case or listed.test_case}
            read[job_id] = run.model_copy(update=known)
        except SigmaMindError:
            failed.append(job_id)
        finally:
            # After the deadline it counts as not tried, so that the next call reads it.
            if anyio.current_effective_deadline() > anyio.current_time():
                tried.add(job_id)
        await report(len(tried), len(runs), f"{len(tried)} of {len(runs)} transcripts read")

    calls = [partial(read_one, run, job_id) for job_id, run in unread.items()]
    with anyio.move_on_after(READING_SECONDS):
        await gather_errors(calls)
    return _Reading(tried, read, failed)


def _collect_evidence(plan: ReadingPlan, reading: _Reading, args: DiagnoseBatchRun) -> _Evidence:
    signals = find_signals_by_job(reading.transcripts)
    tallies = tally_signals(reading.select(plan.failed), reading.select(plan.passed), signals)
    return _Evidence(
        groups=[_show_group(group, reading.runs, signals, args) for group in plan.groups],
        signals=list(map(SignalShown.of, tallies)),
    )


def _show_group(
    group: FailureGroup,
    read: Mapping[str, TestRun],
    signals: Mapping[str, Sequence["Signal"]],
    args: DiagnoseBatchRun,
) -> GroupShown:
    chosen = choose_representative(group, read, signals)
    job_id = chosen.job_id or ""
    run = read.get(job_id, chosen)
    quotes = choose_quotes(run, signals.get(job_id, []))
    uri = _get_transcript_uri(chosen, args)
    return GroupShown.of(group, run, quotes, uri=uri)


def _get_transcript_uri(run: TestRun, args: DiagnoseBatchRun) -> str | None:
    job_id = valid_id(run.job_id)
    if job_id is None:
        return None
    return uri_of("transcript", agentId=args.agent_id, batchId=args.batch_id, jobId=job_id)


async def _fit_answer(diagnosis: _Diagnosis) -> DiagnosedBatchRun:
    """Build the answer with as many groups as fit, then as many test cases."""
    case_count = max(0, len(diagnosis.results) - diagnosis.args.from_test_case)
    group_count = len(diagnosis.evidence.groups)
    while group_count > 1:
        if _build_diagnosis(diagnosis, group_count, min(case_count, 1)).fits():
            break
        group_count -= 1
    build = partial(_build_diagnosis, diagnosis, group_count)
    return await fit_items(case_count, build, diagnosis.notes)


def _build_diagnosis(diagnosis: _Diagnosis, group_count: int, case_count: int) -> DiagnosedBatchRun:
    args, plan, reading = diagnosis.args, diagnosis.plan, diagnosis.reading
    cases = diagnosis.results[args.from_test_case : args.from_test_case + case_count]
    failed_read = len(reading.select(plan.failed))
    answer = DiagnosedBatchRun(
        batch_id=args.batch_id,
        agent_id=args.agent_id,
        state=diagnosis.state,
        rate=Rate.of(diagnosis.counts),
        undecided=sum(result.undecided for result in diagnosis.results),
        failed=diagnosis.failed_count,
        failed_read=failed_read,
        failed_read_so_far=diagnosis.failed_read_so_far,
        passed_read=len(reading.select(plan.passed)),
        test_case_count=len(diagnosis.results),
        test_cases=list(map(CaseRow.of, cases)),
        group_count=diagnosis.group_count,
        groups=diagnosis.evidence.groups[:group_count],
        signals=diagnosis.evidence.signals,
        uri=uri_of("batch-run", agentId=args.agent_id, batchId=args.batch_id),
        hint=_write_diagnosis_hint(diagnosis),
    )
    answer.next_calls = _list_diagnosis_calls(answer, diagnosis)
    return answer.add_links(Link(answer.uri, f"Batch run {args.batch_id}", "application/json"))


def _write_diagnosis_hint(diagnosis: _Diagnosis) -> str | None:
    if diagnosis.is_exhausted:
        return (
            "Nothing is left to show: earlier calls have shown every test case, group and"
            " transcript."
        )
    hints = []
    lacking = diagnosis.reading.lacking_count
    if lacking:
        hints.append(f"The API's answers show no conversation of {pluralize(lacking, 'run')} read.")
    if _counters_differ(diagnosis.batch_run, diagnosis.counts):
        source = "the given jobIds" if diagnosis.args.job_ids else "the listed test runs"
        hints.append(
            f"These counts are of {source}; the batch run's own counters say"
            f" {diagnosis.batch_run.successful_attempts} of"
            f" {diagnosis.batch_run.decided_attempts} decided passed."
        )
    return " ".join(hints) or None


def _counters_differ(batch_run: BatchRun, counts: Counts) -> bool:
    passed, failed = batch_run.successful_attempts, batch_run.failed_attempts
    if passed is None or failed is None:
        return False
    return (passed, passed + failed) != (counts.passed, counts.decided)


def _list_diagnosis_calls(answer: DiagnosedBatchRun, diagnosis: _Diagnosis) -> list[NextCall]:
    args = diagnosis.args
    here: CallArguments = {"agentId": args.agent_id, "batchId": args.batch_id}
    calls = []
    reading_call = _make_example_call(answer, diagnosis)
    if reading_call:
        calls.append(reading_call)
    further: CallArguments = dict(here)
    if args.job_ids:
        further["jobIds"] = list(args.job_ids)
    is_complete = True
    for position in diagnosis.get_positions(len(answer.groups), len(answer.test_cases)):
        further[position.argument] = min(position.seen, position.total)
        is_complete = is_complete and position.seen >= position.total
    if not is_complete:
        calls.append(NextCall(tool="diagnose_batch_run", arguments=further))
    if answer.state == "running":
        calls.append(NextCall(tool="wait_for_batch_run", arguments=here))
    return calls


def _make_example_call(answer: DiagnosedBatchRun, diagnosis: _Diagnosis) -> NextCall | None:
    """Make the call that reads the first group's run, beside a passed one of its only case."""
    group = next((group for group in answer.groups if group.job_id), None)
    if group is None or group.job_id is None:
        return None
    here: CallArguments = {"agentId": answer.agent_id, "batchId": answer.batch_id}
    passed_id = _find_passed_job_id(group, diagnosis.reading.select(diagnosis.plan.passed))
    job_ids = [group.job_id, passed_id] if passed_id else [group.job_id]
    return NextCall(tool="read_test_runs", arguments={**here, "jobIds": job_ids})


def _find_passed_job_id(group: GroupShown, passed: Sequence[TestRun]) -> str | None:
    """Return the first passed run of the group's test case, if the group has only one."""
    if len(group.test_cases) != 1:
        return None
    (case_id,) = group.test_cases
    for run in passed:
        if get_case_id(run) == case_id:
            return valid_id(run.job_id)
    return None
