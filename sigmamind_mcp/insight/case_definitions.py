"""What a test case is in one batch run, in which fields it differs in another, and how."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.untrusted_text import clean

DEFINING_FIELDS = ("userPrompt", "successCriteria", "mockData", "llmModel")
"""A test case with another value in one of these is another test."""

CONTEXT_WORDS = 3
MAX_GAP = 2
"""Edits with at most this many equal words between them are one edit."""
SHORT_TEXT = 40
"""A text up to this many characters is shown whole."""
MAX_MATCHED_WORDS = 2_000
"""If more words lie between the first and the last difference, all of them are one edit."""


class DefinitionEdit(NamedTuple):
    """One place where a field of a test case differs: words of others, not cleaned for output.

    `before` or `after` is "" where words were only added or removed. `left` and `right` are the
    equal words around the place. For mock data, `variable` is the name, and `before` or `after` is
    None if the variable is not there. If `is_visible` is False, only spaces or invisible characters
    differ, and both are None.
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
    return tuple(name for name, (before, after) in fields.items() if _differ(before, after))


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
                edits.append(DefinitionEdit(field, _get_model(base), _get_model(candidate)))
            case "label":
                edits.append(DefinitionEdit(field, base.label, candidate.label))
            case "attempt":
                edits.append(DefinitionEdit(field, str(base.attempt), str(candidate.attempt)))
    return edits


def find_definition(runs: Iterable[TestRun]) -> TestCase | None:
    """Return the first test case that a run shows with prompt and criteria, whole if possible."""
    defined = [run.test_case for run in runs if run.test_case and has_definition(run.test_case)]
    whole = (case for case in defined if not case.unreadable_fields())
    return next(whole, defined[0] if defined else None)


def has_definition(case: TestCase) -> bool:
    """Whether the case shows its prompt and criteria."""
    return case.user_prompt is not None and case.success_criteria is not None


def _differ(before: object, after: object) -> bool:
    is_known = before is not None and after is not None
    return is_known and before != after


def _get_model(case: TestCase) -> str | None:
    """Return the model; "" if the case uses the agent's, None if the API does not show it."""
    return case.llm_model or ("" if _is_shown(case, "llmModel") else None)


def _get_mock_data(case: TestCase) -> list[tuple[str, str]] | None:
    """Return the mock data in a fixed order; None if the API does not show all of it."""
    if not _is_shown(case, "mockData"):
        return None
    return sorted((mock.variable_name, mock.value) for mock in case.mock_data)


def _is_shown(case: TestCase, field: str) -> bool:
    """Whether the API's object has this field, and all of it could be read."""
    unreadable = {name.split(".")[0] for name in case.unreadable_fields()}
    return field in case.raw and field not in unreadable


# Mock data, by variable.


def _find_mock_edits(base: TestCase, candidate: TestCase) -> list[DefinitionEdit]:
    before, after = _group_mock_values(base), _group_mock_values(candidate)
    edits: list[DefinitionEdit] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, []), after.get(name, [])
        if sorted(old) == sorted(new):
            continue
        if len(old) == len(new) == 1:
            edits += _find_text_edits("mockData", old[0], new[0], variable=name)
        else:
            # A repeated name: no document says which value is used, so each value is shown.
            before_all, after_all = _join_values(old), _join_values(new)
            edits.append(DefinitionEdit("mockData", before_all, after_all, variable=name))
    return edits


def _group_mock_values(case: TestCase) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for mock in case.mock_data:
        values.setdefault(mock.variable_name, []).append(mock.value)
    return values


def _join_values(values: Sequence[str]) -> str | None:
    return " | ".join(values) if values else None


# The words of two texts.

# A letter of a script without spaces (Japanese, Chinese, Thai) is a word here.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f"
_SPACED = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_PARTS = re.compile(r"\w+|[^\w\s]")
_LONGEST_WORD = 30


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
        return self.text[spans[0][0] : spans[-1][1]] if spans else ""


def _find_text_edits(
    field: str, before: str | None, after: str | None, *, variable: str | None = None
) -> list[DefinitionEdit]:
    """Return the places where two texts differ, with a few words around each."""
    old, new = _locate_words(before or ""), _locate_words(after or "")
    places = _find_places(old.list_all(), new.list_all())
    if not places:
        return [DefinitionEdit(field, None, None, variable=variable, is_visible=False)]
    if max(len(old.text), len(new.text)) <= SHORT_TEXT:
        return [DefinitionEdit(field, before, after, variable=variable)]
    return [
        DefinitionEdit(
            field,
            old.cut_out(place.old_start, place.old_end),
            new.cut_out(place.new_start, place.new_end),
            new.cut_out(place.new_start - CONTEXT_WORDS, place.new_start),
            new.cut_out(place.new_end, place.new_end + CONTEXT_WORDS),
            variable,
        )
        for place in places
    ]


def _locate_words(text: str) -> _Words:
    text = clean(text)
    spans: list[tuple[int, int]] = []
    for word in _SPACED.finditer(text):
        if word.end() - word.start() <= _LONGEST_WORD:
            spans.append(word.span())
        else:
            # JSON without spaces, for example.
            spans += [part.span() for part in _PARTS.finditer(text, *word.span())]
    return _Words(text, spans)


class _Place(NamedTuple):
    """Words that differ: from the first to before the end, in the old and in the new text."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


def _find_places(old: Sequence[str], new: Sequence[str]) -> list[_Place]:
    start = _count_equal(old, new)
    shorter = min(len(old), len(new)) - start
    same_end = min(shorter, _count_equal(old[::-1], new[::-1]))
    old_part, new_part = old[start : len(old) - same_end], new[start : len(new) - same_end]
    if not (old_part or new_part):
        return []
    if max(len(old_part), len(new_part)) > MAX_MATCHED_WORDS:
        return [_Place(start, start + len(old_part), start, start + len(new_part))]
    places: list[_Place] = []
    matcher = SequenceMatcher(None, old_part, new_part)
    for tag, first, end, new_first, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        place = _Place(start + first, start + end, start + new_first, start + new_end)
        if places and place.old_start - places[-1].old_end <= MAX_GAP:
            last = places.pop()
            place = place._replace(old_start=last.old_start, new_start=last.new_start)
        places.append(place)
    return places


def _count_equal(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many words are equal from the start."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        count += 1
    return count
