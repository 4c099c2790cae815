"""Shorten a turn to the sentences that tell most about the remarks on its test run.

A sentence tells more the more words and values it has that few others of the turn have, above all
those of the remarks; a long one needs more. Chosen by labelled turns (docs/measured.md).
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence, Set
from itertools import chain

from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.text_search import split_sentences
from sigmamind_mcp.insight.words import extract_words
from sigmamind_mcp.remembered_texts import remember_texts

SHARED_WEIGHT = 10
"""As much as a word of the remarks counts more than another."""
MAX_TEXT_READ = 4_000
LEFT_OUT = " … "


@remember_texts(maxsize=1_000)  # an answer is built many times until it fits
def excerpt_text(text: str, remarks: str, characters: int) -> str:
    """Return the sentences that tell most, as many as fit, in their order and on one line.

    If the first choice is too long alone, all from there on is returned, to be truncated.
    """
    whole = _join_words(text)
    if len(whole) <= characters:
        return whole
    unread = text[MAX_TEXT_READ:]
    sentences = _group_sentences(text[:MAX_TEXT_READ])
    if unread:
        sentences[-1:] = ["".join(sentences[-1:]) + unread]
    remarks_words = _find_words_and_values(remarks[:MAX_TEXT_READ])
    chosen: list[int] = []
    for number in _rank_sentences(sentences[:-1] if unread else sentences, remarks_words):
        if len(_join_chosen(sentences, [*chosen, number])) <= characters:
            chosen.append(number)
        elif not chosen:
            return _join_chosen(sentences, range(number, len(sentences)))
    return _join_chosen(sentences, chosen) if chosen else whole


def _group_sentences(text: str) -> list[str]:
    sentences: list[str] = []
    for sentence in split_sentences(text):
        if sentences and _goes_on(sentences[-1], sentence):
            sentences[-1] += sentence
        else:
            sentences.append(sentence)
    return sentences


def _goes_on(text: str, following: str) -> bool:
    """Return whether the text is only the number of a list's entry, or a line within a sentence."""
    is_line = text.endswith("\n") and text.rstrip()[-1:] not in (":", ".", "!", "?")
    is_wrapped = is_line and not text.endswith("\n\n") and following[:1].islower()
    return is_wrapped or not any(map(str.isalpha, text))


def _rank_sentences(sentences: Sequence[str], remarks_words: Set[str]) -> list[int]:
    """Return the places of the sentences, the most telling first."""
    words = list(map(_find_words_and_values, sentences))
    counts = Counter(chain.from_iterable(words))

    def weigh(word: str) -> float:
        return (SHARED_WEIGHT if word in remarks_words else 1) / math.sqrt(counts[word])

    def measure(number: int) -> float:
        return math.fsum(map(weigh, words[number])) / math.sqrt(len(sentences[number]))

    return sorted(range(len(sentences)), key=measure, reverse=True)


def _find_words_and_values(text: str) -> frozenset[str]:
    return extract_words(text) | read_values(text)


def _join_chosen(sentences: Sequence[str], chosen: Collection[int]) -> str:
    """Return these sentences in their order, with marks where others are left out."""
    parts = []
    following = 0
    for number in sorted(chosen):
        if number > following:
            parts.append(LEFT_OUT)
        parts.append(sentences[number])
        following = number + 1
    if following < len(sentences):
        parts.append(LEFT_OUT)
    return _join_words("".join(parts))


def _join_words(text: str) -> str:
    return " ".join(text.split())
