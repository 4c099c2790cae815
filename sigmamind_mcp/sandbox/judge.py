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


@dataclass(frozen=True)
class Outcome:
    """Something an agent can do: how criteria ask for it, and how an agent's words show it."""

    name: str
    asked: re.Pattern[str]
    shown: re.Pattern[str]


def _outcome(name: str, asked: str, shown: str) -> Outcome:
    return Outcome(name, re.compile(asked, re.IGNORECASE), re.compile(shown, re.IGNORECASE))


CATALOGUE = (
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
        "explain", r"\bexplain|\breasons?\b|\bwhy\b|\bpolic(?:y|ies)\b", r"\bbecause\b|\bthe reason\b|\bour policy\b"
    ),
    _outcome(
        "name the next step",
        r"\bnext steps?\b|\btimelines?\b|\bhow long\b|\bfollow[- ]up\b|\bwhen to expect\b|\bby when\b",
        r"\bwithin \d|\bby tomorrow\b|\byou will receive\b|\bnext step\b",
    ),
    _outcome(
        "confirm",
        r"\bconfirm|\bcomplet|\bprocess(?:es)?\b|\bfinali[sz]",
        r"\bis confirmed\b|\bI confirm\b|\bI have now\b|\ball done\b",
    ),
)
"""What the judge can find, the more specific first: a clause is judged by the first outcome that it asks for."""

STATES = re.compile(
    r"\bstat(?:es?|ing)\b|\bmention|\bgives?\b|\bprovid|\btells?\b|\bquot|\binclud|\bread(?:s|ing)? back", re.I
)
POLITE = re.compile(r"\bpolite|\bcourte|\bprofessional|\bfriendly\b|\brespectful", re.IGNORECASE)
RUDE = re.compile(r"\bnot my problem\b|\bcalm down\b|\bstupid\b|\byour own fault\b|\bstop wasting\b", re.IGNORECASE)
NEGATED = re.compile(r"\bnot\b|\bnever\b|n't\b|^(?:avoids?|without|refuses? to)\b", re.IGNORECASE)
INSISTS = re.compile(r"\bI insist\b|\bI still want\b|\bno, (?:thanks|thank you)\b|\bnot interested\b", re.IGNORECASE)

_SENTENCES = re.compile(r"(?<=[.;!?])\s+|\n+")
_COMMAS = re.compile(r",\s+")
_AND = re.compile(r"\s+and\s+(?:then\s+)?|\s+then\s+", re.IGNORECASE)
_VERB = re.compile(
    r"(?:name|give|tell|use|ask|read|list|set|send|keep|make|thank|greet|close|end|stay|show|check|note|log|help|speak|"
    r"get|put|take|let|point|refer|summari[sz]e|describe|answer|respond|write|schedule|book|cancel|refund)s?\s+\S+\s*\S*",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:and|then|but|also|it|they|finally|first|next|the agent|agent|should|must|has to|needs? to|will|always)\b"
    r"[\s,:]*",
    re.IGNORECASE,
)
_CONDITION_FIRST = re.compile(r"^(?:if|when|once)\s+(.+)$", re.IGNORECASE)
_CONDITION_LAST = re.compile(r"^(.+?)\s+(?:if|when|once)\s+(.+)$", re.IGNORECASE)


class Turn(NamedTuple):
    role: str
    content: str


class Clause(NamedTuple):
    """One demand of the criteria; `condition` is what must have happened for it to count."""

    text: str
    condition: str | None = None


class Judgement(NamedTuple):
    is_successful: bool
    remarks: str


class _Finding(NamedTuple):
    """`met` is None when the clause decides nothing."""

    clause: Clause
    met: bool | None
    note: str


def judge(criteria: str, turns: Sequence[Turn], mock_data: Mapping[str, str]) -> Judgement:
    """Judge a conversation by its criteria. A run is a success when every clause that decides is met."""
    clauses = list(clauses_of(criteria))
    findings = [_find(clause, turns, mock_data) for clause in clauses[:MAX_CLAUSES]]
    decided = [finding for finding in findings if finding.met is not None]
    parts = [f"{_said(finding)}." for finding in findings]
    if len(clauses) > MAX_CLAUSES:
        parts.append(f"{len(clauses) - MAX_CLAUSES} further clauses: not judged by the sandbox.")
    if decided and len(decided) < len(findings):
        parts.insert(0, f"{len(decided)} of {len(findings)} clauses decide.")
    if not decided:
        parts.append("No clause could be judged, so this run is not a success.")
    return Judgement(bool(decided) and all(finding.met for finding in decided), " ".join([SIGNATURE, *parts]))


