"""What a test case is in one batch run, in which fields it differs in another, and how."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from os.path import commonprefix
from typing import NamedTuple
from unicodedata import normalize

from sigmamind_mcp.api.models import MockVariable, TestCase, TestRun
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
    return tuple(name for name, (before, after) in fields.items() if _differ(before, after))


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
    return case.llm_model or ("" if is_shown(case, "llmModel") else None)


def _get_mock_data(case: TestCase) -> list[tuple[str, str]] | None:
    """Return the mock data in a fixed order; None if the API does not show all of it."""
    if not is_shown(case, "mockData"):
        return None
    return sorted(map(_show_mock, case.mock_data))


def is_shown(case: TestCase, field: str) -> bool:
    """Whether the API's object has this field, and all of it could be read."""
    unreadable = {name.split(".")[0] for name in case.unreadable_fields()}
    return field in case.raw and field not in unreadable


# Mock data, by variable.


def _find_mock_edits(base: TestCase, candidate: TestCase) -> list[DefinitionEdit]:
    before, after = _group_mock_values(base), _group_mock_values(candidate)
    edits: list[DefinitionEdit] = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, []), after.get(name, [])
        if sorted(map(_show_mock, old)) == sorted(map(_show_mock, new)):
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
        groups.setdefault(_write_as_seen(mock.variable_name), []).append(mock)
    return groups


def _join_values(mocks: Sequence[MockVariable]) -> str | None:
    # A repeated name: no document says which value is used, so each value is shown.
    return " | ".join(mock.value for mock in mocks) if mocks else None


def _show_mock(mock: MockVariable) -> tuple[str, str]:
    return mock.variable_name, mock.value


def _write_as_seen(text: str) -> str:
    """Return the text without what no reader sees; é has two forms in Unicode."""
    return normalize("NFC", clean(text))


# The words of two texts.

# A letter of a script without spaces (Japanese, Chinese, Thai) is a word here.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f"
_SPACED = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
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
            *_cut_to_difference(
                old.cut_out(place.old_start, place.old_end),
                new.cut_out(place.new_start, place.new_end),
            ),
            new.cut_out(place.new_start - CONTEXT_WORDS, place.new_start),
            new.cut_out(place.new_end, place.new_end + CONTEXT_WORDS),
            variable,
        )
        for place in places
    ]


def _locate_words(text: str) -> _Words:
    text = _write_as_seen(text)
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
    for place in _match_words(old, new, _Place(0, len(old), 0, len(new)), MAX_SPLITS):
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
    start = _count_equal(old[whole.old_start : whole.old_end], new[whole.new_start : whole.new_end])
    old_part = old[whole.old_start + start : whole.old_end]
    new_part = new[whole.new_start + start : whole.new_end]
    same_end = _count_equal(old_part[::-1], new_part[::-1])
    old_part = old_part[: len(old_part) - same_end]
    new_part = new_part[: len(new_part) - same_end]
    place = _Place(
        whole.old_start + start,
        whole.old_end - same_end,
        whole.new_start + start,
        whole.new_end - same_end,
    )
    if not (old_part and new_part):
        return [place] if old_part or new_part else []
    edits = _find_few_edits(old_part, new_part)
    if edits is not None:
        return [edit.move(place.old_start, place.new_start) for edit in edits]
    gaps = _split_at_anchors(old_part, new_part) if splits else []
    if len(gaps) < 2:
        return [place]
    moved = [gap.move(place.old_start, place.new_start) for gap in gaps]
    return [edit for gap in moved for edit in _match_words(old, new, gap, splits - 1)]


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
            at = reached[_step_back(reached, diagonal, count)]
            at += not _is_addition(reached, diagonal, count)
            while _is_equal_at(old, new, at, at - diagonal):
                at += 1
            reached[diagonal] = at
            if at >= len(old) and at - diagonal >= len(new):
                return _trace_edits(trace, len(old), len(new))
    return None


def _is_equal_at(old: Sequence[str], new: Sequence[str], at: int, new_at: int) -> bool:
    return at < len(old) and new_at < len(new) and old[at] == new[new_at]


def _is_addition(reached: dict[int, int], diagonal: int, count: int) -> bool:
    """Return whether the last edit to this diagonal adds a word; else it removes one."""
    if diagonal in (-count, count):
        return diagonal == -count
    return reached[diagonal - 1] < reached[diagonal + 1]


def _step_back(reached: dict[int, int], diagonal: int, count: int) -> int:
    return diagonal + 1 if _is_addition(reached, diagonal, count) else diagonal - 1


def _trace_edits(trace: Sequence[dict[int, int]], old_end: int, new_end: int) -> list[_Place]:
    """Return the edits that lead to the end of both texts, a word each."""
    edits: list[_Place] = []
    diagonal = old_end - new_end
    for count in range(len(trace) - 1, 0, -1):
        previous = _step_back(trace[count], diagonal, count)
        at = trace[count][previous]
        new_at = at - previous
        is_addition = previous > diagonal
        edits.append(_Place(at, at + (not is_addition), new_at, new_at + is_addition))
        diagonal = previous
    return edits[::-1]


def _split_at_anchors(old: Sequence[str], new: Sequence[str]) -> list[_Place]:
    """Return what lies between words that both texts have once, in the same order."""
    new_places = _locate_single_words(new)
    shared = [
        (place, new_places[word])
        for word, place in _locate_single_words(old).items()
        if word in new_places
    ]
    gaps: list[_Place] = []
    start, new_start = 0, 0
    for place, new_place in [*_keep_longest_rise(shared), (len(old), len(new))]:
        gaps.append(_Place(start, place, new_start, new_place))
        start, new_start = place + 1, new_place + 1
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
    end = len(commonprefix([before[start:][::-1], after[start:][::-1]]))
    return _cut_ends(before, start, end), _cut_ends(after, start, end)


def _cut_ends(text: str, start: int, end: int) -> str:
    """Cut so many characters at the start and the end of a text, but a few next to the rest."""
    first = max(0, start - CONTEXT_CHARACTERS)
    last = len(text) - max(0, end - CONTEXT_CHARACTERS)
    left = "…" if first else ""
    right = "…" if last < len(text) else ""
    return f"{left}{text[first:last]}{right}"
