"""What the agent says on one side: within test cases, corrected for all, and silent on noise."""

import random
from collections.abc import Sequence

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.comparison import CaseChange
from sigmamind_mcp.insight.decisions import Level, RateChange
from sigmamind_mcp.insight.side_words import SaidOnSides, contrast_sides
from sigmamind_mcp.insight.statistics import Counts
from tests.insight.conversations import make_run
from tests.support.sample_batches import OFTEN_SAID, draw_turns

CRITERIA = " ".join([*OFTEN_SAID, "A parcel weighs 14 pounds."])
WEIGHT = "The parcel weighs fourteen pounds."


class Transcripts(dict[RunPlace, TestRun]):
    """Test runs by their places, and test cases with these runs on their sides."""

    def add(self, case: str, batch_id: str, said: Sequence[str]) -> RunPlace:
        place = RunPlace(batch_id, f"job_{len(self)}")
        self[place] = make_run(*said, criteria=CRITERIA, case=case, job=place.job_id)
        return place

    def change(
        self,
        base: Sequence[RunPlace],
        candidate: Sequence[RunPlace],
        change: RateChange = "regressed",
        level: Level = "proven",
    ) -> CaseChange:
        return CaseChange(change, level, self._build_side(base), self._build_side(candidate))

    def _build_side(self, places: Sequence[RunPlace]) -> CaseSide:
        case = self[places[0]].test_case
        assert case
        return CaseSide(case, Counts(0, len(places)), decided_runs=tuple(places))


def plant(
    case_count: int,
    attempts: int,
    *,
    says: Sequence[str] = (WEIGHT,),
    change: RateChange = "regressed",
    level: Level = "proven",
) -> tuple[Transcripts, list[CaseChange]]:
    """Build test cases whose candidate always says one thing more, among sentences at random."""
    runs, generator, changes = Transcripts(), random.Random(1), []
    for number in range(case_count):
        name = f"tc_{number}"
        base = [runs.add(name, "batch_base", draw_turns(generator)) for _ in range(attempts)]
        new = [runs.add(name, "batch_new", draw_turns(generator, *says)) for _ in range(attempts)]
        changes.append(runs.change(base, new, change, level))
    return runs, changes


def list_proven(said: SaidOnSides) -> list[str]:
    return [one.words for one in said.differences if one.is_proven]


def test_what_only_the_candidate_says_is_counted_with_a_turn() -> None:
    runs, changes = plant(1, 10)

    said = contrast_sides(changes, runs.get)

    (found,) = [one for one in said.differences if one.is_proven]
    assert (found.base, found.candidate) == ((0, 10), (10, 10))
    assert found.cases == (0,) and said.looked_at == changes and said.unread == 0
    turns = runs[found.place].conversation
    assert found.place.batch_id == "batch_new" and turns and found.turn
    assert turns[found.turn - 1].content == WEIGHT
    assert found.words in WEIGHT


def test_what_only_the_base_says_has_its_example_there() -> None:
    runs, (change,) = plant(1, 10)
    assert change.base and change.candidate
    reversed_change = runs.change(change.candidate.decided_runs, change.base.decided_runs)

    (found,) = contrast_sides([reversed_change], runs.get).differences

    assert (found.base, found.candidate) == ((10, 10), (0, 10))


def test_few_attempts_of_many_cases_show_together_what_one_case_cannot() -> None:
    runs, changes = plant(4, 4)

    alone = contrast_sides(changes[:1], runs.get)
    together = [one for one in contrast_sides(changes, runs.get).differences if one.is_proven]

    assert list_proven(alone) == [] and len(alone.differences) <= 3
    assert [(one.cases, one.base, one.candidate) for one in together] == [
        ((0, 1, 2, 3), (0, 16), (16, 16))
    ]


def test_change_of_a_single_case_is_found_among_cases_that_always_say_it_at_random() -> None:
    runs, generator, changes = Transcripts(), random.Random(1), []
    for number in range(5):
        sides = []
        for side, is_said in (("base", False), ("new", True)):
            says = [is_said if number == 2 else generator.random() < 0.5 for _ in range(10)]
            turns = [draw_turns(generator, *[WEIGHT] * said) for said in says]
            sides.append([runs.add(f"tc_{number}", side, said) for said in turns])
        changes.append(runs.change(sides[0], sides[1]))

    proven = [one for one in contrast_sides(changes, runs.get).differences if one.is_proven]

    assert [(one.cases, one.base, one.candidate) for one in proven] == [((2,), (0, 10), (10, 10))]


def test_random_halves_of_the_same_attempts_show_nothing(figures: list[str]) -> None:
    shows = few = 0
    for seed in range(200):
        generator, runs, changes = random.Random(seed), Transcripts(), []
        for number in range(1 + seed % 5):
            places = [
                runs.add(f"tc_{number}", "batch_1", draw_turns(generator))
                for _ in range(2 * generator.choice([4, 8]))
            ]
            generator.shuffle(places)
            half = len(places) // 2
            changes.append(runs.change(places[:half], places[half:]))
        said = contrast_sides(changes, runs.get)
        shows += bool(list_proven(said))
        few += bool(said.differences)
        assert len(said.differences) - len(list_proven(said)) <= 3

    figures.append(f"words of random halves: {shows} of 200 show something, {few} with too few")
    assert shows <= 10


def test_item_less_than_1_3_times_as_frequent_is_not_shown() -> None:
    runs, changes = Transcripts(), []
    # In 100 of 120 against 119 of 120: certain, and 1.19 times as frequent.
    base = [runs.add("tc_1", "base", ["Hm.", WEIGHT if n < 100 else "No."]) for n in range(120)]
    new = [runs.add("tc_1", "new", ["Hm.", WEIGHT if n < 119 else "No."]) for n in range(120)]
    changes.append(runs.change(base, new))

    assert contrast_sides(changes, runs.get).differences == []


@pytest.mark.parametrize(
    ("change", "level", "is_looked_at"),
    [
        ("regressed", "suspect", True),
        ("improved", "proven", True),
        ("not called", "open", True),
        ("definition changed", "not shown", True),
        ("not called", "not shown", False),
    ],
)
def test_changed_and_open_cases_are_looked_at(
    change: RateChange, level: Level, is_looked_at: bool
) -> None:
    runs, changes = plant(1, 10, change=change, level=level)

    said = contrast_sides(changes, runs.get)

    assert bool(said.looked_at) is bool(said.differences) is is_looked_at


def test_at_most_five_cases_and_three_items_each() -> None:
    # Each says another word of the criteria.
    says = ["No retention.", "No voucher.", "No supervisor.", "No baggage.", "No delivery."]
    runs, changes = plant(7, 10, says=[*says, WEIGHT])

    said = contrast_sides(changes, runs.get)

    assert said.looked_at == changes[:5] and len(said.changed) == 7
    assert 1 <= len(said.differences) <= 15


def test_case_without_transcripts_on_one_side_is_not_looked_at() -> None:
    runs, changes = plant(2, 10)
    side = changes[0].candidate
    assert side
    for place in side.decided_runs:
        del runs[place]

    said = contrast_sides(changes, runs.get)

    assert (said.looked_at, said.unread) == (changes[1:], 10)
    assert [one.cases for one in said.differences] == [(1,)]


def test_without_time_the_sides_are_read_alike() -> None:
    runs, changes = plant(1, 20)
    answers = iter([True] * 20 + [False])

    said = contrast_sides(changes, runs.get, has_time=lambda: next(answers))

    assert said.unread == 20
    assert [(one.base.total, one.candidate.total) for one in said.differences] == [(10, 10)]
