"""Compare batch runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.idempotency import REMEMBERED_SECONDS
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.baselines import LeftOut
from sigmamind_mcp.insight.batch_sides import Side
from sigmamind_mcp.insight.comparison import (
    Comparison,
    Total,
    pick_pair_to_read,
)
from sigmamind_mcp.insight.decisions import LEVELS, OPEN_BELOW, PROOF_SHARE, Level
from sigmamind_mcp.insight.exact_tests import MAX_BOSCHLOO_SIZE
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.tools.answers import CallArguments, NextCall, explain_past_end, fit_items
from sigmamind_mcp.tools.call_context import CallContext
from sigmamind_mcp.tools.comparison_answer import (
    POOLING_CAVEAT,
    CaseChangeRow,
    ComparedBatchRuns,
    SideName,
    group_left_out,
    keep_counts,
    name_change,
    round_p,
)
from sigmamind_mcp.tools.comparison_reading import (
    CompareBatchRuns,
    ReadBatches,
    ReadComparison,
    find_oldest_date,
    list_dates,
    read_comparison,
)
from sigmamind_mcp.tools.parts import SuiteRate, format_percent, name_run

MAX_CALLS = 2


async def compare_batch_runs(
    args: CompareBatchRuns, api: SigmaMindClient, context: CallContext
) -> ComparedBatchRuns:
    """Compare batch runs by case: changes beyond noise and how sure, words edited.

    Use it after a change; for why attempts failed use diagnose_batch_run. Reads only.
    """
    compared = await read_comparison(args, api, context)
    build = partial(build_comparison, args, compared)
    return await fit_items(len(compared.edits), build, compared.read.notes)


def build_comparison(
    args: CompareBatchRuns, compared: ReadComparison, case_count: int
) -> ComparedBatchRuns:
    """Build the answer with so many test cases."""
    read = compared.read
    comparison = compared.comparison
    overall = comparison.overall
    bases = _list_pooled(read, comparison)
    candidates = read.candidates
    base_date = _find_newest_date(bases)
    candidate_date = find_oldest_date(candidates)
    base_ids = _list_batch_ids(bases)
    candidate_ids = _list_batch_ids(candidates)
    is_pooled = len(bases) + len(candidates) > 2 or read.base.is_recent
    levels = _define_levels(comparison) if overall.separates_mix else {}
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
        levels=levels,
        method=_name_case_test(comparison) if levels else None,
        p=round_p(overall.p),
        p_is_approximate=None if overall.is_exact else True,
        separates_mix=overall.separates_mix,
        mix_differs=overall.mix_differs or None,
        undecided=keep_counts(*comparison.undecided),
        unassigned=keep_counts(_count_unassigned(bases), _count_unassigned(candidates)),
        compared=comparison.compared,
        counted=comparison.counted,
        could_prove=comparison.could_call,
        definitions_unknown=comparison.definitions_unknown or None,
        counts=dict(Counter(map(name_change, comparison.changes))),
        level_counts=_count_levels(comparison),
        open_attempts=_count_open_attempts(comparison),
        definitions_from=_name_sources({"base": bases, "candidate": candidates}),
        not_pooled=group_left_out(_list_left_out(read, comparison, base_ids)),
        pooling=POOLING_CAVEAT if is_pooled else None,
        test_case_count=len(comparison.changes),
        test_cases=_build_rows(compared, case_count),
    )
    if compared.says:
        answer.agent_says_in, answer.agent_says, answer.turns_worth_reading = compared.says
    if overall.p is not None:
        answer.base = _show_total(overall.base)
        answer.candidate = _show_total(overall.candidate)
        answer.direction = overall.direction
    past_end = explain_past_end(compared.start, len(comparison.changes), "test case")
    answer.hint = past_end or _write_open_hint(comparison)
    answer.next_calls = _list_comparison_calls(args, compared, case_count)
    return answer


def _define_levels(comparison: Comparison) -> dict[Level, str]:
    """Say what each level that occurs means, with the error rates that hold."""
    alpha = format_percent(ALPHA)
    scope = "test cases and looks" if comparison.looks > 1 else "test cases"
    proof = comparison.alpha * PROOF_SHARE
    meanings: dict[Level, str] = {
        "proven": f"chance of any false call among all {scope} at most {alpha} (Holm at"
        f" {proof:.3g})",
        "suspect": f"at most {alpha} of these calls are false on average (Benjamini-Hochberg at"
        f" {comparison.alpha:.3g})",
        "open": f"may have changed (p below {OPEN_BELOW}); more attempts can tell",
        "not shown": "a small change can be missed",
    }
    occurring = {change.level for change in comparison.changes if change.p is not None}
    return {level: meaning for level, meaning in meanings.items() if level in occurring}


def _name_case_test(comparison: Comparison) -> str:
    """Name the test of the cases, and the one of those with many attempts."""
    most = 0
    for change in comparison.changes:
        for side in filter(None, (change.base, change.candidate)):
            most = max(most, side.counts.decided)
    if most <= MAX_BOSCHLOO_SIZE:
        return "Boschloo's test"
    return (
        f"Boschloo's test, above {MAX_BOSCHLOO_SIZE} attempts a side Fisher's, above 10,000"
        " outcomes approximate"
    )


def _find_newest_date(sides: Sequence[Side]) -> datetime | None:
    return max(list_dates(sides), default=None)


def _list_pooled(read: ReadBatches, comparison: Comparison) -> list[Side]:
    """Return the batch runs of the base; if they were found, those that any case uses."""
    if not read.base.is_recent:
        return list(read.base.sides)
    used: set[str] = set()
    for change in comparison.changes:
        if change.base:
            used.update(change.base.batch_ids)
    return [side for side in read.base.sides if side.batch_id in used]


def _list_left_out(
    read: ReadBatches, comparison: Comparison, base_ids: Sequence[str]
) -> list[LeftOut]:
    """Return why batch runs are not pooled, also those that have none of the test cases."""
    left_out = [*read.left_out, *comparison.left_out]
    if not read.base.is_recent:
        return left_out
    known = set(base_ids)
    for entry in left_out:
        known.add(entry.batch_id)
    for side in read.base.sides:
        if side.batch_id not in known:
            left_out.append(LeftOut(side.batch_id, "none of these test cases"))
    return left_out


def _build_rows(compared: ReadComparison, case_count: int) -> list[CaseChangeRow]:
    """Return the rows of the first test cases of this answer."""
    end = compared.start + case_count
    changes = compared.comparison.changes[compared.start : end]
    looks = compared.comparison.looks
    rows = []
    for change, edits in zip(changes, compared.edits[:case_count], strict=True):
        rows.append(CaseChangeRow.of(change, edits, looks))
    return rows


def _count_unassigned(sides: Sequence[Side]) -> int:
    return sum(side.unassigned for side in sides)


def _list_batch_ids(sides: Sequence[Side]) -> list[str]:
    return [side.batch_id for side in sides]


def _show_total(total: Total) -> SuiteRate:
    return SuiteRate.of(total.counts, total.interval).add_bounds(total.undecided)


def _is_newer(base: datetime | None, candidate: datetime | None) -> bool:
    return base is not None and candidate is not None and base > candidate


def _name_sources(sides: Mapping[SideName, Sequence[Side]]) -> dict[SideName, str]:
    """Return where the definitions of each side were read; a side may have no batch run."""
    named: dict[SideName, str] = {}
    for name, pooled in sides.items():
        sources = {side.definitions for side in pooled}
        if sources:
            named[name] = " and ".join(sorted(sources, reverse=True))
    return named


def _count_levels(comparison: Comparison) -> dict[str, int]:
    tally: Counter[str] = Counter()
    for change in comparison.changes:
        if change.p is not None:
            tally[change.level] += 1
    return {level: tally[level] for level in LEVELS if tally[level]}


def _count_open_attempts(comparison: Comparison) -> int | None:
    """Return how many attempts the open cases ask for; None if one does not say."""
    total = 0
    for change in comparison.open_cases:
        if change.case.attempt is None:
            return None
        total += change.case.attempt
    return total if comparison.open_cases else None


def _write_open_hint(comparison: Comparison) -> str | None:
    if not comparison.open_cases:
        return None
    if comparison.look < comparison.looks:
        return (
            "To decide the open cases, run them again, then compare with the new batch run added"
            " to candidateBatchIds, and the same base, question and looks."
        )
    return (
        "Compare a new batch run of the open cases alone; added to this candidate, it would exceed"
        " these error rates."
    )


def _list_comparison_calls(
    args: CompareBatchRuns, compared: ReadComparison, case_count: int
) -> list[NextCall]:
    """Return the most useful calls: what is cut, then what is open, then the words."""
    comparison = compared.comparison
    calls = []
    seen = compared.start + case_count
    if seen < len(comparison.changes):
        further = args.continue_at(testCase=seen)
        calls.append(NextCall(tool="compare_batch_runs", arguments=further))
    again = _run_open_again(args, compared)
    if again:
        calls.append(again)
    calls += _read_both_sides(args.agent_id, compared)
    is_quoted = compared.says is not None and compared.says.quotes
    if not calls and not is_quoted:
        newest = compared.read.candidates[-1].batch_id
        diagnose: CallArguments = {"agentId": args.agent_id, "batchId": newest}
        calls.append(NextCall(tool="diagnose_batch_run", arguments=diagnose))
    return calls[:MAX_CALLS]


def _read_both_sides(agent_id: str, compared: ReadComparison) -> list[NextCall]:
    """Make the call that reads a failed and a passed run, if none is quoted."""
    pair = pick_pair_to_read(compared.comparison.changes)
    if pair is None or (compared.says and compared.says.quotes):
        return []
    read: CallArguments = {"agentId": agent_id, "turns": list(map(name_run, pair))}
    return [NextCall(tool="read_test_runs", arguments={**read, "side": "agent"})]


def _run_open_again(args: CompareBatchRuns, compared: ReadComparison) -> NextCall | None:
    ids: list[str] = []
    for change in compared.comparison.open_cases:
        test_case_id = valid_id(change.case.test_case_id)
        if test_case_id and test_case_id not in ids:
            ids.append(test_case_id)
    if not ids:
        return None
    again: CallArguments = {"agentId": args.agent_id, "testCases": ids}
    read = compared.read
    for side in [*read.base.sides, *read.candidates]:
        if _is_refused_again(side, ids, read.now):
            again["allowDuplicate"] = True
    return NextCall(tool="create_batch_run", arguments=again)


def _is_refused_again(side: Side, test_case_ids: Sequence[str], now: datetime) -> bool:
    """Whether create_batch_run refuses these test cases, since they were started moments ago."""
    if set(side.cases) != set(test_case_ids):
        return False
    if side.created is None:
        return True
    return (now - side.created).total_seconds() < REMEMBERED_SECONDS
