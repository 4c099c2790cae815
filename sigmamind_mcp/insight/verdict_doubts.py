"""Find verdicts that deserve a second look, in both directions.

A doubt compares values that the criteria or the remarks name with what the agent says. It is worded
by us alone and quotes what it rests on, so that a person can decide. Only English is read: where
the agent speaks another language, a value in words could be anything.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.endings import is_agent, is_user
from sigmamind_mcp.insight.judge_errors import is_judge_error
from sigmamind_mcp.insight.said_otherwise import (
    MIN_ENGLISH_SHARE,
    is_duration,
    prepare_text,
    says_in_other_unit,
)
from sigmamind_mcp.insight.spoken_values import SpokenValue, find_values, read_values
from sigmamind_mcp.insight.words import split_stems

DoubtKind = Literal["judge error", "passed without it", "failed although said"]

MIN_NUMBER = 10
MAX_COMPLAINTS = 10
MAX_SUBJECT_STEMS = 4

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
_NEGATES = re.compile(r"\b(?:not|never|no|without|instead|nor|neither)\b|n't\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"(?<=[.!?;])\s+|\n+|;\s*")
# "sends the customer to a branch and does not offer a PIN" asks for two things.
_PART_END = re.compile(
    _CLAUSE_END.pattern + r"|,(?!\s*\d)\s*|\s(?:and|but|before|after|then)\s", re.IGNORECASE
)
_COMMA = re.compile(r",(?!\d)\s*")
# "two words" or more, in prose and not in JSON.
_LITERAL = re.compile(
    r"(?<![:{\[] )(?<![:{\[])[\"“]([^\W\d_]+(?:[ ,'-]+[^\W\d_]+)+)[\"”](?!\s?[:\]}])"
)
# A telephone number or the like, in groups.
_GROUPED_DIGITS = re.compile(r"(?<![\w.])(?!\d{4}-\d\d-\d\d\b)\d{2,5}(?:[ /-]\d{2,5}){2,5}(?![\w])")
_MISSING = re.compile(
    r"\b(?:not|never|no|without|fail(?:s|ed)? to|omit(?:s|ted)?|neglect(?:s|ed)?|missing|silent"
    r"|left out|leaves out)\b|n't\b",
    re.IGNORECASE,
)
_SAYING = re.compile(
    r"\b(?:stat|mention|tell|told|say|said|nam(?:e|ing)|inform|explain|quot|giv|learn|quantif"
    r"|disclos"
    r"|communicat|specif|provid)\w*",
    re.IGNORECASE,
)
_ASKING = re.compile(r"\b(?:ask|request|enquir|inquir)\w*", re.IGNORECASE)
_OFFERING = re.compile(r"\b(?:offer|propos|suggest|recommend)\w*", re.IGNORECASE)
_APOLOGY = re.compile(r"\bapolog\w+", re.IGNORECASE)
_IS_SORRY = re.compile(
    r"\b(?:(?:i'm|i am|we're|we are)(?: \w+){0,2} sorry|sorry (?:about|for)|apologi[sz]e"
    r"|apologies)\b"
    r"(?!,? (?:but|i can|i could|we can|no\b))"
)
_CONTRASTS = re.compile(
    r"\b(?:rather than|instead|wrong|incorrect|but (?:it )?(?:said|gave))\b", re.I
)
_EVALUATION_WORDS = frozenset(
    split_stems(
        "conversation chat attempt explicit clear correct criteria criterion required requirement"
        " details mention state stated named name names told tells tell explain explained given"
        " gives never customer user agent does says inform information missing met unmet"
        " anywhere ask asked asks offer offered offers suggest suggested recommend"
        " recommended request requested failed fails"
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
    values: tuple[SpokenValue, ...]
    literals: tuple[str, ...]


def find_doubts(run: TestRun, said: AgentWords) -> list[Doubt]:
    """Return the doubts about the verdict of one test run; `said` is what its agent says."""
    remarks = run.remarks or ""
    doubts = []
    if run.verdict != "undecided" and is_judge_error(remarks):
        doubts.append(Doubt("judge error", remarks))
    if run.verdict == "passed":
        doubts += [Doubt("passed without it", clause) for clause in find_unsaid_clauses(run, said)]
    elif run.verdict == "failed" and not doubts:
        doubts += _find_said(run, remarks)
    return doubts


def find_unsaid_clauses(run: TestRun, said: AgentWords) -> list[str]:
    """Return the clauses of the criteria with a value or phrase that the agent never says."""
    criteria = (run.test_case and run.test_case.success_criteria) or ""
    clauses = [one for one in _list_clauses_to_say(criteria) if _may_lack(one, said)]
    if not clauses or not _is_english(said):
        return []
    turns = run.conversation or []
    spoken = "\n".join(turn.content for turn in turns if is_agent(turn))
    known = "\n".join(turn.content for turn in turns if is_user(turn))
    return [one.clause for one in clauses if _lacks(one, said, spoken, known)]


def _is_english(said: AgentWords) -> bool:
    empty = said.stems.count("")
    return bool(said.stems) and empty >= MIN_ENGLISH_SHARE * len(said.stems)


@lru_cache(maxsize=500)
def _list_clauses_to_say(criteria: str) -> tuple[_ClauseToSay, ...]:
    """Return the clauses of the criteria that ask the agent to say a value or phrase."""
    clauses = []
    has_said = False
    for part in _PART_END.split(criteria):
        clause = part.strip()
        has_said = _SAYS.search(clause) is not None or (
            has_said and _CONTINUES.match(clause) is not None
        )
        if _MUST_NOT.search(_LITERAL.sub(" ", clause)):
            continue
        values = tuple(filter(_is_countable, _read_clause_values(clause))) if has_said else ()
        may_quote = has_said or _SENDS.search(clause)
        quoted = _LITERAL.findall(clause) if may_quote else []
        literals = tuple(" ".join(split_stems(literal)) for literal in quoted)
        if values or literals:
            clauses.append(_ClauseToSay(clause, values, literals))
    return tuple(clauses)


def _read_clause_values(clause: str) -> Iterator[SpokenValue]:
    """Yield the values of a clause; a number in three groups or more is one value."""
    for group in _GROUPED_DIGITS.finditer(clause):
        digits = re.sub(r"\D", "", group[0])
        yield SpokenValue(digits, digits, *group.span())
    yield from find_values(_GROUPED_DIGITS.sub(" ", clause))


def _may_lack(wanted: _ClauseToSay, said: AgentWords) -> bool:
    return bool(wanted.literals) or any(one.bare not in said.values for one in wanted.values)


def _lacks(wanted: _ClauseToSay, said: AgentWords, spoken: str, known: str) -> bool:
    """Whether the agent never says a value or phrase that the user does not know already."""
    text = prepare_text(spoken)
    known_values = read_values(known)
    for value in wanted.values:
        is_there = value.bare in said.values or value.bare in known_values
        if not is_there and not text.may_say(value, wanted.clause):
            return True
    stems = " ".join(said.stems) if wanted.literals else ""
    return any(literal not in stems for literal in wanted.literals)


def _find_said(run: TestRun, remarks: str) -> Iterator[Doubt]:
    """Yield what the remarks miss although one turn of the agent says it."""
    for sentence in islice(_CLAUSE_END.split(remarks), MAX_COMPLAINTS):
        missing = _MISSING.search(sentence)
        if not missing or _CONTRASTS.search(sentence):
            continue
        turn = _find_missed_turn(run, sentence, sentence[missing.start() :])
        if turn:
            yield Doubt("failed although said", sentence.strip(), turn)


def _find_missed_turn(run: TestRun, sentence: str, subject: str) -> int | None:
    """Return the agent's turn with the values or words that a sentence of the remarks misses."""
    if _APOLOGY.search(subject):
        return next(_list_apologies(run), None)
    if _SAYING.search(sentence):
        values = _choose_missed_values(run, sentence, subject)
        turn = _find_fitting_turn(run, lambda said: _tells(said) and _says_all(said, values))
        if values:
            return turn
    stems = frozenset(split_stems(subject)) - {""} - _EVALUATION_WORDS
    if _ASKING.search(subject):
        return _find_fitting_turn(
            run, lambda said: _is_question(said) and _has_stems(said, stems, 1)
        )
    if _OFFERING.search(subject):
        return _find_fitting_turn(run, lambda said: _has_stems(said, stems, 2))
    if _SAYING.search(subject):
        return _find_fitting_turn(run, lambda said: _tells(said) and _has_stems(said, stems, 1))
    return None


