"""Quote failed test runs of the worse side of a comparison, and a passed one of the better side.

The worse side has the lower pass rate. Nothing here is a cause.
"""

from collections.abc import Callable, Iterable, Iterator, Set
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.comparison import CaseChange
from sigmamind_mcp.insight.diagnosis import Quote, interleave, limit_definition
from sigmamind_mcp.insight.endings import find_ending
from sigmamind_mcp.insight.key_turns import choose_key_turns
from sigmamind_mcp.insight.side_words import LoadRun, is_changed
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking

MAX_CASES_QUOTED = 3
RUNS_COMPARED = 10
"""As many failed and passed runs of a test case as are compared."""
FAILED_QUOTED = 6
MOST_OF_CASE = 4
"""Each test case has the same share of the failed runs quoted, up to this number."""
TURNS_QUOTED = 2
OTHERS_COMPARED = 30
"""As many more passed runs, mostly of other test cases: talk that these have too tells nothing."""


class SideQuote(NamedTuple):
    """A turn of a test run of a changed test case, failed or passed."""

    change: CaseChange
    place: RunPlace
    run: TestRun
    quote: Quote


class _CaseRuns(NamedTuple):
    """Failed runs of one side of a test case, and passed runs of the other, with their places."""

    change: CaseChange
    failed: list[TestRun]
    passed: list[TestRun]
    places: dict[int, RunPlace]

    def quote(self, run: TestRun, quotes: Iterable[Quote]) -> Iterator[SideQuote]:
        """Yield the quotes of one of its runs, in their order."""
        for quote in sorted(quotes):
            yield SideQuote(self.change, self.places[id(run)], run, quote)


def quote_sides(
    changes: Iterable[CaseChange], load: LoadRun, *, has_time: Callable[[], bool] = lambda: True
) -> list[SideQuote]:
    """Quote turns of both sides of the worst changed test cases, as many as the time allows."""
    known = list(changes)
    cases = []
    for change in _choose_changes(known):
        if has_time():
            cases.append(_load_case(change, load))
    compared = [run for case in cases for run in case.failed + case.passed]
    sides = [side for change in known for side in (change.base, change.candidate) if side]
    loaded = {place for case in cases for place in case.places.values()}
    ranking = ExchangeRanking(compared + _load_others(sides, loaded, load, has_time))
    quotes: list[SideQuote] = []
    share = min(MOST_OF_CASE, FAILED_QUOTED // max(1, len(cases)))
    for case in cases:
        for run in case.failed[:share]:
            quotes += case.quote(run, quote_failed(run, ranking))
        picked = ranking.pick_passed(case.passed)
        if picked:
            quotes += case.quote(picked.run, picked.quotes)
    return quotes


def _choose_changes(changes: Iterable[CaseChange]) -> list[CaseChange]:
    """Return the changes to quote, in their order; open ones only if there is no other."""
    changed = list(filter(is_changed, changes))
    called = [change for change in changed if change.change != "not called"]
    return (called or changed)[:MAX_CASES_QUOTED]


def _load_case(change: CaseChange, load: LoadRun) -> _CaseRuns:
    case = _CaseRuns(change, [], [], {})
    base, candidate = change.base, change.candidate
    if not (base and candidate):
        return case
    worse, better = candidate, base
    if base.counts.rate < candidate.counts.rate:
        worse, better = base, candidate
    for side, places, runs in (
        (worse, worse.failed_runs, case.failed),
        (better, list_passed(better), case.passed),
    ):
        for place in places[:RUNS_COMPARED]:
            run = load_of_case(place, side, load)
            if run:
                runs.append(run)
                case.places[id(run)] = place
    return case


def _load_others(
    sides: Iterable[CaseSide], known: Set[RunPlace], load: LoadRun, has_time: Callable[[], bool]
) -> list[TestRun]:
    """Return passed runs that are not known yet, of the test cases in turn."""
    by_case = []
    for side in sides:
        new = [(side, place) for place in list_passed(side) if place not in known]
        by_case.append(new[:OTHERS_COMPARED])
    others: list[TestRun] = []
    for side, place in interleave(by_case)[:OTHERS_COMPARED]:
        run = load_of_case(place, side, load) if has_time() else None
        if run:
            others.append(run)
    return others


def list_passed(side: CaseSide) -> list[RunPlace]:
    """Return the places of the passed runs of a test case."""
    failed = set(side.failed_runs)
    return [place for place in side.decided_runs if place not in failed]


def load_of_case(place: RunPlace, side: CaseSide, load: LoadRun) -> TestRun | None:
    """Return a test run of a test case with its conversation; None without one."""
    run = load(place)
    if run is None or not run.conversation:
        return None
    return limit_definition(run.model_copy(update={"test_case": side.case}))


def quote_failed(run: TestRun, ranking: ExchangeRanking) -> list[Quote]:
    """Return the turns of a failed run that tell most; none if the agent says nothing."""
    ending = find_ending(run.conversation or [])
    return choose_key_turns(run, ending, [], ranking.rank(run))[:TURNS_QUOTED]
