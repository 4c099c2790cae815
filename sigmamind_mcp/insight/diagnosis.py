"""Count the verdicts of a batch run, and say how each of its test cases ended."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import Literal, NamedTuple, TypeVar

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.insight.statistics import Counts

Outcome = Literal["failing", "flaky", "passing", "undecided", "not listed"]

MAX_DEFINITION_TEXT = 50_000


class CaseResult(NamedTuple):
    """How the attempts of one test case ended; `listed` counts those that have a test run.

    The others are undecided, or `unlisted` after `separate_unlisted`.
    """

    case: TestCase
    counts: Counts
    undecided: int
    listed: int
    unlisted: int = 0

    @property
    def outcome(self) -> Outcome:
        if self.counts.decided == 0:
            return "undecided" if self.undecided or not self.unlisted else "not listed"
        if self.counts.passed == self.counts.decided:
            return "passing"
        return "flaky" if self.counts.passed else "failing"


TELLS_MOST = "tells most"


class Quote(NamedTuple):
    """A turn worth reading, and the reason."""

    number: int
    turn: Turn
    why: str


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


def summarize_cases(cases: Sequence[TestCase], runs: Sequence[TestRun]) -> list[CaseResult]:
    """Return a result for each test case of the batch run or its runs, worst first.

    An attempt that a case asks for but no run shows counts as undecided.
    """
    known: dict[str, TestCase] = {}
    expected: dict[str, int] = {}
    for case in cases:
        case_id = case.test_case_id or ""
        known[case_id] = case
        expected[case_id] = case.attempt or 1
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
        most = expected.get(case_id, 0)
        results.append(_summarize_case(case, runs_by_case[case_id], most))
    return sorted(results, key=_rank_case)


def separate_unlisted(results: Sequence[CaseResult]) -> list[CaseResult]:
    """Count attempts without a test run as unlisted instead of undecided."""
    separated = []
    for result in results:
        unlisted = result.undecided + result.counts.decided - result.listed
        undecided = result.undecided - unlisted
        separated.append(result._replace(undecided=undecided, unlisted=unlisted))
    return separated


ItemT = TypeVar("ItemT")


def round_robin(items: Iterable[ItemT], get_kind: Callable[[ItemT], Hashable]) -> list[ItemT]:
    """Order the items so that each kind takes its turn."""
    kinds: dict[Hashable, list[ItemT]] = defaultdict(list)
    for item in items:
        kinds[get_kind(item)].append(item)
    return interleave(kinds.values())


def interleave(lists: Iterable[Sequence[ItemT]]) -> list[ItemT]:
    """Return the first item of each list, then the second of each, and so on."""
    rounds = chain.from_iterable(zip_longest(*lists))
    return [item for item in rounds if item is not None]


def limit_definition(run: TestRun) -> TestRun:
    """Return the run with the first part of each very long text of its definition.

    A pattern that reads a text whole holds the interpreter until its end.
    """
    case = run.test_case
    if case is None:
        return run
    texts = [case.user_prompt or "", case.success_criteria or ""]
    texts += [mock.value for mock in case.mock_data]
    if max(map(len, texts)) <= MAX_DEFINITION_TEXT:
        return run
    mocks = []
    for mock in case.mock_data:
        mocks.append(mock.model_copy(update={"value": mock.value[:MAX_DEFINITION_TEXT]}))
    shorter = {
        "user_prompt": texts[0][:MAX_DEFINITION_TEXT],
        "success_criteria": texts[1][:MAX_DEFINITION_TEXT],
        "mock_data": mocks,
    }
    return run.model_copy(update={"test_case": case.model_copy(update=shorter)})


def get_case_id(run: TestRun) -> str:
    """Return the id of the run's test case; "" if the API does not give it."""
    case = run.test_case
    return (case and case.test_case_id) or ""


def _summarize_case(case: TestCase, runs: Sequence[TestRun], expected: int) -> CaseResult:
    counts = count_verdicts(runs)
    undecided = max(expected, len(runs)) - counts.decided
    return CaseResult(case, counts, undecided, len(runs))


def _rank_case(result: CaseResult) -> tuple[float, int, str]:
    rate = result.counts.rate if result.counts.decided else 2.0
    return rate, -result.counts.decided, result.case.test_case_id or ""
