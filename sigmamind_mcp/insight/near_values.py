"""Find the mock value that is almost the same as a value that nobody gave."""

from collections.abc import Iterable

from sigmamind_mcp.api.models import MockVariable

MIN_CHARACTERS = 5
"""Of its letters and digits: shorter values are alike by chance."""
MAX_DIFFERING = 0.5
"""The share of these in which a value may differ from a mock value."""


def find_near_mock(value: str, mocks: Iterable[MockVariable]) -> MockVariable | None:
    """Return the mock variable whose value has the same form and the fewest other characters."""
    said = _strip_currency(value)
    characters = sum(map(str.isalnum, said))
    if characters < MIN_CHARACTERS:
        return None
    found = None
    least = int(MAX_DIFFERING * characters)
    for mock in mocks:
        meant = _strip_currency(mock.value)
        if _get_form(meant) != _get_form(said):
            continue
        differing = sum(one != other for one, other in zip(said, meant, strict=True))
        if 0 < differing <= least:
            found, least = mock, differing - 1
    return found


def _strip_currency(text: str) -> str:
    return text.strip("$€£# ")


def _get_form(text: str) -> str:
    """Return the text with the same digit for all digits, and the same letter for all letters."""
    return "".join("0" if one.isdigit() else "a" if one.isalpha() else one for one in text)
