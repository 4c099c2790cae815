"""Read success criteria: split them into clauses, and find what each clause asks for.

Criteria are read as words only. A clause outside the catalogue has no outcome.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_CRITERIA_CHARACTERS = 20_000
MAX_CLAUSES = 40


class Outcome(NamedTuple):
    """What an agent can do: how criteria ask for it, and how the agent's words show it."""

    name: str
    asked: re.Pattern[str]
    shown: re.Pattern[str]


# A clause gets the first outcome that it asks for, so the more specific outcomes come first.
CATALOGUE = (
    Outcome(
        name="decline",
        asked=re.compile(
            r"\brefus|\bdeclin|\bturn(?:s|ed)? (?:\w+ )?down\b|\bsays? no\b", re.IGNORECASE
        ),
        shown=re.compile(
            r"\b(?:I|we) (?:cannot|can't|am not able|are not able|am unable|are unable|will not"
            r"|won't)\b"
            r"|\bnot possible\b",
            re.IGNORECASE,
        ),
    ),
    Outcome(
        name="verify identity",
        asked=re.compile(
            r"\bverif|\bauthenticat|\bidentity\b"
            r"|\bask\w* for (?:the|their|his|her) (?:full )?(?:name|email|date of birth)",
            re.IGNORECASE,
        ),
        shown=re.compile(
            r"your (?:full name|date of birth|email address)|verify (?:who you are|your identity)"
            r"|matches our records",
            re.IGNORECASE,
        ),
    ),
    Outcome(
        name="escalate",
        asked=re.compile(
            r"\bescalat|\btransfer|\bhand(?:s|ed)? (?:\w+ )?over|\bhuman\b|\bsupervisor\b"
            r"|\bspecialist\b|\bcolleague\b",
            re.IGNORECASE,
        ),
        shown=re.compile(
            r"(?:connect|transfer|hand) you (?:over )?(?:to|with)"
            r"|(?:colleague|specialist|supervisor) will",
            re.IGNORECASE,
        ),
    ),
    Outcome(
        name="promise",
        asked=re.compile(r"\bpromis|\bguarantee", re.IGNORECASE),
        shown=re.compile(r"\bI promise|\bI guarantee|\bguaranteed\b", re.IGNORECASE),
    ),
    Outcome(
        name="grant a refund",
        asked=re.compile(
            r"\b(?:offer|giv|grant|issu)\w* (?:an? |any |the |full |partial )*(?:refund|discount"
            r"|compensation)",
            re.IGNORECASE,
        ),
        shown=re.compile(
            r"\brefunded\b|\bissued (?:a|the|your) refund"
            r"|\b(?:refund|discount|compensation) in full\b",
            re.IGNORECASE,
        ),
    ),
    Outcome(
        name="apologise",
        asked=re.compile(r"\bapolog|\bsorry\b|\bregret", re.IGNORECASE),
        shown=re.compile(r"\bsorry\b|\bapologi[sz]e", re.IGNORECASE),
    ),
    Outcome(
        name="offer alternatives",
        asked=re.compile(
            r"\balternativ|\bretention\b|\boffer|\boptions?\b|\bpropos|\bsuggest", re.IGNORECASE
        ),
        shown=re.compile(r"\binstead\b|\balternativ|\boptions?\b|\bwe could also\b", re.IGNORECASE),
    ),
    Outcome(
        name="acknowledge",
        asked=re.compile(r"\backnowledg|\brecogni[sz]|\bempath|\bunderstand", re.IGNORECASE),
        shown=re.compile(
            r"\bI understand\b|\bI see why\b|\bthank you for telling\b|\bthat must be\b",
            re.IGNORECASE,
        ),
    ),
    Outcome(
        name="explain",
        asked=re.compile(r"\bexplain|\breasons?\b|\bwhy\b|\bpolic(?:y|ies)\b", re.IGNORECASE),
        shown=re.compile(r"\bbecause\b|\bthe reason\b|\bour policy\b", re.IGNORECASE),
    ),
    Outcome(
        name="name the next step",
        asked=re.compile(
            r"\bnext steps?\b|\btimelines?\b|\bhow long\b|\bfollow[- ]up\b|\bby when\b"
            r"|\b(?:tell|say|inform|explain)\w* (?:\w+ ){0,2}when\b",
            re.IGNORECASE,
        ),
        shown=re.compile(
            r"\bwithin \d|\bby tomorrow\b|\byou will receive\b|\bnext step\b", re.IGNORECASE
        ),
    ),
    Outcome(
        name="confirm",
        asked=re.compile(r"\bconfirm|\bcomplet|\bprocess(?:es)?\b|\bfinali[sz]", re.IGNORECASE),
        shown=re.compile(
            r"\bis confirmed\b|\bI confirm\b|\bI have now\b|\ball done\b", re.IGNORECASE
        ),
    ),
)

