"""Find the turns of a test run that passed test runs have much alike: greetings, routine, goodbyes.

What is left is what a reader has to see. Words and values of a run's own mock data are masked, so
that the same sentence to another customer is alike.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sigmamind_mcp.api.conversations import Side, Turn
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.diagnosis import get_case_id, round_robin
from sigmamind_mcp.insight.endings import closes
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.words import dice_similarity

MAX_COMPARED = 80
"""As many passed runs as are compared with; each test case has its share."""
MIN_ALIKE = 0.7
LAST_TURNS = 2
MASK = "*"
MAX_TURN_TEXT = 4_000

_WORD = re.compile(r"[^\W\d_]+|\d+")


class _Signature(NamedTuple):
    """The words of a turn, and its values that nobody has given before."""

    words: frozenset[str]
    values: frozenset[str]


class _Known(NamedTuple):
    """The words to mask and the values that the test case gives."""

    words: frozenset[str]
    values: frozenset[str]

    @classmethod
    def of(cls, run: TestRun) -> "_Known":
        case = run.test_case
        if case is None:
            return cls(frozenset(), frozenset())
        mock = "\n".join(one.value for one in case.mock_data)
        given = "\n".join([mock, case.user_prompt or "", case.success_criteria or ""])
        return cls(frozenset(_split(mock)), read_values(given))


class PassedTurns:
    """The turns of passed test runs, to compare other turns with."""

    def __init__(self, runs: Iterable[TestRun]) -> None:
        passed = [run for run in runs if run.verdict == "passed" and run.conversation]
        self._firsts: dict[str, TestRun] = {}
        for run in passed:
            self._firsts.setdefault(get_case_id(run), run)
        # Each signature with the runs that have it, so that what is common is compared once.
        self._turns: dict[tuple[Side, _Signature], set[int]] = defaultdict(set)
        self._case_ids: dict[int, str] = {}
        for run in round_robin(passed, get_case_id)[:MAX_COMPARED]:
            self._case_ids[id(run)] = get_case_id(run)
            for _, turn, signature in _sign_turns(run):
                self._turns[turn.side, signature].add(id(run))
        self._by_size: dict[tuple[Side, int], list[tuple[_Signature, set[int]]]] = defaultdict(list)
        for (side, signature), owners in self._turns.items():
            self._by_size[side, len(signature.words)].append((signature, owners))

    def find_alike(self, run: TestRun) -> set[int]:
        """Return the numbers of the goodbyes, and of turns that another passed run has much alike.

        The first passed run of a test case is only compared with other test cases, so that what
        all attempts of a test case have in common is shown once.
        """
        case_id = get_case_id(run)
        same_case = {owner for owner, its_case in self._case_ids.items() if its_case == case_id}
        left_out = same_case if self._firsts.get(case_id) is run else {id(run)}
        if not self._by_size:
            return set()
        last = len(run.conversation or [])
        alike = set()
        for number, turn, signature in _sign_turns(run):
            says_goodbye = number > last - LAST_TURNS and closes(turn) and not signature.values
            if says_goodbye or self._has_alike(turn.side, signature, left_out):
                alike.add(number)
        return alike

    def measure_unlike(self, run: TestRun) -> dict[int, float]:
        """Return for each turn how unlike the most similar turn of a passed run it is."""
        unlike: dict[int, float] = {}
        if not self._by_size:
            return unlike
        for number, turn, wanted in _sign_turns(run):
            nearest = 0.0
            for (side, _), known_turns in self._by_size.items():
                if side == turn.side:
                    nearest = max(nearest, *(_measure(wanted, one) for one, _ in known_turns))
            unlike[number] = 1 - nearest
        return unlike

    def _has_alike(self, side: Side, wanted: _Signature, left_out: set[int]) -> bool:
        size = len(wanted.words)
        # Two collections of other sizes cannot be as similar.
        for other_size in range(int(size * 0.53), int(size * 1.9) + 1):
            for known, owners in self._by_size.get((side, other_size), ()):
                if _is_alike(wanted, known) and not owners <= left_out:
                    return True
        return False


def _is_alike(wanted: _Signature, known: _Signature) -> bool:
    return _measure(wanted, known) >= MIN_ALIKE and wanted.values <= known.values


def _measure(first: _Signature, second: _Signature) -> float:
    shared = len(first.words & second.words)
    return dice_similarity(shared, len(first.words), len(second.words))


def _sign_turns(run: TestRun) -> Iterator[tuple[int, Turn, _Signature]]:
    """Yield the turns of a run that have words, with their numbers."""
    known = _Known.of(run)
    given = set(known.values)
    for number, turn in enumerate(run.conversation or [], start=1):
        content = turn.content[:MAX_TURN_TEXT]
        words = frozenset(MASK if word in known.words else word for word in _split(content))
        values = read_values(content)
        new = frozenset(value for value in values - given if " " not in value)
        given |= values
        if words and len(turn.content) <= MAX_TURN_TEXT and not turn.tool_calls:
            yield number, turn, _Signature(words, new)


def _split(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())
