"""Compare texts by the letter triples that they share: in linear time, and in every script."""

from collections import Counter
from typing import NamedTuple

from sigmamind_mcp.insight.words import dice_similarity

MAX_COMPARED_CHARACTERS = 4_000
MIN_LENGTH_RATIO = 0.6  # texts of very different lengths are not similar


class ComparableText(NamedTuple):
    """A normalized text with its letter triples."""

    text: str
    triples: Counter[str]

    @classmethod
    def read(cls, normalized: str) -> "ComparableText":
        """Count the letter triples of a normalized text."""
        compared = normalized[:MAX_COMPARED_CHARACTERS]
        starts = range(len(compared) - 2)
        return cls(normalized, Counter(compared[start : start + 3] for start in starts))

    def measure_similarity(self, other: str) -> float:
        """Return the share of letter triples in common with a normalized text, from 0 to 1."""
        if self.text == other:
            return 1.0
        own_length = min(len(self.text), MAX_COMPARED_CHARACTERS)
        other_length = min(len(other), MAX_COMPARED_CHARACTERS)
        shorter, longer = sorted((own_length, other_length))
        if shorter < MIN_LENGTH_RATIO * longer:
            return 0.0
        other_triples = ComparableText.read(other).triples
        shared = (self.triples & other_triples).total()
        return dice_similarity(shared, self.triples.total(), other_triples.total())


def normalize_text(text: str | None) -> str:
    """Return a text without upper case, extra spaces and final punctuation."""
    return " ".join((text or "").casefold().split()).rstrip(".!? ")
