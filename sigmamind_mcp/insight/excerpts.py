"""Shorten a turn to the sentences that tell most about the remarks on its test run.

A sentence tells more the more words and values it has that few others of the turn have, above all
those of the remarks; a long one needs more. Chosen by labelled turns (docs/measured.md).
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence, Set
from itertools import chain
from typing import NamedTuple

from sigmamind_mcp.insight.left_out import LEFT_OUT_MARK, cut_end, write_own_dots
from sigmamind_mcp.insight.list_heads import HEAD_CHARACTERS, find_heads, shorten_head
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.text_search import split_sentences
from sigmamind_mcp.insight.words import extract_words
from sigmamind_mcp.remembered_texts import remember_texts

SHARED_WEIGHT = 10
"""As much as a word of the remarks counts more than another."""
MAX_TEXT_READ = 4_000


@remember_texts(maxsize=2_000)  # an answer is built many times until it fits
def excerpt_text(text: str, remarks: str, characters: int) -> str:
    """Return the sentences that tell most, as many as fit, in their order and on one line.

    An entry of a list has its heads before it, for which HEAD_CHARACTERS more are left. If the
    first choice is too long alone, it is cut.
    """
    text = write_own_dots(text)
    whole = _join_words(text)
    if len(whole) <= characters:
        return whole
    parts = _split_parts(text)
    remarks_words = _find_words_and_values(remarks[:MAX_TEXT_READ])
    chosen: list[int] = []
    for number in _rank_sentences(parts.read, remarks_words):
        excerpt = _join_chosen(parts, [*chosen, number])
        if excerpt.fits(characters):
            chosen.append(number)
        elif not chosen:
            following = _join_chosen(parts, range(number, len(parts.sentences)))
            return cut_end(following.text, characters + following.head_characters)
    return _join_chosen(parts, chosen).text if chosen else cut_end(whole, characters)


class _Parts(NamedTuple):
    """The sentences of a text, the numbers of the heads of each, and the sentences to rank."""

    sentences: Sequence[str]
    heads: Sequence[Sequence[int]]
    read: Sequence[str]


class _Excerpt(NamedTuple):
    """The joined sentences, and how many characters of them are for heads."""

    text: str
    head_characters: int

    def fits(self, characters: int) -> bool:
        return len(self.text) <= characters + self.head_characters


def _split_parts(text: str) -> _Parts:
    text = "\n".join(map(str.rstrip, text.splitlines()))
    unread = text[MAX_TEXT_READ:]
    sentences = _group_sentences(text[:MAX_TEXT_READ])
    read = sentences[:-1] if unread else sentences
    if unread:
        sentences = [*read, "".join(sentences[-1:]) + unread]
    return _Parts(sentences, find_heads(sentences), read)


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


def _join_chosen(parts: _Parts, chosen: Collection[int]) -> _Excerpt:
    """Join these sentences and their heads in their order, with marks for what is left out."""
    heads = set(chain.from_iterable(parts.heads[number] for number in chosen)).difference(chosen)
    shown = []
    head_characters = 0
    following = 0
    for number in sorted(heads.union(chosen)):
        if number > following:
            shown.append(f" {LEFT_OUT_MARK} ")
        sentence = parts.sentences[number]
        if number in heads:
            sentence = shorten_head(sentence)
            head_characters += len(sentence)
        shown.append(sentence)
        following = number + 1
    if following < len(parts.sentences):
        shown.append(f" {LEFT_OUT_MARK}")
    return _Excerpt(_join_words("".join(shown)), min(head_characters, HEAD_CHARACTERS))


def _join_words(text: str) -> str:
    return " ".join(text.split())
