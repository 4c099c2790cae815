"""The search finds the largest number that fits, with few tries."""

from collections.abc import Sequence
from random import Random

import pytest

from sigmamind_mcp.tools.largest_fit import find_largest_fit

ROOM = 1000


def search(sizes: Sequence[int], guess: int) -> tuple[int, int]:
    """Return how many items of these sizes fit, and with how many tries that was found."""
    tried: list[int] = []

    def build(number: int) -> tuple[int, float]:
        tried.append(number)
        return number, sum(sizes[:number]) / ROOM

    found = find_largest_fit(build, most=len(sizes), guess=guess)
    assert len(tried) == len(set(tried))
    return found, len(tried)


def count_fitting(sizes: Sequence[int]) -> int:
    fitting = [number for number in range(1, len(sizes) + 1) if sum(sizes[:number]) <= ROOM]
    return max(fitting, default=1)


@pytest.mark.parametrize("seed", range(200))
def test_largest_number_is_found_whatever_the_sizes_and_the_guess(seed: int) -> None:
    random = Random(seed)
    largest = random.choice([2, 30, 400, 3000])
    sizes = [random.randint(1, largest) for _ in range(random.randint(1, 600))]
    guess = random.randint(0, 700)

    found, tries = search(sizes, guess)

    assert found == count_fitting(sizes)
    assert tries <= 17  # 6 by share, then halves of 600


@pytest.mark.parametrize("size", [1, 7, 40, 300])
def test_items_of_one_size_take_two_or_three_tries(size: int) -> None:
    sizes = [size] * 2000

    found, tries = search(sizes, int(2000 / (sum(sizes) / ROOM)))

    assert found == count_fitting(sizes) and tries <= 3


@pytest.mark.parametrize("first", [ROOM + 1, 50 * ROOM])
def test_one_item_is_the_least_even_if_it_is_too_large(first: int) -> None:
    assert search([first, 1, 1], 2)[0] == 1
