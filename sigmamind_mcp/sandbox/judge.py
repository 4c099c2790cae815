"""The scripted judge: finds a catalogue of outcomes in the clauses of `successCriteria`, then in the conversation.

It reads nothing but the words. A clause outside the catalogue decides nothing and is reported as not judged; so is
a clause on a condition that did not arise.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SIGNATURE = "Scripted sandbox judge:"
MAX_CRITERIA = 20_000
MAX_CLAUSES = 40


class Outcome(NamedTuple):
    """Something an agent can do: how criteria ask for it, and how an agent's words show it."""

    name: str
    asked: re.Pattern[str]
    shown: re.Pattern[str]


def _outcome(name: str, asked: str, shown: str) -> Outcome:
    return Outcome(name, re.compile(asked, re.IGNORECASE), re.compile(shown, re.IGNORECASE))


CATALOGUE = (
    _outcome(
        "decline",
        r"\brefus|\bdeclin|\bturn(?:s|ed)? (?:\w+ )?down\b|\bsays? no\b",
        r"\b(?:I|we) (?:cannot|can't|am not able|are not able|am unable|are unable|will not|won't)\b|\bnot possible\b",
    ),
    _outcome(
        "verify identity",
        r"\bverif|\bauthenticat|\bidentity\b|\bask\w* for (?:the|their|his|her) (?:full )?(?:name|email|date of birth)",
        r"your (?:full name|date of birth|email address)|verify (?:who you are|your identity)|matches our records",
    ),
    _outcome(
        "escalate",
        r"\bescalat|\btransfer|\bhand(?:s|ed)? (?:\w+ )?over|\bhuman\b|\bsupervisor\b|\bspecialist\b|\bcolleague\b",
        r"(?:connect|transfer|hand) you (?:over )?(?:to|with)|(?:colleague|specialist|supervisor) will",
    ),
    _outcome("promise", r"\bpromis|\bguarantee", r"\bI promise|\bI guarantee|\bguaranteed\b"),
    _outcome(
        "grant a refund",
        r"\b(?:offer|giv|grant|issu)\w* (?:an? |any |the |full |partial )*(?:refund|discount|compensation)",
        r"\brefunded\b|\bissued (?:a|the|your) refund|\b(?:refund|discount|compensation) in full\b",
    ),
    _outcome("apologise", r"\bapolog|\bsorry\b|\bregret", r"\bsorry\b|\bapologi[sz]e"),
    _outcome(
        "offer alternatives",
        r"\balternativ|\bretention\b|\boffer|\boptions?\b|\bpropos|\bsuggest",
        r"\binstead\b|\balternativ|\boptions?\b|\bwe could also\b",
    ),
    _outcome(
        "acknowledge",
        r"\backnowledg|\brecogni[sz]|\bempath|\bunderstand",
        r"\bI understand\b|\bI see why\b|\bthank you for telling\b|\bthat must be\b",
    ),
    _outcome(
        "explain",
        r"\bexplain|\breasons?\b|\bwhy\b|\bpolic(?:y|ies)\b",
        r"\bbecause\b|\bthe reason\b|\bour policy\b",
    ),
    _outcome(
        "name the next step",
        r"\bnext steps?\b|\btimelines?\b|\bhow long\b|\bfollow[- ]up\b|\bby when\b"
        r"|\b(?:tell|say|inform|explain)\w* (?:\w+ ){0,2}when\b",
        r"\bwithin \d|\bby tomorrow\b|\byou will receive\b|\bnext step\b",
    ),
    _outcome(
        "confirm",
        r"\bconfirm|\bcomplet|\bprocess(?:es)?\b|\bfinali[sz]",
        r"\bis confirmed\b|\bI confirm\b|\bI have now\b|\ball done\b",
    ),
)
"""What the judge can find, the more specific first: a clause is judged by the first outcome that it asks for."""

