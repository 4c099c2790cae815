"""List what an attempt says and how it ended, as items that a contrast can count.

Not every phrase is an item: only the words of the test cases and of the remarks, the values of
every kind, and the values of each mock variable.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple, get_args

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.insight.endings import find_go_aheads
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.unsaid_values import has_unsaid_value
from sigmamind_mcp.insight.words import split_stems
from sigmamind_mcp.remembered_texts import remember_texts

ItemKind = Literal[
    "ending", "criteria values", "mock value", "go-aheads", "length", "tool", "value", "phrase"
]

_KINDS = get_args(ItemKind)
STRUCTURE_WEIGHT = 1.25
_NAMES_OF_COUNTS = {0: "none", 1: "one"}

_TOOL_CALL = re.compile(r"\s*([a-z]\w{2,60})\(")
_TOOL_ERROR = re.compile(r"\b(?:error|failed|timed? ?out|exception|unavailable)\b", re.IGNORECASE)


class Item(NamedTuple):
    """Something that an attempt has: an ending, or words of the agent."""

    kind: ItemKind
    text: str

    @property
    def rank(self) -> tuple[int, int, str]:
        """The lowest stands for all items on the same attempts."""
        return _KINDS.index(self.kind), -len(self.text), self.text

    @property
    def weight(self) -> float:
        """How much more than a phrase it counts: these few items are the same in all cases."""
        return 1.0 if self.kind in ("value", "phrase") else STRUCTURE_WEIGHT


FoundTexts = dict[ItemKind, Collection[str]]
"""What an attempt or a turn has, by kind; an `Item` for each of these texts would be slow."""


class Vocabulary(NamedTuple):
    """The words that the test cases and remarks have, and the text of each pair of words."""

    words: frozenset[str]
    pairs: dict[tuple[str, str], str]

    @classmethod
    def of(cls, words: Iterable[str], pairs: Iterable[tuple[str, str]]) -> "Vocabulary":
        return cls(frozenset(words), {pair: " ".join(pair) for pair in pairs})


class ItemPlaces:
    """The numbers of the attempts with each item.

    Most items are in one attempt only. They have its number alone, since a list takes more memory.
    """

    def __init__(self) -> None:
        self._by_kind: dict[ItemKind, dict[str, int | list[int]]] = {kind: {} for kind in _KINDS}

    def add(self, number: int, found: FoundTexts) -> None:
        """Add the items of the attempt with this number."""
        for kind, texts in found.items():
            places = self._by_kind[kind]
            for text in texts:
                known = places.get(text)
                if known is None:
                    places[text] = number
                elif isinstance(known, int):
                    places[text] = [known, number]
                else:
                    known.append(number)

    def list_repeated(self) -> Iterator[tuple[Item, list[int]]]:
        """Yield each item of two attempts or more, with their numbers in the order of adding."""
        for kind, places in self._by_kind.items():
            for text, numbers in places.items():
                if isinstance(numbers, list):
                    yield Item(kind, text), numbers


def find_run_texts(
    run: TestRun, ending: str, said: AgentWords, vocabulary: Vocabulary
) -> FoundTexts:
    """Return everything that a test run has."""
    turns = run.conversation or []
    found = _find_texts(said, run.test_case, vocabulary)
    found["ending"] = [ending]
    found["go-aheads"] = [_NAMES_OF_COUNTS.get(len(find_go_aheads(turns)), "several")]
    found["tool"] = set(_list_tool_events(turns))
    if has_unsaid_value(run, said):
        found[UNSAID.kind] = [UNSAID.text]
    return found


def find_long_runs(runs: Sequence[TestRun]) -> list[bool]:
    """Tell for each run whether it is longer than most attempts of its test case."""
    lengths: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        turns = run.conversation or []
        lengths[get_case_id(run)].append(len(turns))
    middles = {case_id: median(numbers) for case_id, numbers in lengths.items()}
    are_long = []
    for run in runs:
        turns = run.conversation or []
        are_long.append(len(turns) > middles[get_case_id(run)])
    return are_long


UNSAID = Item("criteria values", "a value that the criteria ask for is never said")
LONG = Item("length", "longer than most attempts of the test case")


def list_items(said: AgentWords, case: TestCase | None, vocabulary: Vocabulary) -> Iterator[Item]:
    """Yield the items of what an agent says, in one turn or in all."""
    return make_items(_find_texts(said, case, vocabulary))


def make_items(found: FoundTexts) -> Iterator[Item]:
    """Yield each of these texts as an item."""
    for kind, texts in found.items():
        yield from map(partial(Item, kind), texts)


def _find_texts(said: AgentWords, case: TestCase | None, vocabulary: Vocabulary) -> FoundTexts:
    tokens, values = said
    phrases = vocabulary.words & set(tokens)
    pairs = map(vocabulary.pairs.get, pairwise(tokens))
    named = []
    for mock in case.mock_data if case else []:
        expected = _read_case_values(mock.value)
        if expected and expected <= values:
            named.append(mock.variable_name)
    return {"value": values, "phrase": phrases.union(filter(None, pairs)), "mock value": set(named)}


def _list_tool_events(turns: Iterable[Turn]) -> Iterator[str]:
    """Yield the tools that are called, and that one answers with an error."""
    for turn in turns:
        if turn.side != "tool":
            continue
        call = _TOOL_CALL.match(turn.content)
        if call:
            yield f"calls {call[1]}"
        elif _TOOL_ERROR.search(turn.content[:200]):
            yield "a tool answers with an error"


def build_vocabulary(runs: Sequence[TestRun]) -> Vocabulary:
    """Collect the words and pairs of words of all test cases and remarks."""
    texts: list[str | None] = []
    for run in runs:
        case = run.test_case
        if case:
            texts += [case.success_criteria, case.user_prompt]
            texts += [mock.value for mock in case.mock_data]
        texts.append(run.remarks)
    words: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    # Most texts stand in many runs.
    for text in dict.fromkeys(texts):
        stems = split_stems(text or "")
        words.update(filter(None, stems))
        pairs.update(filter(all, pairwise(stems)))
    return Vocabulary.of(words, pairs)


def vocabulary_of(item: Item) -> Vocabulary:
    """Return the words of one item."""
    words = item.text.split() if item.kind == "phrase" else []
    if len(words) == 2:
        first, second = words
        return Vocabulary.of([], [(first, second)])
    return Vocabulary.of(words if len(words) == 1 else [], [])


@remember_texts(maxsize=20_000)
def _read_case_values(text: str) -> frozenset[str]:
    return frozenset(value for value in read_values(text) if " " not in value)
