"""Find numbers, dates and ids that the agent says in one attempt only, and that nobody gave it.

A value is given if the agent's prompt, the test case, its mock data, a tool or the user has all of
its digits. Where there are many such values, the agent has its data from elsewhere, and none of
them tells anything.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.spoken_values import read_values

MIN_DIGITS = 2
MAX_TURN_SCANNED = 4_000

# A number with what is written with it: DSP-70481, $241.60, 11/09/26, 0660 555 01 44.
_WRITTEN = re.compile(r"[A-Za-z#$€£-]{0,8}\d(?:[\d.,:/-]| (?=\d)){0,40}")
_DIGITS = re.compile(r"\d+")


class ValueNotGiven(NamedTuple):
    """A value as the agent writes it, and the turn of the only attempt that has it."""

    value: str
    run: TestRun
    turn: int


def find_values_not_given(
    runs: Iterable[TestRun], prompt: str, *, has_time: Callable[[], bool] = lambda: True
) -> list[ValueNotGiven] | None:
    """Return the values of one attempt that nobody gave; None if the time ended before all runs."""
    prompt_numbers = _read_numbers(prompt)
    found: dict[str, ValueNotGiven] = {}
    shared: set[str] = set()
    for run in runs:
        if not has_time():
            return None
        for value in _list_of_run(run, prompt_numbers):
            digits = "".join(_DIGITS.findall(value.value))
            known = found.setdefault(digits, value)
            if known.run is not run:
                shared.add(digits)
    return [value for digits, value in found.items() if digits not in shared]


def _list_of_run(run: TestRun, prompt_numbers: set[str]) -> Iterator[ValueNotGiven]:
    case = run.test_case or TestCase()
    mock = [one.value for one in case.mock_data]
    texts = [case.user_prompt or "", case.success_criteria or "", *mock]
    given = prompt_numbers | _read_numbers("\n".join(texts))
    for number, turn in enumerate(run.conversation or [], start=1):
        content = turn.content[:MAX_TURN_SCANNED]
        numbers = _read_numbers(content)
        if is_agent(turn):
            for written in _find_written(content):
                if not _has_source(written, given):
                    yield ValueNotGiven(written, run, number)
        given |= numbers


def _find_written(text: str) -> Sequence[str]:
    written = [match.strip(" .,:/-") for match in _WRITTEN.findall(text)]
    return [one for one in written if sum(map(str.isdigit, one)) >= MIN_DIGITS]


def _has_source(written: str, given: set[str]) -> bool:
    """Whether all of its numbers were given, with or without commas in them."""
    forms = (written, written.replace(",", ""))
    return any(all(_is_number_given(one, given) for one in _DIGITS.findall(form)) for form in forms)


def _is_number_given(digits: str, given: set[str]) -> bool:
    if (digits.lstrip("0") or "0") in given:
        return True
    # Two digits may be the end of a year.
    return any(len(year) == 4 and year.endswith(digits) for year in given)


def _read_numbers(text: str) -> set[str]:
    """Return the numbers of a text, also those in words, dates and amounts, without zeros."""
    numbers = set()
    for written in (text, " ".join(read_values(text)), text.replace(",", "")):
        for digits in _DIGITS.findall(written):
            numbers.add(digits.lstrip("0") or "0")
    return numbers
