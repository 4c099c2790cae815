"""Files that are encoded in a text are found wherever they stand in it."""

import pytest

from sigmamind_mcp.api import encoded_data
from sigmamind_mcp.api.encoded_data import find_data
from sigmamind_mcp.masking import PIECE_CHARACTERS

RUN = "QUJD" * 300
LINES = ("QUJDabc+/" * 8 + "\n") * 14
FILES = [RUN, f"data:image/png;base64,{RUN}", "data:text/plain;base64,QUJD", LINES.rstrip()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file[:24])
def test_file_is_found_wherever_a_text_is_cut(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.setattr(encoded_data, "PIECE_CHARACTERS", 100)
    for place in range(300):
        before = ("word " * 100)[:place]
        (match,) = find_data(f"{before} {file} {'word ' * 300}")
        assert (match.start(), match.group().strip()) == (place + 1, file)


def test_long_text_is_searched_in_pieces() -> None:
    """R35: a search of a whole text would stop every other caller until its end."""
    text = "aaaa bbbb, hello 12. " * 10_000
    pieces = list(encoded_data._cut_at_spaces(text))

    assert "".join(text[start:end] for start, end in pieces) == text
    assert max(end - start for start, end in pieces) < 1.1 * PIECE_CHARACTERS