def _choose_missed_values(run: TestRun, sentence: str, subject: str) -> list[SpokenValue]:
    """Return the values that a sentence of the remarks misses.

    If it names none, those of the only clause of the criteria that has one of its words.
    """
    stems = frozenset(split_stems(subject)) - {""} - _EVALUATION_WORDS
    if not stems:  # "The deadline is not named."
        subject = sentence
        stems = frozenset(split_stems(subject)) - {""} - _EVALUATION_WORDS
    values = list(find_values(subject))
    if values:
        return values if len(stems) <= MAX_SUBJECT_STEMS and " that " not in subject else []
    criteria = (run.test_case and run.test_case.success_criteria) or ""
    found = []
    for clause in _PART_END.split(criteria):
        values = list(find_values(clause))
        if values and stems & set(split_stems(clause)):
            found.append(values)
    return found[0] if len(found) == 1 else []


def _list_apologies(run: TestRun) -> Iterator[int]:
    for number, turn in enumerate(run.conversation or [], start=1):
        if is_agent(turn) and _IS_SORRY.search(turn.content.lower().replace("’", "'")):
            yield number


def _find_fitting_turn(run: TestRun, fits: Callable[[str], bool]) -> int | None:
    """Return the agent's first turn with a sentence that fits."""
    for number, turn in enumerate(run.conversation or [], start=1):
        if is_agent(turn) and any(map(fits, _list_sentences(turn.content))):
            return number
    return None


