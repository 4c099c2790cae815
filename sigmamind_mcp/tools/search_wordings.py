"""What attempts without a match say most like the matches of a search."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.insight.other_wordings import Sentence, Wording, find_other_wordings
from sigmamind_mcp.insight.text_search import Query, has_any, split_sentences
from sigmamind_mcp.insight.words import extract_words
from sigmamind_mcp.remembered_texts import forgetting_texts, remember_texts
from sigmamind_mcp.tools.answers import format_day, one_line
from sigmamind_mcp.tools.parts import truncate_line
from sigmamind_mcp.tools.search_answer import OtherWording
from sigmamind_mcp.tools.transcript_search import SearchedAttempt, SearchedBatchRun

COMPARING_SECONDS = 1.0
SENTENCE_CHARACTERS = 160
DAYS_SHOWN = 6


_extract_words = remember_texts(maxsize=20_000)(extract_words)


def list_other_wordings(
    query: Query, searched: Sequence[SearchedBatchRun], clock: WorkClock
) -> list[OtherWording] | None:
    """Return what attempts without a match say most like the matches; None if it takes too long.

    Alternatives that no turn has count as examples of what the search means.
    """
    places = []
    for run in searched:
        places += [(run, attempt) for attempt in run.attempts]
    sentences: list[Sentence] = []
    matching: set[int] = set()
    missing = set(range(len(query.texts)))
    with forgetting_texts():
        for number, (_, attempt) in enumerate(places):
            if clock.is_spent:
                return None
            with clock.count():
                sentences += _list_sentences(number, attempt, query)
            missing -= attempt.list_alternatives()
            if attempt.found:
                matching.add(number)
    examples = [query.texts[number] for number in sorted(missing)]
    wordings = find_other_wordings(sentences, matching, examples)
    return [_show_wording(wording, places) for wording in wordings]


def _list_sentences(number: int, attempt: SearchedAttempt, query: Query) -> Iterator[Sentence]:
    """Yield the sentences of an attempt; those that have a term of the matches are matches."""
    terms = {turn.number: turn.terms for turn in attempt.found or ()}
    for turn, text in attempt.said:
        for sentence in split_sentences(text):
            if has_any(sentence, query.excluded):
                continue
            is_match = turn in terms and has_any(sentence, terms[turn])
            yield Sentence(number, turn, sentence, _extract_words(sentence), is_match)


def _show_wording(
    wording: Wording, places: Sequence[tuple[SearchedBatchRun, SearchedAttempt]]
) -> OtherWording:
    run, attempt = places[wording.sentence.attempt]
    by_run = Counter(places[number][0].batch_id for number in sorted(wording.attempts))
    days = {one.batch_id: format_day(one.created) or one.batch_id for one, _ in places}
    shown = [f"{days[run_id]}: {count}" for run_id, count in by_run.items()]
    if len(shown) > DAYS_SHOWN:
        later = sum(by_run.values()) - sum(islice(by_run.values(), DAYS_SHOWN))
        shown[DAYS_SHOWN:] = [f"later: {later}"]
    return OtherWording(
        batch_id=run.batch_id,
        job_id=attempt.job_id or "",
        turn=wording.sentence.turn,
        verdict=attempt.verdict,
        sentence=truncate_line(one_line(wording.sentence.text), SENTENCE_CHARACTERS),
        attempts=len(wording.attempts),
        by_batch_run=", ".join(shown),
    )
