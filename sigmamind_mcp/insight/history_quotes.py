"""Quote failed test runs of one test case over its batch runs, and a passed one."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.diagnosis import Quote, interleave
from sigmamind_mcp.insight.side_quotes import (
    RUNS_COMPARED,
    list_passed,
    load_of_case,
    quote_failed,
)
from sigmamind_mcp.insight.side_words import LoadRun
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking

MOST_OF_BATCH_RUN = 5
FAILED_QUOTED = 4


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
    sides: Sequence[CaseSide],
    load: LoadRun,
    *,
    others: Sequence[TestRun] = (),
    has_time: Callable[[], bool] = lambda: True,
) -> list[HistoryQuote]:
    """Quote a few failed runs, oldest first, then what a passed run says instead.

    The newest and the oldest batch run with a failure have one first, then those between. Talk that
    `others`, passed runs of other test cases, have too tells nothing.
    """
    failed = _load_runs(sides, load, has_time, is_failed=True)
    passed = _load_runs(sides, load, has_time, is_failed=False)
    ranking = ExchangeRanking([*(one.run for one in failed + passed), *others])
    quoted: list[tuple[_LoadedRun, list[Quote]]] = []
    for one in failed:
        key_turns = quote_failed(one.run, ranking)
        if key_turns:
            quoted.append((one, key_turns))
        if len(quoted) == FAILED_QUOTED:
            break
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
        wanted = side.failed_runs if is_failed else list_passed(side)
        loaded = []
        for place in wanted[:MOST_OF_BATCH_RUN]:
            run = load_of_case(place, side, load) if has_time() else None
            if run:
                loaded.append(_LoadedRun(number, place, run))
        if loaded:
            by_batch_run.append(loaded)
    oldest, later = by_batch_run[:1], by_batch_run[1:][::-1]
    return interleave([*later[:1], *oldest, *later[1:]])[:RUNS_COMPARED]


def _place_quotes(one: _LoadedRun, quotes: Sequence[Quote]) -> Iterator[HistoryQuote]:
    for quote in sorted(quotes):
        yield HistoryQuote(one.place, one.run, quote)
