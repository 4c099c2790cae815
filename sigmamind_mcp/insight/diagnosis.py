"""What went wrong in a batch run, from its test runs: counts, groups of failures, and the turns to look at.

Pure functions over models. Everything said can be traced to a job id and a turn number, and nothing here is a
cause: groups are alike in words, signals are hints.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from sigmamind_mcp.api.models import TestCase, TestRun, Turn
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.insight.words import _COMPLAINTS, likeness, words_of

if TYPE_CHECKING:
    from sigmamind_mcp.insight.signals import Signal

Outcome = Literal["failing", "flaky", "passing", "undecided"]

THIN_BELOW = 5
ALIKE = 0.42
SHARED = 2
LEADERS = 400
QUOTED = 4
TEXT_COMPARED = 500
WORDS_COMPARED = 60
CLOSEST_OF = 30

_SENTENCE_ENDS = re.compile(r"(?<=[.!?;。！？])\s*|\n+")
_UNMET = re.compile(
    r"[:–—-]\s*(?:not met|unmet|not satisfied|unsatisfied|not fulfilled|failed|fail|missing|no)\W*$",
    re.IGNORECASE,
)


class CaseResult(NamedTuple):
    """How the attempts of one test case ended."""

    case: TestCase
    counts: Counts
    undecided: int

    @property
    def outcome(self) -> Outcome:
        if self.counts.decided == 0:
            return "undecided"
        if self.counts.passed == self.counts.decided:
            return "passing"
        return "flaky" if self.counts.passed else "failing"

    @property
    def is_thin(self) -> bool:
        return self.counts.decided < THIN_BELOW


class Complaint(NamedTuple):
    """What the remarks complain of, as telling words; `unmet` has those of each clause that is said to be unmet.

    Only remarks that go through the criteria clause by clause have such clauses. Where no word tells anything,
    `text` is all there is, and nothing else is like it.
    """

    words: frozenset[str]
    unmet: frozenset[frozenset[str]] = frozenset()
    text: str = ""

    def resembles(self, other: "Complaint") -> bool:
        """Whether both complain of the same, in words: where clauses are told, of the same ones."""
        if not (self.words and other.words):
            return self == other
        if not (self.unmet or other.unmet):
            return _are_alike(self.words, other.words)
        return len(self.unmet) == len(other.unmet) and all(
            any(_are_alike(mine, theirs) for theirs in other.unmet) for mine in self.unmet
        )


@dataclass
class Group:
    """Failed test runs whose remarks, or where there are none whose last turns, complain of the same in words.

    Those of `runs` whose words are most like all the others' come first.
    """

    complaint: Complaint
    runs: list[TestRun] = field(default_factory=list)


class Quote(NamedTuple):
    """A turn worth reading, and why."""

    number: int
    turn: Turn
    why: str


def assign_single_case(cases: Sequence[TestCase], runs: Sequence[TestRun]) -> list[TestRun]:
    """The runs, those that do not tell their test case as of the only one there is."""
    if len(cases) != 1:
        return list(runs)
    return [
        run
        if run.test_case and run.test_case.test_case_id
        else run.model_copy(update={"test_case": cases[0]})
        for run in runs
    ]


def case_results(cases: Sequence[TestCase], runs: Sequence[TestRun]) -> list[CaseResult]:
    """One result for each test case, worst first: of `cases`, and of those that only the runs name.

    Attempts that the case asks for but no listed run shows count as undecided.
    """
    by_case: dict[str, list[TestRun]] = defaultdict(list)
    known = {case.test_case_id or "": case for case in cases}
    for run in runs:
        case = run.test_case or TestCase()
        by_case[case.test_case_id or ""].append(run)
        known.setdefault(case.test_case_id or "", case)
    asked = {case.test_case_id or "": case.attempt or 1 for case in cases}
    if any(not run.test_case or not run.test_case.test_case_id for run in runs):
        asked = {}  # whose attempts these runs are is not told, so neither is which are missing
    results = []
    for name, case in known.items():
        verdicts = Counter(run.verdict for run in by_case[name])
        decided = verdicts["passed"] + verdicts["failed"]
        expected = max(asked.get(name, 0), len(by_case[name]))
        results.append(CaseResult(case, Counts(verdicts["passed"], decided), expected - decided))
    return sorted(results, key=_worst_first)


def _worst_first(result: CaseResult) -> tuple[float, int, str]:
    rate = result.counts.rate if result.counts.decided else 2.0
    return rate, -result.counts.decided, result.case.test_case_id or ""


def group_failures(failed: Sequence[TestRun]) -> list[Group]:
    """The failed runs in groups, largest first. A run that says nothing at all is in a group of such."""
    exact: dict[Complaint, Group] = {}
    for run in failed:
        told = complaint(run)
        exact.setdefault(told, Group(told)).runs.append(run)
    groups: list[Group] = []
    members: dict[int, list[Group]] = defaultdict(list)
    for alike in sorted(
        exact.values(), key=lambda group: -len(group.runs)
    ):  # the commonest words lead
        leader = next(
            (group for group in groups[:LEADERS] if group.complaint.resembles(alike.complaint)),
            None,
        )
        if leader is None:
            groups.append(leader := Group(alike.complaint))
        members[id(leader)].append(alike)
    for group in groups:
        ranked = sorted(members[id(group)], key=lambda one: -_closeness(one, members[id(group)]))
        group.runs = [run for one in ranked for run in round_robin(one.runs, _case_of)]
    return sorted(groups, key=lambda group: -len(group.runs))


def complaint(run: TestRun) -> Complaint:
    """What the remarks complain of; the last two turns where there are no remarks."""
    text = run.remarks or "\n".join(turn.content for turn in (run.conversation or [])[-2:])
    sentences = [
        sentence for sentence in _SENTENCE_ENDS.split(text) if sentence and sentence.strip()
    ]
    complaints = [sentence for sentence in sentences if _COMPLAINTS.search(sentence)]
    words = words_of("\n".join(complaints or sentences), WORDS_COMPARED)
    if not words:
        return Complaint(words, text=" ".join(text.casefold().split())[:TEXT_COMPARED])
    return Complaint(
        words, frozenset(words_of(clause) for clause in complaints if _UNMET.search(clause))
    )


def _are_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    # One word in common, such as a verb, is too little to call two failures the same.
    return one == other or (len(one & other) >= SHARED and likeness(one, other) >= ALIKE)


def _closeness(one: Group, others: Sequence[Group]) -> float:
    return sum(
        likeness(one.complaint.words, other.complaint.words) * len(other.runs)
        for other in others[:CLOSEST_OF]
    )


def _case_of(run: TestRun) -> str:
    return (run.test_case and run.test_case.test_case_id) or ""


ItemT = TypeVar("ItemT")


def round_robin(items: Iterable[ItemT], kind: Callable[[ItemT], Hashable]) -> list[ItemT]:
    """The items so ordered that each kind has its turn: the first of every kind, the second of every kind, …"""
    kinds: dict[Hashable, list[ItemT]] = defaultdict(list)
    for item in items:
        kinds[kind(item)].append(item)
    rounds = zip_longest(*kinds.values())
    return [item for one in rounds for item in one if item is not None]


def order_for_reading(groups: Sequence[Group], *, first: Sequence[Group] = ()) -> list[TestRun]:
    """In which order the failed runs' transcripts are worth reading: those that represent `first`, then all, spread."""
    of_group = {id(run): number for number, group in enumerate(groups) for run in group.runs}
    rest = round_robin(
        (run for group in groups for run in group.runs), lambda run: of_group[id(run)]
    )
    ahead = [group.runs[0] for group in first]
    taken = {id(run) for run in ahead}
    return ahead + [run for run in rest if id(run) not in taken]