# These two come after the facts of the mock data: "greets by name" asks for the name, not for a hello.
GREET = _outcome(
    "greet", r"\bgreet|\bwelcom", r"\b(?:hello|hi|welcome|good (?:morning|afternoon|evening))\b"
)
POLITE = re.compile(
    r"\bpolite|\bcourte|\bprofessional|\bfriendly\b|\brespectful|\bcalm\b", re.IGNORECASE
)
RUDE = re.compile(
    r"\bnot my problem\b|\bcalm down\b|\bstupid\b|\byour own fault\b|\bstop wasting\b",
    re.IGNORECASE,
)

STATES = re.compile(
    r"\bstat(?:es?|ing)\b|\bmention|\bgives?\b|\bprovid|\btells?\b|\bquot|\binclud|\bread(?:s|ing)? back|\bby name\b",
    re.IGNORECASE,
)
NEGATED = re.compile(
    r"\b(?:not|never|no|nor|without|avoids?|refrains?|rather than|instead of)\b(?! only\b)|n't\b",
    re.IGNORECASE,
)
INSISTS = re.compile(
    r"\bI insist\b|\bI still want\b|\bno, (?:thanks|thank you)\b|\bnot interested\b", re.IGNORECASE
)
ANGRY = re.compile(
    r"\bridiculous\b|\bseriously\b|\bthird time\b|\bunacceptable\b|\bfed up\b|\bangry\b",
    re.IGNORECASE,
)