def _list_sentences(text: str) -> list[str]:
    """Return the sentences of a text, and their parts, of which only one may be a negation."""
    sentences = _CLAUSE_END.split(text)
    parts = [part for sentence in sentences for part in _COMMA.split(sentence)]
    return [*sentences, *parts]


def _is_question(sentence: str) -> bool:
    return sentence.rstrip().endswith("?")


def _tells(sentence: str) -> bool:
    """Whether a sentence neither asks nor denies."""
    return not _is_question(sentence) and _NEGATES.search(sentence) is None


def _has_stems(sentence: str, stems: frozenset[str], least: int) -> bool:
    if len(stems) < least or _NEGATES.search(sentence):
        return False
    return stems <= set(split_stems(sentence))


def _says_all(sentence: str, values: list[SpokenValue]) -> bool:
    said = read_values(sentence)
    for value in values:
        # A small number alone is there by chance; with its noun, or with others, it is not.
        is_small = value.bare.isdigit() and int(value.bare) < MIN_NUMBER and len(values) == 1
        form = value.normal if is_small else value.bare
        if is_small and " " not in form:
            return False
        in_words = len(form) > 1 and form in prepare_text(sentence).numbers
        if (
            form not in said
            and not in_words
            and not says_in_other_unit(value.normal, sentence.lower())
        ):
            return False
    return True


def _is_countable(value: SpokenValue) -> bool:
    """Whether the agent can hardly state this value in a form that we do not read."""
    if ":" in value.bare:  # "four o'clock"
        return False
    is_long = not value.bare.isdigit() or int(value.bare) >= MIN_NUMBER
    return is_long or is_duration(value.normal)
