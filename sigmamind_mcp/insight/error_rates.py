"""Divide the accepted error among cases, questions and looks, so that it holds for all together."""

from collections.abc import Sequence
from typing import Literal

Question = Literal["regression", "improvement", "both"]

LOOK_SHARES = {
    1: (1.0,),
    2: (0.3, 0.7),
    3: (0.1, 0.3, 0.6),
    4: (0.05, 0.15, 0.3, 0.5),
}
"""The share of alpha that each look gets, by the planned number of looks.

Later looks have more attempts, so they can use more. The shares are fixed before the first look:
dividing by the looks made so far would exceed alpha.
"""

MAX_LOOKS = max(LOOK_SHARES)


def split_alpha(alpha: float, question: Question, *, looks: int, look: int) -> float:
    """Return the part of `alpha` for one direction at one look, counted from 1."""
    share = LOOK_SHARES[looks][look - 1]
    directions = 2 if question == "both" else 1
    return alpha * share / directions


def adjust_by_discovery(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that calls at 5 % are false in at most 5 % on average.

    Source: Benjamini and Hochberg (1995), "Controlling the false discovery rate".
    Same as R's `p.adjust(method = "BH")`.
    """
    count = len(p_values)
    adjusted = [0.0] * count
    smallest = 1.0
    by_size = sorted(range(count), key=p_values.__getitem__)
    for rank in range(count, 0, -1):
        index = by_size[rank - 1]
        # Never more than the adjusted value of a larger p.
        smallest = min(smallest, p_values[index] * count / rank)
        adjusted[index] = smallest
    return adjusted


def find_testable(smallest_p_values: Sequence[float], alpha: float) -> list[int]:
    """Return the places of the tests that can be significant with their numbers of attempts.

    The others need no share of alpha: their numbers alone decide this, not their results.

    Source: Tarone (1990), "A modified Bonferroni method for discrete data".
    """
    for count in range(1, len(smallest_p_values) + 1):
        limit = alpha / count
        places = [place for place, p in enumerate(smallest_p_values) if p <= limit]
        if len(places) <= count:
            return places
    return []
