"""Find faults of the test in a transcript: what no real customer would do or say."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.endings import is_user

FaultKind = Literal[
    "user speaks as agent",
    "user drops the role",
    "user states unknown id",
    "text addresses the reader",
]

MIN_ID_CHARACTERS = 6

_SPEAKS_AS_AGENT = re.compile(
    r"\b(?:is there (?:anything|something) else i can (?:help|assist|do for)"
    r"|how (?:can|may) i (?:help|assist) you|thank you for (?:calling|contacting|reaching out)"
    r"|i(?:'m| am) here to (?:help|assist) you)\b",
)
_DROPS_ROLE = re.compile(
    r"\bas an? (?:ai|artificial intelligence|large language model|language model)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|large language model|language model)\b"
    r"|\b(?:this|the|that ends the) simulation\b|\brole-?play(?:ing)?\b|\bthe tester\b"
    r"|\b(?:per|in|says|according to) the (?:test )?(?:scenario|test case)\b|\bmy evaluation:"
)
_ADDRESSES_READER = re.compile(
    r"\b(?:note|message|instructions?|attention)[ ,:]{1,3}(?:to|for)?[ :]{0,2}(?:the |any |all )?"
    r"(?:judges?|evaluators?|graders?|reviewers?|analysts?|ai|assistants?|models?|llms?"
    r"|whoever (?:reads|reviews|grades|analy[sz]es))\s?[:,-]"
    r"|\b(?:ignore|disregard) (?:all |any |your |the ){0,3}(?:previous|prior|above|earlier)"
    r" instructions\b"
    r"|\bmark (?:this|the) (?:test|run|attempt|conversation|case) as (?:passed|failed|success\w*)\b"
    r"|\bif you are (?:an? )?(?:ai|llm|language model|assistant)"
    r" (?:reading|reviewing|analy[sz]ing)\b",
)


class _Phrase(NamedTuple):
    """A pattern in lower case, and plain texts of which it needs one: those are found fast."""

    kind: FaultKind
    pattern: re.Pattern[str]
    needs: tuple[str, ...]
    by_user: bool = True


_PHRASES = (
    _Phrase(
        "user speaks as agent",
        _SPEAKS_AS_AGENT,
        ("i help", "i assist", "i can help", "i can assist", "i do for", "i can do for")
        + ("thank you for c", "thank you for r", "here to help", "here to assist"),
    ),
    _Phrase(
        "user drops the role",
        _DROPS_ROLE,
        ("an ai", "artificial int", "language model", "simulation", "role-play", "roleplay")
        + ("the tester", "scenario", "test case", "my evaluation"),
    ),
    _Phrase(
        "text addresses the reader",
        _ADDRESSES_READER,
        (
            "instruction",
            "note ",
            "note:",
            "note,",
            "message ",
            "attention",
            "mark th",
            "if you are a",
        ),
        by_user=False,
    ),
)

_EMAIL = re.compile(r"[\w.+-]{2,64}@[\w-]{2,60}(?:\.[\w-]{2,20})+")
_ID = re.compile(
    r"(?<![\w@.-])#?(?=[A-Z0-9_-]{0,20}\d)(?=[\d_-]{0,20}[A-Za-z])[A-Za-z0-9]{1,30}"
    r"(?:[-_][A-Za-z0-9]{1,30}){0,4}(?![\w@-])"
)
_ORDINARY = re.compile(
    r"\d+(?:st|nd|rd|th|am|pm|k|m|x|h|hrs?|days?|min|gb|mb|tb|kg|cm|mm|in|ft|oz|ml|l|w|v|p|usd)|\d+-[a-z]+|[a-z]\d|\d[a-z]",
    re.IGNORECASE,
)


class Fault(NamedTuple):
    """A fault of the test, and the turn that shows it."""

    kind: FaultKind
    turn: int


def find_faults(run: TestRun) -> list[Fault]:
    """Return the faults of the test that a transcript shows, the first of each kind."""
    first: dict[FaultKind, Fault] = {}
    for fault in _list_faults(run):
        first.setdefault(fault.kind, fault)
    return list(first.values())


def _list_faults(run: TestRun) -> Iterator[Fault]:
    turns = run.conversation or []
    texts = [turn.content.lower().replace("’", "'") for turn in turns]
    by_user = [text if is_user(turn) else "" for turn, text in zip(turns, texts, strict=True)]
    for phrase in _PHRASES:
        searched = by_user if phrase.by_user else texts
        yield from _find_phrase_turns(phrase, searched)
    yield from _find_unknown_ids(run.test_case, turns)


def _find_phrase_turns(phrase: _Phrase, texts: Sequence[str]) -> Iterator[Fault]:
    everything = "\n".join(texts)
    if not any(need in everything for need in phrase.needs):
        return
    for number, text in enumerate(texts, start=1):
        if phrase.pattern.search(text):
            yield Fault(phrase.kind, number)


def _find_unknown_ids(case: TestCase | None, turns: Sequence[Turn]) -> Iterator[Fault]:
    """Yield the first user's turn with an id that neither the test case nor the agent has given."""
    if case is None or not case.user_prompt:
        return
    given = _collect_given_text(case)
    for number, turn in enumerate(turns, start=1):
        if not is_user(turn):
            continue
        unknown = [
            one for one in map(_squeeze, _find_identifiers(turn.content)) if one not in given
        ]
        if unknown and not _has_all(turns[: number - 1], unknown):
            yield Fault("user states unknown id", number)
            return


def _has_all(turns: Sequence[Turn], squeezed: Sequence[str]) -> bool:
    """Whether the agent's turns have all of these ids."""
    said = _squeeze("".join(turn.content for turn in turns if not is_user(turn)))
    return all(one in said for one in squeezed)


@lru_cache(maxsize=500)
def _squeeze_case(*texts: str) -> str:
    return _squeeze(" ".join(texts))


def _collect_given_text(case: TestCase) -> str:
    """Return all text of the test case, as one text without spaces and punctuation."""
    texts = [case.user_prompt or "", case.success_criteria or ""]
    texts += [mock.value for mock in case.mock_data]
    return _squeeze_case(*texts)


def _find_identifiers(text: str) -> Iterator[str]:
    """Yield the e-mail addresses and ids with letters and digits in a text."""
    # Most words have letters alone, and the patterns are slow.
    others = " ".join(word for word in text.split() if not word.isalpha())
    yield from _EMAIL.findall(others)
    for token in _ID.findall(_EMAIL.sub(" ", others)):
        if len(token) >= MIN_ID_CHARACTERS and not _ORDINARY.fullmatch(token):
            yield token


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
