"""The answer of diagnose_batch_run, and its text."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from sigmamind_mcp.api.models import BatchRunState, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import (
    CaseResult,
    FailureGroup,
    Outcome,
    Quote,
    SignalTally,
    get_case_id,
)
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Rendered, pluralize
from sigmamind_mcp.tools.parts import (
    LABEL_CHARACTERS,
    NO_REMARKS,
    PROSE_CHARACTERS,
    QuoteShown,
    Rate,
    truncate_line,
)
from sigmamind_mcp.tools.unread_notes import NO_ID

if TYPE_CHECKING:
    from sigmamind_mcp.insight.signals import Signal

EXAMPLES = 3
CASES_SHOWN = 5
MORE_JOBS = 2


class CaseRow(AnswerPart):
    test_case_id: str | None = None
    label: str
    outcome: Outcome = Field(
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

    @property
    def name(self) -> str:
        return self.test_case_id or NO_ID

    def line(self) -> str:
        thin = ", thin" if self.thin else ""
        undecided = f", {self.undecided} undecided" if self.undecided else ""
        return f"{self.name} {self.outcome}{thin}: {self.rate}{undecided}."


class GroupShown(AnswerPart):
    size: int
    test_cases: dict[str, int] = Field(
        description="How many of its runs belong to each test case, most first."
    )
    more_test_cases: int | None = Field(
        default=None, description="Test cases with runs in it that are not shown."
    )
    job_id: str | None = Field(default=None, description="A run with typical remarks and signals.")
    more_job_ids: list[str] = Field(default=[], description="Others of the group.")
    remarks: str | None = None
    success_criteria: str | None = None
    quotes: list[QuoteShown] = Field(
        default=[], description="Empty if its transcript was not read or is empty."
    )
    transcript_uri: str | None = None

    @classmethod
    def of(
        cls, group: FailureGroup, run: TestRun, quotes: Iterable[Quote], *, uri: str | None
    ) -> "GroupShown":
        """Show the group by one of its runs; `uri` is that of the run's transcript."""
        job_id = valid_id(run.job_id)
        cases = Counter(valid_id(get_case_id(member)) or "-" for member in group.runs)
        others = []
        for member in group.runs[: MORE_JOBS + 1]:
            other_id = valid_id(member.job_id)
            if other_id and other_id != job_id:
                others.append(other_id)
        criteria = run.test_case.success_criteria if run.test_case else None
        return cls(
            size=len(group.runs),
            test_cases=dict(cases.most_common(CASES_SHOWN)),
            more_test_cases=max(0, len(cases) - CASES_SHOWN) or None,
            job_id=job_id,
            more_job_ids=others[:MORE_JOBS],
            remarks=truncate_line(run.remarks or "", PROSE_CHARACTERS) or None,
            success_criteria=truncate_line(criteria or "", PROSE_CHARACTERS) or None,
            quotes=list(map(QuoteShown.of, quotes)),
            transcript_uri=uri,
        )

    def lines(self) -> list[str]:
        lines = [self._first_line()]
        if self.success_criteria:
            lines.append(f"    successCriteria: {self.success_criteria}")
        lines.append(f"    remarks: {self.remarks}" if self.remarks else f"    {NO_REMARKS}")
        lines += [quote.line() for quote in self.quotes]
        if self.transcript_uri:
            lines.append(f"    {self.transcript_uri}")
        return lines

    def _first_line(self) -> str:
        cases = ", ".join(f"{name} x{count}" for name, count in self.test_cases.items())
        if self.more_test_cases:
            cases += f" and {pluralize(self.more_test_cases, 'more test case')}"
        if not self.remarks:
            size = f"{self.size} failed, no remarks to read"
        else:
            size = f"{self.size} failed with similar remarks" if self.size > 1 else "1 failed"
        like = f" (like {', '.join(self.more_job_ids)})" if self.more_job_ids else ""
        return f"{size} ({cases}). For example {self.job_id or NO_ID}{like}:"


