"""Choose the turns to show of test runs that a selection has: the exchanges that tell most.

Each run shows as many exchanges as let the whole selection fit into SELECTION_CHARACTERS, so few
runs show more of each, and many show MIN_EXCHANGES. A single run is shown whole, as are runs that
all fit.
"""

from collections.abc import Sequence

from sigmamind_mcp.api.conversations import Side
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.endings import closes, is_user
from sigmamind_mcp.insight.telling_exchanges import Exchange, ExchangeRanking, keep_telling
from sigmamind_mcp.tools.conversations_answer import TURN_CHARACTERS, count_characters
from sigmamind_mcp.tools.transcripts import NumberedTurn, keep_side, number_turns

SELECTION_CHARACTERS = 4_000
RUN_HEAD_CHARACTERS = 40
MIN_EXCHANGES = 2
MAX_MEASURED = 50
"""More runs than this do not fit with more than MIN_EXCHANGES of each."""


class ExchangeChoice:
    """How many exchanges each of the selected test runs shows, and which."""

    def __init__(
        self,
        known: Sequence[TestRun],
        selected: Sequence[TestRun],
        *,
        total: int,
        side: Side | None,
    ) -> None:
        """Rank by the `known` runs; `selected` are those of `total` whose turns are known."""
        self._ranking = ExchangeRanking(known)
        self._ranked: dict[int, list[Exchange]] = {}
        self._side = side
        self.count = self._find_count(selected, total)

    def choose_turns(self, run: TestRun) -> list[NumberedTurn]:
        """Return the turns to show of a run, in their order."""
        return self._choose(run, self.count)

    def _find_count(self, selected: Sequence[TestRun], total: int) -> int | None:
        """Return how many exchanges of each run fit; None if all turns do."""
        if total == 1:
            return None
        if total > MAX_MEASURED:
            return MIN_EXCHANGES
        room = SELECTION_CHARACTERS * len(selected) / total - _measure_heads(selected)
        if self._measure(selected, None) <= room:
            return None
        most = max(len(self._rank(run)) for run in selected)
        count = MIN_EXCHANGES
        while count < most and self._measure(selected, count + 1) <= room:
            count += 1
        return count

    def _measure(self, runs: Sequence[TestRun], count: int | None) -> int:
        """Return how many characters the runs have with so many exchanges of each."""
        chosen = [self._choose(run, count) for run in runs]
        return sum(count_characters(turns, TURN_CHARACTERS) for turns in chosen)

    def _choose(self, run: TestRun, count: int | None) -> list[NumberedTurn]:
        turns = number_turns(run.conversation)
        if count is not None:
            ranked = self._rank(run)
            chosen = _keep_first(ranked, count)
            numbers = _list_numbers(chosen)
            if turns and is_user(turns[-1].turn) and not closes(turns[-1].turn):
                numbers.add(turns[-1].number)  # nobody answered it
            if not chosen:
                # What tells nothing alone still shows what happened at the end.
                says_goodbye = bool(ranked) and closes(turns[-1].turn)
                end = turns[:-1] if says_goodbye else turns
                numbers.update(turn.number for turn in end[-2 * count :])
            turns = [turn for turn in turns if turn.number in numbers]
        return keep_side(turns, self._side)

    def _rank(self, run: TestRun) -> list[Exchange]:
        if id(run) not in self._ranked:
            self._ranked[id(run)] = self._ranking.rank(run)
        return self._ranked[id(run)]


def _measure_heads(runs: Sequence[TestRun]) -> int:
    """Return about how many characters come with the turns: criteria and remarks, each once."""
    texts = set()
    for run in runs:
        if run.test_case:
            texts.add(run.test_case.success_criteria or "")
        if run.verdict != "passed":
            texts.add(run.remarks or "")
    return sum(map(len, texts)) + RUN_HEAD_CHARACTERS * len(runs)


def _keep_first(ranked: Sequence[Exchange], count: int) -> Sequence[Exchange]:
    """Return the first of the ranked exchanges; of MIN_EXCHANGES, none that tells far less."""
    return ranked[:count] if count > MIN_EXCHANGES else keep_telling(ranked)[:count]


def _list_numbers(exchanges: Sequence[Exchange]) -> set[int]:
    """Return the numbers of both turns of each exchange, and of what tools say between them."""
    numbers: set[int] = set()
    for exchange in exchanges:
        numbers.update(range(exchange.user or exchange.agent, exchange.agent + 1))
    return numbers
