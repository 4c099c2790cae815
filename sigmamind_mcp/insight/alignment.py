"""Align the turns of two conversations and find where they diverge."""

from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.api.conversations import Side, Turn, number_spoken_turns
from sigmamind_mcp.insight.words import extract_words, measure_similarity

MAX_ALIGNED_TURNS = 300
TURNS_AROUND = 2
MIN_TURN_SIMILARITY = 0.45
PAIR_BONUS = 0.1
"""What a pair of the same speaker scores besides its similarity: a pair is better than two gaps."""


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
    side: Side
    role: str
    words: frozenset[str]

    def may_pair(self, other: "_TurnWords") -> bool:
        """Tell whether one speaker, or one kind of message, has both turns."""
        return self.side == other.side and (self.side != "other" or self.role == other.role)


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

    Source: Needleman and Wunsch (1970), with turns for letters; a pair has one speaker.
    """
    left, right = _split_turns(base), _split_turns(candidate)
    similarity = _measure_similarities(left, right)
    best = _score_alignments(left, right, similarity)
    aligned: list[AlignedTurn] = []
    i = j = 0
    while i < len(left) and j < len(right):
        is_pair = left[i].may_pair(right[j])
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
    spoken, spoken_by_other = number_spoken_turns(base), number_spoken_turns(candidate)
    for index, pair in enumerate(aligned):
        turn = spoken.get(pair.base or 0) or spoken_by_other.get(pair.candidate or 0)
        if turn and turn.side == "agent" and pair.similarity < MIN_TURN_SIMILARITY:
            return index
    return None


def find_unmatched_turns(turns: Sequence[Turn], other_turns: Sequence[Turn]) -> list[int]:
    """Return the numbers of the agent's turns that resemble none of its other turns."""
    others = [turn.words for turn in _split_turns(other_turns) if turn.side == "agent"]
    spoken = number_spoken_turns(turns)
    unmatched = []
    for number, turn in enumerate(_split_turns(turns), start=1):
        is_agents = turn.side == "agent" and number in spoken
        if is_agents and not _has_match(turn.words, others):
            unmatched.append(number)
    return unmatched


def _split_turns(turns: Sequence[Turn]) -> list[_TurnWords]:
    split = []
    for turn in turns[:MAX_ALIGNED_TURNS]:
        split.append(
            _TurnWords(turn.side, turn.role.strip().casefold(), extract_words(turn.content))
        )
    return split


def _measure_similarities(
    left: Sequence[_TurnWords], right: Sequence[_TurnWords]
) -> list[list[float]]:
    """Return the similarity of each pair of turns; 0 if their speakers differ."""
    similarity = [[0.0] * len(right) for _ in left]
    for i, turn in enumerate(left):
        for j, other in enumerate(right):
            if turn.may_pair(other):
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
            if left[i].may_pair(right[j]):
                paired = best[i + 1][j + 1] + similarity[i][j] + PAIR_BONUS
                best[i][j] = max(best[i][j], paired)
    return best


def _has_match(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    return any(measure_similarity(words, other) >= MIN_TURN_SIMILARITY for other in others)
