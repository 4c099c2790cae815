"""Find numbers, dates, ids and names that the agent says in one attempt and that nobody gave it.

The agent's prompt and tools, the test case, its mock data, a tool or the user can give a value.
Where there are many such values, the agent has its data from elsewhere, and none of them tells
anything.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import MockVariable, TestCase, TestRun
from sigmamind_mcp.insight.case_definitions import is_shown
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.given_texts import (
    GivenTexts,
    are_numbers_given,
    join_digits,
    strip_zeros,
    write_ascii_digits,
)
from sigmamind_mcp.insight.near_values import MOST_VALUES, find_dates, find_near_date, read_dates
from sigmamind_mcp.insight.replaced_names import find_replaced_names, is_word_given, join_said
from sigmamind_mcp.insight.spoken_values import SpokenValue, find_values
from sigmamind_mcp.insight.text_search import fold_text

MIN_DIGITS = 2
MAX_SLIPS = 3
"""A slip is rare: more dates are sums, and more names come from elsewhere."""
MAX_TEXT = 100_000
"""A longer text takes too much time; without reading all of it, nobody knows what it gives."""

# Fields that can give a value.
_GIVES = re.compile(r"conversation|messages|transcript|testCase(?:$|\.(?:mock|user|success))")

_DIGIT = re.compile(r"[0-9]")
# A number with what is written with it: DSP-70481, $241.60, 11/09/26, 0660 555 01 44.
_WRITTEN = re.compile(r"[A-Za-z#$€£-]{0,8}[0-9](?:[0-9.,:/-]|(?<=[0-9]) (?=[0-9])){0,40}")


class ValueNotGiven(NamedTuple):
    """A value as the agent writes it, and the turn of the only attempt that has it.

    `near` is the mock variable that a date or name stands for, if that is why it was found.
    """

    value: str
    run: TestRun
    turn: int
    near: MockVariable | None = None

    @property
    def content(self) -> str:
        """What the agent says in this turn."""
        return (self.run.conversation or [])[self.turn - 1].content


class FoundValues(NamedTuple):
    """The values of one attempt that nobody gave, and how many attempts were looked at."""

    values: list[ValueNotGiven]
    run_count: int


class _Written(NamedTuple):
    """A value as it is written, and as it is read if it has one of the known forms.

    `key` is the same for all forms of an amount or a time. `near` is the mock variable of a date
    of which only the numbers are given.
    """

    text: str
    key: str
    value: SpokenValue | None
    near: MockVariable | None = None


def find_values_not_given(
    runs: Iterable[TestRun],
    prompts: Iterable[str],
    cases: Mapping[str, TestCase] | None = None,
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> FoundValues | None:
    """Return the values of one attempt that nobody gave; None without time or the whole prompt.

    Dates and names near a mock value come last, as many as there is room for. `cases` has the
    definitions that are known by test case. Runs without any, or with something that cannot be
    read, are left out, since nobody knows what was given.
    """
    texts = list(prompts)
    if sum(map(len, texts)) > MAX_TEXT:
        return None
    found: dict[str, ValueNotGiven] = {}
    shared: set[str] = set()
    checked: list[TestRun] = []
    all_runs = list(runs)
    reader = _Reader(texts, cases or {})
    for run in all_runs:
        if not has_time():
            return None
        sources = reader.list_sources(run)
        checked += [run] if sources else []
        mocks = run.test_case.mock_data if run.test_case else []
        for number, turn in enumerate(run.conversation or [] if sources else [], start=1):
            if not has_time():
                return None
            for written in _find_in_turn(turn, sources, mocks, shared):
                value = ValueNotGiven(written.text, run, number, written.near)
                if found.setdefault(written.key, value).run is not run:
                    shared.add(written.key)
    single = [value for key, value in found.items() if key not in shared]
    values = [value for value in single if not value.near]
    if len(values) < MOST_VALUES:
        dates = [value for value in single if value.near]
        for slips in (dates, _find_names(checked, texts, reader, has_time)):
            values += _list_slips(slips, all_runs, has_time)
        values = values[:MOST_VALUES]
    return FoundValues(values, len(checked)) if has_time() else None


def _find_names(
    runs: Sequence[TestRun], prompts: Iterable[str], reader: "_Reader", has_time: Callable[[], bool]
) -> Iterator[ValueNotGiven]:
    """Yield the names in the place of a mock value that no text before them gives."""
    for word, run, mock in find_replaced_names(runs, has_time=has_time):
        turns = run.conversation or []
        numbers = enumerate(turns, start=1)
        number = next(number for number, turn in numbers if is_agent(turn) and word in turn.content)
        *texts, _ = chain.from_iterable(map(_list_turn_texts, turns[:number]))
        texts += [*prompts, *reader.list_texts(run)]
        is_short = has_time() and sum(map(len, texts)) <= MAX_TEXT
        if is_short and not is_word_given(word, texts):
            yield ValueNotGiven(word, run, number, mock)


def _list_slips(
    values: Iterable[ValueNotGiven], runs: Iterable[TestRun], has_time: Callable[[], bool]
) -> Iterator[ValueNotGiven]:
    """Yield the dates or names, if they are few, that the agent says in no other attempt."""
    slips = list(values)
    for slip in slips if len(slips) <= MAX_SLIPS else []:
        dates = read_dates(slip.value)
        folded = fold_text(slip.value)
        for run in runs:
            said = join_said(run) if run is not slip.run else ""
            if not has_time() or dates & find_dates(said) or folded in fold_text(said):
                break
        else:
            yield slip


class _Reader:
    """Reads what gives values, the texts of each definition once."""

    def __init__(self, prompts: Iterable[str], cases: Mapping[str, TestCase]) -> None:
        self._prompts = GivenTexts(prompts)
        self._cases = cases
        self._given: dict[tuple[str, ...], GivenTexts] = {}

    def list_sources(self, run: TestRun) -> list[GivenTexts]:
        """Return the texts that give values to a run, the last one still empty.

        Nothing if not all of them are known.
        """
        if any(map(_GIVES.match, run.unreadable_fields())) or _is_long(run):
            return []
        definitions = [run.test_case, self._cases.get(get_case_id(run))]
        if not any(case is not None and is_shown(case, "mockData") for case in definitions):
            return []
        texts = self.list_texts(run)
        if not texts or sum(map(len, texts)) > MAX_TEXT:
            return []
        if texts not in self._given:
            self._given[texts] = GivenTexts(texts)
        return [self._prompts, self._given[texts], GivenTexts()]

    def list_texts(self, run: TestRun) -> tuple[str, ...]:
        """Return what the definitions of a run can give."""
        known = self._cases.get(get_case_id(run))
        return tuple(_list_case_texts(run.test_case)) + tuple(_list_case_texts(known))


def _is_long(run: TestRun) -> bool:
    return any(sum(map(len, _list_turn_texts(turn))) > MAX_TEXT for turn in run.conversation or [])


def _list_turn_texts(turn: Turn) -> list[str]:
    """Return what comes with a turn, and last what it says."""
    return [*turn.tool_calls, turn.other_fields or "", turn.text]


def _list_case_texts(case: TestCase | None) -> list[str]:
    """Return what a definition can give; nothing if only its names are known."""
    if case is None or not (case.user_prompt or case.success_criteria or case.mock_data):
        return []
    texts = [case.user_prompt, case.success_criteria, case.label, case.test_case_id]
    for mock in case.mock_data:
        texts += [mock.value, mock.variable_name]
    return list(filter(None, texts))


def _find_in_turn(
    turn: Turn,
    sources: Sequence[GivenTexts],
    mocks: Sequence[MockVariable],
    known: Container[str],
) -> Iterator[_Written]:
    """Yield the values that the agent says and nobody gave; add all of the turn to the last source.

    Of dates near a mock value, the numbers may be given. Values with a known key are left out.
    """
    # What an agent says with the results of its tools is given by them.
    *before, said = _list_turn_texts(turn)
    for text in before:
        sources[-1].add(text)
    if is_agent(turn):
        for written in _find_written(turn.content):
            if written.key in known:
                continue
            if not _is_value_given(written, sources):
                yield written
                continue
            near = find_near_date(written.text, mocks)
            if near and not any(one.may_give_date(near) for one in sources):
                yield written._replace(near=near.mock)
    sources[-1].add(said)


def _find_written(text: str) -> Iterator[_Written]:
    plain = write_ascii_digits(text)
    if not _DIGIT.search(plain):
        return
    values = find_values(plain)
    value = next(values, None)
    for match in _WRITTEN.finditer(plain):
        written = match[0].rstrip(" .,:/-")
        start, end = match.start(), match.start() + len(written)
        digits = join_digits(written)
        if len(digits) < MIN_DIGITS:
            continue
        while value and value.end < end:
            value = next(values, None)
        same = value if value and _has_all_digits(value, plain, start, end) else None
        key = same.bare if same else strip_zeros(digits)
        yield _Written(text[start:end].strip(" .,:/-"), key, same)


def _has_all_digits(value: SpokenValue, text: str, start: int, end: int) -> bool:
    """Whether a value ends here or later, and has no more or less digits before its end."""
    return value.start < end and join_digits(text[start:end]) == join_digits(
        text[value.start : value.end]
    )


def _is_value_given(written: _Written, sources: Sequence[GivenTexts]) -> bool:
    if are_numbers_given(write_ascii_digits(written.text), sources):
        return True
    value = written.value
    if value is None:
        return False
    return any(one.has_value(value.bare) or one.has_value(value.normal) for one in sources)