# These two come after the mock data: "greets by name" asks for the name, not for a hello.
GREET = Outcome(
    name="greet",
    asked=re.compile(r"\bgreet|\bwelcom", re.IGNORECASE),
    shown=re.compile(r"\b(?:hello|hi|welcome|good (?:morning|afternoon|evening))\b", re.IGNORECASE),
)
POLITE = re.compile(
    r"\bpolite|\bcourte|\bprofessional|\bfriendly\b|\brespectful|\bcalm\b", re.IGNORECASE
)
RUDE = re.compile(
    r"\bnot my problem\b|\bcalm down\b|\bstupid\b|\byour own fault\b|\bstop wasting\b",
    re.IGNORECASE,
)

# The clause asks the agent to state a fact.
STATES = re.compile(
    r"\bstat(?:es?|ing)\b|\bmention|\bgives?\b|\bprovid|\btells?\b|\bquot|\binclud"
    r"|\bread(?:s|ing)? back|\bby name\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|no|nor|without|avoids?|refrains?|rather than|instead of)\b(?! only\b)|n't\b",
    re.IGNORECASE,
)


class Clause(NamedTuple):
    """One demand of the criteria.

    The clause counts only if `condition` happens, or with `unless` only if it does not happen.
    """

    text: str
    condition: str | None = None
    unless: bool = False
    forbidden: bool = False


class Demand(NamedTuple):
    """A clause and the words that show it; `outcome` is None for one outside the catalogue."""

    clause: Clause
    outcome: str | None
    shown: re.Pattern[str]
    fact: str | None = None
    forbidden: bool = False


@dataclass(frozen=True)
class Criteria:
    """The success criteria of a test case as the judge reads them, once for all attempts."""

    demands: tuple[Demand, ...]
    unread_clauses: int

    @property
    def asked(self) -> set[str]:
        """The outcomes that the criteria name, the forbidden ones included."""
        return {demand.outcome for demand in self.demands if demand.outcome}

    @property
    def forbidden(self) -> set[str]:
        """The outcomes that the criteria forbid."""
        forbidden = filter(_is_forbidden, self.demands)
        return {demand.outcome for demand in forbidden if demand.outcome}

    @property
    def facts(self) -> list[str]:
        """The mock variables whose values the agent has to state, each once."""
        required = [demand.fact for demand in self.demands if not demand.forbidden]
        return list(dict.fromkeys(filter(None, required)))

    @property
    def conditions(self) -> list[str]:
        """The conditions of all clauses."""
        conditions = [demand.clause.condition for demand in self.demands]
        return list(filter(None, conditions))


class _Fact(NamedTuple):
    """A mock variable with a value."""

    name: str
    name_words: set[str]
    value: str


def read_criteria(criteria: str, mock_data: Mapping[str, str]) -> Criteria:
    """Return what the criteria ask for; mock data holds the facts that they can name."""
    clauses = split_clauses(criteria)
    facts = [_Fact(name, _collect_words(name), value) for name, value in mock_data.items()]
    known_facts = [fact for fact in facts if fact.value.strip()]
    demands = tuple(_read_demand(clause, known_facts) for clause in clauses[:MAX_CLAUSES])
    return Criteria(demands, unread_clauses=len(clauses[MAX_CLAUSES:]))


def _is_forbidden(demand: Demand) -> bool:
    return demand.forbidden


