"""Find the mock values of a test case in a text, as they are and as a speaker says them."""

import re
from collections.abc import Iterable

from sigmamind_mcp.insight.spoken_values import find_values, read_values

MOST_NAME_WORDS = 4
"""In a value of so few words, all capitalised, each word is a name that may be said alone."""
_NAME_WORD = re.compile(r"[^\W\d_]{3,}")


class MockMask:
    """Replaces mock values in texts."""

    def __init__(self, values: Iterable[str], *, mark: str) -> None:
        whole = [" ".join(value.split()) for value in values]
        known = sorted(filter(None, whole), key=len, reverse=True)
        self._mark = mark
        self._spoken = frozenset().union(*map(read_values, known))
        self._whole = _compile_words(known, re.IGNORECASE)
        names = {word for value in known if _is_name(value) for word in _NAME_WORD.findall(value)}
        self._names = _compile_words(sorted(names, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """Return the text with a mark for each value, in whatever form it is written."""
        for pattern in (self._whole, self._names):
            if pattern:
                text = pattern.sub(lambda match: self._mark, text)
        # The only letter that is longer in lower case would move the places.
        text = text.replace("\u0130", "I")
        for value in reversed(list(find_values(text))):
            if value.bare in self._spoken:
                text = f"{text[: value.start]}{self._mark}{text[value.end :]}"
        return text


def _is_name(value: str) -> bool:
    words = value.split()
    return len(words) <= MOST_NAME_WORDS and all(word[0].isupper() for word in words)


def _compile_words(words: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    """Return a pattern for these texts as whole words, with any spaces between their words."""
    forms = [r"\s+".join(map(re.escape, text.split())) for text in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", flags) if forms else None
