"""Tell how a conversation ended, from who spoke last and a few stock phrases.

The order of the turns decides first, in every language. Only English phrases are known.
"""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Literal

from sigmamind_mcp.api.conversations import Turn

Ending = Literal[
    "closed",
    "handed over",
    "agent silent",
    "action promised",
    "on the user's go-ahead",
    "limit reached",
    "user spoke last",
    "agent spoke last",
    "no transcript",
]

LAST_TURNS = 4
CLOSING_CHARACTERS = 250
MIN_RUNS_AT_LIMIT = 3
MIN_LIMIT_TURNS = 20
MIN_LIMIT_RATIO = 2
"""How many times as long as most conversations a limit is, at least."""

_CLOSING = re.compile(
    r"\b(?:thank(?:s| you)|goodbye|bye|take care|have a (?:\w+ )?(?:day|one|evening|weekend|trip"
    r"|flight|time)|that(?:'s| is|'ll be| will be) (?:all|it|everything)|all (?:set|i needed)"
    r"|feel free to (?:reach|ask|contact)|you're (?:very )?welcome|you too)\b",
    re.IGNORECASE,
)
_YES_FIRST = re.compile(
    r"\W{0,3}(?:yes|yep|yeah|sure|correct|ok(?:ay)?|absolutely|perfect|great|confirmed)\b",
    re.IGNORECASE,
)
_GO_AHEAD = re.compile(
    r"\b(?:please (?:do|proceed|go ahead)|go ahead|proceed|i (?:confirm|agree))\b", re.IGNORECASE
)
_GO_AHEAD_WORDS = ("please do", "proceed", "go ahead", "i confirm", "i agree")
_ASKS_TO_CONFIRM = re.compile(
    r"\b(?:confirm|proceed|go ahead|shall i|should i|would you like (?:me )?to|do you want me to"
    r"|reply (?:with )?[\"'“*]*yes|yes[\"'”*]* (?:or|to))\b",
    re.IGNORECASE,
)
_CONFIRM_WORDS = (
    "confirm", "proceed", "go ahead", "shall i", "should i", "would you like", "do you want", "yes",
)  # fmt: skip
_HAND_OVER = re.compile(
    r"\btransfer(?:red|ring)? (?:you|the (?:call|chat|user|customer))\b"
    r"|\b(?:being|been|be) (?:transferred|connected|put through|handed over)\b"
    r"|\btransfer_to_human|\bconnect(?:ing)? you (?:to|with) (?:a|an|our|one|someone)\b",
    re.IGNORECASE,
)
_HAND_OVER_WORDS = ("transfer", "connect", "put through", "handed over")
_PROMISES_ACTION = re.compile(
    r"\b(?:(?:please )?hold on|(?:one|a|just a) (?:moment|minute|second)|bear with me)\b",
    re.IGNORECASE,
)
_SAYS_ALL = re.compile(
    r"\b(?:(?:that|this)(?:'s| is) (?:all|it)|all (?:set|i)|bye)\b", re.IGNORECASE
)
_IS_ANYONE_THERE = re.compile(
    r"\b(?:hello|anyone|anybody|you|still) (?:still )?(?:there|here)\?|^\W*hello\?", re.IGNORECASE
)


def find_endings(conversations: Sequence[Sequence[Turn]]) -> list[Ending]:
    """Return how each conversation of a batch run ended."""
    limit = _find_limit(conversations)
    return [find_ending(turns, limit=limit) for turns in conversations]


