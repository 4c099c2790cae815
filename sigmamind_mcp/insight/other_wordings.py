"""Find sentences that do not match a search and are much like those that do.

A word weighs by how much more often it is in matching sentences than in all others (relevance
weights of Robertson and Spärck Jones 1976; with matches as feedback, after Rocchio 1971). The sum
is divided by the square root of the length, so that a long sentence is not like everything.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from math import log, sqrt
from typing import NamedTuple

from sigmamind_mcp.insight.words import extract_words, measure_similarity

MOST_WORDINGS = 5
MIN_ALIKE = 0.6
"""Sentences with as many words in common are one wording."""
MIN_SHARE = 0.5
"""A sentence needs this share of the best score; docs/measured.md says how many are right."""
SHORT_SENTENCE_WORDS = 2


class Sentence(NamedTuple):
    """What an attempt says in a turn; attempts are told apart by number."""

    attempt: int
    turn: int
    text: str
    words: frozenset[str]
    is_match: bool = False


class Wording(NamedTuple):
    """A sentence, and the attempts without a match that say it or something much alike."""

    sentence: Sentence
    attempts: Sequence[int]


def find_other_wordings(
    sentences: Sequence[Sentence], matching_attempts: Collection[int], examples: Iterable[str] = ()
) -> list[Wording]:
    """Return what attempts without a match say most like the matches, best first.

    `examples` are texts that count as matches besides the sentences.
    """
    words = {sentence.text: sentence.words for sentence in sentences}
    matching = {sentence.text for sentence in sentences if sentence.is_match}
    added = list(map(extract_words, examples))
    known = [*added, *map(words.__getitem__, matching)]
    weights = _weigh_words(known, [*added, *words.values()])
    best: dict[int, tuple[float, Sentence]] = {}
    for sentence in sentences:
        if sentence.attempt in matching_attempts:
            continue
        score = _score(sentence.words, weights)
        if score > best.get(sentence.attempt, (0.0,))[0]:
            best[sentence.attempt] = (score, sentence)
    ordered = sorted(best.values(), key=lambda scored: (-scored[0], scored[1]))
    groups: list[list[Sentence]] = []
    for score, sentence in ordered:
        if score < MIN_SHARE * ordered[0][0]:
            break
        _add_to_groups(sentence, groups)
    return [Wording(group[0], [each.attempt for each in group]) for group in groups]


def _weigh_words(
    matching: Sequence[frozenset[str]], sentences: Collection[frozenset[str]]
) -> dict[str, float]:
    """Return the weights of the words that are more frequent in matching sentences."""
    in_matching = Counter[str]()
    for words in matching:
        in_matching.update(words)
    in_all = Counter[str]()
    for words in sentences:
        in_all.update(words & in_matching.keys())
    weights = {}
    for word, count in in_matching.items():
        with_word = in_all[word] - count
        without_word = len(sentences) - len(matching) - with_word
        odds = (count + 0.5) / (len(matching) - count + 0.5)
        weight = log(odds * (without_word + 0.5) / (with_word + 0.5))
        if weight > 0:
            weights[word] = weight
    return weights


def _score(words: frozenset[str], weights: dict[str, float]) -> float:
    shared = words & weights.keys()
    return sum(map(weights.__getitem__, shared)) / sqrt(len(words) + SHORT_SENTENCE_WORDS)


def _add_to_groups(sentence: Sentence, groups: list[list[Sentence]]) -> None:
    """Add the sentence to the group that it is alike, or to a new one while there is room."""
    for group in groups:
        if measure_similarity(sentence.words, group[0].words) >= MIN_ALIKE:
            group.append(sentence)
            return
    if len(groups) < MOST_WORDINGS:
        groups.append([sentence])
