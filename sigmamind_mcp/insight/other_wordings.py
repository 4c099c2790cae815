"""Find sentences that do not match a search and are much like those that do.

A word weighs by how much more often it is in matching sentences than in all others (relevance
weights of Robertson and Spärck Jones 1976; with matches as feedback, after Rocchio 1971). The sum
is divided by the square root of the length, so that a long sentence is not like everything.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from math import log, sqrt
from typing import NamedTuple

from sigmamind_mcp.insight.words import extract_words, measure_similarity

MOST_WORDINGS = 5
MIN_ALIKE = 0.6
"""Sentences with as many words in common are one wording."""
MIN_SHARE = 0.5
"""A sentence needs this share of the best score; docs/measured.md says how many are right."""
SHORT_SENTENCE_WORDS = 2
MAX_READ_CHARACTERS = 400
"""Of a sentence; a text without punctuation is one."""


class Sentence(NamedTuple):
    """What an attempt says in a turn; attempts are told apart by number."""

    attempt: int
    turn: int
    text: str
    is_match: bool = False


class Wording(NamedTuple):
    """A sentence, and the attempts without a match that say it or something much alike."""

    sentence: Sentence
    attempts: Collection[int]


class _SharedWords(NamedTuple):
    """The words that a sentence shares with the matches, and how many words it has."""

    shared: frozenset[str]
    size: int


def find_other_wordings(
    sentences: Sequence[Sentence],
    matching_attempts: Collection[int],
    examples: Iterable[str] = (),
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> list[Wording] | None:
    """Return what attempts without a match say most like the matches, best first.

    `examples` are texts that count as matches besides the sentences. None if nothing is a match,
    no attempt is without one, or the time has run out.
    """
    matches = {sentence.text for sentence in sentences if sentence.is_match}
    in_matches = _count_words(matches)
    in_examples = _count_words(examples)
    telling = in_matches.words.keys() | in_examples.words.keys()
    texts: dict[str, _SharedWords] = {}
    for sentence in sentences:
        if not has_time():
            return None
        if sentence.text not in texts:
            words = _read_words(sentence.text)
            texts[sentence.text] = _SharedWords(words & telling, len(words))
    others = [sentence for sentence in sentences if sentence.attempt not in matching_attempts]
    if not telling or not others:
        return None
    weights = _weigh_words(in_matches, in_examples, texts.values())
    scores = {text: _score(words, weights) for text, words in texts.items()}
    least = MIN_SHARE * max(scores[sentence.text] for sentence in others)
    liked = [sentence for sentence in others if scores[sentence.text] >= least > 0]
    liked.sort(key=lambda sentence: (-scores[sentence.text], sentence))
    return _group_wordings(liked, has_time)


class _Counted(NamedTuple):
    """How many of some texts have each word."""

    words: Counter[str]
    texts: int


def _count_words(texts: Iterable[str]) -> _Counted:
    counts = Counter[str]()
    number = 0
    for text in texts:
        counts.update(_read_words(text))
        number += 1
    return _Counted(counts, number)


def _read_words(text: str) -> frozenset[str]:
    return extract_words(text[:MAX_READ_CHARACTERS])


def _weigh_words(
    in_matches: _Counted, in_examples: _Counted, texts: Collection[_SharedWords]
) -> dict[str, float]:
    """Return the weights of the words that are more frequent in matches and examples."""
    in_texts = Counter[str]()
    for words in texts:
        in_texts.update(words.shared)
    meant = in_matches.texts + in_examples.texts
    others = len(texts) - in_matches.texts
    weights = {}
    for word in in_matches.words.keys() | in_examples.words.keys():
        count = in_matches.words[word] + in_examples.words[word]
        with_word = in_texts[word] - in_matches.words[word]
        odds = (count + 0.5) / (meant - count + 0.5)
        weight = log(odds * (others - with_word + 0.5) / (with_word + 0.5))
        if weight > 0:
            weights[word] = weight
    return weights


def _score(words: _SharedWords, weights: dict[str, float]) -> float:
    weight = sum(weights.get(word, 0.0) for word in sorted(words.shared))
    return weight / sqrt(words.size + SHORT_SENTENCE_WORDS)


def _group_wordings(
    liked: Iterable[Sentence], has_time: Callable[[], bool]
) -> list[Wording] | None:
    """Join sentences that are alike with the best of them; there are few groups."""
    groups: list[tuple[frozenset[str], Sentence, set[int]]] = []
    for sentence in liked:
        if not has_time():
            return None
        words = _read_words(sentence.text)
        for leading, _, attempts in groups:
            if measure_similarity(words, leading) >= MIN_ALIKE:
                attempts.add(sentence.attempt)
                break
        else:
            if len(groups) < MOST_WORDINGS:
                groups.append((words, sentence, {sentence.attempt}))
    return [Wording(sentence, attempts) for _, sentence, attempts in groups]