_SENTENCES = re.compile(r"(?<=[.;!?])\s+|\n+")
_COMMAS = re.compile(r",\s+")
_JOINTS = re.compile(
    r"\s+(?:(and|then|but|or)\s+|(?=without\s|rather than\s|instead of\s))", re.IGNORECASE
)
_VERB = re.compile(
    r"(?:name|give|tell|use|ask|read|list|set|send|keep|make|thank|greet|close|end|stay|show|check|note|log|help|speak|"
    r"get|put|take|let|point|refer|summari[sz]e|describe|answer|respond|write|schedule|book|cancel|refund)s?\s+\S+\s*\S*",
    re.IGNORECASE,
)
_FIRST_WORD = re.compile(r"\s*(and|then|but|or)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"(?:(?:and|then|but|or|also|it|they|finally|first|next|the agent|agent|should|must|has to|needs? to|will|always)"
    r"\b[\s,:]*)+",
    re.IGNORECASE,
)
_CONDITION_FIRST = re.compile(r"^(if|when|once|unless)\s+(.+)$", re.IGNORECASE)
_CONDITION_LAST = re.compile(r"^(.+?)\s+(if|when|once|unless)\s+(?!to\b)(.+)$", re.IGNORECASE)
_REPORTS = re.compile(r"\b(?:tell|say|explain|inform|ask|check)\w*(?: \w+){0,2}$", re.IGNORECASE)
_DENIES = re.compile(r"\b(?:not|never|no|cannot|unable)\b|n't\b", re.IGNORECASE)
_SENTENCE_START = re.compile(r"[.!?;,]\s")
_WORDS_BEFORE = 80


class Turn(NamedTuple):
    role: str
    content: str


class Clause(NamedTuple):
    """One demand of the criteria.

    `condition` is what must have happened for it to count, or with `unless` what must not have happened.
    """

    text: str
    condition: str | None = None
    unless: bool = False
    forbidden: bool = False


class Demand(NamedTuple):
    """A clause and what to look for; `outcome` is None for one outside the catalogue."""

    clause: Clause
    outcome: str | None
    shown: re.Pattern[str]
    fact: str | None = None
    forbidden: bool = False


@dataclass(frozen=True)
class Criteria:
    """The success criteria of a test case as the judge reads them, once for all of its attempts."""

    demands: tuple[Demand, ...]
    further: int

    @property
    def asked(self) -> set[str]:
        """The outcomes that the criteria name, those they forbid among them."""
        return {demand.outcome for demand in self.demands if demand.outcome}

    @property
    def forbidden(self) -> set[str]:
        return {demand.outcome for demand in self.demands if demand.outcome and demand.forbidden}

    @property
    def facts(self) -> list[str]:
        """The mock variables whose values the criteria want to hear."""
        return list(
            dict.fromkeys(
                demand.fact for demand in self.demands if demand.fact and not demand.forbidden
            )
        )

    @property
    def conditions(self) -> list[str]:
        return [demand.clause.condition for demand in self.demands if demand.clause.condition]


class Judgement(NamedTuple):
    is_successful: bool
    remarks: str


class _Finding(NamedTuple):
    """`met` is None when the clause decides nothing."""

    clause: Clause
    met: bool | None
    note: str


def read_criteria(criteria: str, mock_data: Mapping[str, str]) -> Criteria:
    clauses = clauses_of(criteria)
    facts = [(name, _words(name), value) for name, value in mock_data.items() if value.strip()]
    return Criteria(
        tuple(_demand(clause, facts) for clause in clauses[:MAX_CLAUSES]),
        len(clauses[MAX_CLAUSES:]),
    )


def judge(criteria: Criteria, turns: Sequence[Turn]) -> Judgement:
    """Judge a conversation by its criteria. A run is a success when every clause that decides is met."""
    findings = [_find(demand, turns) for demand in criteria.demands]
    decided = [finding for finding in findings if finding.met is not None]
    parts = [f'"{finding.clause.text[:200]}": {finding.note}.' for finding in findings]
    if criteria.further:
        parts.append(f"{criteria.further} further clauses: not judged by the sandbox.")
    if decided and len(decided) < len(findings):
        parts.insert(0, f"{len(decided)} of {len(findings)} clauses decide.")
    if not decided:
        parts.append("No clause could be judged, so this run is not a success.")
    return Judgement(
        bool(decided) and all(finding.met for finding in decided), " ".join([SIGNATURE, *parts])
    )


def clauses_of(criteria: str) -> list[Clause]:
    """Split criteria into clauses: at sentences and commas, and at "and" where both sides ask for something."""
    # Long runs of blanks would be searched again from each of their places.
    sentences = _SENTENCES.split(re.sub(r"[^\S\n]+", " ", criteria[:MAX_CRITERIA]))
    return [clause for sentence in sentences for clause in _clauses_in(sentence)]


def _clauses_in(sentence: str) -> Iterator[Clause]:
    parts = _COMMAS.split(sentence)
    # "not A, B, or C" forbids all three; "not A, and B" forbids the first alone.
    listed = any(part[:3].lower() == "or " for part in parts)
    condition, unless, forbidden = None, False, False
    for part in parts:
        if first := _CONDITION_FIRST.match(_without_lead(part)):
            condition, unless = first.group(2), first.group(1).lower() == "unless"
            continue
        for joint, piece in _pieces(part):
            text = _without_lead(piece)
            if not text:
                continue
            goes_on = forbidden and (joint == "or" or (listed and not joint))
            forbidden = goes_on or _is_negated(text)
            last = _CONDITION_LAST.match(text)
            if last and not _REPORTS.search(last.group(1)):
                yield Clause(
                    last.group(1), last.group(3), last.group(2).lower() == "unless", forbidden
                )
            else:
                yield Clause(text, condition, unless, forbidden)


def _pieces(part: str) -> Iterator[tuple[str, str]]:
    """The part's demands, each after the word that joins it to the one before.

    What neither asks for something nor begins with a verb stays attached.
    """
    lead = _FIRST_WORD.match(part)
    joint, begun, ended, asks, negated = lead.group(1).lower() if lead else "", 0, 0, False, False
    for word, start, end in _atoms(part):
        atom = part[start:end]
        asks_too = _asked_in(atom) is not None
        begins = asks_too or _VERB.match(_without_lead(atom))
        if asks and begins and (word != "or" or negated):
            yield joint, part[begun:ended]
            joint, begun, asks, negated = word, start, False, False
        asks, negated, ended = asks or asks_too, negated or bool(NEGATED.search(atom)), end
    yield joint, part[begun:]


def _atoms(part: str) -> Iterator[tuple[str, int, int]]:
    """Where the part could be split, and at which word."""
    word, start = "", 0
    for found in _JOINTS.finditer(part):
        yield word, start, found.start()
        word, start = (found.group(1) or "but").lower(), found.end()
    yield word, start, len(part)


def _asked_in(text: str) -> re.Match[str] | None:
    """Where the text begins to ask for something that can be judged."""
    asks = [*(outcome.asked for outcome in CATALOGUE), GREET.asked, POLITE, STATES]
    return next((found for pattern in asks if (found := pattern.search(text))), None)


def _is_negated(text: str) -> bool:
    """Whether a negation precedes what is asked: "confirm that it is not possible" asks for a confirmation."""
    asked = _asked_in(text)
    return bool(NEGATED.search(text, 0, asked.start() if asked else len(text)))


def _demand(clause: Clause, facts: Sequence[tuple[str, set[str], str]]) -> Demand:
    if fact := _fact_in(clause.text, facts):
        name, value = fact
        shown = re.compile(rf"(?<!\w){re.escape(value.strip())}(?!\w)", re.IGNORECASE)
        return Demand(clause, "fact", shown, name, clause.forbidden)
    for outcome in (*CATALOGUE, GREET):
        if outcome.asked.search(clause.text):
            return Demand(clause, outcome.name, outcome.shown, forbidden=clause.forbidden)
    if POLITE.search(clause.text):
        return Demand(clause, "stay polite", RUDE, forbidden=not clause.forbidden)
    return Demand(clause, None, RUDE)


def _fact_in(clause: str, facts: Sequence[tuple[str, set[str], str]]) -> tuple[str, str] | None:
    if not STATES.search(clause):
        return None
    text, words = clause.casefold(), _words(clause)
    for name, parts, value in facts:
        by_name = "by name" in text and "name" in parts
        if by_name or (parts and parts <= words) or (len(value) > 2 and value.casefold() in text):
            return name, value
    return None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower()))


