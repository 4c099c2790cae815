"""What separates failed from passed attempts: within test cases, corrected, and silent on noise."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence

import pytest

from sigmamind_mcp.insight.contrast import SEED, Attempt, Contrast, contrast_items

Rows = list[tuple[str, bool, set[str]]]


def contrast(rows: Rows) -> Contrast[str]:
    """Contrast rows of a case, whether it failed, and what it has."""
    rows = sorted(rows, key=lambda row: row[0])
    presence: dict[str, list[int]] = defaultdict(list)
    for number, (_, _, items) in enumerate(rows):
        for item in items:
            presence[item].append(number)
    attempts = [Attempt(case, has_failed=failed) for case, failed, _ in rows]
    return contrast_items(attempts, presence, rank=lambda item: (0, -len(item), item))


def noise(generator: random.Random) -> set[str]:
    return {f"word{number}" for number in range(60) if generator.random() < 0.4}


def planted(seed: int, *, cases: int = 6, attempts: int = 8) -> Rows:
    """Half of the attempts fail; only those say "refused", among words at random."""
    generator = random.Random(seed)
    return [
        (f"tc_{case}", failed, noise(generator) | ({"refused"} if failed else {"granted"}))
        for case in range(cases)
        for failed in [True, False] * (attempts // 2)
    ]


def test_planted_items_of_both_directions_are_found() -> None:
    found = contrast(planted(1))

    by_item = {one.item: one for one in found.separating}
    assert {item: one.with_it for item, one in by_item.items()} == {
        "refused": (24, 0),
        "granted": (0, 24),
    }
    assert by_item["refused"].is_in_failed and by_item["refused"].p <= 0.01
    assert (found.compared, found.case_count) == ((24, 24), 6)


def test_item_that_only_passed_attempts_have_is_found() -> None:
    rows = [(case, failed, items - {"refused"}) for case, failed, items in planted(2)]

    (found,) = contrast(rows).separating

    assert found.item == "granted" and not found.is_in_failed and found.with_it == (0, 24)


def test_topic_of_the_failing_case_does_not_separate() -> None:
    """Every attempt of the case that always fails says "visa": that is its topic."""
    rows: Rows = [("tc_fails", True, {"visa"})] * 20 + [("tc_passes", False, {"parcel"})] * 20

    found = contrast(rows)

    assert found.separating == found.too_few == [] and found.case_count == 0


def test_item_as_common_on_both_sides_is_not_shown() -> None:
    rows: Rows = [
        ("tc_1", number < 400, {"a"} if number % 10 < 9 else set()) for number in range(800)
    ]
    rows += [("tc_2", failed, {"b"} if number < (115 if failed else 100) else set())
             for failed in (True, False) for number in range(120)]  # fmt: skip

    found = contrast(rows)

    # "b" is in 115 of 120 against 100 of 120: certain, and less than 1.3 times as frequent.
    assert found.separating == found.too_few == []


def test_few_attempts_are_marked_as_too_few() -> None:
    rows: Rows = [("tc_1", True, {"no refund"}), ("tc_1", True, {"no refund"}),
                  ("tc_1", True, {"no refund"}), ("tc_1", False, {"refund"}),
                  ("tc_1", False, {"refund"})]  # fmt: skip

    found = contrast(rows)

    assert found.separating == []
    assert {one.item for one in found.too_few} == {"no refund", "refund"}


def test_shuffled_verdicts_separate_nothing_in_95_of_100(figures: list[str]) -> None:
    shows = 0
    for seed in range(100):
        generator = random.Random(seed)
        rows: Rows = []
        for case, failed, _ in planted(seed):
            rows.append((case, failed, noise(generator)))
        shows += bool(contrast(rows).separating)

    figures.append(f"contrast of noise: {shows} of 100 shuffles show something")
    assert shows <= 5


def test_same_attempts_give_the_same_p_each_time() -> None:
    assert contrast(planted(3)) == contrast(planted(3))


@pytest.mark.parametrize(("sizes", "seed"), [((12, 10, 8), 6), ((22, 30, 3), 4), ((230, 9), 3)])
def test_p_is_that_of_permutations_counted_one_by_one(sizes: tuple[int, ...], seed: int) -> None:
    generator = random.Random(seed)
    rows: Rows = []
    for case, size in enumerate(sizes):
        for number in range(size):
            failed = number % 3 != 0
            says = noise(generator)
            if generator.random() < (0.9 if failed else 0.65):
                says.add("no refund")
            rows.append((f"tc_{case}", failed, says))

    assert count_permutations(rows) > 5


@pytest.mark.parametrize("seed", [7, 17])
def test_p_counts_permutations_in_which_failed_attempts_lack_an_item(seed: int) -> None:
    generator = random.Random(seed)
    rows: Rows = []
    for case in range(10):
        for number in range(8):
            says = {f"word{word}" for word in range(40) if generator.random() < 0.88}
            if number or generator.random() < 0.5:
                says.add("hello")
            rows.append((f"tc_{case}", number == 0, says))

    assert count_permutations(rows) > 5


def test_p_counts_more_failures_of_an_item_than_a_byte_holds() -> None:
    generator = random.Random(1)
    rows: Rows = []
    for number in range(600):
        failed = number % 3 != 0
        says = {word for word in ("any", "some") if generator.random() < 0.8}
        if generator.random() < (0.95 if failed else 0.65):
            says.add("hello")
        rows.append(("tc_0", failed, says))

    assert count_permutations(rows) == 1


def count_permutations(rows: Rows) -> int:
    """Return the most permutations that are as extreme as a found item; all p must be such counts."""
    found = contrast(rows)
    largest = permute_one_by_one(rows)
    expected = {}
    for separation, _ in found.list_found():
        score = measure_score(rows, [failed for _, failed, _ in rows], separation.item)
        expected[separation.item] = sum(one >= score - 1e-9 for one in largest) + 1
    assert {one.item: one.p * 500 for one, _ in found.list_found()} == expected
    return max(expected.values(), default=0)


def permute_one_by_one(rows: Rows) -> list[float]:
    """Return the largest score of each of 499 permutations of the verdicts."""
    generator = random.Random(SEED)
    items = set().union(*(says for _, _, says in rows))
    scores = []
    for _ in range(499):
        verdicts: list[bool] = []
        for case in dict.fromkeys(case for case, _, _ in rows):
            own = [failed for name, failed, _ in rows if name == case]
            is_failure = sum(own) * 2 <= len(own)
            drawn = generator.sample(range(len(own)), own.count(is_failure))
            verdicts += [(place in drawn) == is_failure for place in range(len(own))]
        scores.append(max(measure_score(rows, verdicts, item) for item in items))
    return scores


def measure_score(rows: Rows, verdicts: Sequence[bool], item: str) -> float:
    """Return how far the failures with an item are from those expected, without its sign."""
    expected = variance = 0.0
    for case in dict.fromkeys(case for case, _, _ in rows):
        own = [(failed, item in says) for name, failed, says in rows if name == case]
        size, failures = len(own), sum(failed for failed, _ in own)
        having = sum(has for _, has in own)
        expected += having * failures / size
        mixed = having * (size - having) * failures * (size - failures)
        variance += mixed / (size * size * (size - 1))
    both = sum(failed and item in row[2] for failed, row in zip(verdicts, rows, strict=True))
    return abs(both - expected) / math.sqrt(variance + 0.5) if variance >= 0.3 else 0.0


@pytest.mark.parametrize("rows", [[], [("tc_1", True, {"a"})], [("tc_1", False, set())] * 3])
def test_nothing_to_compare_gives_nothing(rows: Rows) -> None:
    found = contrast(rows)

    assert (found.separating, found.too_few, found.item_count) == ([], [], 0)


def count_rounds(attempts: list[Attempt], presence: dict[str, list[int]]) -> int:
    """Return how often the contrast asks for time, once before each round of permutations."""
    asked: list[None] = []

    def has_time() -> bool:
        asked.append(None)
        return True

    contrast_items(attempts, presence, rank=lambda item: (0, 0, item), has_time=has_time)
    return len(asked)


def test_permutations_end_early_only_if_no_item_has_a_chance() -> None:
    attempts = [Attempt("tc", has_failed=number % 2 == 0) for number in range(40)]
    even = {"as often on both sides": list(range(20))}
    telling = {"in most failed attempts": list(range(0, 36, 2))}
    few = [Attempt(case, has_failed=failed) for case in ("a", "b") for failed in (True, False)]

    assert count_rounds(attempts, even) == 1
    assert count_rounds(attempts, even | telling) == 2
    assert count_rounds(few, {"in one of each": [0, 3]}) == 1
    assert count_rounds(few, {"in one of each": [0, 3], "in all failed attempts": [0, 2]}) == 2
