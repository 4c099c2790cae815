"""Extract the meaningful words of a text and measure how similar two texts are."""

import re

from sigmamind_mcp.insight.unspaced_scripts import UNSPACED
from sigmamind_mcp.remembered_texts import remember_texts

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ASCII_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
"""The same for ASCII in lower case, in two thirds of the time."""
_UNSPACED_SCRIPT = re.compile(f"[{UNSPACED}]")
_ENDING = re.compile(r"(?:ations?|ings?|ed|es|s|e)$")
_MIN_STEMMED_LENGTH = 5
_EMPTY_WORDS = frozenset(
    "a able about after again agent all already also although always an and any anything are as"
    " assistant at be because been before being both but by can cannot come could customer did do"
    " does during each either else end even ever every find first for from further get give go"
    " going had has have he help her here him his how however i if in information instead into is"
    " it its just last let like made make many may me met might more much must need neither never"
    " next no none nor not now of on once one only or other our out over own please possible"
    " provide provided right said same say see sent set several she should since so some still"
    " such sure take tell than thank thanks that the their them then there these they thing this"
    " those through to today too try turn two under until up use user very want was way we well"
    " were what when where whether which while who why will with within without would yes yet you"
    " your i'm i'll i've it's that's you're you'll".split()
)


def extract_words(text: str) -> frozenset[str]:
    """Return the meaningful words of a text, without their endings; numbers are left out."""
    return frozenset(split_stems(text)) - {""}


def split_stems(text: str) -> list[str]:
    """Return the words of a text in order, without their endings; "" for empty words.

    Scripts without spaces give pairs of letters instead.
    """
    plain = text.lower().replace("’", "'")
    if plain.isascii():
        return list(map(_stem, _ASCII_WORD.findall(plain)))
    words = _WORD.findall(plain)
    if not _UNSPACED_SCRIPT.search(text):
        return list(map(_stem, words))
    stems: list[str] = []
    for word in words:
        if _UNSPACED_SCRIPT.search(word):
            stems += _split_into_pairs(word)
        else:
            stems.append(_stem(word))
    return stems


def find_phrase(text: str, stems: list[str]) -> str:
    """Return the first words of a text with these stems, as they are written; "" if none."""
    words = list(_WORD.finditer(text.replace("’", "'")))
    found = [_stem(word[0].lower()) for word in words]
    for start in range(len(words) - len(stems) + 1):
        end = start + len(stems)
        if found[start:end] == stems:
            return text[words[start].start() : words[end - 1].end()]
    return ""


def measure_similarity(first: frozenset[str], second: frozenset[str]) -> float:
    """Return how similar two sets of words are, from 0 to 1."""
    if first == second:
        return 1.0
    return dice_similarity(len(first & second), len(first), len(second))


def dice_similarity(shared: float, first_size: float, second_size: float) -> float:
    """Return the Dice coefficient (Dice 1945) of two collections, from 0 to 1.

    `shared` is the size of what both contain. Two empty collections give 0.
    """
    total = first_size + second_size
    return 2 * shared / total if total else 0.0


def _split_into_pairs(word: str) -> list[str]:
    starts = range(max(1, len(word) - 1))
    return [word[start : start + 2] for start in starts]


@remember_texts(maxsize=50_000)  # the same words come again and again
def _stem(word: str) -> str:
    if word in _EMPTY_WORDS or word.endswith("n't"):
        return ""
    return word if len(word) < _MIN_STEMMED_LENGTH else _ENDING.sub("", word)
