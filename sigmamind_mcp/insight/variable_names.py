"""Read the names of mock variables and of template variables."""

import re
from collections.abc import Sequence

NAMES_QUOTED = 3
TEMPLATE_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_PERSON_NOUNS = frozenset(
    "customer patient user first last full client guest member caller passenger person"
    " contact".split()
)
_PERSON_NAMES = (["customer"], ["patient"], ["firstname"], ["username"])


def list_variables(prompt: str) -> tuple[str, ...]:
    """Return the names between {{ }} in order, each once."""
    # Not findall: it would hold Python's lock, and every other thread, for a whole long prompt.
    names = dict.fromkeys(found[1] for found in TEMPLATE_VARIABLE.finditer(prompt))
    return tuple(names)


def is_plain_name(name: str) -> bool:
    """Tell whether a name is safe to quote; any other text may carry instructions."""
    return _PLAIN_NAME.fullmatch(name) is not None


def split_variable_name(name: str) -> list[str]:
    """Return the words of a name in snake_case or camelCase, in lower case."""
    return _WORD_BOUNDARY.sub(" ", name).lower().split()


def is_person_name(words: Sequence[str]) -> bool:
    """Tell whether these words name a variable that holds a person's name."""
    if words in _PERSON_NAMES:
        return True
    if not words or words[-1] != "name":
        return False
    return len(words) == 1 or not _PERSON_NOUNS.isdisjoint(words[:-1])


def quote_names(names: Sequence[str], *, unsafe: str = "a name that is not plain text") -> str:
    """Return the first few names as one phrase; `unsafe` stands for a name that is not plain."""
    quoted = [name if is_plain_name(name) else unsafe for name in names[:NAMES_QUOTED]]
    phrase = ", ".join(dict.fromkeys(quoted))
    more = len(names) - NAMES_QUOTED
    if more <= 0:
        return phrase
    return f"{phrase} and {more} more"
