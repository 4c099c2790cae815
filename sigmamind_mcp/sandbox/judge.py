"""Judge a conversation by its success criteria, from a script: the judge reads only the words.

A clause outside the catalogue decides nothing and is reported as not judged. So is a clause whose
condition did not happen.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sigmamind_mcp.sandbox.criteria import Clause, Criteria, Demand

SIGNATURE = "Scripted sandbox judge:"
MAX_CLAUSE_CHARACTERS = 200

INSISTS = re.compile(
    r"\bI insist\b|\bI still want\b|\bno, (?:thanks|thank you)\b|\bnot interested\b", re.IGNORECASE
)
_ANGER = re.compile(
    r"\bridiculous\b|\bseriously\b|\bthird time\b|\bunacceptable\b|\bfed up\b|\bangry\b",
    re.IGNORECASE,
)

_MEANS_INSISTING = re.compile(r"insist|refus|declin|reject|still want", re.IGNORECASE)
_MEANS_ANGER = re.compile(r"angry|upset|frustrat|furious|annoyed", re.IGNORECASE)
_COMMON_WORDS = frozenset({"customer", "caller", "agent", "there", "about"})

_DENIAL = re.compile(r"\b(?:not|never|no|cannot|unable)\b|n't\b", re.IGNORECASE)
_SENTENCE_START = re.compile(r"[.!?;,]\s")
_CHARACTERS_BEFORE = 80


class SimulatedTurn(NamedTuple):
    """A turn of a simulated conversation."""

    role: str
    content: str


class Judgement(NamedTuple):
    """The verdict on a conversation, and the reasons for it."""

    is_successful: bool
    remarks: str


class ClauseVerdict(NamedTuple):
    """The verdict on one clause; `is_met` is None if the clause decides nothing."""

    clause: Clause
    is_met: bool | None
    note: str


def judge_conversation(criteria: Criteria, turns: Sequence[SimulatedTurn]) -> Judgement:
    """Judge a conversation: it is a success if every clause that decides is met."""
    verdicts = [_judge_demand(demand, turns) for demand in criteria.demands]
    decisions = [verdict.is_met for verdict in verdicts if verdict.is_met is not None]
    is_successful = bool(decisions) and all(decisions)
    return Judgement(is_successful, _write_remarks(verdicts, len(decisions), criteria))


def _write_remarks(verdicts: Sequence[ClauseVerdict], decided: int, criteria: Criteria) -> str:
    remarks = [SIGNATURE]
    if 0 < decided < len(verdicts):
        remarks.append(f"{decided} of {len(verdicts)} clauses decide.")
    for clause, _, note in verdicts:
        remarks.append(f'"{clause.text[:MAX_CLAUSE_CHARACTERS]}": {note}.')
    if criteria.unread_clauses:
        remarks.append(f"{criteria.unread_clauses} further clauses: not judged by the sandbox.")
    if not decided:
        remarks.append("No clause could be judged, so this run is not a success.")
    return " ".join(remarks)


def _judge_demand(demand: Demand, turns: Sequence[SimulatedTurn]) -> ClauseVerdict:
    clause = demand.clause
    if clause.condition is not None and _has_happened(clause.condition, turns) == clause.unless:
        return ClauseVerdict(clause, None, _describe_condition(clause))
    if demand.outcome is None:
        return ClauseVerdict(clause, None, "not judged by the sandbox")
    turn = _find_turn(demand, turns)
    if demand.forbidden:
        return ClauseVerdict(clause, turn is None, f"broken at turn {turn}" if turn else "kept")
    return ClauseVerdict(clause, turn is not None, f"met at turn {turn}" if turn else "not met")


def _describe_condition(clause: Clause) -> str:
    if clause.unless:
        return f"arose (unless {clause.condition})"
    return f"did not arise ({clause.condition})"


def _find_turn(demand: Demand, turns: Sequence[SimulatedTurn]) -> int | None:
    """Return the first turn of the agent that shows what is demanded."""
    for number, turn in enumerate(turns, start=1):
        if turn.role == "assistant" and _shows_demand(turn.content, demand):
            return number
    return None


def _shows_demand(text: str, demand: Demand) -> bool:
    """Tell whether a text says what is demanded, and does not deny it."""
    matches = demand.shown.finditer(text)
    if demand.outcome in ("fact", "stay polite", "decline"):
        return any(matches)
    # "I cannot confirm it" confirms nothing.
    return not all(_is_denied(text, match.start()) for match in matches)


def _is_denied(text: str, position: int) -> bool:
    """Tell whether a negation comes before the position in the same sentence."""
    before = text[max(0, position - _CHARACTERS_BEFORE) : position]
    sentence = _SENTENCE_START.split(before)[-1]
    return _DENIAL.search(sentence) is not None


def _has_happened(condition: str, turns: Sequence[SimulatedTurn]) -> bool:
    """Tell whether the user's words show that a condition happened."""
    user_words = " ".join(turn.content for turn in turns if turn.role == "user")
    if _MEANS_INSISTING.search(condition):
        return INSISTS.search(user_words) is not None
    if _MEANS_ANGER.search(condition):
        return _ANGER.search(user_words) is not None
    words = set(re.findall(r"[a-z]{5,}", condition.lower())) - _COMMON_WORDS
    return any(word[:6] in user_words.lower() for word in words)
