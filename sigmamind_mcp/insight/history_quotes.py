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
MOST_OF_BATCH_RUN = 5
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
    failed = _load_runs(sides, load, has_time, is_failed=True)
    passed = _load_runs(sides, load, has_time, is_failed=False)
    ranking = ExchangeRanking([one.run for one in failed + passed])
    quoted: list[tuple[_LoadedRun, list[Quote]]] = []
    for one in failed:
        ending = find_ending(one.run.conversation or [])
        key_turns = choose_key_turns(one.run, ending, [], ranking.rank(one.run))
        # An agent that says nothing has no turn to quote.
        if key_turns and len(quoted) < FAILED_QUOTED:
            quoted.append((one, key_turns[:TURNS_QUOTED]))
    quotes: list[HistoryQuote] = []
    for one, key_turns in sorted(quoted, key=lambda pair: pair[0].number):
        quotes += _place_quotes(one, key_turns)
    picked = ranking.pick_passed(one.run for one in passed)
    for one in passed:
        if picked and one.run is picked.run:
            quotes += _place_quotes(one, picked.quotes)
    return quotes


def _load_runs(
    sides: Sequence[CaseSide], load: LoadRun, has_time: Callable[[], bool], *, is_failed: bool
) -> list[_LoadedRun]:
    """Return failed or passed runs with their conversations, of the batch runs in turn."""
    by_batch_run = []
    for number, side in enumerate(sides):
        wanted = [place for place in side.decided_runs if (place in side.failed_runs) == is_failed]
        loaded = []
        for place in wanted[:MOST_OF_BATCH_RUN]:
            run = load(place) if has_time() else None
            if run and run.conversation:
                known = run.model_copy(update={"test_case": side.case})
                loaded.append(_LoadedRun(number, place, limit_definition(known)))
        if loaded:
            by_batch_run.append(loaded)
    oldest, later = by_batch_run[:1], by_batch_run[1:][::-1]
    return interleave([*later[:1], *oldest, *later[1:]])[:RUNS_COMPARED]


def _place_quotes(one: _LoadedRun, quotes: Sequence[Quote]) -> Iterator[HistoryQuote]:
    for quote in sorted(quotes):
        yield HistoryQuote(one.place, one.run, quote)