def _find(demand: Demand, turns: Sequence[Turn]) -> _Finding:
    clause = demand.clause
    if clause.condition is not None and _arose(clause.condition, turns) == clause.unless:
        note = (
            f"arose (unless {clause.condition})"
            if clause.unless
            else f"did not arise ({clause.condition})"
        )
        return _Finding(clause, None, note)
    if demand.outcome is None:
        return _Finding(clause, None, "not judged by the sandbox")
    at = next(
        (
            n
            for n, turn in enumerate(turns, start=1)
            if turn.role == "assistant" and _shows(turn, demand)
        ),
        None,
    )
    if demand.forbidden:
        return _Finding(clause, at is None, f"broken at turn {at}" if at else "kept")
    return _Finding(clause, at is not None, f"met at turn {at}" if at else "not met")


def _shows(turn: Turn, demand: Demand) -> bool:
    """Whether the turn says it without denying it: "I cannot confirm it" confirms nothing."""
    said = demand.shown.finditer(turn.content)
    if demand.outcome in ("fact", "stay polite", "decline"):
        return any(said)
    return any(not _DENIES.search(_sentence_before(turn.content, found.start())) for found in said)


def _sentence_before(text: str, position: int) -> str:
    before = text[max(0, position - _WORDS_BEFORE) : position]
    return _SENTENCE_START.split(before)[-1]


def _arose(condition: str, turns: Sequence[Turn]) -> bool:
    said = " ".join(turn.content for turn in turns if turn.role == "user")
    if re.search(r"insist|refus|declin|reject|still want", condition, re.IGNORECASE):
        return bool(INSISTS.search(said))
    if re.search(r"angry|upset|frustrat|furious|annoyed", condition, re.IGNORECASE):
        return bool(ANGRY.search(said))
    words = set(re.findall(r"[a-z]{5,}", condition.lower())) - {
        "customer",
        "caller",
        "agent",
        "there",
        "about",
    }
    return bool(words) and any(word[:6] in said.lower() for word in words)


def _without_lead(text: str) -> str:
    text = text.strip().rstrip(".;!?").strip()
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text
