"""Quote failed test runs of one test case over its batch runs, and a passed one. No causes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.diagnosis import Quote, interleave, limit_definition
from sigmamind_mcp.insight.endings import find_ending
from sigmamind_mcp.insight.key_turns import choose_key_turns
from sigmamind_mcp.insight.side_words import LoadRun
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking

RUNS_COMPARED = 10
"""As many failed and passed runs as are compared."""
FAILED_QUOTED = 4
TURNS_QUOTED = 2


class HistoryQuote(NamedTuple):
    """A turn of a test run of one of the batch runs."""

    place: RunPlace
    run: TestRun
    quote: Quote


class _LoadedRun(NamedTuple):
    """A test run with its conversation, and its place; `number` is that of the batch run."""

    number: int
    place: RunPlace
    run: TestRun


def quote_history(
    sides: Sequence[CaseSide], load: LoadRun, *, has_time: Callable[[], bool] = lambda: True
) -> list[HistoryQuote]:
    """Quote a few failed runs, oldest first, then what a passed run says instead.

    The newest and the oldest batch run with a failure have one first, then those between.
    """
    failed = list(_load_runs(sides, load, has_time, is_failed=True))
    passed = list(_load_runs(sides, load, has_time, is_failed=False)) if failed else []
    ranking = ExchangeRanking([one.run for one in failed + passed])
    quotes: list[HistoryQuote] = []
    for one in sorted(failed[:FAILED_QUOTED], key=lambda one: one.number):
        ending = find_ending(one.run.conversation or [])
        key_turns = choose_key_turns(one.run, ending, [], ranking.rank(one.run))
        quotes += _place_quotes(one, key_turns[:TURNS_QUOTED])
    picked = ranking.pick_passed(one.run for one in passed)
    for one in passed:
        if picked and one.run is picked.run:
            quotes += _place_quotes(one, picked.quotes)
    return quotes


def _load_runs(
    sides: Sequence[CaseSide], load: LoadRun, has_time: Callable[[], bool], *, is_failed: bool
) -> Iterator[_LoadedRun]:
    """Yield failed or passed runs with their conversations, the batch runs in turn."""
    by_batch_run = []
    for number, side in enumerate(sides):
        wanted = [place for place in side.decided_runs if (place in side.failed_runs) == is_failed]
        if wanted:
            by_batch_run.append([(number, side, place) for place in wanted])
    oldest, later = by_batch_run[:1], by_batch_run[1:][::-1]
    count = 0
    for number, side, place in interleave([*later[:1], *oldest, *later[1:]]):
        if count == RUNS_COMPARED or not has_time():
            return
        run = load(place)
        if run and run.conversation:
            count += 1
            known = run.model_copy(update={"test_case": side.case})
            yield _LoadedRun(number, place, limit_definition(known))


def _place_quotes(one: _LoadedRun, quotes: Sequence[Quote]) -> Iterator[HistoryQuote]:
    for quote in sorted(quotes):
        yield HistoryQuote(one.place, one.run, quote)
