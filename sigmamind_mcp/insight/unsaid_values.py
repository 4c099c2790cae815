"""Tell whether the agent leaves out a value or a phrase that the criteria ask it to say.

Only English is read: where the agent speaks another language, a value in words could be anything.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.endings import is_agent, is_user
from sigmamind_mcp.insight.said_otherwise import SaidText, is_duration
from sigmamind_mcp.insight.spoken_values import SpokenValue, find_values, read_values
from sigmamind_mcp.insight.words import split_stems
from sigmamind_mcp.remembered_texts import remember_texts

MIN_NUMBER = 10
MIN_ENGLISH_SHARE = 0.2

_SAYS = re.compile(
    r"\b(?:states|tells|gives|says|mentions|quotes|names|informs|explains|announces|repeats)\b"
    r"|(?:\b(?:must|should|to|has to)|^) ?(?:state|tell|give|say|mention|quote|name|inform|explain"
    r"|repeat)\b",
    re.IGNORECASE,
)
_SENDS = re.compile(r"\b(?:sends?|refers?|directs?|points?)\b", re.IGNORECASE)
# "and the term of 12 months" continues what the part before it asks for.
_CONTINUES = re.compile(
    r"(?:the|that|a|an|its|their|how|when|\d|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
_MUST_NOT = re.compile(
    r"\b(?:not|never|no|without|unless|if|instead|nor|neither|or|than|under|below|above|between"
    r"|within budget|at least|at most)\b|n't\b",
    re.IGNORECASE,
)
# "sends the customer to a branch and does not offer a PIN" asks for two things.
_PART_END = re.compile(
    r"(?<=[.!?;])\s+|\n+|;\s*|,(?!\s*\d)\s*|\s(?:and|but|before|after|then)\s", re.IGNORECASE
)
# "two words" or more, in prose and not in JSON.
_LITERAL = re.compile(
    r"(?<![:{\[] )(?<![:{\[])[\"“]([^\W\d_]+(?:[ ,'-]+[^\W\d_]+)+)[\"”](?!\s?[:\]}])"
)
# A telephone number or the like, in groups.
_GROUPED_DIGITS = re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d\b)\d{2,5}(?:[ /-]\d{2,5}){2,5}(?![\w])")


class _ClauseToSay(NamedTuple):
    """A clause of the criteria with the values and phrases that the agent is to say."""

    clause: str
    values: tuple[SpokenValue, ...]
    literals: tuple[str, ...]


def has_unsaid_value(run: TestRun, said: AgentWords) -> bool:
    """Whether the criteria ask for a value or phrase that the agent never says."""
    criteria = (run.test_case and run.test_case.success_criteria) or ""
    clauses = [clause for clause in _list_clauses_to_say(criteria) if _may_lack(clause, said)]
    if not clauses or not _is_english(said):
        return False
    by_agent = []
    by_user = []
    for turn in run.conversation or []:
        if is_agent(turn):
            by_agent.append(turn.content)
        elif is_user(turn):
            by_user.append(turn.content)
    text = SaidText("\n".join(by_agent))
    known = read_values("\n".join(by_user))
    return any(_lacks(clause, said, text, known) for clause in clauses)


def _is_english(said: AgentWords) -> bool:
    empty = said.stems.count("")
    return bool(said.stems) and empty >= MIN_ENGLISH_SHARE * len(said.stems)


@remember_texts(maxsize=500)
def _list_clauses_to_say(criteria: str) -> tuple[_ClauseToSay, ...]:
    """Return the clauses of the criteria that ask the agent to say a value or phrase."""
    clauses = []
    has_said = False
    for part in _PART_END.split(criteria):
        clause = part.strip()
        says = _SAYS.search(clause) is not None
        continues = has_said and _CONTINUES.match(clause) is not None
        has_said = says or continues
        if _MUST_NOT.search(_LITERAL.sub(" ", clause)):
            continue
        values: list[SpokenValue] = []
        literals: list[str] = []
        if has_said:
            values += filter(_is_countable, _read_clause_values(clause))
        if has_said or _SENDS.search(clause):
            for literal in _LITERAL.findall(clause):
                literals.append(" ".join(split_stems(literal)))
        if values or literals:
            clauses.append(_ClauseToSay(clause, tuple(values), tuple(literals)))
    return tuple(clauses)


def _read_clause_values(clause: str) -> Iterator[SpokenValue]:
    """Yield the values of a clause; a number in three groups or more is one value."""
    for group in _GROUPED_DIGITS.finditer(clause):
        digits = re.sub(r"\D", "", group[0])
        yield SpokenValue(digits, digits, *group.span())
    yield from find_values(_GROUPED_DIGITS.sub(" ", clause))


def _may_lack(wanted: _ClauseToSay, said: AgentWords) -> bool:
    if wanted.literals:
        return True
    return any(value.bare not in said.values for value in wanted.values)


def _lacks(wanted: _ClauseToSay, said: AgentWords, text: SaidText, known: frozenset[str]) -> bool:
    """Whether the agent never says a value or phrase that the user does not know already."""
    for value in wanted.values:
        is_there = value.bare in said.values or value.bare in known
        if not is_there and not text.may_say(value, wanted.clause):
            return True
    stems = " ".join(said.stems) if wanted.literals else ""
    return any(literal not in stems for literal in wanted.literals)


def _is_countable(value: SpokenValue) -> bool:
    """Whether the agent can hardly state this value in a form that we do not read."""
    if ":" in value.bare:  # "four o'clock"
        return False
    is_long = not value.bare.isdigit() or int(value.bare) >= MIN_NUMBER
    return is_long or is_duration(value.normal)
