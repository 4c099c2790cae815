"""Comparison: two batch runs, or two conversations, side by side."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, NamedTuple

import anyio.to_thread
from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase, TestRun, Turn
from sigmamind_mcp.api.run_reading import list_complete_runs, read_runs
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import InvalidArguments, NotOffered, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.alignment import (
    ALIGNED_TURNS,
    AlignedTurn,
    align,
    find_divergence,
    unmatched_turns,
)
from sigmamind_mcp.insight.comparison import (
    MOST_ATTEMPTS,
    WORST_FIRST,
    CaseChange,
    Comparison,
    Side,
    build_side,
    compare,
)
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    NextCall,
    Rendered,
    fit_items,
    pluralize,
)
from sigmamind_mcp.tools.arguments import BatchId, ForAgent, Id, JobId
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
    truncate_line,
)
from sigmamind_mcp.uris import uri_of

TURNS_AROUND = 2
ONLY_SHOWN = 8


class CompareBatchRuns(ForAgent):
    base_batch_id: Annotated[Id, Field(description="The earlier one, from list_batch_runs.")]
    candidate_batch_id: Annotated[Id, Field(description="The one to judge against it.")]
    base_job_ids: Annotated[
        JobIds, Field(description="Base test runs, if the API cannot list them.")
    ] = []
    candidate_job_ids: Annotated[JobIds, Field(description="Candidate test runs, likewise.")] = []
    from_test_case: Annotated[
        Offset, Field(description="Test cases that earlier calls have shown.")
    ] = 0


class CaseChangeRow(Part):
    test_case_id: str | None = None
    label: str
    change: str = Field(
        description="regressed and improved are proven; 'changed, not proven' may be noise."
    )
    base: Rate | None = None
    candidate: Rate | None = None
    p: float | None = Field(default=None, description="Fisher's exact test, two-sided.")
    adjusted_p: float | None = Field(
        default=None, description="After Holm, over all cases compared."
    )
    differs: list[str] = Field(
        default=[], description="Fields that are not the same in both batch runs."
    )
    attempts_to_settle: str | None = Field(
        default=None,
        description="Attempts a side that would prove a change as large as the one seen, 4 times in 5.",
    )
    smallest_drop: float | None = Field(
        default=None, description="The least drop of the rate these could have proven."
    )

    @classmethod
    def of(cls, change: CaseChange) -> "CaseChangeRow":
        unproven = change.change == "changed, not proven"
        settle = (
            str(change.attempts_to_settle or f"more than {MOST_ATTEMPTS}") if unproven else None
        )
        return cls(
            test_case_id=valid_id(change.case.test_case_id),
            label=truncate_line(change.case.title, LABEL_CHARACTERS),
            change=change.change,
            base=Rate.of(change.base.counts) if change.base else None,
            candidate=Rate.of(change.candidate.counts) if change.candidate else None,
            p=None if change.p is None else float(f"{change.p:.3g}"),
            adjusted_p=None if change.adjusted_p is None else float(f"{change.adjusted_p:.3g}"),
            differs=list(change.differs),
            attempts_to_settle=settle,
            smallest_drop=None if change.smallest_drop is None else round(change.smallest_drop, 3),
        )

    def line(self) -> str:
        sides = [
            f"{side.passed}/{side.decided}" if side else "none"
            for side in (self.base, self.candidate)
        ]
        parts = [f"{self.test_case_id or '(no id)'} {self.change}: {sides[0]} to {sides[1]}"]
        if self.p is not None and self.adjusted_p is not None:
            parts.append(f"p {self.p:.3g}, adjusted {self.adjusted_p:.3g}")
        if self.attempts_to_settle:
            parts.append(
                f"{self.attempts_to_settle} attempts a side would settle it, if the rates are those seen"
            )
        if self.change == "unchanged" and self.smallest_drop is None:
            parts.append("so few attempts cannot prove any drop")
        elif self.change == "unchanged" and self.smallest_drop is not None:
            parts.append(
                f"a drop of less than {self.smallest_drop * 100:.0f} points could not have been proven"
            )
        parts += [f"differs in {', '.join(self.differs)}"] if self.differs else []
        return f"{'; '.join(parts)}."


class ComparedBatchRuns(Answer):
    """What changed between two batch runs, and what is only noise."""

    base_batch_id: str
    candidate_batch_id: str
    agent_id: str
    base: Rate | None = Field(
        default=None, description="All compared test cases together; absent when there is none."
    )
    candidate: Rate | None = None
    direction: str | None = Field(
        default=None, description="worse, better or alike, case by case; proven where p is."
    )
    p: float | None = Field(
        default=None, description="Exact Cochran-Mantel-Haenszel test over the compared cases."
    )
    separates_mix: bool = Field(
        description="False when only totals were compared: the mix of cases may have changed."
    )
    mix_differs: bool | None = Field(
        default=None, description="True when cases have other shares of the attempts."
    )
    compared: int = Field(
        description="Test cases with decided runs on both sides and an unchanged definition."
    )
    definitions_unknown: int | None = Field(
        default=None, description="Compared test cases whose edits cannot be seen."
    )
    could_prove: bool = Field(
        description="Whether any outcome of so few attempts could have been proven."
    )
    counts: dict[str, int] = Field(description="How many test cases changed in which way.")
    definitions_from: dict[str, str] = Field(description="Where each side's definitions were read.")
    test_case_count: int
    test_cases: list[CaseChangeRow] = Field(description="Worst first.")

    def render(self) -> Rendered:
        before = []
        if self.separates_mix and not self.compared:
            before.append(
                "The batch runs share no test case with decided runs on both sides and one definition."
            )
        elif not self.could_prove:
            before.append(
                "No outcome of so few attempts could be proven for a single test case"
                + ("; only all of them together may tell." if self.compared > 1 else ".")
            )
        before.append(
            f"Batch run {self.candidate_batch_id} against {self.base_batch_id} (agent {self.agent_id}): "
            + (
                ", ".join(f"{count} {change}" for change, count in self.counts.items())
                or "totals only"
            )
            + "."
        )
        kind = (
            "exact Cochran-Mantel-Haenszel test"
            if self.separates_mix
            else "Fisher's exact test of the totals"
        )
        if self.p is not None:
            proven = self.direction if self.p <= ALPHA else "not proven to have changed"
            over = (
                pluralize(self.compared, "compared test case")
                if self.separates_mix
                else "everything"
            )
            rates = f"{self.base}, then {self.candidate}"
            before.append(f"Overall, {over}: {rates}; p {self.p:.3g}, {kind}: {proven}.")
        if self.mix_differs:
            before.append(
                "The totals also differ because the mix of attempts does; the test compares within each case."
            )
        if self.definitions_unknown:
            of = pluralize(self.definitions_unknown, "compared test case")
            before.append(
                f"Of {of} the API does not tell prompt and criteria on both sides: edits cannot be seen."
            )
        if not self.separates_mix:
            before.append(
                "The API does not tell which runs are of which test case, so a change of mix cannot be told from one of"
                " the agent."
            )
        sources = "; ".join(
            f"{side} from the {source}" for side, source in self.definitions_from.items()
        )
        after = [
            f"Definitions were read: {sources}. Whether the agent itself was edited cannot be seen:"
            " the API does not version agents."
        ]
        before += [row.line() for row in self.test_cases]
        return Rendered(
            before,
            [f"{row.test_case_id or '(no id)'}: {row.label}" for row in self.test_cases],
            after,
        )


async def compare_batch_runs(args: CompareBatchRuns, api: SigmaMindClient) -> ComparedBatchRuns:
    """Compare two batch runs case by case: what changed beyond noise, what is unproven, what was edited.

    Use it after a change; for why attempts failed use diagnose_batch_run, for two conversations compare_test_runs.
    Reads both, no model calls. Says how many attempts would settle it.
    """
    if args.base_batch_id == args.candidate_batch_id:
        raise InvalidArguments(
            "baseBatchId and candidateBatchId are the same batch run; list_batch_runs shows others."
        )
    base, candidate = await _sides(args, api)
    compared = await anyio.to_thread.run_sync(
        compare, base.side, candidate.side, abandon_on_cancel=True
    )
    rows = compared.changes[args.from_test_case :]
    overall = compared.overall
    tally = Counter(change.change for change in compared.changes)

    def build(count: int) -> ComparedBatchRuns:
        answer = ComparedBatchRuns(
            base_batch_id=args.base_batch_id,
            candidate_batch_id=args.candidate_batch_id,
            agent_id=args.agent_id,
            base=None if overall.p is None else Rate.of(overall.base),
            candidate=None if overall.p is None else Rate.of(overall.candidate),
            direction=None if overall.p is None else _direction(overall.excess),
            p=None if overall.p is None else float(f"{overall.p:.3g}"),
            separates_mix=overall.separates_mix,
            mix_differs=_mix_differs(compared) or None,
            compared=compared.compared,
            could_prove=compared.could_prove,
            definitions_unknown=compared.definitions_unknown or None,
            counts={change: tally[change] for change in WORST_FIRST if tally[change]},
            definitions_from={
                "base": base.side.definitions,
                "candidate": candidate.side.definitions,
            },
            test_case_count=len(compared.changes),
            test_cases=[CaseChangeRow.of(change) for change in rows[:count]],
        )
        here: CallArguments = {"agentId": args.agent_id}
        answer.next_calls = _pair_to_read(compared.changes, base, candidate, here)
        answer.next_calls += [
            NextCall(
                tool="diagnose_batch_run", arguments={**here, "batchId": args.candidate_batch_id}
            )
        ]
        if count < len(rows):
            given = args.model_dump(by_alias=True, exclude_unset=True)
            further = {**given, **here, "fromTestCase": args.from_test_case + count}
            answer.next_calls.append(NextCall(tool="compare_batch_runs", arguments=further))
        return answer

    return await fit_items(len(rows), build)


def _direction(excess: float) -> str:
    if abs(excess) < 1e-9:
        return "alike"
    return "better" if excess > 0 else "worse"


def _mix_differs(compared: Comparison) -> bool:
    """Whether the compared cases have other shares of the attempts on one side than on the other."""
    sides = [(one.base, one.candidate) for one in compared.changes if one.p is not None]
    ratios = {
        (
            other.counts.decided * compared.overall.base.decided,
            one.counts.decided * compared.overall.candidate.decided,
        )
        for one, other in sides
        if one and other
    }
    return any(other != one for other, one in ratios)


class Sided(NamedTuple):
    """One of two batch runs, as it was read."""

    batch_id: str
    side: Side
    runs: list[TestRun]


async def _sides(args: CompareBatchRuns, api: SigmaMindClient) -> tuple[Sided, Sided]:
    async def read(batch_id: str, job_ids: Sequence[str]) -> Sided:
        batch_run, _ = await api.get_batch_run(batch_id, args.agent_id)
        if job_ids:
            runs = await read_runs(list(dict.fromkeys(job_ids)), batch_id, args.agent_id, api)
            return Sided(batch_id, build_side(batch_run, runs), runs)
        try:
            runs = await list_complete_runs(batch_id, args.agent_id, api)
        except NotOffered:
            return Sided(batch_id, build_side(batch_run, None), [])
        return Sided(batch_id, build_side(batch_run, runs), runs)

    base, candidate = await gather_errors(
        [
            partial(read, args.base_batch_id, args.base_job_ids),
            partial(read, args.candidate_batch_id, args.candidate_job_ids),
        ]
    )
    for side in (base, candidate):
        if isinstance(side, SigmaMindError):
            raise side
    assert isinstance(base, Sided) and isinstance(candidate, Sided)
    return base, candidate


def _pair_to_read(
    changes: Sequence[CaseChange], base: Sided, candidate: Sided, here: CallArguments
) -> list[NextCall]:
    """The call that lays a passed run of the base beside a failed one of the candidate, of the case that fell most."""
    for change in changes:
        if not (change.base and change.candidate) or change.p is None:
            continue
        if change.candidate.counts.rate >= change.base.counts.rate:
            continue
        passed = _first(base.runs, change.base.case, "passed")
        failed = _first(candidate.runs, change.candidate.case, "failed")
        if passed and failed:
            ids: CallArguments = {"jobId": passed, "batchId": base.batch_id, "otherJobId": failed}
            return [
                NextCall(
                    tool="compare_test_runs",
                    arguments={**here, **ids, "otherBatchId": candidate.batch_id},
                )
            ]
    return []


def _first(runs: Sequence[TestRun], case: TestCase, verdict: str) -> str | None:
    return next(
        (
            valid_id(run.job_id)
            for run in runs
            if run.verdict == verdict
            and run.test_case
            and run.test_case.test_case_id == case.test_case_id
        ),
        None,
    )


class CompareTestRuns(ForAgent):
    job_id: JobId
    batch_id: BatchId
    other_job_id: Annotated[Id, Field(description="The test run to lay beside it.")]
    other_batch_id: Annotated[Id, Field(description="Its batch run; may be the same.")]


class PairShown(Part):
    turn: int | None = None
    other_turn: int | None = None
    role: str
    content: str | None = None
    other_content: str | None = None

    def lines(self) -> list[str]:
        return [
            f"turn {self.turn if self.turn else '-'} {self.role}: {self.content or '(no such turn)'}",
            f"    other {self.other_turn if self.other_turn else '-'}: {self.other_content or '(no such turn)'}",
        ]


class RunShown(Part):
    job_id: str
    batch_id: str
    verdict: str
    turn_count: int
    remarks: str | None = None
    transcript_uri: str


class ComparedTestRuns(Answer):
    """Two conversations of one test case side by side, up to where they part."""

    agent_id: str
    run: RunShown
    other: RunShown
    test_case_id: str | None = None
    parts_at_turn: int | None = Field(
        default=None, description="Absent when the agent says alike things throughout."
    )
    parts_at_other_turn: int | None = None
    around: list[PairShown] = Field(description="The turns around that point, side by side.")
    passed_job_id: str | None = Field(
        default=None, description="The passed one, where the other failed."
    )
    only_passed: list[QuoteShown] = Field(
        default=[], description="What the agent said in the passed run alone."
    )
    only_failed: list[QuoteShown] = Field(
        default=[], description="What it said in the failed run alone."
    )

    def render(self) -> Rendered:
        runs = [
            f"{name} {run.job_id} of batch run {run.batch_id}: {run.verdict}, {pluralize(run.turn_count, 'turn')}."
            for name, run in (("Test run", self.run), ("Other test run", self.other))
        ]
        where = "The agent says alike things throughout."
        if not (self.run.turn_count and self.other.turn_count):
            where = "Where they part cannot be told: at least one has no transcript."
        if self.parts_at_turn and self.parts_at_other_turn:
            where = (
                f"They part at turn {self.parts_at_turn} and other turn {self.parts_at_other_turn}."
            )
        elif self.parts_at_turn:
            where = (
                f"They part at turn {self.parts_at_turn}, which has no counterpart in the other."
            )
        elif self.parts_at_other_turn:
            where = f"They part at other turn {self.parts_at_other_turn}, which has no counterpart in the first."
        where += " Turns are alike in words, which is not meaning."
        data = [
            f"remarks: {self.run.remarks or '(none)'}",
            f"other remarks: {self.other.remarks or '(none)'}",
            "",
        ]
        data += [line for pair in self.around for line in pair.lines()]
        if self.passed_job_id:
            for verdict, quotes in (("passed", self.only_passed), ("failed", self.only_failed)):
                data += [
                    "",
                    f"The agent only in the {verdict} run:",
                    *(quote.line() for quote in quotes),
                ]
                data += [] if quotes else ["    (nothing)"]
        uris = [f"Transcript: {run.transcript_uri}" for run in (self.run, self.other)]
        return Rendered([*runs, where], data, uris)


async def compare_test_runs(args: CompareTestRuns, api: SigmaMindClient) -> ComparedTestRuns:
    """Lay two conversations of one test case side by side: where they part, what only the passed one did.

    Use it on a passed and a failed run from list_test_runs; for one whole conversation use get_test_run. Reads
    only.
    """
    if args.job_id == args.other_job_id and args.batch_id == args.other_batch_id:
        raise InvalidArguments(
            "jobId and otherJobId are the same test run; list_test_runs shows others."
        )
    read = await gather_errors(
        [
            partial(api.get_test_run, args.job_id, args.batch_id, args.agent_id),
            partial(api.get_test_run, args.other_job_id, args.other_batch_id, args.agent_id),
        ]
    )
    for run in read:
        if isinstance(run, SigmaMindError):
            raise run
    one, other = (run for run in read if isinstance(run, TestRun))
    turns, others = one.conversation or [], other.conversation or []
    told = bool(turns and others)
    aligned = (
        await anyio.to_thread.run_sync(align, turns, others, abandon_on_cancel=True) if told else []
    )
    place = find_divergence(aligned, turns, others)
    around = (
        [] if place is None else aligned[max(0, place - TURNS_AROUND) : place + TURNS_AROUND + 1]
    )
    answer = ComparedTestRuns(
        agent_id=args.agent_id,
        run=_run_shown(one, args.job_id, args.batch_id, args.agent_id),
        other=_run_shown(other, args.other_job_id, args.other_batch_id, args.agent_id),
        test_case_id=valid_id(one.test_case.test_case_id if one.test_case else None),
        parts_at_turn=None if place is None else aligned[place].one,
        parts_at_other_turn=None if place is None else aligned[place].other,
        around=[_pair_shown(pair, turns, others) for pair in around],
    )
    passed, failed = (one, other) if one.verdict == "passed" else (other, one)
    if told and (passed.verdict, failed.verdict) == ("passed", "failed"):
        answer.passed_job_id = args.job_id if passed is one else args.other_job_id
        answer.only_passed = await anyio.to_thread.run_sync(
            _only_shown, passed, failed, abandon_on_cancel=True
        )
        answer.only_failed = await anyio.to_thread.run_sync(
            _only_shown, failed, passed, abandon_on_cancel=True
        )
    cases = [run.test_case.test_case_id if run.test_case else None for run in (one, other)]
    hints = (
        ["These are runs of different test cases."]
        if None not in cases and cases[0] != cases[1]
        else []
    )
    if max(len(turns), len(others)) > ALIGNED_TURNS:
        hints.append(f"Only the first {ALIGNED_TURNS} turns of each were compared.")
    answer.hint = " ".join(hints) or None
    for job_id, batch_id, turn in (
        (args.job_id, args.batch_id, answer.parts_at_turn),
        (args.other_job_id, args.other_batch_id, answer.parts_at_other_turn),
    ):
        where: CallArguments = {"agentId": args.agent_id, "batchId": batch_id, "jobId": job_id}
        answer.next_calls.append(
            NextCall(tool="get_test_run", arguments={**where, "fromTurn": turn} if turn else where)
        )
    return answer


def _only_shown(one: TestRun, other: TestRun) -> list[QuoteShown]:
    turns = one.conversation or []
    return [
        QuoteShown(
            turn=number,
            role=truncate_line(turns[number - 1].role, ROLE_CHARACTERS),
            content=truncate_line(turns[number - 1].content, QUOTE_CHARACTERS),
            why="only here",
        )
        for number in unmatched_turns(turns, other.conversation or [])[:ONLY_SHOWN]
    ]


def _run_shown(run: TestRun, job_id: str, batch_id: str, agent_id: str) -> RunShown:
    return RunShown(
        job_id=job_id,
        batch_id=batch_id,
        verdict=run.verdict,
        turn_count=len(run.conversation or []),
        remarks=truncate_line(run.remarks or "", PROSE_CHARACTERS) or None,
        transcript_uri=uri_of("transcript", agentId=agent_id, batchId=batch_id, jobId=job_id),
    )


def _pair_shown(pair: AlignedTurn, turns: Sequence[Turn], others: Sequence[Turn]) -> PairShown:
    one = turns[pair.one - 1] if pair.one else None
    other = others[pair.other - 1] if pair.other else None
    shown = one or other
    return PairShown(
        turn=pair.one,
        other_turn=pair.other,
        role=truncate_line(shown.role, ROLE_CHARACTERS) if shown else "",
        content=truncate_line(one.content, QUOTE_CHARACTERS) if one else None,
        other_content=truncate_line(other.content, QUOTE_CHARACTERS) if other else None,
    )