def find_ending(conversation: Sequence[Turn], *, limit: int | None = None) -> Ending:
    """Return how a conversation ended; `limit` is the number of turns at which all are cut."""
    turns = [turn for turn in conversation if turn.content.strip()]
    if not turns:
        return "no transcript"
    last_turns = turns[-LAST_TURNS:]
    if any(map(_hands_over, last_turns)):
        return "handed over"
    spoken = [turn for turn in turns if is_speech(turn)]
    if not spoken:
        return "agent spoke last"
    last = spoken[-1]
    if is_user(last):
        return _find_ending_of_user(spoken, is_cut=len(conversation) == limit)
    if _PROMISES_ACTION.search(last.content):
        return "action promised"
    before = spoken[-2] if len(spoken) > 1 else None
    user_closes = before and is_user(before) and _CLOSING.search(before.content)
    if user_closes or _CLOSING.search(last.content):
        return "closed"
    return "limit reached" if len(conversation) == limit else "agent spoke last"


def find_go_aheads(conversation: Sequence[Turn]) -> list[int]:
    """Return the numbers of the turns in which the user says yes to the agent."""
    found = []
    asked: Turn | None = None
    for number, turn in enumerate(conversation, start=1):
        if is_agent(turn):
            asked = turn
        elif is_user(turn):
            if asked and _says_yes(turn, asked, only_actions=False):
                found.append(number)
            asked = None
    return found


def _says_yes(turn: Turn, asked: Turn, *, only_actions: bool) -> bool:
    asks_anything = not only_actions and "?" in asked.content
    if not asks_anything and not _has(_ASKS_TO_CONFIRM, asked.content, _CONFIRM_WORDS):
        return False
    says_yes_first = _YES_FIRST.match(turn.content) is not None
    return says_yes_first or _has(_GO_AHEAD, turn.content, _GO_AHEAD_WORDS)


def _hands_over(turn: Turn) -> bool:
    return not is_user(turn) and _has(_HAND_OVER, turn.content, _HAND_OVER_WORDS)


def _has(pattern: re.Pattern[str], text: str, words: Sequence[str]) -> bool:
    """Whether a text has the pattern, each match of which has one of the words."""
    # Few texts have a word, and a pattern that ignores the case takes 40 times as long to search.
    if text.isascii():
        plain = text.lower()
        if not any(word in plain for word in words):
            return False
    return pattern.search(text) is not None


def is_user(turn: Turn) -> bool:
    """Whether the simulated user speaks."""
    return turn.side == "user"


def is_agent(turn: Turn) -> bool:
    """Whether the agent speaks."""
    return turn.side == "agent"


def is_speech(turn: Turn) -> bool:
    """Whether user or agent speak; turns of tools and of the system are data."""
    return turn.side in ("user", "agent")


def closes(turn: Turn) -> bool:
    """Whether somebody thanks or says goodbye, and hardly more."""
    return len(turn.content) <= CLOSING_CHARACTERS and _CLOSING.search(turn.content) is not None


def _find_limit(conversations: Sequence[Sequence[Turn]]) -> int | None:
    """Return the length that the longest conversations share, if it can be a limit."""
    lengths = Counter(map(len, conversations))
    longest = max(lengths, default=0)
    if longest < MIN_LIMIT_TURNS or lengths[longest] < MIN_RUNS_AT_LIMIT:
        return None
    return longest if longest >= MIN_LIMIT_RATIO * median(lengths.elements()) else None


def _find_ending_of_user(spoken: Sequence[Turn], *, is_cut: bool) -> Ending:
    """Return the ending of a conversation whose last turns are the user's."""
    agent_turns = [number for number, turn in enumerate(spoken) if is_agent(turn)]
    last_of_agent = agent_turns[-1] if agent_turns else -1
    unanswered = spoken[last_of_agent + 1 :]
    if any(_IS_ANYONE_THERE.search(turn.content) for turn in unanswered):
        return "agent silent"
    first, last = unanswered[0], unanswered[-1]
    says_all = _SAYS_ALL.search(last.content) is not None
    if last_of_agent >= 0 and not says_all:
        asked = spoken[last_of_agent]
        if _says_yes(first, asked, only_actions=True):
            return "on the user's go-ahead"
    if _CLOSING.search(last.content):
        return "closed"
    if is_cut:
        return "limit reached"
    return "agent silent" if len(unanswered) > 1 else "user spoke last"
