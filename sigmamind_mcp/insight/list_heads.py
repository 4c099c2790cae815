"""Find the head of each entry of a list, such as "We cannot do these:".

Without its head an entry can say the opposite. A head is a line that ends with ":", or a heading of
Markdown. It has the entries after it, also after an empty line, and plain lines until an empty one.
An entry of a list within a list has the heads of both.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.insight.left_out import LEFT_OUT_MARK

HEAD_CHARACTERS = 40
"""About half of the heads in 699 published conversations have fewer."""
MOST_HEADS = 4
"""Of a deeper list, the innermost; a turn can have thousands of lines that end with ":"."""

_HEAD = re.compile(r".*[:：][\s*_]*\Z|#{1,6}\s|\*\*[^*]+\*\*\Z", re.DOTALL)
_NUMBERED = r"\(?(?:\d{1,3}|[^\W\d_])[.)]"
_HEAD_AND_NUMBER_END = re.compile(rf"[:：]\s*{_NUMBERED}\s+\Z")
_MARKER = re.compile(rf"(?:[-*+–—]|#{{1,6}}|{_NUMBERED})(?=\s|\Z)|[•‣◦▪●·・]|\*\*")
# In common languages; the ends of a head are kept in all.
_NEGATION = re.compile(
    r"\b(?:not?|never|none|cannot|without|neither|nor|unable|except|unless|\w+n['’]t"
    r"|nicht|kein\w*|nie|ohne|pas|jamais|sans|aucune?|nunca|ning[uú]n\w*|sin|non|senza"
    r"|não|nem|sem|niet|geen|zonder)\b",
    re.IGNORECASE,
)


class _LineForm(NamedTuple):
    """How a line begins; entries of one list begin alike."""

    indent: int
    marker: str
    is_head: bool

    @property
    def is_entry(self) -> bool:
        return self.marker != "" and self.marker[0] != "#" and self.marker != "**"

    def begins_like(self, other: "_LineForm") -> bool:
        return (self.indent, self.marker) == (other.indent, other.marker)

    def continues(self, other: "_LineForm") -> bool:
        """Return whether both are entries, or heads, of one list."""
        is_alike = self.is_entry or (self.is_head and other.is_head)
        return is_alike and self.begins_like(other)


class _OpenHead:
    """A head to which further lines can belong, and how the first of its lines begins."""

    def __init__(self, number: int, form: _LineForm) -> None:
        self.number = number
        self._form = form
        self._first: _LineForm | None = None

    def takes(self, form: _LineForm, *, is_after_gap: bool) -> bool:
        """Return whether the next line belongs to this head."""
        is_next_entry = form.is_entry and form.begins_like(self._form)
        if self._first is None:
            self._first = form
            return not is_next_entry
        if form.indent > self._form.indent or form.continues(self._first):
            return True
        begins_new = is_after_gap or is_next_entry or (form.is_head and not form.is_entry)
        return form.indent == self._form.indent and not begins_new


def find_heads(sentences: Sequence[str]) -> list[list[int]]:
    """Return, for each sentence of a text, the numbers of the sentences that are its heads."""
    heads: list[list[int]] = []
    opened: list[_OpenHead] = []
    on_line: list[int] = []
    form = _LineForm(0, "", is_head=False)
    gap = "\n"
    for number, sentence in enumerate(sentences):
        text = sentence.strip()
        gap += sentence[: len(sentence) - len(sentence.lstrip())]
        if text and "\n" in gap:
            form = _read_form(text, gap)
            is_after_gap = gap.count("\n") > 1
            while opened and not opened[-1].takes(form, is_after_gap=is_after_gap):
                opened.pop()
            on_line = []
        heads.append([*(head.number for head in opened[-MOST_HEADS:]), *on_line])
        if text:
            gap = sentence[len(sentence.rstrip()) :]
        if _HEAD_AND_NUMBER_END.search(sentence):
            on_line = [number]  # "We cannot: 1. refund. 2. cancel."
        elif "\n" in gap and _HEAD.match(text):
            opened.append(_OpenHead(number, form))
    return heads


def shorten_head(head: str) -> str:
    """Cut the middle out of a long head, but none of its negations."""
    words = head.strip()
    if len(words) <= HEAD_CHARACTERS:
        return head
    half = HEAD_CHARACTERS // 2
    start = words.rfind(" ", 0, half) + 1 or half
    end = words.find(" ", len(words) - half) + 1 or len(words) - half
    kept = [words[:start].rstrip(), *_NEGATION.findall(words, start, end), words[end:]]
    return f" {LEFT_OUT_MARK} ".join(kept) + " "


def _read_form(text: str, gap: str) -> _LineForm:
    """Read how a line begins that has this space before it."""
    found = _MARKER.match(text)
    marker = found[0].strip("(") if found else ""
    if marker[:1].isalnum():  # "2." as "1.", "b)" as "a)"
        marker = f"{'1' if marker[0].isdecimal() else 'a'}{marker[-1]}"
    indent = len(gap) - gap.rindex("\n") - 1
    return _LineForm(indent, marker, is_head=bool(_HEAD.match(text)))
