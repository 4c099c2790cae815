"""Extract the meaningful words of a text and measure how similar two texts are."""

import re

COMPLAINT_WORDS = re.compile(
    r"\b(?:not|never|no|none|nor|neither|cannot|fail\w*|without|miss(?:ed|es|ing)|instead|wrong\w*"
    r"|incorrect\w*|unable|lack\w*|omit\w*|refus\w*|ignor\w*|contradict\w*|unresolved"
    r"|incomplete\w*)\b|n['’]t\b",
    re.IGNORECASE,
)
"""Words that say that something went wrong. They do not say what, so `extract_words` skips them."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Japanese, Chinese and Thai: no spaces between words.
_UNSPACED_SCRIPT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")
_ENDING = re.compile(r"(?:ations?|ings?|ed|es|s|e)$")
_MIN_STEMMED_LENGTH = 5
_EMPTY_WORDS = frozenset(
    "a about after agent all also although an and any as assistant at be because been before being"
    " but by can could customer did do does during for from had has have he her him his how i if in"
    " into is it its just me met more no none nor not of on or our over should so that the their"
    " them then there they this to turn until user was were what when which while who with without"
    " would you your".split()
)


def extract_words(text: str, limit: int = 1_000) -> frozenset[str]:
    """Return the first meaningful words of a text, without their endings.

    Scripts without spaces give pairs of letters instead. Numbers are left out.
    """
    words: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if len(words) >= limit:
            break
        if _UNSPACED_SCRIPT.search(word):
            words.update(_split_into_pairs(word))
        elif _is_meaningful(word):
            words.add(_strip_ending(word))
    return frozenset(words)


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


def _split_into_pairs(word: str) -> set[str]:
    starts = range(max(1, len(word) - 1))
    return {word[start : start + 2] for start in starts}


def _is_meaningful(word: str) -> bool:
    is_negation = word.endswith(("n't", "n’t"))
    return not (is_negation or word in _EMPTY_WORDS or COMPLAINT_WORDS.fullmatch(word))


def _strip_ending(word: str) -> str:
    return word if len(word) < _MIN_STEMMED_LENGTH else _ENDING.sub("", word)