def clauses_of(criteria: str) -> Iterator[Clause]:
    """Split criteria into clauses: at sentences and commas, and at "and" where both sides ask for something."""
    for sentence in _SENTENCES.split(criteria[:MAX_CRITERIA]):
        condition: str | None = None
        for part in _COMMAS.split(sentence):
            text = _without_lead(part)
            if not text:
                continue
            if first := _CONDITION_FIRST.match(text):
                condition = first.group(1)
                continue
            for piece in _pieces(text):
                last = _CONDITION_LAST.match(piece)
                yield Clause(last.group(1), last.group(2)) if last else Clause(piece, condition)


def outcomes_asked(criteria: str) -> set[str]:
    """The names of the outcomes that the criteria ask for, those they forbid among them."""
    found = (asked_by(clause) for clause in clauses_of(criteria))
    return {outcome.name for outcome in found if outcome}


def outcomes_forbidden(criteria: str) -> set[str]:
    found = (asked_by(clause) for clause in clauses_of(criteria) if NEGATED.search(clause.text))
    return {outcome.name for outcome in found if outcome}


def facts_asked(criteria: str, mock_data: Mapping[str, str]) -> list[str]:
    """The mock variables whose values the criteria want to hear."""
    wanted = [_fact_in(clause.text, mock_data) for clause in clauses_of(criteria)]
    return [name for name in dict.fromkeys(wanted) if name]


def asked_by(clause: Clause) -> Outcome | None:
    return next((outcome for outcome in CATALOGUE if outcome.asked.search(clause.text)), None)


def _find(clause: Clause, turns: Sequence[Turn], mock_data: Mapping[str, str]) -> _Finding:
    if clause.condition is not None and not _arose(clause.condition, turns):
        return _Finding(clause, None, f"did not arise ({clause.condition})")
    at = _shown_at(clause, turns, mock_data)
    if at is None:
        return _Finding(clause, None, "not judged by the sandbox")
    if NEGATED.search(clause.text):
        return _Finding(clause, not at, f"broken at turn {at[0]}" if at else "kept")
    return _Finding(clause, bool(at), f"met at turn {at[0]}" if at else "not met")


def _shown_at(clause: Clause, turns: Sequence[Turn], mock_data: Mapping[str, str]) -> list[int] | None:
    """The agent's turns that show what the clause asks for, by number; None for a clause outside the catalogue."""
    said = [(number, turn.content) for number, turn in enumerate(turns, start=1) if turn.role == "assistant"]
    if fact := _fact_in(clause.text, mock_data):
        value = mock_data[fact].casefold()
        return [number for number, content in said if value in content.casefold()]
    if POLITE.search(clause.text):
        rude = any(RUDE.search(content) for _, content in said)
        return [] if rude or not said else [said[-1][0]]
    outcome = asked_by(clause)
    return [number for number, content in said if outcome.shown.search(content)] if outcome else None


def _fact_in(clause: str, mock_data: Mapping[str, str]) -> str | None:
    if not STATES.search(clause):
        return None
    words = set(re.findall(r"\w+", clause.casefold()))
    for name, value in mock_data.items():
        parts = set(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
        if value.strip() and ((parts and parts <= words) or (len(value) > 2 and value.casefold() in clause.casefold())):
            return name
    return None


def _arose(condition: str, turns: Sequence[Turn]) -> bool:
    said = " ".join(turn.content for turn in turns if turn.role == "user")
    if re.search(r"insist|refus|declin|reject|still want", condition, re.IGNORECASE):
        return bool(INSISTS.search(said))
    words = set(re.findall(r"[a-z]{5,}", condition.lower())) - {"customer", "caller", "agent", "there"}
    return bool(words) and any(word[:6] in said.lower() for word in words)


def _pieces(text: str) -> Iterator[str]:
    """The demands in a part: "and" joins two where a demand stands before it and a verb after it."""
    first, *others = _AND.split(text)
    pieces = [_without_lead(first)]
    for other in others:
        if _is_demand(pieces[-1]) and (_is_demand(other) or _VERB.match(other)):
            pieces.append(_without_lead(other))
        else:
            pieces[-1] += f" and {other}"
    yield from pieces


def _is_demand(text: str) -> bool:
    return bool(asked_by(Clause(text)) or POLITE.search(text) or STATES.search(text))


def _without_lead(text: str) -> str:
    text = text.strip().rstrip(".;!?").strip()
    while shorter := _LEAD.sub("", text):
        if shorter == text or NEGATED.match(text):
            break
        text = shorter
    return text


def _said(finding: _Finding) -> str:
    return f'"{finding.clause.text[:200]}": {finding.note}'
