"""Find the mock values of a test case in a text, as they are and as a speaker says them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from sigmamind_mcp.insight.left_out import write_own_dots
from sigmamind_mcp.insight.spoken_values import find_values, read_values

MOST_NAME_WORDS = 4
"""In a value of so few words, all capitalised, each word is a name that may be said alone."""
MIN_CUT_CHARACTERS = 3
"""As many characters of a value are masked where a text is cut within it."""
MAX_CUT_CHARACTERS = 500
_CUT = re.compile(r"(?=…| \[cut: )")
_LEFT_OUT = re.compile(r"…\s*")
_LATER_START = re.compile(r"(?<=\s)\S|(?<=[。！？])[^\s。！？]")
_NAME_WORD = re.compile(r"[^\W\d_]{3,}")


class MockMask:
    """Replaces mock values in texts."""

    def __init__(self, values: Iterable[str], *, mark: str) -> None:
        whole = [" ".join(value.split()) for value in values]
        whole += list(map(write_own_dots, whole))  # as quotes have them
        known = sorted(filter(None, dict.fromkeys(whole)), key=len, reverse=True)
        self._mark = mark
        self._known = list(map(str.casefold, known))
        # By their first characters: a text may leave out something thousands of times.
        self._later_parts: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for value in self._known:
            for match in _LATER_START.finditer(value):
                start = match.start()
                self._later_parts[value[start : start + MIN_CUT_CHARACTERS]].append((value, start))
        self._spoken = frozenset().union(*map(read_values, known))
        self._whole = _compile_words(known, re.IGNORECASE)
        names = {word for value in known if _is_name(value) for word in _NAME_WORD.findall(value)}
        self._names = _compile_words(sorted(names, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """Return the text with a mark for each value, in whatever form it is written."""
        text = self._mask_known(text)
        if self._names:
            text = self._names.sub(lambda match: self._mark, text)
        # The only letter that is longer in lower case would move the places.
        text = text.replace("\u0130", "I")
        for value in reversed(list(find_values(text))):
            if value.bare in self._spoken:
                text = f"{text[: value.start]}{self._mark}{text[value.end :]}"
        return text

    def _mask_known(self, text: str) -> str:
        """Mask values, whole or in part; all are found first, since they can overlap."""
        spans = [*self._find_cut_values(text), *self._find_value_ends(text)]
        if self._whole:
            spans += [match.span() for match in self._whole.finditer(text)]
        parts = []
        following = 0
        for start, end in sorted(spans):
            if start >= following:
                parts += [text[following:start], self._mark]
            following = max(following, end)
        return "".join([*parts, text[following:]])

    def _find_cut_values(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the beginnings of values are in which a text was cut."""
        for match in _CUT.finditer(text):
            end = match.start()
            first = max(0, end - MAX_CUT_CHARACTERS)
            start = self._find_cut_value(text[first:end].rstrip())
            if start is not None:
                yield first + start, end

    def _find_value_ends(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where later parts of values are that begin where text was left out before them."""
        for match in _LEFT_OUT.finditer(text):
            start = match.end()
            following = text[start : start + MAX_CUT_CHARACTERS].partition("…")[0].rstrip()
            length = self._measure_value_end(following.casefold())
            if length:
                yield start, start + min(length, len(following))  # folded, some letters are longer

    def _measure_value_end(self, folded: str) -> int:
        """Return how many characters of the text are the end of a value, or all of its words."""
        longest = 0
        for value, start in self._later_parts.get(folded[:MIN_CUT_CHARACTERS], ()):
            length = len(value) - start
            if length < MIN_CUT_CHARACTERS:
                continue
            if value.startswith(folded, start):
                return len(folded)
            if folded.startswith(value[start:]) and not folded[length : length + 1].isalnum():
                longest = max(longest, length)
        return longest

    def _find_cut_value(self, tail: str) -> int | None:
        """Return where a value begins that the end of the text cuts; None if there is none."""
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
        return min(starts, default=None)


def _is_name(value: str) -> bool:
    words = value.split()
    return len(words) <= MOST_NAME_WORDS and all(word[0].isupper() for word in words)


def _compile_words(words: Iterable[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    """Return a pattern for these texts as whole words, with any spaces between their words."""
    forms = [r"\s+".join(map(re.escape, text.split())) for text in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(forms)})(?!\w)", flags) if forms else None
