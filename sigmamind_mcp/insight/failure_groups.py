"""Group failed test runs by what their conversations share, not by the judge's wording.

A run is in the group of each clause that its remarks mark as unmet. A run without such a clause is
in the first group that it belongs to: how it ended, what separates, what it never says, its test
case.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.insight.endings import Ending
from sigmamind_mcp.insight.judge_errors import is_judge_error
from sigmamind_mcp.insight.judged_clauses import read_clauses
from sigmamind_mcp.insight.said_items import UNSAID, Item

Basis = Literal[
    "judge error", "clause", "ending", "separates", "never said", "test case", "nothing"
]

MIN_RATIO = 1.3
MIN_ENDING_RUNS = 2
# Goodbyes have more forms than are known, so the agent's last word alone is nothing unusual.
ORDINARY_ENDINGS: tuple[Ending, ...] = ("closed", "agent spoke last")


class FailureGroup(NamedTuple):
    """Failed runs that share something; `about` is the ending, the item, the clause or the case.

    `in_passed` counts passed runs that share it too, None where passed runs cannot.
    `of_failed` counts the failed runs that could share it.
    """

    basis: Basis
    about: str
    runs: list[TestRun]
    of_failed: int
    in_passed: int | None = None
    of_passed: int = 0
    item: Item | None = None


class RunTraits(NamedTuple):
    """A run with a verdict, how it ended, and its items; `speaking` ones separate, best first."""

    run: TestRun
    ending: Ending
    speaking: Sequence[Item]
    items: Collection[Item]


def group_failures(traits: Sequence[RunTraits]) -> list[FailureGroup]:
    """Group the failed runs; the largest group comes first, test cases last."""
    failed = [one for one in traits if one.run.verdict == "failed"]
    passed = [one for one in traits if one.run.verdict == "passed"]
    groups = _group_by_clause(failed)
    grouped: set[int] = set()
    for group in groups:
        grouped.update(map(id, group.runs))
    endings = _find_telling_endings(failed, passed)
    members: dict[tuple[Basis, str], list[RunTraits]] = defaultdict(list)
    for one in failed:
        if id(one.run) not in grouped:
            basis = _find_basis(one, endings)
            members[basis].append(one)
    _join_single_runs(members)
    case_counts = Counter(get_case_id(one.run) for one in failed)
    for key, ones in members.items():
        groups.append(_make_group(key, ones, failed, passed, case_counts))
    return sorted(groups, key=_rank)


def _join_single_runs(members: dict[tuple[Basis, str], list[RunTraits]]) -> None:
    """Join the test cases of which one run is left: they have nothing in common."""
    single = []
    for (basis, about), ones in members.items():
        if basis == "test case" and len(ones) == 1:
            single.append((basis, about))
    if len(single) < 2:
        return
    for key in single:
        members["nothing", ""] += members.pop(key)


def _group_by_clause(failed: Sequence[RunTraits]) -> list[FailureGroup]:
    unmet: dict[str, list[TestRun]] = defaultdict(list)
    judged: Counter[str] = Counter()
    names: dict[str, str] = {}
    for one in failed:
        for clause, is_unmet in read_clauses(one.run.remarks or "").items():
            key = clause.casefold().rstrip(".")
            names.setdefault(key, clause)
            judged[key] += 1
            if is_unmet:
                unmet[key].append(one.run)
    return [FailureGroup("clause", names[key], runs, judged[key]) for key, runs in unmet.items()]


def _find_telling_endings(
    failed: Sequence[RunTraits], passed: Sequence[RunTraits]
) -> frozenset[Ending]:
    """Return the endings that failed runs have more often than passed ones."""
    in_failed = Counter(one.ending for one in failed)
    in_passed = Counter(one.ending for one in passed)
    telling = set()
    for ending, count in in_failed.items():
        if ending in ORDINARY_ENDINGS or count < MIN_ENDING_RUNS:
            continue
        expected = in_passed[ending] * len(failed) / max(1, len(passed))
        if count >= MIN_RATIO * expected:
            telling.add(ending)
    return frozenset(telling)


def _find_basis(one: RunTraits, endings: frozenset[Ending]) -> tuple[Basis, str]:
    if is_judge_error(one.run.remarks or ""):
        return "judge error", ""
    if one.ending in endings:
        return "ending", one.ending
    if one.speaking:
        best = one.speaking[0]
        return "separates", f"{best.kind}\n{best.text}"
    if UNSAID in one.items:
        return "never said", UNSAID.text
    return "test case", get_case_id(one.run)


def _make_group(
    key: tuple[Basis, str],
    ones: Sequence[RunTraits],
    failed: Sequence[RunTraits],
    passed: Sequence[RunTraits],
    case_counts: Mapping[str, int],
) -> FailureGroup:
    """Describe a group; `case_counts` has the failed runs of each test case."""
    basis, about = key
    runs = [one.run for one in ones]
    if basis == "ending":
        in_passed = sum(one.ending == about for one in passed)
        return FailureGroup(basis, about, runs, len(failed), in_passed, len(passed))
    if basis == "separates":
        item = ones[0].speaking[0]
        in_passed = sum(item in one.items for one in passed)
        return FailureGroup(basis, item.text, runs, len(failed), in_passed, len(passed), item)
    if basis == "never said":
        in_passed = sum(UNSAID in one.items for one in passed)
        return FailureGroup(basis, about, runs, len(failed), in_passed, len(passed))
    if basis in ("judge error", "nothing"):
        return FailureGroup(basis, about, runs, len(failed))
    cases = {get_case_id(run) for run in runs}
    of_failed = sum(case_counts[case_id] for case_id in cases)
    return FailureGroup(basis, about, runs, of_failed)


def _rank(group: FailureGroup) -> tuple[int, int, str]:
    order = ("test case", "nothing")
    place = order.index(group.basis) + 1 if group.basis in order else 0
    return place, -len(group.runs), group.about
