"""Choose the turns of a test run that are worth reading: what tells most, never goodbyes."""

from collections.abc import Sequence
from typing import Literal

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.diagnosis import Quote
from sigmamind_mcp.insight.endings import Ending, closes, is_agent, is_user
from sigmamind_mcp.insight.said_items import Item, list_items, vocabulary_of
from sigmamind_mcp.insight.spoken_values import find_values
from sigmamind_mcp.insight.telling_exchanges import Exchange, keep_telling
from sigmamind_mcp.insight.words import find_phrase

Reason = Literal[
    "before the end",
    "has what separates",
    "tells most",
]

CUT_OFF: tuple[Ending, ...] = ("handed over", "agent silent", "action promised", "limit reached")
MAX_KEY_TURNS = 4


def choose_key_turns(
    run: TestRun, ending: Ending, separating: Sequence[Item], ranked: Sequence[Exchange]
) -> list[Quote]:
    """Return the turns of a run that are worth reading, the best first.

    `ranked` has its exchanges, the most telling first.
    """
    turns = run.conversation or []
    found: dict[int, Reason] = {}
    last = _find_last_turn(turns)
    telling = [exchange.agent for exchange in keep_telling(ranked)]
    # A failed run that says only what passed ones say lacks something: its end shows what.
    if last and (ending in CUT_OFF or not telling):
        found[last] = "before the end"
    for number in telling[:1]:
        found.setdefault(number, "tells most")
    for item in separating:
        example = find_item(run, item)
        if example:
            found.setdefault(example, "has what separates")
    for number in telling[1:]:
        found.setdefault(number, "tells most")
    quotes = [Quote(number, turns[number - 1], why) for number, why in found.items()]
    return quotes[:MAX_KEY_TURNS]


def find_item(run: TestRun, item: Item) -> int | None:
    """Return the number of the first agent's turn that has an item."""
    vocabulary = vocabulary_of(item)
    for number, turn in enumerate(run.conversation or [], start=1):
        if not is_agent(turn):
            continue
        said = AgentWords.read(turn.content)
        if item in list_items(said, run.test_case, vocabulary):
            return number
    return None


def quote_item(text: str, item: Item) -> str:
    """Return the words of a turn that are the item, as they are written; "" if there are none."""
    if item.kind == "phrase":
        return find_phrase(text, item.text.split())
    if item.kind == "value":
        for value in find_values(text):
            if item.text in (value.normal, value.bare):
                return text[value.start : value.end]
    return ""


def find_question(turns: Sequence[Turn], number: int) -> int | None:
    """Return the number of the user's turn that an agent's turn answers."""
    for before in range(number - 1, 0, -1):
        if is_user(turns[before - 1]):
            return before
        if is_agent(turns[before - 1]):
            return None
    return None


def _find_last_turn(turns: Sequence[Turn]) -> int | None:
    """Return the number of the agent's last turn that is no goodbye."""
    for number in range(len(turns), 0, -1):
        turn = turns[number - 1]
        if is_agent(turn) and not closes(turn):
            return number
    return None
