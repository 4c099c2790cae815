"""Diagnosis: what the test runs of a batch say together, with the turns that show it."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated

import anyio
import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, BatchRunState, TestRun
from sigmamind_mcp.api.run_reading import list_complete_runs, read_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import NotOffered
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import (
    CaseResult,
    Group,
    assign_single_case,
    case_results,
    group_failures,
    order_for_reading,
    quotes_of,
    representative,
    round_robin,
    signals_of,
)
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    fit_items,
    pluralize,
)
from sigmamind_mcp.tools.arguments import BatchId, ForAgent
from sigmamind_mcp.tools.parts import (
    LABEL_CHARACTERS,
    PROSE_CHARACTERS,
    QUOTE_CHARACTERS,
    ROLE_CHARACTERS,
    JobIds,
    Offset,
    Part,
    QuoteShown,
    Rate,
    Report,
    truncate_line,
)
from sigmamind_mcp.uris import uri_of

if TYPE_CHECKING:
    from sigmamind_mcp.insight.signals import Signal

READ_FAILED = 60
READ_PASSED = 10
READING_SECONDS = 45.0
GROUPS_SHOWN = 6
EXAMPLES = 3
CASES_SHOWN = 5
MORE_JOBS = 2


class DiagnoseBatchRun(ForAgent):
    batch_id: BatchId
    job_ids: Annotated[
        JobIds, Field(description="Test runs to read, if the API cannot list them.")
    ] = []
    from_failure: Annotated[Offset, Field(description="Failures that earlier calls have read.")] = 0
    from_group: Annotated[Offset, Field(description="Groups that earlier calls have shown.")] = 0
    from_test_case: Annotated[Offset, Field(description="Test cases likewise.")] = 0


class CaseRow(Part):
    test_case_id: str | None = None
    label: str
    outcome: str = Field(
        description="passing: all decided passed; failing: none; flaky: both; undecided: none yet."
    )
    rate: Rate
    undecided: int
    thin: bool | None = Field(
        default=None, description="True when fewer than 5 attempts were decided."
    )

    @classmethod
    def of(cls, result: CaseResult) -> "CaseRow":
        return cls(
            test_case_id=valid_id(result.case.test_case_id),
            label=truncate_line(result.case.title, LABEL_CHARACTERS),
            outcome=result.outcome,
            rate=Rate.of(result.counts),
            undecided=result.undecided,
            thin=result.is_thin or None,
        )

    def line(self) -> str:
        thin = ", thin" if self.thin else ""
        left = f", {self.undecided} undecided" if self.undecided else ""
        return f"{self.test_case_id or '(no id)'} {self.outcome}{thin}: {self.rate}{left}."


class GroupShown(Part):
    size: int
    test_cases: dict[str, int] = Field(
        description="How many of its runs are of which test case, most first."
    )
    more_test_cases: int | None = Field(
        default=None, description="Test cases with runs in it that are not shown."
    )
    job_id: str | None = Field(
        default=None, description="A run whose remarks and signals are those of most."
    )
    more_job_ids: list[str] = Field(default=[], description="Others of the group.")
    remarks: str | None = None
    success_criteria: str | None = None
    quotes: list[QuoteShown] = Field(
        default=[], description="Empty where its transcript was not read or is empty."
    )
    transcript_uri: str | None = None

    def lines(self) -> list[str]:
        cases = ", ".join(f"{name} x{count}" for name, count in self.test_cases.items())
        cases += (
            f" and {pluralize(self.more_test_cases, 'more test case')}"
            if self.more_test_cases
            else ""
        )
        like = f" (like {', '.join(self.more_job_ids)})" if self.more_job_ids else ""
        alike = f"{self.size} failed alike" if self.size > 1 else "1 failed"
        alike = alike if self.remarks else f"{self.size} failed without remarks"
        lines = [f"{alike} ({cases}). For example {self.job_id or '(no id)'}{like}:"]
        lines += [f"    successCriteria: {self.success_criteria}"] if self.success_criteria else []
        lines += [f"    remarks: {self.remarks}"] if self.remarks else ["    (no remarks)"]
        lines += [quote.line() for quote in self.quotes]
        return [*lines, f"    {self.transcript_uri}"] if self.transcript_uri else lines


class SignalExample(Part):
    job_id: str
    verdict: str
    turn: int | None = None
    says: str


class SignalShown(Part):
    kind: str
    failed_runs: int = Field(description="Of the failedRead.")
    passed_runs: int = Field(description="Of the passedRead.")
    language_bound: bool | None = Field(
        default=None, description="True when it only knows English wording."
    )
    examples: list[SignalExample]

    def line(self, failed_read: int, passed_read: int) -> str:
        bound = ", English wording only" if self.language_bound else ""
        seen = "; ".join(
            f"{one.job_id} ({one.verdict}){'' if one.turn is None else f' turn {one.turn}'}"
            for one in self.examples
        )
        shares = f"{self.failed_runs} of {failed_read} failed, {self.passed_runs} of {passed_read} passed"
        return f"{self.kind}: {shares}{bound}. {self.examples[0].says if self.examples else ''} {seen}".rstrip()


class DiagnosedBatchRun(Answer):
    """What failed in a batch run, and where to look."""

    batch_id: str
    agent_id: str
    state: BatchRunState
    rate: Rate
    undecided: int = Field(description="Attempts without a verdict: still running, or broken.")
    failed: int
    failed_read: int = Field(description="Failed runs whose transcripts this call has read.")
    failed_read_so_far: int = Field(description="Those of earlier calls among them.")
    passed_read: int
    test_case_count: int
    test_cases: list[CaseRow] = Field(description="Worst first.")
    group_count: int
    groups: list[GroupShown] = Field(
        description="Failed runs alike in their remarks, largest group first."
    )
    signals: list[SignalShown] = Field(
        description="Hints in the transcripts that were read; never causes."
    )
    uri: str

    def render(self) -> Rendered:
        undecided = f" {self.undecided} undecided." if self.undecided else ""
        before = [
            f"Batch run {self.batch_id} of agent {self.agent_id}, {self.state}: {self.rate}.{undecided}"
        ]
        data = []
        if self.test_cases:
            before += [
                "",
                f"Test cases, worst first ({len(self.test_cases)} of {self.test_case_count}):",
            ]
            before += [row.line() for row in self.test_cases]
            data += [f"{row.test_case_id or '(no id)'}: {row.label}" for row in self.test_cases]
        if self.failed:
            so_far = f" ({self.failed_read_so_far} with earlier calls)" if self.is_continued else ""
            read = f"{self.failed_read} of {pluralize(self.failed, 'failed run')}{so_far}, {self.passed_read} passed"
            before += ["", f"Transcripts read: {read}."]
        if self.signals:
            before += ["Signals in them, which are hints and never causes:"]
            before += [signal.line(self.failed_read, self.passed_read) for signal in self.signals]
        if self.groups:
            shown = (
                f"{pluralize(self.group_count, 'group')} ({len(self.groups)} shown), alike in words"
            )
            data += [
                "",
                f"Failures in {shown}:",
                *(line for group in self.groups for line in group.lines()),
            ]
        return Rendered(before, data, [f"Resource: {self.uri}"])

    @property
    def is_continued(self) -> bool:
        return self.failed_read_so_far > self.failed_read


async def diagnose_batch_run(
    args: DiagnoseBatchRun, api: SigmaMindClient, report: Report
) -> DiagnosedBatchRun:
    """Explain a batch run: pass rates with intervals, failures grouped with quoted turns, signals.

    Use it first when attempts failed; for one conversation get_test_run, for two batch runs compare_batch_runs.
    Reads up to 70 transcripts within 45 seconds, no model calls; its next call goes on.
    """
    batch_run, now = await api.get_batch_run(args.batch_id, args.agent_id)
    runs = assign_single_case(batch_run.test_cases, await _runs(args, api))
    results = case_results([] if args.job_ids else batch_run.test_cases, runs)
    failed = [run for run in runs if run.verdict == "failed"]
    groups = await anyio.to_thread.run_sync(group_failures, failed, abandon_on_cancel=True)
    wanted = groups[args.from_group : args.from_group + GROUPS_SHOWN]
    readable = [run for run in order_for_reading(groups) if valid_id(run.job_id)]
    order = readable[args.from_failure :]
    ahead = [run for group in wanted if valid_id((run := group.runs[0]).job_id)]
    to_read = list({id(run): run for run in [*ahead, *order]}.values())[:READ_FAILED]
    failing = {result.case.test_case_id for result in results if result.outcome != "passing"}
    passed = [run for run in runs if run.verdict == "passed"]
    passed.sort(key=lambda run: (run.test_case and run.test_case.test_case_id) not in failing)
    to_compare = round_robin(passed, lambda run: run.test_case and run.test_case.test_case_id)[
        :READ_PASSED
    ]
    tried, read = await _transcripts([*to_read, *to_compare], args, api, report)
    signals = await anyio.to_thread.run_sync(
        signals_of, list(read.values()), abandon_on_cancel=True
    )
    described = await anyio.to_thread.run_sync(
        _groups, wanted, read, signals, args, abandon_on_cancel=True
    )
    failed_read = [run for run in to_read if run.job_id in read]
    passed_read = [run for run in to_compare if run.job_id in read]
    last_completed = max((run.completed_date for run in runs if run.completed_date), default=None)
    counts = Counts(sum(run.verdict == "passed" for run in runs), len(passed) + len(failed))
    # What was read ahead, because a shown group is represented by it, comes again when it is its turn.
    gone_on = args.from_failure + sum(1 for _ in takewhile(lambda run: run.job_id in tried, order))

    def build(cases_shown: int, groups_shown: int) -> DiagnosedBatchRun:
        cases = results[args.from_test_case : args.from_test_case + cases_shown]
        answer = DiagnosedBatchRun(
            batch_id=args.batch_id,
            agent_id=args.agent_id,
            state=batch_run.state(now, last_completed),
            rate=Rate.of(counts),
            undecided=sum(result.undecided for result in results),
            failed=len(failed),
            failed_read=len(failed_read),
            failed_read_so_far=max(gone_on, len(failed_read)),
            passed_read=len(passed_read),
            test_case_count=len(results),
            test_cases=[CaseRow.of(result) for result in cases],
            group_count=len(groups),
            groups=described[:groups_shown],
            signals=_signals(failed_read, passed_read, signals),
            uri=uri_of("batch-run", agentId=args.agent_id, batchId=args.batch_id),
            hint=_differs(batch_run, counts, args),
        )
        if (
            min(
                args.from_failure - len(failed),
                args.from_group - len(groups),
                args.from_test_case - len(results),
            )
            >= 0
        ):
            answer.hint = "Nothing is left to show: earlier calls have shown every test case, group and transcript."
        rest = {
            "fromFailure": (gone_on, len(readable)),
            "fromGroup": (args.from_group + len(answer.groups), len(groups)),
            "fromTestCase": (args.from_test_case + len(cases), len(results)),
        }
        answer.next_calls = _next_calls(answer, args, rest, passed_read)
        return answer.linking(Link(answer.uri, f"Batch run {args.batch_id}", "application/json"))

    left = max(0, len(results) - args.from_test_case)
    groups_shown = len(wanted)
    while groups_shown > 1 and not build(min(left, 1), groups_shown).fits():
        groups_shown -= 1
    return await fit_items(left, lambda count: build(count, groups_shown))


async def _runs(args: DiagnoseBatchRun, api: SigmaMindClient) -> list[TestRun]:
    if args.job_ids:
        return await read_runs(list(dict.fromkeys(args.job_ids)), args.batch_id, args.agent_id, api)
    try:
        return await list_complete_runs(args.batch_id, args.agent_id, api)
    except NotOffered as exc:
        raise NotOffered(f"{exc} Several job ids go into jobIds here.", status=exc.status) from exc


async def _transcripts(
    runs: Sequence[TestRun], args: DiagnoseBatchRun, api: SigmaMindClient, report: Report
) -> tuple[set[str], dict[str, TestRun]]:
    """Which job ids were tried in the time there is, and by job id the runs with their conversations."""
    wanted = {job_id: run for run in runs if (job_id := valid_id(run.job_id))}
    read = {job_id: run for job_id, run in wanted.items() if run.conversation is not None}
    tried = set(read)

    async def read_one(listed: TestRun, job_id: str) -> None:
        try:
            run = await api.get_test_run(job_id, args.batch_id, args.agent_id)
            read[job_id] = run.model_copy(
                update={"job_id": job_id, "test_case": run.test_case or listed.test_case}
            )
        finally:
            if anyio.current_effective_deadline() > anyio.current_time():
                tried.add(job_id)
        await report(len(tried), len(runs), f"{len(tried)} of {len(runs)} transcripts read")

    with anyio.move_on_after(READING_SECONDS):
        await gather_errors(
            [partial(read_one, run, job_id) for job_id, run in wanted.items() if job_id not in read]
        )
    return tried, read


def _groups(
    groups: Sequence[Group],
    read: dict[str, TestRun],
    signals: dict[str, list["Signal"]],
    args: DiagnoseBatchRun,
) -> list[GroupShown]:
    return [_group(group, read, signals, args) for group in groups]


def _group(
    group: Group,
    read: dict[str, TestRun],
    signals: dict[str, list["Signal"]],
    args: DiagnoseBatchRun,
) -> GroupShown:
    chosen = representative(group, read, signals)
    job_id = valid_id(chosen.job_id)
    run = read.get(chosen.job_id or "", chosen)
    cases = Counter(
        valid_id(run.test_case.test_case_id if run.test_case else None) or "-" for run in group.runs
    )
    others = [
        name
        for one in group.runs[: MORE_JOBS + 1]
        if (name := valid_id(one.job_id)) and name != job_id
    ]
    quotes = quotes_of(run, signals.get(chosen.job_id or "", []))
    criteria = run.test_case and run.test_case.success_criteria
    return GroupShown(
        size=len(group.runs),
        test_cases=dict(cases.most_common(CASES_SHOWN)),
        more_test_cases=max(0, len(cases) - CASES_SHOWN) or None,
        job_id=job_id,
        more_job_ids=others[:MORE_JOBS],
        remarks=truncate_line(run.remarks or "", PROSE_CHARACTERS) or None,
        success_criteria=truncate_line(criteria or "", PROSE_CHARACTERS) or None,
        quotes=[
            QuoteShown(
                turn=quote.number,
                role=truncate_line(quote.turn.role, ROLE_CHARACTERS),
                content=truncate_line(quote.turn.content, QUOTE_CHARACTERS),
                why=quote.why,
            )
            for quote in quotes
        ],
        transcript_uri=job_id
        and uri_of("transcript", agentId=args.agent_id, batchId=args.batch_id, jobId=job_id),
    )


def _signals(
    failed: Sequence[TestRun], passed: Sequence[TestRun], signals: dict[str, list["Signal"]]
) -> list[SignalShown]:
    """Each kind with how many runs have it, the most telling first: those that failed runs have and passed ones not."""

    def having(runs: Sequence[TestRun], kind: str) -> list[tuple[TestRun, "Signal"]]:
        found = (
            (run, [one for one in signals.get(run.job_id or "", []) if one.kind == kind])
            for run in runs
        )
        return [(run, ones[0]) for run, ones in found if ones]

    shown = []
    for kind in sorted({signal.kind for ones in signals.values() for signal in ones}):
        in_failed, in_passed = having(failed, kind), having(passed, kind)
        examples = (in_failed + in_passed)[:EXAMPLES]
        shown.append(
            SignalShown(
                kind=kind,
                failed_runs=len(in_failed),
                passed_runs=len(in_passed),
                language_bound=any(signal.language_bound for _, signal in examples) or None,
                examples=[
                    SignalExample(
                        job_id=job_id, verdict=run.verdict, turn=signal.turn, says=signal.says
                    )
                    for run, signal in examples
                    if (job_id := valid_id(run.job_id))
                ],
            )
        )
    return sorted(shown, key=lambda one: (one.passed_runs - one.failed_runs, one.kind))


def _differs(batch_run: BatchRun, counts: Counts, args: DiagnoseBatchRun) -> str | None:
    """What to know where the runs that were counted are not all that the batch run's own counters count."""
    decided, passed = batch_run.decided_attempts, batch_run.successful_attempts
    if decided is None or decided == counts.decided and (passed is None or passed == counts.passed):
        return None
    which = "the given jobIds" if args.job_ids else "the listed test runs"
    return f"These counts are of {which}; the batch run's own counters say {passed or 0} of {decided} decided passed."


