"""What a test case is in one batch run, in which fields it differs in another, and how."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from os.path import commonprefix
from typing import NamedTuple
from unicodedata import normalize

from sigmamind_mcp.api.models import MockVariable, TestCase, TestRun
from sigmamind_mcp.insight.unspaced_scripts import UNSPACED
from sigmamind_mcp.untrusted_text import clean

DEFINING_FIELDS = ("userPrompt", "successCriteria", "mockData", "llmModel")
"""A test case with another value in one of these is another test."""

CONTEXT_WORDS = 3
MAX_GAP = 2
"""Edits with at most this many equal words between them are one edit."""
SHORT_TEXT = 40
"""A text up to this many characters is shown whole."""
LONG_CHANGE = 120
"""Of a longer change, what is equal at its ends is cut, but for CONTEXT_CHARACTERS."""
CONTEXT_CHARACTERS = 20
MAX_EDITED_WORDS = 100
MAX_STEPS = 2_000_000
"""With more edited words or steps, a text is split at words that occur once in it."""
MAX_SPLITS = 3


class DefinitionEdit(NamedTuple):
    """One place where a field of a test case differs: words of others, not cleaned for output.

    `before` or `after` is "" where words were only added or removed. `left` and `right` are the
    equal words around the place. For mock data, `variable` is the name, and `before` or `after` is
    None if the variable is not there. If `is_visible` is False, only spaces, invisible characters
    or the Unicode form of letters differ, and both are None.
    """

    field: str
    before: str | None
    after: str | None
    left: str = ""
    right: str = ""
    variable: str | None = None
    is_visible: bool = True


def find_differences(base: TestCase, candidate: TestCase) -> tuple[str, ...]:
    """Return the names of the fields that differ.

    A field that one side lacks, or that is unreadable there, is not compared.
    """
    fields = {
        "userPrompt": (base.user_prompt, candidate.user_prompt),
        "successCriteria": (base.success_criteria, candidate.success_criteria),
        "mockData": (_get_mock_data(base), _get_mock_data(candidate)),
        "llmModel": (_get_model(base), _get_model(candidate)),
        "label": (base.label, candidate.label),
        "attempt": (base.attempt, candidate.attempt),
    }
    differences = []
    for name, (before, after) in fields.items():
        is_known = before is not None and after is not None
        if is_known and before != after:
            differences.append(name)
    return tuple(differences)


def list_defining(fields: Iterable[str]) -> list[str]:
    """Return those of the fields that make a test case another test."""
    return [field for field in fields if field in DEFINING_FIELDS]


def find_edits(base: TestCase, candidate: TestCase) -> list[DefinitionEdit]:
    """Return the places where fields differ, in the order of `find_differences`.

    Texts are compared by words, mock data by variable.
    """
    edits: list[DefinitionEdit] = []
    for field in find_differences(base, candidate):
        match field:
            case "mockData":
                edits += _find_mock_edits(base, candidate)
            case "userPrompt":
                edits += _find_text_edits(field, base.user_prompt, candidate.user_prompt)
            case "successCriteria":
                edits += _find_text_edits(field, base.success_criteria, candidate.success_criteria)
            case "llmModel":
                edits += _find_text_edits(field, _get_model(base), _get_model(candidate))
            case "label":
                edits += _find_text_edits(field, base.label, candidate.label)
            case "attempt":
                edits.append(DefinitionEdit(field, str(base.attempt), str(candidate.attempt)))
    return edits


def find_definition(runs: Iterable[TestRun]) -> TestCase | None:
    """Return the first test case that a run shows with prompt and criteria, whole if possible."""
    first: TestCase | None = None
    for run in runs:
        case = run.test_case
        if case is None or not has_definition(case):
            continue
        if not case.unreadable_fields():
            return case
        if first is None:
            first = case
    return first


def index_cases(cases: Iterable[TestCase]) -> dict[str, TestCase]:
    """Return the test cases by id, without those that have none."""
    return {case.test_case_id: case for case in cases if case.test_case_id}


def has_definition(case: TestCase) -> bool:
    """Whether the case shows its prompt and criteria."""
    return case.user_prompt is not None and case.success_criteria is not None


def _get_model(case: TestCase) -> str | None:
    """Return the model; "" if the case uses the agent's, None if the API does not show it."""
    return case.llm_model or ("" if is_shown(case, "llmModel") else None)


