"""Split text into words and compare them."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

_COMPLAINTS = re.compile(
    r"\b(?:not|never|no|none|nor|neither|cannot|fail\w*|without|miss(?:ed|es|ing)|instead|wrong\w*|incorrect\w*|unable"
    r"|lack\w*|omit\w*|refus\w*|ignor\w*|contradict\w*|unresolved|incomplete\w*)\b|n['’]t\b",
    re.IGNORECASE,
)


_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")


_ENDINGS = re.compile(r"(?:ations?|ings?|ed|es|s|e)$")


_EMPTY_WORDS = frozenset(
    "a about after agent all also although an and any as assistant at be because been before being but by can could"
    " customer did do does during for from had has have he her him his how i if in into is it its just me met more no"
    " none nor not of on or our over should so that the their them then there they this to turn until user was were"
    " what when which while who with without would you your".split()
)


def words_of(text: str, most: int = 1_000) -> frozenset[str]:
    """The first words that carry meaning, without numbers and endings; pairs of letters where words are not spaced."""
    found: set[str] = set()
    for word in _WORDS.findall(text.lower()):
        if len(found) >= most:
            break
        if _UNSPACED.search(word):
            found.update(word[start : start + 2] for start in range(max(1, len(word) - 1)))
        elif (
            word not in _EMPTY_WORDS
            and not _COMPLAINTS.fullmatch(word)
            and not word.endswith(("n't", "n’t"))
        ):
            found.add(_ENDINGS.sub("", word) if len(word) > 4 else word)
    return frozenset(found)


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice's coefficient (1945): how much of their words both have, from 0 to 1."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0
