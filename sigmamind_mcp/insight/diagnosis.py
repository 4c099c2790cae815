"""Explain a batch run from its test runs: counts, groups of failures, and the turns to read.

Everything here can be traced to a job id and a turn number. Nothing here is a cause: groups are
similar in words, and signals are hints.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, takewhile, zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from sigmamind_mcp.api.conversations import Turn, number_spoken_turns
from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.statistics import Counts
from sigmamind_mcp.insight.words import COMPLAINT_WORDS, extract_words, measure_similarity

if TYPE_CHECKING:
    from sigmamind_mcp.insight.signals import Signal, SignalKind

Outcome = Literal["failing", "flaky", "passing", "undecided"]
SignalsByJob = Mapping[str, Sequence["Signal"]]

MAX_FAILED_READ = 60
MAX_PASSED_READ = 10
MAX_GROUPS_SHOWN = 6
THIN_BELOW = 5
MIN_COMPLAINT_SIMILARITY = 0.42
MIN_SHARED_WORDS = 2
MAX_LEADERS = 400
MAX_QUOTES = 4
LAST_TURNS_QUOTED = 2
MAX_COMPLAINT_TEXT = 500
MAX_COMPLAINT_WORDS = 60
MAX_CLOSENESS_GROUPS = 30

_SENTENCE_ENDS = re.compile(r"(?<=[.!?;。！？])\s*|\n+")
_UNMET = re.compile(
    r"[:–—-]\s*"
    r"(?:not met|unmet|not satisfied|unsatisfied|not fulfilled|failed|fail|missing|no)\W*$",
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
    """What the remarks complain about, in meaningful words.

    `unmet` has the words of each clause that the remarks mark as unmet, if they list the criteria
    clause by clause. `text` is set only if there are no words.
    """

    words: frozenset[str]
    unmet: frozenset[frozenset[str]] = frozenset()
    text: str = ""

    def resembles(self, other: "Complaint") -> bool:
        """Whether both complain about the same thing, or about the same clauses."""
        if not (self.words and other.words):
            return self == other
        if not (self.unmet or other.unmet):
            return _match_words(self.words, other.words)
        if len(self.unmet) != len(other.unmet):
            return False
        return all(_match_any(clause, other.unmet) for clause in self.unmet)


@dataclass
class FailureGroup:
    """Failed test runs with similar complaints; the most typical run comes first."""

    complaint: Complaint
    runs: list[TestRun] = field(default_factory=list)


class Quote(NamedTuple):
    """A turn worth reading, and the reason."""

    number: int
    turn: Turn
    why: str


class ReadingPlan(NamedTuple):
    """Which groups one call shows, and which transcripts it reads for them.

    `queue` has the failed runs that earlier calls have not read, in reading order. `failed` and
    `passed` are what this call reads.
    """

    groups: list[FailureGroup]
    queue: list[TestRun]
    failed: list[TestRun]
    passed: list[TestRun]
    readable_count: int

    def count_handled(self, tried: Collection[str]) -> int:
        """Count the runs at the head of the queue that were tried, by job id."""
        # Runs read ahead, because they represent a group, come again at their place in the queue.
        return len(list(takewhile(lambda run: run.job_id in tried, self.queue)))


class SignalTally(NamedTuple):
    """How many failed and passed runs show one kind of signal, with each first occurrence."""

    kind: "SignalKind"
    failed: list[tuple[TestRun, "Signal"]]
    passed: list[tuple[TestRun, "Signal"]]


def assign_single_case(cases: Sequence[TestCase], runs: Sequence[TestRun]) -> list[TestRun]:
    """Assign runs without a test case to the batch run's only test case."""
    if len(cases) != 1:
        return list(runs)
    assigned = []
    for run in runs:
        if not get_case_id(run):
            run = run.model_copy(update={"test_case": cases[0]})
        assigned.append(run)
    return assigned


