"""Rank the exchanges of a test run by how much they tell about its verdict.

An exchange is a turn of the agent and the user's turn before it. It tells more the less it is like
what passed test runs say, and the more it is about the subject of the test case and about what the
remarks say. Greetings, routine and other talk come last. Words and values of a run's own mock data
are masked, so that the same sentence to another customer is alike. Words count by their inverse
document frequency (Spärck Jones 1972). Sums are exact, since sets have no order.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from sigmamind_mcp.api.models import TestCase, TestRun, Verdict
from sigmamind_mcp.insight.diagnosis import (
    TELLS_MOST,
    Quote,
    get_case_id,
    limit_definition,
    round_robin,
)
from sigmamind_mcp.insight.endings import LAST_TURNS, closes, is_agent, is_user
from sigmamind_mcp.insight.judged_clauses import keep_unmet
from sigmamind_mcp.insight.spoken_values import read_values
from sigmamind_mcp.insight.words import dice_similarity, extract_words

MAX_COMPARED = 80
"""As many runs of a verdict as are compared with; each test case has its share."""
EDGE_WEIGHT = 0.5
"""The first exchange mostly repeats the test case, the last turn is mostly a goodbye."""
REMARKS_WEIGHT = 2
"""The remarks say what decided the verdict; criteria and prompt say much more than that."""
FEW_WORDS = 8
"""Few words are unlike all others by chance: a turn of as many different words counts half."""
MASK = "*"
MIN_TELLING = 0.4
PICKED_EXCHANGES = 2
MAX_TURN_TEXT = 4_000
MIN_TURN_TEXT = 200
MAX_RUN_TEXT = 100_000
"""The turns of longer runs are read less far, each at least MIN_TURN_TEXT characters."""
MAX_WORDS = 150_000
"""As many words of the runs of a verdict are compared with."""
MAX_STEPS = 1_500_000
"""As many words are compared to rank one run; of longer runs, with fewer turns of others."""
MIN_STEPS = 100_000
ALL_STEPS = 30_000_000
"""After as many in all, each further run has MIN_STEPS."""

_WORD = re.compile(r"[^\W\d_]+|\d+")


class Exchange(NamedTuple):
    """The numbers of an agent's turn and of the user's turn before it, and how much they tell."""

    agent: int
    user: int | None
    score: float


class PickedRun(NamedTuple):
    """A test run, and those of its exchanges that tell most."""

    run: TestRun
    exchanges: list[Exchange]

    @property
    def quotes(self) -> list[Quote]:
        """The agent's turns of these exchanges, the most telling first."""
        turns = self.run.conversation or []
        numbers = [exchange.agent for exchange in self.exchanges]
        return [Quote(number, turns[number - 1], TELLS_MOST) for number in numbers]

    @property
    def score(self) -> float:
        return math.fsum(exchange.score for exchange in self.exchanges)


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
        self._weights: dict[frozenset[str], float] = {}
        self._word_weights: dict[str, float] = {}
        self._steps_left = ALL_STEPS
        self._picked: dict[tuple[int, ...], tuple[list[TestRun], PickedRun | None]] = {}
        # Each turn once, with the test cases that have it, so that what is common costs once.
        self._turns: dict[Verdict, dict[frozenset[str], set[str]]] = {
            "passed": defaultdict(set),
            "failed": defaultdict(set),
        }
        for verdict, turns in self._turns.items():
            runs_of_verdict = [run for run in decided if run.verdict == verdict]
            words_left = MAX_WORDS
            for run in round_robin(runs_of_verdict, get_case_id)[:MAX_COMPARED]:
                if words_left <= 0:
                    break
                for said in _list_exchanges(run):
                    turns[said.words].add(get_case_id(run))
                    words_left -= len(said.about)
                    self._count += 1
                    self._said_by.update(said.words)
                    self._is_about.update(said.about)

    def rank(self, run: TestRun) -> list[Exchange]:
        """Return the exchanges of a run, the most telling first; goodbyes are left out.

        They are compared with passed runs; those of a passed run only with other test cases, since
        its own says the same.
        """
        if run.verdict == "passed":
            return self._rank_unlike(run, self._list_passed_elsewhere(run))
        return self._rank_unlike(run, list(self._turns["passed"]))

    def pick_passed(self, runs: Iterable[TestRun]) -> "PickedRun | None":
        """Return the passed run whose first exchanges tell most of what failed runs lack."""
        # An answer is built many times until it fits, and the runs must live as long as their ids.
        known = list(runs)
        key = tuple(map(id, known))
        if key not in self._picked:
            self._picked[key] = (known, self._pick_passed(known))
        return self._picked[key][1]

    def _pick_passed(self, runs: Iterable[TestRun]) -> "PickedRun | None":
        picked = []
        for run in runs:
            exchanges = keep_telling(self._rank_unlike_failed(run))[:PICKED_EXCHANGES]
            if exchanges:
                picked.append(PickedRun(run, exchanges))
        return max(picked, key=lambda one: one.score, default=None)

    def _rank_unlike_failed(self, run: TestRun) -> list[Exchange]:
        """Rank the exchanges of a passed run, first what failed runs of its test case lack."""
        case_id = get_case_id(run)
        failed = [words for words, cases in self._turns["failed"].items() if case_id in cases]
        return self._rank_unlike(run, failed + self._list_passed_elsewhere(run))

    def _list_passed_elsewhere(self, run: TestRun) -> list[frozenset[str]]:
        own_case = {get_case_id(run)}
        return [words for words, cases in self._turns["passed"].items() if cases != own_case]

    def _rank_unlike(self, run: TestRun, others: Sequence[frozenset[str]]) -> list[Exchange]:
        subject = _read_subject(run)
        last = len(run.conversation or [])
        ranked = []
        exchanges = _list_exchanges(run)
        others = others[: self._allow(exchanges, len(others))]
        for said in exchanges:
            unlike = 1 - self._find_likest(said.words, others)
            score = unlike * (1 + self._measure_subject(said.about, subject))
            score *= len(said.words) / (len(said.words) + FEW_WORDS)
            if said is exchanges[0] or said.agent >= last:
                score *= EDGE_WEIGHT
            ranked.append(Exchange(said.agent, said.user, score))
        return sorted(ranked, key=lambda one: (-one.score, one.agent))

    def _allow(self, exchanges: Iterable[_Said], most: int) -> int:
        """Return with how many turns these exchanges may be compared, and count the steps."""
        size = max(1, sum(len(said.words) for said in exchanges))
        steps = max(MIN_STEPS, min(MAX_STEPS, self._steps_left))
        count = min(most, max(1, steps // size))
        self._steps_left -= count * size
        return count

    def _find_likest(self, words: frozenset[str], others: Sequence[frozenset[str]]) -> float:
        """Return how similar the words are to those of the most similar other turn."""
        size = self._weigh(words)
        get_weight = self._word_weights.__getitem__  # all words are weighed now
        likest = 0.0
        for other in others:
            other_size = self._weigh(other)
            # As similar as they are if one has all words of the other.
            if dice_similarity(min(size, other_size), size, other_size) <= likest:
                continue
            weight = math.fsum(map(get_weight, words & other))
            likest = max(likest, dice_similarity(weight, size, other_size))
        return likest

    def _weigh(self, words: frozenset[str]) -> float:
        # Each turn is compared with many, so its weight is kept.
        if words not in self._weights:
            self._weights[words] = math.fsum(map(self._weigh_word, words))
        return self._weights[words]

    def _weigh_word(self, word: str) -> float:
        if word not in self._word_weights:
            self._word_weights[word] = _measure_rarity(self._said_by[word], self._count)
        return self._word_weights[word]

    def _measure_subject(self, words: Set[str], subject: Mapping[str, int]) -> float:
        """Return how much of what an exchange is about is the subject of its test case."""
        shared = math.fsum(
            subject[word] * self._weigh_subject(word) for word in words & subject.keys()
        )
        return shared / (2 + math.sqrt(math.fsum(map(self._weigh_subject, words))))

    def _weigh_subject(self, word: str) -> float:
        # A word in a quarter of all exchanges is the subject of none.
        return max(0.0, _measure_rarity(self._is_about[word], self._count / 4))


def keep_telling(ranked: Sequence[Exchange]) -> list[Exchange]:
    """Return the ranked exchanges that tell at least MIN_TELLING as much as the first."""
    return [one for one in ranked if one.score and one.score >= MIN_TELLING * ranked[0].score]


def _measure_rarity(frequency: int, count: float) -> float:
    return math.log((count + 1) / (frequency + 0.5))


def _read_subject(run: TestRun) -> dict[str, int]:
    """Return the words of test case and remarks, and values to state, with how much each counts.

    Words of mock data are left out.
    """
    case = limit_definition(run).test_case or TestCase()
    criteria, remarks = case.success_criteria or "", keep_unmet(run.remarks or "")
    own_words = extract_words(_join_mock_data(case))
    expected = extract_words(f"{case.user_prompt or ''}\n{criteria}") - own_words
    subject = dict.fromkeys(expected | read_values(criteria), 1)
    said = (extract_words(remarks) - own_words) | read_values(remarks)
    return subject | dict.fromkeys(said, REMARKS_WEIGHT)


def _list_exchanges(run: TestRun) -> list[_Said]:
    """Return the exchanges of a run, without its goodbyes and turns that only call tools."""
    case = limit_definition(run).test_case or TestCase()
    mock = _join_mock_data(case)
    masked = frozenset(_split(mock))
    own_words = extract_words(mock)
    given = set(read_values("\n".join([mock, case.user_prompt or "", case.success_criteria or ""])))
    user, asked = None, ""
    found = []
    turns = run.conversation or []
    # Thanks before the end are no goodbye.
    last_turns = len(turns) - LAST_TURNS
    longest = max(MIN_TURN_TEXT, min(MAX_TURN_TEXT, MAX_RUN_TEXT // max(1, len(turns))))
    for number, turn in enumerate(turns, start=1):
        content = turn.content[:longest]
        values = read_values(content)
        if is_user(turn):
            user, asked = number, content
        elif is_agent(turn):
            words = {MASK if word in masked else word for word in _split(content)}
            words |= {value for value in values - given if " " not in value}
            is_goodbye = number > last_turns and closes(turn)
            if words and not is_goodbye:
                about = (extract_words(f"{asked}\n{content}") - own_words) | values
                found.append(_Said(number, user, frozenset(words), about))
            if words:  # a turn that only calls tools answers nothing yet
                user, asked = None, ""
        given |= values
    return found


def _join_mock_data(case: TestCase) -> str:
    return "\n".join(one.value for one in case.mock_data)


def _split(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())
