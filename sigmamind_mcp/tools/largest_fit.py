"""Find how many items fit, with few tries."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

TRIES_BY_SHARE = 6

T = TypeVar("T")


def find_largest_fit(build: Callable[[int], tuple[T, float]], *, most: int, guess: int) -> T:
    """Return what `build` returns for the largest number up to `most` that fits, at least 1.

    `build` also returns the share of the room that is used; up to 1 it fits.
    """
    low, high = 0, most
    best: T | None = None
    for tries in count(1):
        tried = max(1, min(max(guess, low + 1), high))
        built, share = build(tried)
        if share <= 1:
            low, best = tried, built
        elif tried == 1:
            return built
        else:
            high = tried - 1
        if best is not None and low >= high:
            return best
        # Most items are equally large; halving is for those that are not.
        guess = int(tried / share) if tries < TRIES_BY_SHARE else (low + high + 1) // 2
    raise AssertionError("each try leaves fewer numbers")
