"""Find the mock values of a test case in a text, as they are and as a speaker says them."""

import re
from collections.abc import Iterable

from sigmamind_mcp.insight.spoken_values import find_values, read_values

MOST_NAME_WORDS = 4
"""In a value of so few words, all capitalised, each word is a name that may be said alone."""
MIN_CUT_CHARACTERS = 3
"""As many characters of a value are masked where a text is cut within it."""
MAX_CUT_CHARACTERS = 500
_CUT = re.compile(r"(?=…| \[cut: )")
_LEFT_OUT = re.compile(r"…\s*")
_WORD_START = re.compile(r"(?<=\s)\S")
_NAME_WORD = re.compile(r"[^\W\d_]{3,}")


class MockMask:
    """Replaces mock values in texts."""

    def __init__(self, values: Iterable[str], *, mark: str) -> None:
        whole = [" ".join(value.split()) for value in values]
        known = sorted(filter(None, whole), key=len, reverse=True)
        self._mark = mark
        self._known = list(map(str.casefold, known))
        self._spoken = frozenset().union(*map(read_values, known))
        self._whole = _compile_words(known, re.IGNORECASE)
        names = {word for value in known if _is_name(value) for word in _NAME_WORD.findall(value)}
        self._names = _compile_words(sorted(names, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """Return the text with a mark for each value, in whatever form it is written."""
        text = self._mask_cut_values(self._mask_value_ends(text))
        for pattern in (self._whole, self._names):
            if pattern:
                text = pattern.sub(lambda match: self._mark, text)
        # The only letter that is longer in lower case would move the places.
        text = text.replace("\u0130", "I")
        for value in reversed(list(find_values(text))):
            if value.bare in self._spoken:
                text = f"{text[: value.start]}{self._mark}{text[value.end :]}"
        return text

    def _mask_cut_values(self, text: str) -> str:
        """Mask the beginnings of values in which a text was cut."""
        for match in reversed(list(_CUT.finditer(text))):
            end = match.start()
            start = self._find_cut_value(text[:end])
            if start is not None:
                text = f"{text[:start]}{self._mark}{text[end:]}"
        return text

    def _mask_value_ends(self, text: str) -> str:
        """Mask later parts of values that begin where text was left out before them."""
        for match in reversed(list(_LEFT_OUT.finditer(text))):
            start = match.end()
            following = text[start:].partition("…")[0].rstrip()
            length = self._measure_value_end(following[:MAX_CUT_CHARACTERS].casefold())
            if length:
                end = start + min(length, len(following))  # folded, some letters are longer
                text = f"{text[:start]}{self._mark}{text[end:]}"
        return text

    def _measure_value_end(self, folded: str) -> int:
        """Return how many characters of the text are the end of a value, or all of its words."""
        longest = 0
        for value in self._known:
            for word in _WORD_START.finditer(value):
                end = value[word.start() :]
                if len(folded) >= MIN_CUT_CHARACTERS and end.startswith(folded):
                    return len(folded)
                is_whole = len(end) >= MIN_CUT_CHARACTERS and folded.startswith(end)
                if is_whole and not folded[len(end) : len(end) + 1].isalnum():
                    longest = max(longest, len(end))
        return longest

    def _find_cut_value(self, text: str) -> int | None:
        """Return where a value begins that the end of the text cuts; None if there is none."""
        tail = text[-MAX_CUT_CHARACTERS:].rstrip()
        folded = tail.casefold()
        if len(folded) != len(tail):
            return None
        starts = []
        for value in self._known:
            start = folded.find(value[:MIN_CUT_CHARACTERS])
            while start >= 0:
                is_word = not folded[:start][-1:].isalnum()
                if is_word and value.startswith(folded[start:]):
                    starts.append(start)
                    break
                start = folded.find(value[:MIN_CUT_CHARACTERS], start + 1)
        return len(text) - len(text[-MAX_CUT_CHARACTERS:]) + min(starts) if starts else None


def _is_name(value: str) -> bool:
    words = value.split()
    return len(words) <= MOST_NAME_WORDS and all(word[0].isupper() for word in words)


def _compile_words(words: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    """Return a pattern for these texts as whole words, with any spaces between their words."""
    forms = [r"\s+".join(map(re.escape, text.split())) for text in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", flags) if forms else None