def group_by_verdict(runs: Iterable[TestRun]) -> dict[Verdict, list[TestRun]]:
    """Group the runs by verdict; each verdict has a list, perhaps an empty one."""
    groups: dict[Verdict, list[TestRun]] = {"passed": [], "failed": [], "undecided": []}
    for run in runs:
        groups[run.verdict].append(run)
    return groups


def count_verdicts(runs: Iterable[TestRun]) -> Counts:
    """Count the passed and the decided runs."""
    groups = group_by_verdict(runs)
    passed, failed = len(groups["passed"]), len(groups["failed"])
    return Counts(passed, passed + failed)


def find_last_end(runs: Iterable[TestRun]) -> datetime | None:
    """Return when the newest of the runs ended; None if none has."""
    return max(filter(None, (run.completed_date for run in runs)), default=None)


def summarize_cases(cases: Sequence[TestCase], runs: Sequence[TestRun]) -> list[CaseResult]:
    """Return a result for each test case of the batch run or its runs, worst first.

    An attempt that a case asks for but no run shows counts as undecided.
    """
    known: dict[str, TestCase] = {}
    expected: dict[str, int] = {}
    for case in cases:
        known[case.test_case_id or ""] = case
        expected[case.test_case_id or ""] = case.attempt or 1
    # A run without a test case could be a missing attempt of any case.
    if not all(map(get_case_id, runs)):
        expected = {}

    runs_by_case: dict[str, list[TestRun]] = defaultdict(list)
    for run in runs:
        case_id = get_case_id(run)
        known.setdefault(case_id, run.test_case or TestCase())
        runs_by_case[case_id].append(run)

    results = []
    for case_id, case in known.items():
        results.append(_summarize_case(case, runs_by_case[case_id], expected.get(case_id, 0)))
    return sorted(results, key=_rank_case)


def group_failures(failed: Sequence[TestRun]) -> list[FailureGroup]:
    """Group failed runs with similar complaints, largest group first."""
    same_complaint: dict[Complaint, FailureGroup] = {}
    for run in failed:
        complaint = extract_complaint(run)
        same_complaint.setdefault(complaint, FailureGroup(complaint)).runs.append(run)

    clusters: list[list[FailureGroup]] = []
    # The most common wording leads a cluster.
    for group in sorted(same_complaint.values(), key=_rank_group):
        cluster = _find_cluster(clusters[:MAX_LEADERS], group.complaint)
        if cluster is None:
            clusters.append([group])
        else:
            cluster.append(group)
    return sorted(map(_merge_cluster, clusters), key=_rank_group)


def extract_complaint(run: TestRun) -> Complaint:
    """Return what the remarks complain about; without remarks, use the last two turns."""
    last_turns = list(number_spoken_turns(run.conversation).values())[-LAST_TURNS_QUOTED:]
    text = run.remarks or "\n".join(turn.content for turn in last_turns)
    sentences = list(filter(str.strip, _SENTENCE_ENDS.split(text)))
    complaints = list(filter(COMPLAINT_WORDS.search, sentences))
    words = extract_words("\n".join(complaints or sentences), MAX_COMPLAINT_WORDS)
    if not words:
        normalized = " ".join(text.casefold().split())
        return Complaint(words, text=normalized[:MAX_COMPLAINT_TEXT])
    clauses = filter(_UNMET.search, complaints)
    return Complaint(words, unmet=frozenset(map(extract_words, clauses)))


def plan_reading(
    groups: Sequence[FailureGroup],
    passed: Sequence[TestRun],
    results: Sequence[CaseResult],
    *,
    from_group: int,
    from_failure: int,
) -> ReadingPlan:
    """Plan which groups to show and which transcripts to read for them.

    Failed runs: one for each shown group, then the failed runs not read yet. Passed runs: first
    those of test cases that also failed, for comparison.
    """
    shown = list(groups[from_group : from_group + MAX_GROUPS_SHOWN])
    readable = list(filter(_is_readable, order_for_reading(groups)))
    queue = readable[from_failure:]
    representatives = [group.runs[0] for group in shown]
    failed = _drop_repeated([*filter(_is_readable, representatives), *queue])
    return ReadingPlan(
        groups=shown,
        queue=queue,
        failed=failed[:MAX_FAILED_READ],
        passed=_order_for_comparison(passed, results)[:MAX_PASSED_READ],
        readable_count=len(readable),
    )


