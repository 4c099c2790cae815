"""Read all transcripts of a batch run together: what separates, groups, turns, doubts and faults.

Nothing here is a cause. Everything can be traced to a job id and a turn.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.contrast import (
    Attempt,
    Contrast,
    Separation,
    contrast_items,
)
from sigmamind_mcp.insight.diagnosis import (
    Quote,
    get_case_id,
    interleave,
    limit_definition,
    round_robin,
)
from sigmamind_mcp.insight.endings import Ending, find_endings
from sigmamind_mcp.insight.failure_groups import FailureGroup, RunTraits, group_failures
from sigmamind_mcp.insight.judge_errors import is_judge_error
from sigmamind_mcp.insight.key_turns import choose_key_turns, find_item, quote_item
from sigmamind_mcp.insight.said_items import (
    LONG,
    UNSAID,
    Item,
    ItemPlaces,
    build_vocabulary,
    find_long_runs,
    find_run_texts,
)
from sigmamind_mcp.insight.simulator_faults import UNKNOWN_ID, find_unknown_id
from sigmamind_mcp.insight.telling_exchanges import ExchangeRanking, PickedRun
from sigmamind_mcp.insight.transcript_hints import RAW_DATA, find_raw_data

PASSED_COMPARED = 5
READING_SHARE = 0.62
"""The share of the time for reading transcripts; the rest is for comparing them."""


class TurnOfRun(NamedTuple):
    """A turn of a test run; without a number, the whole run."""

    run: TestRun
    turn: int | None


class SeparatingItem(NamedTuple):
    """An item that separates, or may do so; `example` shows it."""

    separation: Separation[Item]
    is_proven: bool
    example: TurnOfRun | None

    @property
    def words(self) -> str:
        """The item as the example says it."""
        item = self.separation.item
        if self.example is None or self.example.turn is None:
            return item.text
        turns = self.example.run.conversation or []
        content = turns[self.example.turn - 1].content
        return quote_item(content, item) or item.text


class Tally(NamedTuple):
    """One kind of fault or hint, with each run that has it."""

    kind: str
    failed: list[TurnOfRun]
    passed: list[TurnOfRun]
    undecided: list[TurnOfRun]


@dataclass(frozen=True, eq=False)
class RunToRead:
    """A failed run, the items that separate it, and the first passed runs of its test case.

    `group` is the place of its first group, from 1.
    """

    run: TestRun
    ending: Ending
    items: Sequence[Item]
    group: int
    passed: Sequence[TestRun]
    ranking: ExchangeRanking

    @cached_property
    def quotes(self) -> list[Quote]:
        return choose_key_turns(self.run, self.ending, self.items, self.ranking.rank(self.run))

    def pick_passed(self) -> PickedRun | None:
        """Pick a passed run of the test case, with what failed runs do not say."""
        return self.ranking.pick_passed(self.passed)


class Evidence(NamedTuple):
    """What the transcripts show; `read` has the runs that were read, as many as time allowed.

    `doubtful` has those with a verdict of a judge that failed itself.
    """

    read: list[TestRun]
    is_cut: bool
    contrast: Contrast[Item]
    separating: list[SeparatingItem]
    groups: list[FailureGroup]
    worth_reading: list[RunToRead]
    doubtful: list[TestRun]
    faults: list[Tally]
    hints: list[Tally]


class _RunFindings(NamedTuple):
    """One run with what its transcript shows; `number` is its place in the order of reading.

    `leaves_out` tells whether the agent never says a value that the criteria ask for.
    `unknown_id` and `raw_data` are turns.
    """

    number: int
    run: TestRun
    ending: Ending
    leaves_out: bool
    unknown_id: int | None
    raw_data: int | None


def collect_evidence(
    runs: Sequence[TestRun], *, has_time: Callable[[float], bool] = lambda share: True
) -> Evidence:
    """Read the transcripts of all runs; stop when there is no time for the next one.

    `has_time` tells whether less than a share of the time is used.
    """
    limited = list(map(limit_definition, runs))
    readings, places = _read_in_turn(limited, lambda: has_time(READING_SHARE))
    decided = [reading for reading in readings if reading.run.verdict != "undecided"]
    decided.sort(key=lambda reading: get_case_id(reading.run))
    presence = _locate_items(places, decided)
    contrast = _contrast_readings(decided, presence, lambda: has_time(1.0))
    separating = _list_separating(contrast, decided)
    traits = _list_traits(decided, separating, presence)
    groups = group_failures(traits)
    decided_runs = [reading.run for reading in decided]
    return Evidence(
        read=[reading.run for reading in readings],
        is_cut=len(readings) < len(runs),
        contrast=contrast,
        separating=separating,
        groups=groups,
        worth_reading=_order_for_reading(groups, traits, ExchangeRanking(decided_runs)),
        doubtful=[run for run in decided_runs if is_judge_error(run.remarks or "")],
        faults=_tally(UNKNOWN_ID, readings, lambda reading: reading.unknown_id),
        hints=_tally(RAW_DATA, readings, lambda reading: reading.raw_data),
    )


def _list_traits(
    decided: Sequence[_RunFindings],
    separating: Sequence[SeparatingItem],
    presence: Mapping[Item, Sequence[int]],
) -> list[RunTraits]:
    """Return each decided run with those of its items that are proven to be in failed runs."""
    speaking: list[list[Item]] = [[] for _ in decided]
    for found in separating:
        if found.is_proven and found.separation.is_in_failed:
            item = found.separation.item
            for place in presence[item]:
                speaking[place].append(item)
    traits = []
    for reading, own in zip(decided, speaking, strict=True):
        items = [*own, UNSAID] if reading.leaves_out else own
        traits.append(RunTraits(reading.run, reading.ending, own, items))
    return traits


def _read_in_turn(
    runs: Sequence[TestRun], has_time: Callable[[], bool]
) -> tuple[list[_RunFindings], ItemPlaces]:
    """Read the runs; return what each shows, and the decided ones of each item by number."""
    # Case by case in turn, so that what the time allows is fair to all.
    ordered = round_robin(runs, lambda run: (get_case_id(run), run.verdict))
    vocabulary = build_vocabulary(ordered)
    endings = find_endings([run.conversation or [] for run in ordered])
    are_long = find_long_runs(ordered)
    readings = []
    # The items of each run would take much memory.
    places = ItemPlaces()
    for number, (run, ending, is_long) in enumerate(zip(ordered, endings, are_long, strict=True)):
        if not has_time():
            break
        found = find_run_texts(run, ending, AgentWords.read_run(run), vocabulary)
        if is_long:
            found[LONG.kind] = [LONG.text]
        if run.verdict != "undecided":
            places.add(number, found)
        leaves_out = UNSAID.kind in found
        turns = find_unknown_id(run), find_raw_data(run)
        readings.append(_RunFindings(number, run, ending, leaves_out, *turns))
    return readings, places


def _locate_items(places: ItemPlaces, decided: Sequence[_RunFindings]) -> dict[Item, list[int]]:
    """Return each item that may separate, with the places of its runs among the decided ones."""
    place_of = {reading.number: place for place, reading in enumerate(decided)}
    presence = {}
    for item, numbers in places.list_repeated():
        presence[item] = sorted(map(place_of.__getitem__, numbers))
    return presence


def _contrast_readings(
    decided: Sequence[_RunFindings],
    presence: Mapping[Item, Sequence[int]],
    has_time: Callable[[], bool],
) -> Contrast[Item]:
    """Contrast the items of failed and passed runs, which come in the order of their cases."""
    attempts = []
    for reading in decided:
        has_failed = reading.run.verdict == "failed"
        attempts.append(Attempt(get_case_id(reading.run), has_failed=has_failed))
    return contrast_items(
        attempts,
        presence,
        rank=lambda item: item.rank,
        weigh=lambda item: item.weight,
        has_time=has_time,
    )


def _list_separating(
    contrast: Contrast[Item], decided: Sequence[_RunFindings]
) -> list[SeparatingItem]:
    found = []
    for separation, is_proven in contrast.list_found():
        example = _find_example(separation, decided)
        found.append(SeparatingItem(separation, is_proven, example))
    return found


def _find_example(
    separation: Separation[Item], decided: Sequence[_RunFindings]
) -> TurnOfRun | None:
    """Return a turn with the item, on the side that has it more often."""
    wanted = "failed" if separation.is_in_failed else "passed"
    first: TurnOfRun | None = None
    for number, one in enumerate(decided):
        if number not in separation.attempts or one.run.verdict != wanted:
            continue
        turn = find_item(one.run, separation.item)
        if turn:
            return TurnOfRun(one.run, turn)
        first = first or TurnOfRun(one.run, None)
    return first


def _order_for_reading(
    groups: Sequence[FailureGroup], traits: Sequence[RunTraits], ranking: ExchangeRanking
) -> list[RunToRead]:
    """Order the failed runs for reading: the first of each group, then the second of each, …"""
    by_run = {id(one.run): one for one in traits}
    passed: dict[str, list[TestRun]] = defaultdict(list)
    for one in traits:
        if one.run.verdict == "passed":
            passed[get_case_id(one.run)].append(one.run)
    places: dict[int, int] = {}
    for place, group in enumerate(groups, start=1):
        for run in group.runs:
            places.setdefault(id(run), place)
    ordered: dict[int, RunToRead] = {}
    for run in interleave([group.runs for group in groups]):
        if any(turn.content.strip() for turn in run.conversation or []):
            one = by_run[id(run)]
            its_passed = passed[get_case_id(run)][:PASSED_COMPARED]
            place = places[id(run)]
            to_read = RunToRead(run, one.ending, one.speaking, place, its_passed, ranking)
            ordered.setdefault(id(run), to_read)
    return list(ordered.values())


def _tally(
    kind: str, readings: Sequence[_RunFindings], get_turn: Callable[[_RunFindings], int | None]
) -> list[Tally]:
    """Return the runs that show a fault or hint of this kind as a tally; none if no run does."""
    tally = Tally(kind, [], [], [])
    for one in readings:
        turn = get_turn(one)
        if turn:
            runs = getattr(tally, one.run.verdict)
            runs.append(TurnOfRun(one.run, turn))
    return [tally] if tally.failed or tally.passed or tally.undecided else []
