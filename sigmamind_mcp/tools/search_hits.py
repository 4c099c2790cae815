"""Order the turns that a search found, and show them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import NamedTuple

from sigmamind_mcp.tools.search_answer import FoundPlace, Hit, group_alike
from sigmamind_mcp.tools.transcript_search import FoundTurn, SearchedAttempt, SearchedBatchRun


class SearchMatch(NamedTuple):
    """A turn that matches; hits are shown in the order of `rank`."""

    rank: tuple[int, int, int]
    batch_id: str
    attempt: SearchedAttempt
    turn: FoundTurn


def iterate_matches(searched: Sequence[SearchedBatchRun]) -> Iterator[SearchMatch]:
    """Yield all turns that match, oldest batch run first.

    They rank in such a way that each attempt shows one turn before any shows a second one, and
    the batch runs take turns.
    """
    for run_number, run in enumerate(searched):
        matching = [attempt for attempt in run.attempts if attempt.found]
        for number, attempt in enumerate(matching):
            for turn_number, turn in enumerate(attempt.found or ()):
                yield SearchMatch((turn_number, number, run_number), run.batch_id, attempt, turn)


def rank_matches(matches: Iterable[SearchMatch], most: int) -> list[SearchMatch]:
    """Return the first matches to show: one of each alternative, then those that rank first."""
    # There can be a hundred thousand matches, and an answer shows a few dozen.
    known = list(matches)
    leading = _pick_examples(known)
    return nsmallest(most, known, key=lambda match: (match.rank not in leading, match.rank))


def _pick_examples(matches: Sequence[SearchMatch]) -> set[tuple[int, int, int]]:
    """Pick a match for each alternative, the rarest alternative first; few matches show all."""
    counts = Counter[int]()
    examples: dict[int, SearchMatch] = {}
    for match in matches:
        counts.update(match.turn.alternatives)
        for number in match.turn.alternatives:
            known = examples.get(number, match)
            examples[number] = min(match, known, key=lambda one: one.rank)
    picked: set[tuple[int, int, int]] = set()
    shown: set[int] = set()
    for number in sorted(counts, key=lambda number: (counts[number], number)):
        if number not in shown:
            picked.add(examples[number].rank)
            shown.update(examples[number].turn.alternatives)
    return picked


def show_place(match: SearchMatch) -> FoundPlace:
    job_id = match.attempt.job_id or ""
    return FoundPlace(batch_id=match.batch_id, job_id=job_id, turn=match.turn.number)


def count_first_hits(matches: Sequence[SearchMatch], most: int) -> int:
    """Count the first matches that show in at most so many places, with those alike."""
    hits = list(map(show_hit, matches))
    groups = group_alike(hits)
    first_left_out = groups[most][0] if len(groups) > most else None
    for number, hit in enumerate(hits):
        if hit is first_left_out:
            return number
    return len(hits)


def show_hit(match: SearchMatch) -> Hit:
    return Hit(
        **dict(show_place(match)),
        verdict=match.attempt.verdict,
        side=match.turn.side,
        sentence=match.turn.sentence,
        previous_turn=match.turn.previous_turn,
    )
