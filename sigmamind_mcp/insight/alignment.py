"""Align the turns of two conversations."""

from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import Turn
from sigmamind_mcp.insight.comparison import ALIKE
from sigmamind_mcp.insight.words import likeness, words_of

ALIGNED_TURNS = 300


class AlignedTurn(NamedTuple):
    """A turn of each conversation that stand side by side, by number; None where one has no counterpart."""

    one: int | None
    other: int | None
    likeness: float


def align(one: Sequence[Turn], other: Sequence[Turn]) -> list[AlignedTurn]:
    """The first ALIGNED_TURNS turns of two conversations side by side, as alike in words as their order allows.

    Needleman and Wunsch (1970), with a turn's words as its letters; only turns of one role are set side by side.
    """
    left = [(turn.role, words_of(turn.content)) for turn in one[:ALIGNED_TURNS]]
    right = [(turn.role, words_of(turn.content)) for turn in other[:ALIGNED_TURNS]]
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    alike = [[_alike(a, b) for b in right] for a in left]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            beside = best[i + 1][j + 1] + alike[i][j] + 0.1 if left[i][0] == right[j][0] else -1.0
            best[i][j] = max(beside, best[i + 1][j], best[i][j + 1])
    aligned, i, j = [], 0, 0
    while i < len(left) or j < len(right):
        both = i < len(left) and j < len(right)
        if (
            both
            and left[i][0] == right[j][0]
            and best[i][j] == best[i + 1][j + 1] + alike[i][j] + 0.1
        ):
            aligned.append(AlignedTurn(i + 1, j + 1, alike[i][j]))
            i, j = i + 1, j + 1
        elif j == len(right) or (i < len(left) and best[i][j] == best[i + 1][j]):
            aligned.append(AlignedTurn(i + 1, None, 0.0))
            i += 1
        else:
            aligned.append(AlignedTurn(None, j + 1, 0.0))
            j += 1
    return aligned


def _alike(one: tuple[str, frozenset[str]], other: tuple[str, frozenset[str]]) -> float:
    return likeness(one[1], other[1]) if one[0] == other[0] else 0.0


def find_divergence(
    aligned: Sequence[AlignedTurn], one: Sequence[Turn], other: Sequence[Turn]
) -> int | None:
    """Where in `aligned` the agent first says something else; users differ in words from the start."""
    for place, pair in enumerate(aligned):
        turn = one[pair.one - 1] if pair.one else other[(pair.other or 1) - 1]
        if turn.role != "user" and pair.likeness < ALIKE:
            return place
    return None


def unmatched_turns(one: Sequence[Turn], other: Sequence[Turn]) -> list[int]:
    """The agent's turns of `one`, by number, that resemble none of its turns in `other`."""
    others = [words_of(turn.content) for turn in other[:ALIGNED_TURNS] if turn.role != "user"]
    ones = [
        (number, words_of(turn.content))
        for number, turn in enumerate(one[:ALIGNED_TURNS], start=1)
        if turn.role != "user"
    ]
    return [
        number for number, words in ones if all(likeness(words, said) < ALIKE for said in others)
    ]
