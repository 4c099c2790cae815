"""Find a name that one attempt says in one place, and the name of its mock data in another.

Where the agent says "Mr. Figueroa" in several attempts, as the mock data has it, "Mr. Ferreira" in
one of them is a slip. A slot is a word, such as "Mr.", that nothing else but mock values follows.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sigmamind_mcp.api.models import MockVariable, TestRun
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.text_search import fold_text

MIN_ATTEMPTS = 3
MIN_LETTERS = 3
SAME_ALIKE = 0.75
"""Two words so much alike may be forms of one name: Mohammed and Muhammad."""

_LETTERS = re.compile(r"[^\W\d_]+")
# A word and the one directly after it, if any.
_PAIR = re.compile(r"(\w+\.?)(?=[ \xa0](\w+)|)")


class ReplacedName(NamedTuple):
    """A word in the place of a mock value, and the only attempt that has it."""

    word: str
    run: TestRun
    mock: MockVariable


def find_replaced_names(
    runs: Sequence[TestRun], *, has_time: Callable[[], bool]
) -> list[ReplacedName]:
    """Return the names that one attempt says in a slot where it also says a mock value.

    Nothing without time. Whether anybody gave these names is not looked at.
    """
    slots: dict[tuple[str, str], dict[int, MockVariable]] = defaultdict(dict)
    others: dict[str, tuple[int, str]] = {}
    mixed: set[str] = set()
    for place, run in enumerate(runs):
        if not has_time():
            return []
        meant = _index_words(run.test_case.mock_data if run.test_case else [])
        for before, word in dict.fromkeys(_PAIR.findall(join_said(run))):
            if before in mixed:
                continue
            mock = meant.get(word)
            if mock is None and others.setdefault(before, (place, word)) != (place, word):
                mixed.add(before)
            elif mock and word[0].isupper():
                slots[before, mock.variable_name][place] = mock
    found = {}
    for (before, _), said in slots.items():
        place, word = others.get(before, (0, ""))
        is_slot = len(said) >= MIN_ATTEMPTS and before not in mixed
        if is_slot and place in said and word[:1].isupper() and len(word) >= MIN_LETTERS:
            found[word] = ReplacedName(word, runs[place], said[place])
    return list(found.values())


def join_said(run: TestRun) -> str:
    """Return all that the agent says."""
    return "\n".join(turn.content for turn in run.conversation or [] if is_agent(turn))


def is_word_given(word: str, texts: Iterable[str]) -> bool:
    """Whether the texts have a word, much the same word, or its letters one by one."""
    folded = fold_text(word)
    words: set[str] = set()
    for text in map(fold_text, texts):
        own = _LETTERS.findall(text)
        if folded in text or folded in "".join(one for one in own if len(one) == 1):
            return True
        words.update(own)
    return bool(get_close_matches(folded, words, n=1, cutoff=SAME_ALIKE))


def _index_words(mocks: Iterable[MockVariable]) -> dict[str, MockVariable]:
    """Return the mock variable of each word of the values, as agents write it."""
    words: dict[str, MockVariable] = {}
    for mock in mocks:
        for word in _LETTERS.findall(mock.value):
            words.setdefault(word, mock)
            words.setdefault(word.capitalize(), mock)
    return words