def order_for_reading(groups: Sequence[FailureGroup]) -> list[TestRun]:
    """Order the failed runs for reading: the first of each group, then the second of each, …"""
    return _interleave([group.runs for group in groups])


ItemT = TypeVar("ItemT")


def round_robin(items: Iterable[ItemT], get_kind: Callable[[ItemT], Hashable]) -> list[ItemT]:
    """Order the items so that each kind takes its turn."""
    kinds: dict[Hashable, list[ItemT]] = defaultdict(list)
    for item in items:
        kinds[get_kind(item)].append(item)
    return _interleave(kinds.values())


def find_signals_by_job(runs: Sequence[TestRun]) -> dict[str, list["Signal"]]:
    """Return the signals of each run by job id; its siblings are the other runs of its case."""
    from sigmamind_mcp.insight.signals import find_signals  # its patterns take a while to compile

    lengths: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        lengths[get_case_id(run)].append(len(run.conversation or []))
    signals = {}
    for run in runs:
        sibling_lengths = list(lengths[get_case_id(run)])
        sibling_lengths.remove(len(run.conversation or []))
        signals[run.job_id or ""] = find_signals(run, sibling_lengths)
    return signals


def tally_signals(
    failed: Sequence[TestRun], passed: Sequence[TestRun], signals: SignalsByJob
) -> list[SignalTally]:
    """Count the runs with each kind of signal; kinds more common in failed runs come first."""
    tallies = []
    for kind in {signal.kind for signal in chain.from_iterable(signals.values())}:
        in_failed = _find_first_signals(failed, kind, signals)
        in_passed = _find_first_signals(passed, kind, signals)
        tallies.append(SignalTally(kind, in_failed, in_passed))
    return sorted(tallies, key=_rank_tally)


def choose_representative(
    group: FailureGroup, read: Collection[str], signals: SignalsByJob
) -> TestRun:
    """Choose the run to show for a group, among those read with its first run's complaint.

    Its kinds of signals are the most common among them. If none was read: the first run.
    """
    complaint = extract_complaint(group.runs[0])
    by_kinds: dict[tuple[SignalKind, ...], list[TestRun]] = defaultdict(list)
    for run in group.runs:
        job_id = run.job_id or ""
        if job_id in read and extract_complaint(run) == complaint:
            kinds = sorted(signal.kind for signal in signals.get(job_id, ()))
            by_kinds[tuple(kinds)].append(run)
    most_common = max(by_kinds.values(), key=len, default=group.runs)
    return most_common[0]


def choose_quotes(run: TestRun, signals: Sequence["Signal"]) -> list[Quote]:
    """Choose a few turns to read: with a signal, nearest to the remarks, and the last two."""
    turns = number_spoken_turns(run.conversation)
    reasons: dict[int, str] = {}
    for signal in signals:
        if signal.turn in turns:
            reasons.setdefault(signal.turn, f"signal {signal.kind}")
    nearest = _find_nearest_turn(turns, extract_complaint(run).words) if run.remarks else None
    if nearest:
        reasons.setdefault(nearest, "nearest to the remarks")

    chosen = list(reasons)
    if len(turns) > 1:
        chosen = chosen[: MAX_QUOTES - LAST_TURNS_QUOTED]
    for number in list(turns)[-LAST_TURNS_QUOTED:]:
        reasons.setdefault(number, "last turns")
        if number not in chosen:
            chosen.append(number)
    return [Quote(number, turns[number], reasons[number]) for number in sorted(chosen)]


def get_case_id(run: TestRun) -> str:
    """Return the id of the run's test case; "" if the API does not give it."""
    return (run.test_case and run.test_case.test_case_id) or ""


