"""What attempts without a match say most like the matches of a search."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NamedTuple

import anyio

from sigmamind_mcp.errors import OutOfTime
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.insight.other_wordings import Sentence, Wording, find_other_wordings
from sigmamind_mcp.insight.text_search import Query, has_any, quote_sentence, split_sentences
from sigmamind_mcp.tools.answers import format_day, name_days, one_line
from sigmamind_mcp.tools.search_answer import OtherWording
from sigmamind_mcp.tools.transcript_search import (
    SearchedAttempt,
    SearchedBatchRun,
    TranscriptSearch,
)

COMPARING_SECONDS = 1.0
WAITING_SECONDS = 5.0
"""Without a turn by then, an answer goes without other wordings."""
MAX_TURN_CHARACTERS = 4_000
SENTENCE_CHARACTERS = 160
DAYS_SHOWN = 6


class OtherWordings(NamedTuple):
    """What was found, if anything was compared; `is_cut` says that the time was too short."""

    rows: list[OtherWording] | None = None
    is_cut: bool = False


async def compare_wordings(
    search: TranscriptSearch, searched: Sequence[SearchedBatchRun]
) -> OtherWordings:
    """Find what attempts without a match say most like the matches, as heavy work."""
    if not search.has_all_said:
        return OtherWordings(is_cut=True)
    clock = WorkClock(COMPARING_SECONDS)
    found = OtherWordings(is_cut=True)
    with anyio.move_on_after(WAITING_SECONDS), suppress(OutOfTime):
        rows = await search.run_heavy(
            clock, partial(_list_other_wordings, search.query, searched, clock)
        )
        found = OtherWordings(rows, is_cut=rows is None and clock.is_spent)
    return found


def _list_other_wordings(
    query: Query, searched: Sequence[SearchedBatchRun], clock: WorkClock
) -> list[OtherWording] | None:
    """Return the rows; None if nothing could be compared, or not in time.

    Alternatives that no turn has count as examples of what the search means.
    """
    has_time = clock.start_counting()
    places = []
    for run in searched:
        places += [(run, attempt) for attempt in run.attempts]
    sentences: list[Sentence] = []
    matching: set[int] = set()
    missing = set(range(len(query.texts)))
    for number, (_, attempt) in enumerate(places):
        for sentence in _list_sentences(number, attempt, query):
            if not has_time(1.0):
                return None
            sentences.append(sentence)
        missing -= attempt.list_alternatives()
        if attempt.found:
            matching.add(number)
    examples = [query.texts[number] for number in sorted(missing)]
    wordings = find_other_wordings(sentences, matching, examples, has_time=lambda: has_time(1.0))
    days = name_days((run.batch_id, format_day(run.created)) for run in searched)
    if wordings is None:
        return None
    return [_show_wording(wording, places, days) for wording in wordings]


def _list_sentences(number: int, attempt: SearchedAttempt, query: Query) -> Iterator[Sentence]:
    """Yield the sentences of an attempt; those that have a term of the matches are matches."""
    terms = {turn.number: turn.terms for turn in attempt.found or ()}
    for turn, text in attempt.said:
        for sentence in split_sentences(text[:MAX_TURN_CHARACTERS]):
            if not has_any(sentence, query.excluded):
                is_match = turn in terms and has_any(sentence, terms[turn])
                yield Sentence(number, turn, sentence, is_match)


def _show_wording(
    wording: Wording,
    places: Sequence[tuple[SearchedBatchRun, SearchedAttempt]],
    days: Mapping[str, str],
) -> OtherWording:
    sentence = wording.sentence
    run, attempt = places[sentence.attempt]
    text = dict(attempt.said)[sentence.turn]
    by_run = Counter(places[number][0].batch_id for number in sorted(wording.attempts))
    shown = [f"{days.get(run_id, run_id)}: {count}" for run_id, count in by_run.items()]
    if len(shown) > DAYS_SHOWN:
        later = sum(by_run.values()) - sum(islice(by_run.values(), DAYS_SHOWN))
        shown[DAYS_SHOWN:] = [f"later: {later}"]
    return OtherWording(
        batch_id=run.batch_id,
        job_id=attempt.job_id or "",
        turn=sentence.turn,
        verdict=attempt.verdict,
        sentence=one_line(quote_sentence(text, sentence.text, SENTENCE_CHARACTERS)),
        attempts=len(wording.attempts),
        by_batch_run=", ".join(shown),
    )
