"""Align the turns of two conversations and find where they diverge."""

from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import Turn
from sigmamind_mcp.insight.words import extract_words, measure_similarity

MAX_ALIGNED_TURNS = 300
TURNS_AROUND = 2
MIN_TURN_SIMILARITY = 0.45
PAIR_BONUS = 0.1
"""What a pair of the same role scores besides its similarity: a pair is better than two gaps."""


class AlignedTurn(NamedTuple):
    """A pair of turns, by number from 1; None where one conversation has no counterpart."""

    base: int | None
    candidate: int | None
    similarity: float


class ConversationDiff(NamedTuple):
    """Where two conversations diverge, and which of the agent's turns only one of them has.

    `around` has the aligned turns around the divergence. Turns are numbers from 1.
    """

    divergence: AlignedTurn | None
    around: list[AlignedTurn]
    only_base: list[int]
    only_candidate: list[int]
    is_complete: bool


class _TurnWords(NamedTuple):
    role: str
    words: frozenset[str]


def compare_conversations(base: Sequence[Turn], candidate: Sequence[Turn]) -> ConversationDiff:
    """Compare two conversations turn by turn; an empty one gives no differences."""
    is_complete = max(len(base), len(candidate)) <= MAX_ALIGNED_TURNS
    if not (base and candidate):
        return ConversationDiff(None, [], [], [], is_complete)

    aligned = align_turns(base, candidate)
    place = find_divergence(aligned, base, candidate)
    around: list[AlignedTurn] = []
    if place is not None:
        around = aligned[max(0, place - TURNS_AROUND) : place + TURNS_AROUND + 1]
    return ConversationDiff(
        divergence=None if place is None else aligned[place],
        around=around,
        only_base=find_unmatched_turns(base, candidate),
        only_candidate=find_unmatched_turns(candidate, base),
        is_complete=is_complete,
    )


def align_turns(base: Sequence[Turn], candidate: Sequence[Turn]) -> list[AlignedTurn]:
    """Pair the first MAX_ALIGNED_TURNS turns, as similar as their order allows.

    Source: Needleman and Wunsch (1970), with turns for letters; a pair has one role.
    """
    left, right = _split_turns(base), _split_turns(candidate)
    similarity = _measure_similarities(left, right)
    best = _score_alignments(left, right, similarity)
    aligned: list[AlignedTurn] = []
    i = j = 0
    while i < len(left) and j < len(right):
        is_pair = left[i].role == right[j].role
        if is_pair and best[i][j] == best[i + 1][j + 1] + similarity[i][j] + PAIR_BONUS:
            aligned.append(AlignedTurn(i + 1, j + 1, similarity[i][j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            aligned.append(AlignedTurn(i + 1, None, 0.0))
            i += 1
        else:
            aligned.append(AlignedTurn(None, j + 1, 0.0))
            j += 1
    for number in range(i, len(left)):
        aligned.append(AlignedTurn(number + 1, None, 0.0))
    for number in range(j, len(right)):
        aligned.append(AlignedTurn(None, number + 1, 0.0))
    return aligned


def find_divergence(
    aligned: Sequence[AlignedTurn], base: Sequence[Turn], candidate: Sequence[Turn]
) -> int | None:
    """Return the index in `aligned` where the agent first says something different."""
    # Simulated users differ in words from the start, so only the agent's turns count.
    for index, pair in enumerate(aligned):
        turn = base[pair.base - 1] if pair.base else candidate[(pair.candidate or 1) - 1]
        if turn.role != "user" and pair.similarity < MIN_TURN_SIMILARITY:
            return index
    return None


def find_unmatched_turns(turns: Sequence[Turn], other_turns: Sequence[Turn]) -> list[int]:
    """Return the numbers of the agent's turns that resemble none of its other turns."""
    others = [turn.words for turn in _split_turns(other_turns) if turn.role != "user"]
    unmatched = []
    for number, turn in enumerate(_split_turns(turns), start=1):
        if turn.role != "user" and not _has_match(turn.words, others):
            unmatched.append(number)
    return unmatched


def _split_turns(turns: Sequence[Turn]) -> list[_TurnWords]:
    split = []
    for turn in turns[:MAX_ALIGNED_TURNS]:
        split.append(_TurnWords(turn.role, extract_words(turn.content)))
    return split


def _measure_similarities(
    left: Sequence[_TurnWords], right: Sequence[_TurnWords]
) -> list[list[float]]:
    """Return the similarity of each pair of turns; 0 if their roles differ."""
    similarity = [[0.0] * len(right) for _ in left]
    for i, turn in enumerate(left):
        for j, other in enumerate(right):
            if turn.role == other.role:
                similarity[i][j] = measure_similarity(turn.words, other.words)
    return similarity


def _score_alignments(
    left: Sequence[_TurnWords],
    right: Sequence[_TurnWords],
    similarity: Sequence[Sequence[float]],
) -> list[list[float]]:
    """Return the best score of the turns from i and from j on, for each i and j."""
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in reversed(range(len(left))):
        for j in reversed(range(len(right))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1])
            if left[i].role == right[j].role:
                paired = best[i + 1][j + 1] + similarity[i][j] + PAIR_BONUS
                best[i][j] = max(best[i][j], paired)
    return best


def _has_match(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    return any(measure_similarity(words, other) >= MIN_TURN_SIMILARITY for other in others)