def _summarize_case(case: TestCase, runs: Sequence[TestRun], expected: int) -> CaseResult:
    counts = count_verdicts(runs)
    undecided = max(expected, len(runs)) - counts.decided
    return CaseResult(case, counts, undecided)


def _rank_case(result: CaseResult) -> tuple[float, int, str]:
    rate = result.counts.rate if result.counts.decided else 2.0
    return rate, -result.counts.decided, result.case.test_case_id or ""


def _is_readable(run: TestRun) -> bool:
    return valid_id(run.job_id) is not None


def _drop_repeated(runs: Iterable[TestRun]) -> list[TestRun]:
    """Keep the first run of each job id."""
    by_job: dict[str | None, TestRun] = {}
    for run in runs:
        by_job.setdefault(run.job_id, run)
    return list(by_job.values())


def _order_for_comparison(
    passed: Sequence[TestRun], results: Sequence[CaseResult]
) -> list[TestRun]:
    """Order the passed runs: case by case, those of cases that also failed first."""
    passing = {result.case.test_case_id or "" for result in results if result.outcome == "passing"}
    ranked = sorted(passed, key=lambda run: get_case_id(run) in passing)
    return round_robin(ranked, get_case_id)


def _rank_group(group: FailureGroup) -> int:
    return -len(group.runs)


def _find_cluster(
    clusters: Sequence[list[FailureGroup]], complaint: Complaint
) -> list[FailureGroup] | None:
    for cluster in clusters:
        if cluster[0].complaint.resembles(complaint):
            return cluster
    return None


def _merge_cluster(cluster: Sequence[FailureGroup]) -> FailureGroup:
    """Merge similar groups; the one that is most similar to all others comes first."""
    merged = FailureGroup(cluster[0].complaint)
    for group in sorted(cluster, key=lambda group: -_score_closeness(group, cluster)):
        merged.runs += round_robin(group.runs, get_case_id)
    return merged


def _score_closeness(group: FailureGroup, cluster: Sequence[FailureGroup]) -> float:
    words = group.complaint.words
    return sum(
        measure_similarity(words, other.complaint.words) * len(other.runs)
        for other in cluster[:MAX_CLOSENESS_GROUPS]
    )


def _match_words(first: frozenset[str], second: frozenset[str]) -> bool:
    # One word in common, such as a verb, is too little to call two failures the same.
    if first == second:
        return True
    if len(first & second) < MIN_SHARED_WORDS:
        return False
    return measure_similarity(first, second) >= MIN_COMPLAINT_SIMILARITY


def _match_any(clause: frozenset[str], others: Iterable[frozenset[str]]) -> bool:
    return any(_match_words(clause, other) for other in others)


def _interleave(lists: Iterable[Sequence[ItemT]]) -> list[ItemT]:
    """Return the first item of each list, then the second of each, and so on."""
    rounds = chain.from_iterable(zip_longest(*lists))
    return [item for item in rounds if item is not None]


def _find_first_signals(
    runs: Iterable[TestRun], kind: "SignalKind", signals: SignalsByJob
) -> list[tuple[TestRun, "Signal"]]:
    """Return each run that has this kind of signal, with the first one."""
    firsts = []
    for run in runs:
        for signal in signals.get(run.job_id or "", ()):
            if signal.kind == kind:
                firsts.append((run, signal))
                break
    return firsts


def _rank_tally(tally: SignalTally) -> tuple[int, str]:
    return len(tally.passed) - len(tally.failed), tally.kind


def _find_nearest_turn(turns: Mapping[int, Turn], complaint: frozenset[str]) -> int | None:
    """Return the agent's turn that shares most words with the complaint; rare words weigh more."""
    shared: dict[int, frozenset[str]] = {}
    frequency: Counter[str] = Counter()
    for number, turn in turns.items():
        shared[number] = extract_words(turn.content) & complaint
        frequency.update(shared[number])

    scores: dict[int, float] = {}
    for number, words in shared.items():
        if words and turns[number].side == "agent":
            scores[number] = sum(1 / frequency[word] for word in words)
    return max(scores, key=lambda number: (scores[number], number), default=None)
