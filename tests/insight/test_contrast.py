"""What separates failed from passed attempts: within test cases, corrected, and silent on noise."""

import random
from collections import defaultdict

import pytest

from sigmamind_mcp.insight.contrast import Attempt, Contrast, contrast_items

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


@pytest.mark.parametrize("rows", [[], [("tc_1", True, {"a"})], [("tc_1", False, set())] * 3])
def test_nothing_to_compare_gives_nothing(rows: Rows) -> None:
    found = contrast(rows)

    assert (found.separating, found.too_few, found.item_count) == ([], [], 0)
