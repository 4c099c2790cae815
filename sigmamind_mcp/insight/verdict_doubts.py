"""Find verdicts that deserve a second look, in both directions.

A doubt compares what the criteria or the remarks ask for with what the agent says. It is worded by
us alone and quotes what it rests on, so that a person can decide.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.endings import is_agent
from sigmamind_mcp.insight.spoken_values import find_values, is_telling, read_values
from sigmamind_mcp.insight.words import split_stems

DoubtKind = Literal["judge error", "passed without it", "failed although said"]

MIN_SHARED_STEMS = 3
MIN_NUMBER = 10
MAX_COMPLAINTS = 10
MAX_ERROR_REMARKS = 300

_SAYS = re.compile(
    r"\b(?:states|tells|gives|says|mentions|quotes|names|informs|explains|announces)\b"
    r"|\b(?:must|should|to|has to) (?:state|tell|give|say|mention|quote|name|inform|explain)\b",
    re.IGNORECASE,
)
_MUST_NOT = re.compile(
    r"\b(?:not|never|no|without|unless|if|instead|nor|neither|or)\b|n't\b", re.IGNORECASE
)
_CLAUSE_END = re.compile(r"(?<=[.!?;])\s+|\n+|;\s*")
# "sends the customer to a branch and does not offer a PIN" asks for two things.
_PART_END = re.compile(
    _CLAUSE_END.pattern + r"|,(?!\s*\d)\s*|\s(?:and|but|before|after|then)\s", re.IGNORECASE
)
# "two words" or more, in prose and not in JSON.
_LITERAL = re.compile(
    r"(?<![:{\[] )(?<![:{\[])[\"“]([^\W\d_]+(?:[ ,'-]+[^\W\d_]+)+)[\"”](?!\s?[:\]}])"
)
_MISSING = re.compile(
    r"\b(?:(?:did|does|do|was|were|has|had)(?: not|n't)(?: \w+ly)?|never|failed to|omitted to"
    r"|without|neglected to|no mention of|fails? to)"
    r" (?:(?P<saying>stat|mention|tell|told|say|said|nam|inform|explain)"
    r"|quot|giv|offer|confirm|ask|provid)\w*\b(?P<subject>(?:[^.;!?\n]|\.(?=\d))*)",
    re.IGNORECASE,
)
_JUDGE_ERROR = re.compile(
    r"\brate.?limit|\btoo many requests\b|\b(?:status|error|code|http)\W{0,3}(?:429|5\d\d)\b"
    r"|\b(?:internal server|gateway|connection|api|parse|parsing|json|model) (?:error|timeout)\b"
    r"|\b(?:evaluation|judge|judg(?:e)?ment|evaluator|scoring)\b[^.]{0,40}\b(?:failed|timed? ?out"
    r"|unavailable|could not|error)\b|\b(?:could not|unable to) (?:be )?(?:evaluate|judge|score"
    r"|parse)|\bcontext (?:length|window) exceeded\b|\bquota exceeded\b|\boverloaded\b",
    re.IGNORECASE,
)
_AGENT_IS_SUBJECT = re.compile(r"\b(?:agent|assistant|bot|customer|user|caller)\b", re.IGNORECASE)
_EVALUATION_WORDS = frozenset(
    split_stems(
        "conversation chat attempt explicit clear correct criteria required requirement"
        " details mention"
    )
)


class Doubt(NamedTuple):
    """A verdict that may be wrong; `turn` shows what the remarks miss.

    `asked` is the part of the criteria or remarks that the doubt rests on: words of others.
    """

    kind: DoubtKind
    asked: str
    turn: int | None = None


class _ClauseToSay(NamedTuple):
    """A clause of the criteria with the values and phrases that the agent is to say."""

    clause: str
    values: frozenset[str]
    literals: tuple[str, ...]


def find_doubts(run: TestRun, said: AgentWords) -> list[Doubt]:
    """Return the doubts about the verdict of one test run; `said` is what its agent says."""
    remarks = run.remarks or ""
    if run.verdict == "passed":
        return [
            Doubt("passed without it", clause)
            for clause in find_unsaid_clauses(run.test_case, said)
        ]
    if run.verdict == "failed" and is_judge_error(remarks):
        return [Doubt("judge error", remarks)]
    return list(_find_said(run, remarks)) if run.verdict == "failed" else []


def is_judge_error(remarks: str) -> bool:
    """Whether the remarks report that judging itself failed."""
    is_short = len(remarks) <= MAX_ERROR_REMARKS
    is_error = is_short and _JUDGE_ERROR.search(remarks) is not None
    return is_error and not _AGENT_IS_SUBJECT.search(remarks)


def find_unsaid_clauses(case: TestCase | None, said: AgentWords) -> list[str]:
    """Return the clauses of the criteria with a value or phrase that the agent never says."""
    clauses = _list_clauses_to_say((case and case.success_criteria) or "")
    if not said.stems:
        return []
    return [wanted.clause for wanted in clauses if _lacks(wanted, said)]


@lru_cache(maxsize=500)
def _list_clauses_to_say(criteria: str) -> tuple[_ClauseToSay, ...]:
    """Return the clauses of the criteria that ask the agent to say a value or phrase."""
    clauses = []
    for clause in _PART_END.split(criteria):
        if _MUST_NOT.search(clause):
            continue
        says = _SAYS.search(clause) is not None
        values = {value.bare for value in find_values(clause) if says and _is_countable(value.bare)}
        literals = [" ".join(split_stems(literal)) for literal in _LITERAL.findall(clause)]
        if values or literals:
            clauses.append(_ClauseToSay(clause.strip(), frozenset(values), tuple(literals)))
    return tuple(clauses)


def _lacks(wanted: _ClauseToSay, said: AgentWords) -> bool:
    if wanted.values - said.values:
        return True
    spoken = " ".join(said.stems) if wanted.literals else ""
    return any(literal not in spoken for literal in wanted.literals)


def _find_said(run: TestRun, remarks: str) -> Iterator[Doubt]:
    """Yield what the remarks miss although one turn of the agent says it."""
    for match in islice(_MISSING.finditer(remarks), MAX_COMPLAINTS):
        subject = match["subject"]
        values = {value.bare for value in find_values(subject) if is_telling(value.bare)}
        stems = set(split_stems(subject)) - {""} - _EVALUATION_WORDS
        least = 1 if match["saying"] else MIN_SHARED_STEMS
        if not values and len(stems) < least:
            continue
        turn = _find_turn_with(run, values, stems)
        if turn:
            yield Doubt("failed although said", match[0].strip(), turn)


def _find_turn_with(run: TestRun, values: set[str], stems: set[str]) -> int | None:
    """Return the agent's turn with a sentence that has all of these, and no negation."""
    for number, turn in enumerate(run.conversation or [], start=1):
        if not is_agent(turn):
            continue
        for sentence in _CLAUSE_END.split(turn.content):
            if _MUST_NOT.search(sentence) or "?" in sentence:
                continue
            if values <= read_values(sentence) and stems <= set(split_stems(sentence)):
                return number
    return None


def _is_countable(value: str) -> bool:
    """Whether the agent can hardly state this value in a form that we do not read."""
    if ":" in value:  # "four o'clock"
        return False
    return not value.isdigit() or int(value) >= MIN_NUMBER
