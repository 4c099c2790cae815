"""Find files that are encoded in a text: data URLs, and words and lines that are base64."""

import re
from collections.abc import Iterator

from sigmamind_mcp.masking import PIECE_CHARACTERS

MIN_DATA_CHARACTERS = 1_000

DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,([\w+/=%-]*)")
# No language has a word of this length, and all forms of base64 have capital letters.
_LINES = r"(?:[\w+/-]{60,100}\r?\n){12,}[\w+/-]*"
_RUN = rf"(?<![\w+/-])(?=[a-z0-9+/_-]*[A-Z])(?:[\w+/-]{{{MIN_DATA_CHARACTERS},}}|{_LINES})=*"
_DATA = re.compile(f"{DATA_URL.pattern}|{_RUN}", re.ASCII)


def find_data(text: str) -> list[re.Match[str]]:
    """Return where a text has encoded files."""
    if len(text) < MIN_DATA_CHARACTERS and "base64," not in text:
        return []
    matches: list[re.Match[str]] = []
    for start, end in _cut_at_spaces(text):
        matches += _DATA.finditer(text, start, end)
    return matches


def _cut_at_spaces(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each piece; encoded files have no spaces."""
    start = 0
    while start < len(text):
        space = text.find(" ", start + PIECE_CHARACTERS)
        end = len(text) if space < 0 else space
        yield start, end
        start = end