_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|\n+")
_COMMA = re.compile(r",\s+")
_JOINT = re.compile(
    r"\s+(?:(and|then|but|or)\s+|(?=without\s|rather than\s|instead of\s))", re.IGNORECASE
)
_VERB = re.compile(
    r"(?:name|give|tell|use|ask|read|list|set|send|keep|make|thank|greet|close|end|stay|show|check"
    r"|note|log|help|speak|get|put|take|let|point|refer|summari[sz]e|describe|answer|respond|write"
    r"|schedule|book|cancel|refund)s?\s+\S+\s*\S*",
    re.IGNORECASE,
)
_FIRST_JOINT = re.compile(r"\s*(and|then|but|or)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"(?:(?:and|then|but|or|also|it|they|finally|first|next|the agent|agent|should|must|has to"
    r"|needs? to|will|always)\b[\s,:]*)+",
    re.IGNORECASE,
)
_CONDITION_FIRST = re.compile(r"^(if|when|once|unless)\s+(.+)$", re.IGNORECASE)
_CONDITION_LAST = re.compile(r"^(.+?)\s+(if|when|once|unless)\s+(?!to\b)(.+)$", re.IGNORECASE)
# "Tells the customer when …": what follows is told, not a condition.
_REPORTING = re.compile(r"\b(?:tell|say|explain|inform|ask|check)\w*(?: \w+){0,2}$", re.IGNORECASE)


class _Condition(NamedTuple):
    text: str | None = None
    unless: bool = False


class _Span(NamedTuple):
    """A part of a text, and the word that joins it to the part before."""

    joint: str
    start: int
    end: int


class _Piece(NamedTuple):
    """The text of one demand, and the word that joins it to the demand before."""

    joint: str
    text: str


def split_clauses(criteria: str) -> list[Clause]:
    """Split criteria at sentences and commas, and at "and" where both sides ask for something."""
    # A pattern would search a long run of spaces again from each of its places.
    text = re.sub(r"[^\S\n]+", " ", criteria[:MAX_CRITERIA_CHARACTERS])
    clauses: list[Clause] = []
    for sentence in _SENTENCE_END.split(text):
        clauses += _split_sentence(sentence)
    return clauses


def _split_sentence(sentence: str) -> Iterator[Clause]:
    parts = _COMMA.split(sentence)
    # "not A, B, or C" forbids all three; "not A, and B" forbids only the first.
    is_or_list = any(part[:3].lower() == "or " for part in parts)
    condition = _Condition()
    forbidden = False
    for part in parts:
        leading = _CONDITION_FIRST.match(_strip_lead(part))
        if leading:
            condition = _Condition(leading.group(2), leading.group(1).lower() == "unless")
            continue
        for piece in _split_demands(part):
            text = _strip_lead(piece.text)
            if not text:
                continue
            continues = piece.joint == "or" or (is_or_list and not piece.joint)
            forbidden = (forbidden and continues) or _is_negated(text)
            yield _build_clause(text, condition, forbidden=forbidden)


def _build_clause(text: str, condition: _Condition, *, forbidden: bool) -> Clause:
    """Return the clause; a condition at its end replaces the one at the start of the sentence."""
    trailing = _CONDITION_LAST.match(text)
    if trailing is None or _REPORTING.search(trailing.group(1)):
        return Clause(text, condition.text, condition.unless, forbidden)
    demand, conjunction, trailing_condition = trailing.groups()
    return Clause(demand, trailing_condition, conjunction.lower() == "unless", forbidden)


def _split_demands(part: str) -> Iterator[_Piece]:
    """Yield the demands of a part; text that asks for nothing stays with its neighbour."""
    first = _FIRST_JOINT.match(part)
    joint = first.group(1).lower() if first else ""
    start = end = 0
    asks = is_negated = False
    for span in _split_at_joints(part):
        text = part[span.start : span.end]
        asks_too = _find_request(text) is not None
        begins_demand = asks_too or _VERB.match(_strip_lead(text))
        may_split = span.joint != "or" or is_negated
        if asks and begins_demand and may_split:
            yield _Piece(joint, part[start:end])
            joint, start = span.joint, span.start
            asks = is_negated = False
        asks = asks or asks_too
        is_negated = is_negated or bool(_NEGATION.search(text))
        end = span.end
    yield _Piece(joint, part[start:])


def _split_at_joints(part: str) -> Iterator[_Span]:
    """Yield the spans between the words at which a part can be split."""
    joint, start = "", 0
    for match in _JOINT.finditer(part):
        yield _Span(joint, start, match.start())
        joint, start = (match.group(1) or "but").lower(), match.end()
    yield _Span(joint, start, len(part))


def _find_request(text: str) -> re.Match[str] | None:
    """Return the place where the text asks for something that can be judged."""
    outcomes = [outcome.asked for outcome in (*CATALOGUE, GREET)]
    for pattern in (*outcomes, POLITE, STATES):
        match = pattern.search(text)
        if match:
            return match
    return None


def _is_negated(text: str) -> bool:
    """Tell whether a negation comes before the request."""
    # "Confirms that it is not possible" asks for a confirmation.
    request = _find_request(text)
    end = request.start() if request else len(text)
    return _NEGATION.search(text, 0, end) is not None


def _strip_lead(text: str) -> str:
    text = text.strip().rstrip(".;!?").strip()
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def _read_demand(clause: Clause, facts: Sequence[_Fact]) -> Demand:
    fact = _find_fact(clause.text, facts)
    if fact:
        shown = re.compile(rf"(?<!\w){re.escape(fact.value.strip())}(?!\w)", re.IGNORECASE)
        return Demand(clause, "fact", shown, fact.name, clause.forbidden)
    for outcome in (*CATALOGUE, GREET):
        if outcome.asked.search(clause.text):
            return Demand(clause, outcome.name, outcome.shown, forbidden=clause.forbidden)
    if POLITE.search(clause.text):
        # Politeness is kept as long as no rude word is said.
        return Demand(clause, "stay polite", RUDE, forbidden=not clause.forbidden)
    return Demand(clause, None, RUDE)


def _find_fact(clause: str, facts: Sequence[_Fact]) -> _Fact | None:
    """Return the fact that the clause wants to be stated."""
    if not STATES.search(clause):
        return None
    text, words = clause.casefold(), _collect_words(clause)
    for fact in facts:
        is_by_name = "by name" in text and "name" in fact.name_words
        is_named = bool(fact.name_words) and fact.name_words <= words
        is_quoted = len(fact.value) > 2 and fact.value.casefold() in text
        if is_by_name or is_named or is_quoted:
            return fact
    return None


def _collect_words(text: str) -> set[str]:
    """Return the words of a text or of a name in snake_case or camelCase."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)
    return set(re.findall(r"[a-z0-9]+", spaced.lower()))
