"""Find a fault of the test in a transcript: an id that nobody gave to the simulated user.

An e-mail address is no such id: invented ones did no harm in three of three conversations read.
"""

import re
from collections.abc import Iterator, Sequence

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.endings import is_user
from sigmamind_mcp.remembered_texts import remember_texts

UNKNOWN_ID = "user states unknown id"
MIN_ID_CHARACTERS = 6

_DIGIT = re.compile(r"\d")
_EMAIL = re.compile(r"[\w.+-]{2,64}@[\w-]{2,60}(?:\.[\w-]{2,20})+")
_ID = re.compile(
    r"(?<![\w@.-])#?(?=[A-Z0-9_-]{0,20}\d)(?=[\d_-]{0,20}[A-Za-z])[A-Za-z0-9]{1,30}"
    r"(?:[-_][A-Za-z0-9]{1,30}){0,4}(?![\w@-])"
)
_ORDINARY = re.compile(
    r"\d+(?:st|nd|rd|th|am|pm|k|m|x|h|hrs?|days?|min|gb|mb|tb|kg|cm|mm|in|ft|oz|ml|l|w|v|p|usd)"
    r"|\d+-[a-z]+|[a-z]\d|\d[a-z]",
    re.IGNORECASE,
)


def find_unknown_id(run: TestRun) -> int | None:
    """Return the number of the user's first turn with an id that nobody gave before."""
    case, turns = run.test_case, run.conversation or []
    if case is None or not case.user_prompt:
        return None
    given = _collect_given_text(case)
    for number, turn in enumerate(turns, start=1):
        if not is_user(turn) or not _DIGIT.search(turn.content):
            continue
        squeezed = map(_squeeze, _find_identifiers(turn.content))
        unknown = [one for one in squeezed if one not in given]
        if unknown and not _has_all(turns[: number - 1], unknown):
            return number
    return None


def _has_all(turns: Sequence[Turn], squeezed: Sequence[str]) -> bool:
    """Whether the turns of others than the user have all of these ids."""
    others = [turn.content for turn in turns if not is_user(turn)]
    said = _squeeze("".join(others))
    return all(one in said for one in squeezed)


@remember_texts(maxsize=500)
def _squeeze_case(*texts: str) -> str:
    return _squeeze(" ".join(texts))


def _collect_given_text(case: TestCase) -> str:
    """Return all text of the test case, as one text without spaces and punctuation."""
    texts = [case.user_prompt or "", case.success_criteria or ""]
    texts += [mock.value for mock in case.mock_data]
    return _squeeze_case(*texts)


def _find_identifiers(text: str) -> Iterator[str]:
    """Yield the ids with letters and digits in a text."""
    # Most words have letters alone, and the patterns are slow.
    others = " ".join(word for word in text.split() if not word.isalpha())
    if "@" in others:
        others = _EMAIL.sub(" ", others)
    for token in _ID.findall(others):
        if len(token) >= MIN_ID_CHARACTERS and not _ORDINARY.fullmatch(token):
            yield token


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())
