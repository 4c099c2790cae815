"""Rank the exchanges of a test run by how much they tell about its verdict.

An exchange is a turn of the agent and the user's turn before it. It tells more the less it is like
what passed test runs say, and the more it is about the subject of the test case. Greetings, routine
and talk beside the subject come last. Words and values of a run's own mock data are masked, so that
the same sentence to another customer is alike. Words count by their inverse document frequency
(Spärck Jones 1972).
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import get_case_id, round_robin
from sigmamind_mcp.insight.endings import closes, is_agent, is_user
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.words import dice_similarity, extract_words

MAX_COMPARED = 80
"""As many passed runs as are compared with; each test case has its share."""
MASK = "*"
MAX_TURN_TEXT = 4_000

_WORD = re.compile(r"[^\W\d_]+|\d+")


class Exchange(NamedTuple):
    """The numbers of an agent's turn and of the user's turn before it, and how much they tell."""

    agent: int
    user: int | None
    score: float


class _Said(NamedTuple):
    """An exchange with the words that it is compared by; `about` has those of both turns."""

    agent: int
    user: int | None
    words: frozenset[str]
    about: frozenset[str]


class ExchangeRanking:
    """The decided test runs of a batch run, to rank the exchanges of each of them."""

    def __init__(self, runs: Iterable[TestRun]) -> None:
        decided = [run for run in runs if run.verdict != "undecided" and run.conversation]
        self._count = 0
        self._said_by: Counter[str] = Counter()
        self._is_about: Counter[str] = Counter()
        passed = [run for run in decided if run.verdict == "passed"]
        compared = round_robin(passed, get_case_id)[:MAX_COMPARED]
        # Each turn once, with the test cases that have it, so that what is common costs once.
        self._passed_turns: dict[frozenset[str], Counter[str]] = defaultdict(Counter)
        for run in compared:
            for said in _list_exchanges(run):
                self._passed_turns[said.words][get_case_id(run)] += 1
        for run in round_robin(decided, get_case_id)[: 2 * MAX_COMPARED]:
            for said in _list_exchanges(run):
                self._count += 1
                self._said_by.update(said.words)
                self._is_about.update(said.about)
        self._weights: dict[frozenset[str], float] = {}
        for words in self._passed_turns:
            self._weights[words] = self._weigh(words)

    def rank(self, run: TestRun) -> list[Exchange]:
        """Return the exchanges of a run, the most telling first; goodbyes are left out.

        A passed run is not compared with its own test case, whose passed runs say the same.
        """
        left_out = get_case_id(run) if run.verdict == "passed" else None
        subject = _read_subject(run)
        ranked = []
        for said in _list_exchanges(run):
            unlike = 1 - self._find_nearest(said.words, left_out)
            score = unlike * (1 + self._measure_subject(said.about, subject))
            ranked.append(Exchange(said.agent, said.user, score))
        return sorted(ranked, key=lambda one: (-one.score, one.agent))

    def _find_nearest(self, words: frozenset[str], left_out: str | None) -> float:
        """Return how similar the most similar turn of a passed run is, from 0 to 1."""
        weight = self._weigh(words)
        nearest = 0.0
        for known, case_ids in self._passed_turns.items():
            if left_out is not None and case_ids.keys() == {left_out}:
                continue
            shared = self._weigh(words & known)
            nearest = max(nearest, dice_similarity(shared, weight, self._weights[known]))
        return nearest

    def _weigh(self, words: Set[str]) -> float:
        return sum(_measure_rarity(self._said_by[word], self._count) for word in words)

    def _measure_subject(self, words: Set[str], subject: Set[str]) -> float:
        """Return how much of what an exchange is about is the subject of its test case."""
        shared = sum(map(self._weigh_subject, words & subject))
        return shared / (2 + math.sqrt(sum(map(self._weigh_subject, words))))

    def _weigh_subject(self, word: str) -> float:
        # A word in a quarter of all exchanges is the subject of none.
        return max(0.0, _measure_rarity(self._is_about[word], self._count / 4))


def _measure_rarity(frequency: int, count: float) -> float:
    return math.log((count + 1) / (frequency + 0.5))


def _read_subject(run: TestRun) -> frozenset[str]:
    """Return the words of the test case and the remarks, without those of the mock data."""
    case = run.test_case or TestCase()
    texts = [case.user_prompt or "", case.success_criteria or "", run.remarks or ""]
    return extract_words("\n".join(texts)) - extract_words(_join_mock_data(case))


def _list_exchanges(run: TestRun) -> list[_Said]:
    """Return the exchanges of a run, without its goodbyes and turns that only call tools."""
    case = run.test_case or TestCase()
    mock = _join_mock_data(case)
    masked = frozenset(_split(mock))
    own_words = extract_words(mock)
    given = set(read_values("\n".join([mock, case.user_prompt or "", case.success_criteria or ""])))
    user, asked = None, ""
    found = []
    for number, turn in enumerate(run.conversation or [], start=1):
        content = turn.content[:MAX_TURN_TEXT]
        values = read_values(content)
        if is_user(turn):
            user, asked = number, content
        elif is_agent(turn):
            words = {MASK if word in masked else word for word in _split(content)}
            words |= {value for value in values - given if " " not in value}
            if words and not closes(turn):
                about = extract_words(f"{asked}\n{content}") - own_words
                found.append(_Said(number, user, frozenset(words), about))
            user, asked = None, ""
        given |= values
    return found


def _join_mock_data(case: TestCase) -> str:
    return "\n".join(one.value for one in case.mock_data)


def _split(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())