class SignalExample(AnswerPart):
    job_id: str
    verdict: Verdict
    turn: int | None = None
    says: str

    @classmethod
    def of(cls, run: TestRun, job_id: str, signal: "Signal") -> "SignalExample":
        return cls(job_id=job_id, verdict=run.verdict, turn=signal.turn, says=signal.says)

    def __str__(self) -> str:
        turn = "" if self.turn is None else f" turn {self.turn}"
        return f"{self.job_id} ({self.verdict}){turn}"


class SignalShown(AnswerPart):
    # Not SignalKind: importing it would load the signals, and their patterns, at every start.
    kind: str
    failed_runs: int = Field(description="Of the failedRead.")
    passed_runs: int = Field(description="Of the passedRead.")
    language_bound: bool | None = Field(
        default=None, description="True when it only knows English wording."
    )
    examples: list[SignalExample]

    @classmethod
    def of(cls, tally: SignalTally) -> "SignalShown":
        occurrences = [*tally.failed, *tally.passed][:EXAMPLES]
        examples = []
        language_bound = False
        for run, signal in occurrences:
            language_bound = language_bound or signal.language_bound
            job_id = valid_id(run.job_id)
            if job_id:
                examples.append(SignalExample.of(run, job_id, signal))
        return cls(
            kind=tally.kind,
            failed_runs=len(tally.failed),
            passed_runs=len(tally.passed),
            language_bound=language_bound or None,
            examples=examples,
        )

    def line(self, failed_read: int, passed_read: int) -> str:
        failed = f"{self.failed_runs} of {failed_read} failed"
        passed = f"{self.passed_runs} of {passed_read} passed"
        bound = ", English wording only" if self.language_bound else ""
        says = self.examples[0].says if self.examples else ""
        examples = "; ".join(map(str, self.examples))
        return f"{self.kind}: {failed}, {passed}{bound}. {says} {examples}".rstrip()


class DiagnosedBatchRun(Answer):
    """What failed in a batch run, and where to look."""

    batch_id: str
    agent_id: str
    state: BatchRunState
    rate: Rate
    undecided: int = Field(
        description="Attempts that show no verdict: running, broken, or unreadable."
    )
    failed: int
    failed_read: int = Field(description="Failed runs whose transcripts this call has read.")
    failed_read_so_far: int = Field(description="At most the same, with those of earlier calls.")
    passed_read: int
    test_case_count: int
    test_cases: list[CaseRow] = Field(description="Worst first.")
    group_count: int
    groups: list[GroupShown] = Field(
        description="Failed runs with similar remarks, largest group first."
    )
    signals: list[SignalShown] = Field(
        description="Hints in the transcripts that were read; never causes."
    )
    uri: str

    def render(self) -> Rendered:
        undecided = f" {self.undecided} undecided." if self.undecided else ""
        name = f"Batch run {self.batch_id} of agent {self.agent_id}"
        before = [f"{name}, {self.state}: {self.rate}.{undecided}"]
        if self.test_cases:
            shown = f"{len(self.test_cases)} of {self.test_case_count}"
            before += ["", f"Test cases, worst first ({shown}):"]
        data = []
        for row in self.test_cases:
            before.append(row.line())
            data.append(f"{row.name}: {row.label}")
        if self.failed:
            before += ["", self._transcripts_line()]
        if self.signals:
            before.append("Signals in them, which are hints and never causes:")
        for signal in self.signals:
            before.append(signal.line(self.failed_read, self.passed_read))
        if self.groups:
            groups = pluralize(self.group_count, "group")
            data += ["", f"Failures in {groups} with similar remarks ({len(self.groups)} shown):"]
        for group in self.groups:
            data += group.lines()
        return Rendered(before, data, [f"Resource: {self.uri}"])

    def _transcripts_line(self) -> str:
        so_far = ""
        if self.failed_read_so_far > self.failed_read:
            so_far = f" (at most {self.failed_read_so_far} with earlier calls)"
        failed = f"{self.failed_read} of {pluralize(self.failed, 'failed run')}{so_far}"
        return f"Transcripts read: {failed}, {self.passed_read} passed."