def _next_calls(
    answer: DiagnosedBatchRun,
    args: DiagnoseBatchRun,
    rest: dict[str, tuple[int, int]],
    passed: Sequence[TestRun],
) -> list[NextCall]:
    here: CallArguments = {"agentId": args.agent_id, "batchId": args.batch_id}
    calls = []
    first = next((group for group in answer.groups if group.job_id), None)
    if first and first.job_id:
        case_id = next(iter(first.test_cases))
        other = next(
            (run for run in passed if run.test_case and run.test_case.test_case_id == case_id), None
        )
        calls.append(NextCall(tool="get_test_run", arguments={**here, "jobId": first.job_id}))
        if other and (passed_id := valid_id(other.job_id)) and len(first.test_cases) == 1:
            pair: CallArguments = {
                "jobId": passed_id,
                "otherJobId": first.job_id,
                "otherBatchId": args.batch_id,
            }
            calls[0] = NextCall(tool="compare_test_runs", arguments={**here, **pair})
    if any(seen < count for seen, count in rest.values()):
        given: CallArguments = {"jobIds": list(args.job_ids)} if args.job_ids else {}
        further: CallArguments = {name: min(seen, count) for name, (seen, count) in rest.items()}
        calls.append(NextCall(tool="diagnose_batch_run", arguments={**here, **given, **further}))
    if answer.state == "running":
        calls.append(NextCall(tool="wait_for_batch_run", arguments=here))
    return calls
