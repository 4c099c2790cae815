"""Find what the agent says in the base and not in the candidate of the same test case, or reversed.

The attempts of both sides take the places of failed and passed ones in `contrast`. Each item counts
in each test case alone and in all together; one permutation test corrects for all of these.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.comparison import CaseChange
from sigmamind_mcp.insight.contrast import Attempt, Contrast, Separation, contrast_items
from sigmamind_mcp.insight.diagnosis import limit_definition, round_robin
from sigmamind_mcp.insight.key_turns import find_item, quote_item
from sigmamind_mcp.insight.said_items import Item, build_vocabulary, list_items

MAX_CASES = 5
MAX_ITEMS_PER_CASE = 3

LoadRun = Callable[[RunPlace], TestRun | None]
"""Returns a test run with its conversation; None if it is not there."""


class Share(NamedTuple):
    """How many attempts have an item, of how many."""

    having: int
    total: int


class SaidDifference(NamedTuple):
    """An item that one side says more often; `place` and `turn` show it.

    `cases` has the numbers of the test cases with the item, in the order of `changed`.
    """

    item: Item
    words: str
    cases: tuple[int, ...]
    base: Share
    candidate: Share
    p: float
    is_proven: bool
    place: RunPlace
    turn: int | None


class SaidOnSides(NamedTuple):
    """What differs between the sides of the changed test cases, worst case first.

    `looked_at` has those with transcripts on both sides, `unread` counts attempts of the changed
    cases without a transcript.
    """

    changed: list[CaseChange]
    looked_at: list[CaseChange]
    differences: list[SaidDifference]
    unread: int


class _CaseItem(NamedTuple):
    """An item in one test case, or in all: then `case` is None."""

    item: Item
    case: int | None

    @property
    def rank(self) -> tuple[int, int, str]:
        """The item of a single test case stands for that of all, if no other case has it."""
        kind, length, text = self.item.rank
        return 2 * kind + (self.case is None), length, text


class _CountedRun(NamedTuple):
    """Where an attempt is counted: the number of its test case, its side, its run."""

    case: int
    is_candidate: bool
    side: CaseSide
    run: RunPlace


class _Reading(NamedTuple):
    """An attempt with what the agent says in it; `run` is without its conversation."""

    place: _CountedRun
    run: TestRun
    said: AgentWords


def contrast_sides(
    changes: Sequence[CaseChange],
    load: LoadRun,
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> SaidOnSides:
    """Contrast what the agent says in the attempts of both sides, in the worst changed cases."""
    changed = list(filter(is_changed, changes))
    places = list(_iterate_places(changed[:MAX_CASES]))
    readings = _read_attempts(places, load, has_time)
    looked_at = _list_cases_of_both_sides(readings)
    compared = [one for one in readings if one.place.case in looked_at]
    attempts = []
    for reading in compared:
        case, is_candidate = str(reading.place.case), reading.place.is_candidate
        attempts.append(Attempt(case, has_failed=is_candidate))
    contrast = contrast_items(
        attempts,
        _list_presence(compared),
        rank=lambda key: key.rank,
        weigh=lambda key: key.item.weight,
    )
    return SaidOnSides(
        changed,
        [changed[number] for number in looked_at],
        _list_differences(contrast, compared, load),
        len(places) - len(readings),
    )


def is_changed(change: CaseChange) -> bool:
    """Return whether a test case of both sides changed, is open or was edited."""
    if not (change.base and change.candidate):
        return False
    return change.change != "not called" or change.level == "open"


def _list_cases_of_both_sides(readings: Iterable[_Reading]) -> list[int]:
    """Return the cases of which attempts of base and candidate were read, in order."""
    in_base: set[int] = set()
    in_candidate: set[int] = set()
    for reading in readings:
        cases = in_candidate if reading.place.is_candidate else in_base
        cases.add(reading.place.case)
    return sorted(in_base & in_candidate)


def _iterate_places(changes: Sequence[CaseChange]) -> Iterator[_CountedRun]:
    for number, change in enumerate(changes):
        for is_candidate, side in ((False, change.base), (True, change.candidate)):
            if side is None:
                continue
            for run in side.decided_runs:
                yield _CountedRun(number, is_candidate, side, run)


def _read_attempts(
    places: Iterable[_CountedRun], load: LoadRun, has_time: Callable[[], bool]
) -> list[_Reading]:
    """Read attempts of all sides in turn, as many as the time allows; return them by case."""
    readings = []
    for place in round_robin(places, lambda place: place[:2]):
        if not has_time():
            break
        run = _load_run(place, load)
        if run and run.conversation is not None:
            said = AgentWords.read_run(run)
            # Thousands of conversations would take much memory.
            readings.append(_Reading(place, run.without("conversation"), said))
    return sorted(readings, key=lambda one: one.place.case)


def _load_run(place: _CountedRun, load: LoadRun) -> TestRun | None:
    run = load(place.run)
    if run is None:
        return None
    return limit_definition(run.model_copy(update={"test_case": place.side.case}))


def _list_presence(readings: Sequence[_Reading]) -> Mapping[_CaseItem, list[int]]:
    """Return the numbers of the attempts that have each item, in its test case and in all."""
    vocabulary = build_vocabulary([one.run for one in readings])
    presence: dict[_CaseItem, list[int]] = defaultdict(list)
    for number, one in enumerate(readings):
        for item in set(list_items(one.said, one.run.test_case, vocabulary)):
            presence[_CaseItem(item, one.place.case)].append(number)
            presence[_CaseItem(item, None)].append(number)
    return presence


def _list_differences(
    contrast: Contrast[_CaseItem], readings: Sequence[_Reading], load: LoadRun
) -> list[SaidDifference]:
    """Describe what was found, worst case first, at most MAX_ITEMS_PER_CASE for each."""
    in_all = set()
    for separation, _ in contrast.list_found():
        if separation.item.case is None:
            in_all.add((separation.item.item, separation.is_in_failed))
    shown: Counter[int] = Counter()
    differences = []
    for separation, is_proven in contrast.list_found():
        key = separation.item
        if key.case is not None and (key.item, separation.is_in_failed) in in_all:
            continue
        having = [readings[number] for number in sorted(separation.attempts)]
        first_case = min(one.place.case for one in having)
        if shown[first_case] >= MAX_ITEMS_PER_CASE:
            continue
        shown[first_case] += 1
        differences.append(_describe_difference(separation, is_proven, having, readings, load))
    return sorted(differences, key=lambda one: one.cases[0])


def _describe_difference(
    separation: Separation[_CaseItem],
    is_proven: bool,
    having: Sequence[_Reading],
    readings: Sequence[_Reading],
    load: LoadRun,
) -> SaidDifference:
    """Count the item in the test cases that have it, and find a turn that shows it."""
    item = separation.item.item
    in_candidate, in_base = separation.with_it
    cases = tuple(sorted({one.place.case for one in having}))
    sides = Counter(one.place.is_candidate for one in readings if one.place.case in cases)
    example = next(one for one in having if one.place.is_candidate == separation.is_in_failed)
    run = _load_run(example.place, load)
    turns = (run and run.conversation) or []
    turn = find_item(run, item) if run else None
    content = turns[turn - 1].content if turn else ""
    return SaidDifference(
        item=item,
        words=quote_item(content, item) or item.text,
        cases=cases,
        base=Share(in_base, sides[False]),
        candidate=Share(in_candidate, sides[True]),
        p=separation.p,
        is_proven=is_proven,
        place=example.place.run,
        turn=turn,
    )