def _get_mock_data(case: TestCase) -> list[tuple[str, str]] | None:
    """Return the mock data in a fixed order; None if the API does not show all of it."""
    if not is_shown(case, "mockData"):
        return None
    return _list_mocks(case.mock_data)


def is_shown(case: TestCase, field: str) -> bool:
    """Whether the API's object has this field, and all of it could be read."""
    return field in case.raw and not case.has_unreadable(field)


def _find_mock_edits(base: TestCase, candidate: TestCase) -> list[DefinitionEdit]:
    before, after = _group_mock_values(base), _group_mock_values(candidate)
    edits: list[DefinitionEdit] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, []), after.get(name, [])
        if _list_mocks(old) == _list_mocks(new):
            continue
        old_value, new_value = _join_values(old), _join_values(new)
        if old_value is None or new_value is None:
            edits.append(DefinitionEdit("mockData", old_value, new_value, variable=name))
        else:
            edits += _find_text_edits("mockData", old_value, new_value, variable=name)
    return edits


def _group_mock_values(case: TestCase) -> dict[str, list[MockVariable]]:
    """Return the mock data by the name as readers see it."""
    groups: dict[str, list[MockVariable]] = {}
    for mock in case.mock_data:
        name = _write_as_seen(mock.variable_name)
        groups.setdefault(name, []).append(mock)
    return groups


def _join_values(mocks: Sequence[MockVariable]) -> str | None:
    if not mocks:
        return None
    # A repeated name: no document says which value is used, so each value is shown.
    return " | ".join(mock.value for mock in mocks)


def _list_mocks(mocks: Iterable[MockVariable]) -> list[tuple[str, str]]:
    """Return names and values in a fixed order."""
    return sorted((mock.variable_name, mock.value) for mock in mocks)


def _write_as_seen(text: str) -> str:
    """Return the text without what no reader sees; é has two forms in Unicode."""
    return normalize("NFC", clean(text))


# A letter of a script without spaces is a word here, with the vowel signs and marks on it.
_SPACED = re.compile(rf"[{UNSPACED}](?:(?!\w)[{UNSPACED}])*|[^\s{UNSPACED}]+")
_LONGEST_WORD = 30
_PARTS = re.compile(rf"\w{{1,{_LONGEST_WORD}}}|[^\w\s]")


class _Words(NamedTuple):
    """A text, and where its words are in it."""

    text: str
    spans: list[tuple[int, int]]

    def list_all(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]

    def cut_out(self, first: int, end: int) -> str:
        """Return the text from one word to before another, with the spaces between them."""
        first = max(0, first)
        spans = self.spans[first:end]
        if not spans:
            return ""
        start, _ = spans[0]
        _, stop = spans[-1]
        return self.text[start:stop]


def _find_text_edits(
    field: str, before: str | None, after: str | None, *, variable: str | None = None
) -> list[DefinitionEdit]:
    """Return the places where two texts differ, with a few words around each."""
    old = _locate_words(before or "")
    new = _locate_words(after or "")
    places = _find_places(old.list_all(), new.list_all())
    if not places:
        return [DefinitionEdit(field, None, None, variable=variable, is_visible=False)]
    if max(len(old.text), len(new.text)) <= SHORT_TEXT:
        return [DefinitionEdit(field, before, after, variable=variable)]
    edits = []
    for place in places:
        removed = old.cut_out(place.old_start, place.old_end)
        added = new.cut_out(place.new_start, place.new_end)
        removed, added = _cut_to_difference(removed, added)
        left = new.cut_out(place.new_start - CONTEXT_WORDS, place.new_start)
        right = new.cut_out(place.new_end, place.new_end + CONTEXT_WORDS)
        edits.append(DefinitionEdit(field, removed, added, left, right, variable))
    return edits