def signals_of(read: Sequence[TestRun]) -> dict[str, list["Signal"]]:
    """The signals of each run that was read, by job id; siblings are the other runs of its case."""
    from sigmamind_mcp.insight.signals import find_signals  # its patterns take a while to compile

    lengths: dict[str, list[int]] = defaultdict(list)
    for run in read:
        lengths[_case_of(run)].append(len(run.conversation or []))
    found = {}
    for run in read:
        siblings = list(lengths[_case_of(run)])
        siblings.remove(len(run.conversation or []))
        found[run.job_id or ""] = find_signals(run, siblings)
    return found


def representative(
    group: Group, read: Mapping[str, TestRun], signals: Mapping[str, Sequence["Signal"]]
) -> TestRun:
    """The run that stands for the group: of those with the leading words that were read, one that ends as most do."""
    leading = complaint(group.runs[0])
    ones = [run for run in group.runs if (run.job_id or "") in read and complaint(run) == leading]
    if not ones:
        return group.runs[0]
    kinds = [
        tuple(sorted(signal.kind for signal in signals.get(run.job_id or "", ()))) for run in ones
    ]
    commonest, _ = Counter(kinds).most_common(1)[0]
    return ones[kinds.index(commonest)]


def quotes_of(run: TestRun, signals: Sequence["Signal"]) -> list[Quote]:
    """The few turns to look at first: those with a signal, the agent's nearest to the remarks, and the last two."""
    turns = dict(enumerate(run.conversation or [], start=1))
    why: dict[int, str] = {}
    for signal in signals:
        if signal.turn in turns:
            why.setdefault(signal.turn, f"signal {signal.kind}")
    if run.remarks and (nearest := _nearest_turn(turns, complaint(run).words)):
        why.setdefault(nearest, "nearest to the remarks")
    chosen = list(why)[: QUOTED - 2] if len(turns) > 1 else list(why)
    for number in list(turns)[-2:]:
        why.setdefault(number, "last turns")
        if number not in chosen:
            chosen.append(number)
    return [Quote(number, turns[number], why[number]) for number in sorted(chosen)]


def _nearest_turn(turns: dict[int, Turn], complained: frozenset[str]) -> int | None:
    """The agent's turn that shares most with the complaint, a word counting the more the fewer turns have it."""
    words = {number: words_of(turn.content) & complained for number, turn in turns.items()}
    common = Counter(word for found in words.values() for word in found)
    scores = {
        number: sum(1 / common[word] for word in found)
        for number, found in words.items()
        if found and turns[number].role != "user"
    }
    return max(scores, key=lambda number: (scores[number], number)) if scores else None
