"""Find numbers, dates and ids that the agent says in one attempt only, and that nobody gave it.

The agent's prompt and tools, the test case, its mock data, a tool or the user can give a value.
Where there are many such values, the agent has its data from elsewhere, and none of them tells
anything.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.given_texts import (
    GivenTexts,
    are_numbers_given,
    join_digits,
    strip_zeros,
    write_ascii_digits,
)
from sigmamind_mcp.insight.spoken_values import SpokenValue, find_values

MIN_DIGITS = 2
MAX_TEXT = 100_000
"""A longer text takes too much time; without reading all of it, nobody knows what it gives."""

# Fields that can give a value.
_GIVES = re.compile(r"conversation|messages|transcript|testCase(?:$|\.(?:mock|user|success))")

_DIGIT = re.compile(r"[0-9]")
# A number with what is written with it: DSP-70481, $241.60, 11/09/26, 0660 555 01 44.
_WRITTEN = re.compile(r"[A-Za-z#$€£-]{0,8}[0-9](?:[0-9.,:/-]|(?<=[0-9]) (?=[0-9])){0,40}")


class ValueNotGiven(NamedTuple):
    """A value as the agent writes it, and the turn of the only attempt that has it."""

    value: str
    run: TestRun
    turn: int


class FoundValues(NamedTuple):
    """The values of one attempt that nobody gave, and how many attempts were looked at."""

    values: list[ValueNotGiven]
    run_count: int


class _Written(NamedTuple):
    """A value as it is written, and as it is read if it has one of the known forms.

    `key` is the same for all forms of an amount or a time.
    """

    text: str
    key: str
    value: SpokenValue | None


def find_values_not_given(
    runs: Iterable[TestRun],
    prompts: Iterable[str],
    cases: Mapping[str, TestCase] | None = None,
    *,
    has_time: Callable[[], bool] = lambda: True,
) -> FoundValues | None:
    """Return the values of one attempt that nobody gave; None without time or the whole prompt.

    `cases` has the definitions that are known by test case. Runs without any, or with something
    that cannot be read, are left out, since nobody knows what was given.
    """
    texts = list(prompts)
    if sum(map(len, texts)) > MAX_TEXT:
        return None
    found: dict[str, ValueNotGiven] = {}
    shared: set[str] = set()
    count = 0
    reader = _Reader(texts, cases or {})
    for run in runs:
        if not has_time():
            return None
        sources = reader.list_sources(run)
        count += bool(sources)
        for number, turn in enumerate(run.conversation or [] if sources else [], start=1):
            if not has_time():
                return None
            for written in _find_in_turn(turn, sources, shared):
                value = ValueNotGiven(written.text, run, number)
                if found.setdefault(written.key, value).run is not run:
                    shared.add(written.key)
    values = [value for key, value in found.items() if key not in shared]
    return FoundValues(values, count)


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
        known = self._cases.get(get_case_id(run))
        texts = tuple(_list_case_texts(run.test_case)) + tuple(_list_case_texts(known))
        if not texts or sum(map(len, texts)) > MAX_TEXT:
            return []
        if texts not in self._given:
            self._given[texts] = GivenTexts(texts)
        return [self._prompts, self._given[texts], GivenTexts()]


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
    turn: Turn, sources: Sequence[GivenTexts], known: Container[str]
) -> Iterator[_Written]:
    """Yield the values that the agent says and nobody gave; add all of the turn to the last.

    Values with a known key are left out.
    """
    # What an agent says with the results of its tools is given by them.
    *before, said = _list_turn_texts(turn)
    for text in before:
        sources[-1].add(text)
    if is_agent(turn):
        for written in _find_written(turn.content):
            if written.key not in known and not _is_value_given(written, sources):
                yield written
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