def _locate_words(text: str) -> _Words:
    text = _write_as_seen(text)
    spans: list[tuple[int, int]] = []
    for word in _SPACED.finditer(text):
        start, end = word.span()
        if end - start <= _LONGEST_WORD:
            spans.append((start, end))
            continue
        # JSON without spaces, for example.
        for part in _PARTS.finditer(text, start, end):
            spans.append(part.span())
    return _Words(text, spans)


class _Place(NamedTuple):
    """Words that differ: from the first to before the end, in the old and in the new text."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int

    def move(self, old_words: int, new_words: int) -> "_Place":
        return _Place(
            self.old_start + old_words,
            self.old_end + old_words,
            self.new_start + new_words,
            self.new_end + new_words,
        )


def _find_places(old: Sequence[str], new: Sequence[str]) -> list[_Place]:
    """Return the places that differ, in their order; close ones are one."""
    places: list[_Place] = []
    whole = _Place(0, len(old), 0, len(new))
    for place in _match_words(old, new, whole, MAX_SPLITS):
        if places and place.old_start - places[-1].old_end <= MAX_GAP:
            last = places.pop()
            place = place._replace(old_start=last.old_start, new_start=last.new_start)
        places.append(place)
    return places


def _match_words(
    old: Sequence[str], new: Sequence[str], whole: _Place, splits: int
) -> list[_Place]:
    """Return the edits that lead from the old to the new words of this place, as few as possible.

    Where there are too many, the place is split at words that it has once. The time is linear.
    """
    place = _trim_equal_ends(old, new, whole)
    old_part = old[place.old_start : place.old_end]
    new_part = new[place.new_start : place.new_end]
    if not old_part and not new_part:
        return []
    if not old_part or not new_part:
        return [place]
    few_edits = _find_few_edits(old_part, new_part)
    if few_edits is not None:
        return [edit.move(place.old_start, place.new_start) for edit in few_edits]
    gaps = _split_at_anchors(old_part, new_part) if splits else []
    if len(gaps) < 2:
        return [place]
    edits = []
    for gap in gaps:
        moved = gap.move(place.old_start, place.new_start)
        edits += _match_words(old, new, moved, splits - 1)
    return edits


def _trim_equal_ends(old: Sequence[str], new: Sequence[str], whole: _Place) -> _Place:
    """Return the place without the words that are equal at its start and at its end."""
    old_part = old[whole.old_start : whole.old_end]
    new_part = new[whole.new_start : whole.new_end]
    start = _count_equal(old_part, new_part)
    old_rest = old_part[start:]
    new_rest = new_part[start:]
    end = _count_equal(old_rest[::-1], new_rest[::-1])
    return _Place(
        whole.old_start + start,
        whole.old_end - end,
        whole.new_start + start,
        whole.new_end - end,
    )


def _find_few_edits(old: Sequence[str], new: Sequence[str]) -> list[_Place] | None:
    """Return the shortest way from the old to the new words; None if it has too many edits.

    The algorithm is that of E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986).
    """
    most = min(MAX_EDITED_WORDS, MAX_STEPS // (len(old) + len(new)))
    # By diagonal, how far in the old words the edits so far can lead.
    reached = {1: 0}
    trace: list[dict[int, int]] = []
    for count in range(most + 1):
        trace.append(dict(reached))
        for diagonal in range(-count, count + 1, 2):
            previous = _step_back(reached, diagonal, count)
            at = reached[previous]
            if previous < diagonal:  # the edit removes a word
                at += 1
            while _is_equal_at(old, new, at, at - diagonal):
                at += 1
            reached[diagonal] = at
            is_old_done = at >= len(old)
            is_new_done = at - diagonal >= len(new)
            if is_old_done and is_new_done:
                return _trace_edits(trace, len(old), len(new))
    return None


def _is_equal_at(old: Sequence[str], new: Sequence[str], at: int, new_at: int) -> bool:
    return at < len(old) and new_at < len(new) and old[at] == new[new_at]


def _step_back(reached: dict[int, int], diagonal: int, count: int) -> int:
    """Return the diagonal before the last edit: the next one if it added a word."""
    added_from = diagonal + 1
    removed_from = diagonal - 1
    if diagonal == -count:
        return added_from
    if diagonal == count:
        return removed_from
    is_addition = reached[removed_from] < reached[added_from]
    return added_from if is_addition else removed_from


def _trace_edits(trace: Sequence[dict[int, int]], old_end: int, new_end: int) -> list[_Place]:
    """Return the edits that lead to the end of both texts, a word each."""
    edits: list[_Place] = []
    diagonal = old_end - new_end
    for count in range(len(trace) - 1, 0, -1):
        previous = _step_back(trace[count], diagonal, count)
        at = trace[count][previous]
        new_at = at - previous
        if previous > diagonal:  # the edit adds a word
            edits.append(_Place(at, at, new_at, new_at + 1))
        else:
            edits.append(_Place(at, at + 1, new_at, new_at))
        diagonal = previous
    return edits[::-1]


def _split_at_anchors(old: Sequence[str], new: Sequence[str]) -> list[_Place]:
    """Return what lies between words that both texts have once, in the same order."""
    new_places = _locate_single_words(new)
    shared = []
    for word, place in _locate_single_words(old).items():
        if word in new_places:
            shared.append((place, new_places[word]))
    anchors = _keep_longest_rise(shared)
    end = (len(old), len(new))
    gaps: list[_Place] = []
    start = new_start = 0
    for place, new_place in [*anchors, end]:
        gaps.append(_Place(start, place, new_start, new_place))
        start = place + 1
        new_start = new_place + 1
    return gaps


def _locate_single_words(words: Sequence[str]) -> dict[str, int]:
    """Return the place of each word that occurs once."""
    counts = Counter(words)
    return {word: place for place, word in enumerate(words) if counts[word] == 1}


def _keep_longest_rise(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of the pairs, sorted by the first, in which the second rises too."""
    ends: list[int] = []  # the least second number that ends a rise of each length
    last: list[int] = []  # the position of the pair that has it
    before: list[int | None] = []
    for position, (_, second) in enumerate(pairs):
        length = bisect_left(ends, second)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [second]
        last[length : length + 1] = [position]
    rise: list[tuple[int, int]] = []
    at = last[-1] if last else None
    while at is not None:
        rise.append(pairs[at])
        at = before[at]
    return rise[::-1]


def _count_equal(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many words are equal from the start."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        count += 1
    return count


def _cut_to_difference(before: str, after: str) -> tuple[str, str]:
    """Cut what is equal at both ends of two long texts, such as words without spaces."""
    if max(len(before), len(after)) <= LONG_CHANGE:
        return before, after
    start = len(commonprefix([before, after]))
    before_reversed = before[start:][::-1]
    after_reversed = after[start:][::-1]
    end = len(commonprefix([before_reversed, after_reversed]))
    return _cut_ends(before, start, end), _cut_ends(after, start, end)


def _cut_ends(text: str, start: int, end: int) -> str:
    """Cut so many characters at the start and the end of a text, but a few next to the rest."""
    first = max(0, start - CONTEXT_CHARACTERS)
    last = len(text) - max(0, end - CONTEXT_CHARACTERS)
    left = "…" if first else ""
    right = "…" if last < len(text) else ""
    return f"{left}{text[first:last]}{right}"
