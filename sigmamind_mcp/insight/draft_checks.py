"""What is likely to be wrong with a draft test case, told before it costs model calls.

The rules read words, not meaning, so they would rather miss than accuse: a `problem` is close to certain to spoil the
result, an `advice` is worth a look. Reasons and suggestions are our words; of the draft they quote names alone.
Rules on English words say nothing about a text that does not read as English.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sigmamind_mcp.api.models import KNOWN_LLM_MODELS, Agent, MockVariable, TestCase
from sigmamind_mcp.insight.draft_rules import (
    _GOAL,
    _HEDGE,
    _MANNER,
    _OBSERVABLE,
    _OUTCOME,
    _PERSONA,
    _SAYS,
    _SPEAK_TO_USER,
    RULES,
    Field,
    Rule,
    Severity,
    _words,
)
from sigmamind_mcp.insight.mock_values import is_person, name_tokens

NEAR_DUPLICATE = 0.9
"""Share of letter triples that two texts have in common from which they count as nearly the same."""
COPIED = 0.8
"""The same share, from which the criteria count as a copy of the prompt."""
MANY_OUTCOMES = 3
FEWEST_WORDS = 3
BRIEF = 12
"""Words, up to which a prompt without a word of wanting has certainly no goal; a longer one may imply it."""
COMPARED = 4_000
FEW = 3


class Finding(NamedTuple):
    """One thing to mend. `language_bound` tells that English words led to it."""

    field: Field
    severity: Severity
    reason: str
    suggestion: str
    language_bound: bool = False


def lint_draft(draft: TestCase) -> list[Finding]:
    """Check what the draft alone can tell."""
    prompt, criteria = draft.user_prompt or "", draft.success_criteria or ""
    return [
        *_lint_prompt(prompt),
        *_lint_criteria(criteria),
        *_lint_copy(prompt, criteria),
        *_lint_placeholders(prompt, criteria),
        *_lint_persona_name(prompt, draft.mock_data),
        *_lint_mock_names(draft),
        *_lint_model(draft.llm_model or ""),
        *_lint_attempt(draft.attempt),
    ]


def lint_against_agent(draft: TestCase, agent: Agent) -> list[Finding]:
    """Compare the model with the agent's, and the mock data with its variables, to the letter and the case."""
    return [*_lint_model_of_agent(draft, agent), *_lint_variables(draft, agent)]


def _lint_model_of_agent(draft: TestCase, agent: Agent) -> list[Finding]:
    live = agent.agent_settings.llm_model
    if not live or draft.llm_model in (None, "", live):
        return []
    reason = "The live agent runs on another model: what passes here need not pass there."
    return [
        Finding(
            "llmModel",
            "advice",
            reason,
            f"Use {_shown([live])}, unless the model is what you test.",
        )
    ]


def _lint_variables(draft: TestCase, agent: Agent) -> list[Finding]:
    texts = [agent.instructions, agent.welcome_message, agent.agent_settings.global_prompt]
    if not any(texts):
        return []
    needed = variables_of("\n".join(filter(None, texts)))
    # Tools and fields that we do not know may use variables too.
    everything = json.dumps([agent.raw, agent.tools], ensure_ascii=False, default=str)
    used = {*needed, *variables_of(everything)}
    mocked = list(
        dict.fromkeys(
            mock.variable_name for mock in draft.mock_data if _is_bare(mock.variable_name)
        )
    )
    missing = [name for name in needed if name not in mocked]
    unused = [name for name in mocked if name not in used]
    renamed = _renamings(unused, missing)
    findings = [
        Finding(
            "mockData",
            "problem",
            f"Mock variable {_shown([wrong])} is not used by the agent, which uses {_shown([right])}: a variable"
            " without a value silently becomes empty text.",
            f"Name it {_shown([right])}, to the letter and the case.",
        )
        for wrong, right in renamed.items()
    ]
    missing = [name for name in missing if name not in renamed.values()]
    extractable = set(
        _VALUE_OR_OBJECT.findall(json.dumps(agent.tools, ensure_ascii=False, default=str))
    )
    extracted = [name for name in missing if name in extractable]
    if blank := [name for name in missing if name not in extracted]:
        reason = (
            f"The agent uses {_shown(blank)} without a mock value: it silently becomes empty text."
        )
        findings.append(Finding("mockData", "problem", reason, "Add a mock value for each."))
    if extracted:
        reason = f"The agent uses {_shown(extracted)} without a mock value: empty text until a tool sets it."
        findings.append(
            Finding("mockData", "advice", reason, "Add a mock value unless a tool extracts it.")
        )
    if idle := [name for name in unused if name not in renamed]:
        reason = f"Nothing that the agent's settings show uses the mock data {_shown(idle)}."
        suggestion = (
            f"Leave it out, or use a variable of the agent: {_shown(needed)}."
            if needed
            else "Leave it out."
        )
        findings.append(Finding("mockData", "advice", reason, suggestion))
    return findings


def lint_against_cases(draft: TestCase, cases: Sequence[TestCase]) -> list[Finding]:
    """Look for the draft among the agent's other cases; one with the draft's own id is the draft."""
    others = [
        case
        for case in cases
        if case.test_case_id is None or case.test_case_id != draft.test_case_id
    ]
    ours = [_Compared.of(text) for text in _judged(draft)]
    alike = [(_likeness(draft, ours, case), case) for case in others]
    findings = []
    for likeness, (severity, reason, suggestion) in _LIKENESSES.items():
        if found := [case for how, case in alike if how == likeness]:
            findings.append(
                Finding("userPrompt", severity, reason.format(_cases(found)), suggestion)
            )
            break
    label = _normal(draft.label)
    if found := [case for case in others if label and _normal(case.label) == label]:
        reason = f"The same label as {_cases(found)}: lists and reports cannot tell them apart."
        findings.append(
            Finding(
                "label", "advice", reason, "Say in the label what is different about this case."
            )
        )
    return findings


def variables_of(prompt: str) -> tuple[str, ...]:
    """Return the names between {{ }} in order, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(prompt)))


_CALLED = re.compile(
    r"\b[Yy]ou(?: are|'re) ([A-Z][\w'-]{1,30}(?: [A-Z][\w'-]{1,30}){0,2})(?=[,.;]| and | who | with |$)"
)
_NUMBERED = re.compile(r"(?:^|\s)\(?([123])[.)]\s")
_BULLET = re.compile(r"^[ \t]{0,8}[-*•–][ \t]", re.MULTILINE)

_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")
_VALUE_OR_OBJECT = re.compile(
    r'"([\w.-]+)"(?=[,\]}]|: \{)'
)  # in JSON: where a tool may name what it extracts
_SAFE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_BLANKS = re.compile(r"[^\S\n]+")
_MARKER = re.compile(r"^[\s\"'“”(*•–-]{0,20}(?:\d{1,2}[.)]\s{0,4})?")
_CLAUSE_ENDS = _words(
    r"[.;!?](?=\s|$)|\n|,(?! (?:for example|such as|e\.?g|i\.?e|that is|namely|meaning|by)\b)|\b(?:and|or|but|then)\b"
)
_LETTERS = re.compile(r"[^\W\d_]+")
_ENGLISH = frozenset(
    "the you your are is and to who with has have that of for was not it he she they their an should must wants want"
    " customer caller i'm my be if than from when how which before after".split()
)


def _lint_prompt(prompt: str) -> list[Finding]:
    if not prompt.strip():
        reason = "There is no user prompt, so the simulated user has nothing to be or to want."
        return [Finding("userPrompt", "problem", reason, _SPEAK_TO_USER)]
    prompt = _plain(prompt)
    if not reads_as_english(prompt):
        return []
    findings = _apply("userPrompt", prompt)
    if not _GOAL.search(prompt):
        reason = "The prompt names no goal, so the simulated user may drift and each attempt tests something else."
        severity: Severity = "problem" if len(prompt.split()) <= BRIEF else "advice"
        findings.append(
            Finding("userPrompt", severity, reason, "Add what they want: 'You want …'.", True)
        )
    if not _PERSONA.search(prompt):
        reason = "The prompt does not say who the simulated user is, so each attempt may play somebody else."
        findings.append(
            Finding("userPrompt", "advice", reason, "Begin with who they are: 'You are …'.", True)
        )
    return findings


def _lint_criteria(criteria: str) -> list[Finding]:
    if not criteria.strip():
        reason = "There are no success criteria, and the judge has nothing else."
        return [
            Finding("successCriteria", "problem", reason, "Say what the agent must be seen to do.")
        ]
    criteria = _plain(criteria)
    words = _LETTERS.findall(criteria)
    if len(words) < FEWEST_WORDS and criteria.isascii():
        reason = "So few words leave the judge to decide what success is."
        return [
            Finding("successCriteria", "problem", reason, "Say what the agent must be seen to do.")
        ]
    findings = []
    if _has_long_list(criteria):
        findings.append(_bundle("a list of outcomes", language_bound=False))
    if not reads_as_english(criteria):
        return findings
    clauses = _clauses(criteria)
    outcomes = sum(1 for clause in clauses if _OUTCOME.match(clause))
    if not findings and outcomes >= MANY_OUTCOMES:
        findings.append(_bundle(f"about {outcomes} outcomes", language_bound=True))
    findings += _apply("successCriteria", criteria)
    vague = [clause for clause in clauses if _is_vague(clause)]
    suggestion = "Say what an onlooker would see in the transcript: 'states the order number', 'offers a refund'."
    if vague and len(vague) == len(clauses):
        reason = "Nothing here says what would be seen, so two judges can differ on every run."
        findings.append(Finding("successCriteria", "problem", reason, suggestion, True))
    elif vague:
        reason = "Some of the criteria leave room for two judges to differ."
        findings.append(Finding("successCriteria", "advice", reason, suggestion, True))
    return findings


def _bundle(what: str, *, language_bound: bool) -> Finding:
    return Finding(
        "successCriteria",
        "advice",
        f"The criteria hold {what}: one missed fails the run, and only the remarks can say which.",
        "Make a test case of each outcome that matters by itself.",
        language_bound,
    )


def _lint_copy(prompt: str, criteria: str) -> list[Finding]:
    if not _normal(prompt) or _Compared.of(_normal(prompt)).likeness(_normal(criteria)) < COPIED:
        return []
    reason = "The criteria repeat the user prompt, so the agent is not judged at all."
    return [Finding("successCriteria", "problem", reason, "Say what the agent must be seen to do.")]


def _lint_placeholders(prompt: str, criteria: str) -> list[Finding]:
    reason = "Nothing says that {{ }} is filled in here; it is for the agent's own prompt."
    texts: list[tuple[Field, str]] = [("userPrompt", prompt), ("successCriteria", criteria)]
    return [
        Finding(field, "advice", reason, "Write the value itself.")
        for field, text in texts
        if _VARIABLE.search(text)
    ]


def _lint_persona_name(prompt: str, mock_data: Sequence[MockVariable]) -> list[Finding]:
    """Whether the user is called otherwise than the customer whom the agent is told of."""
    persona = _CALLED.search(_plain(prompt))
    if not persona:
        return []
    called = {word.casefold() for word in _LETTERS.findall(persona.group(1))}
    others = [
        mock.variable_name
        for mock in mock_data
        if is_person(name_tokens(mock.variable_name))
        and (words := {word.casefold() for word in _LETTERS.findall(mock.value)})
        and not words & called
    ]
    if not others:
        return []
    reason = f"The simulated user has another name than the mock data's {_shown(others)}."
    return [
        Finding(
            "mockData",
            "advice",
            reason,
            "Use one name, unless the mismatch is what you test.",
            True,
        )
    ]


def _lint_mock_names(draft: TestCase) -> list[Finding]:
    counts = Counter(mock.variable_name for mock in draft.mock_data)
    findings = []
    if twice := [name for name, count in counts.items() if count > 1]:
        reason = f"Mock data gives {_shown(twice)} more than once, and which value counts is documented nowhere."
        findings.append(Finding("mockData", "problem", reason, "Keep one value for each name."))
    if not all(map(_is_bare, counts)):
        reason = (
            "A mock variable's name is blank or has braces, so it matches no variable of the agent."
        )
        findings.append(
            Finding(
                "mockData", "problem", reason, "Write the bare name: order_id for {{order_id}}."
            )
        )
    return findings


def _is_bare(name: str) -> bool:
    return bool(name.strip()) and not {"{", "}"} & set(name)


def _lint_model(model: str) -> list[Finding]:
    if not model or model in KNOWN_LLM_MODELS:
        return []
    near = get_close_matches(model[:128].casefold(), KNOWN_LLM_MODELS, FEW)
    suggestion = (
        f"Near: {', '.join(near)}."
        if near
        else f"Listed, for example: {', '.join(KNOWN_LLM_MODELS[:FEW])}."
    )
    reason = "This model is not among those that SigmaMind's pages list; the list may have aged."
    return [Finding("llmModel", "advice", reason, suggestion)]


def _lint_attempt(attempt: int | None) -> list[Finding]:
    if attempt is not None and attempt > 1:
        return []
    # The lower end of the 95 % Wilson interval for 1 of 1 is 1 / (1 + 1.96²) = 0.207.
    reason = "One attempt says little: after 1 of 1 passed, the true pass rate is 21 to 100 % (95 % Wilson interval)."
    return [Finding("attempt", "advice", reason, "Give it more: after 10 of 10 it is 72 to 100 %.")]


def _apply(field: Field, text: str) -> list[Finding]:
    clauses = _clauses(text)
    found = [
        rule
        for rule in RULES
        if rule.field == field and any(_breaks(clause, rule) for clause in clauses)
    ]
    findings = [Finding(field, rule.severity, rule.reason, rule.suggestion, True) for rule in found]
    return list(dict.fromkeys(findings))


def _breaks(clause: str, rule: Rule) -> bool:
    found = rule.pattern.search(clause)
    return found is not None and not (rule.unless and rule.unless.search(clause, 0, found.start()))


def _is_vague(clause: str) -> bool:
    if _OBSERVABLE.search(clause):
        return False
    return bool(_HEDGE.search(clause) or (_MANNER.search(clause) and not _SAYS.search(clause)))


def _has_long_list(text: str) -> bool:
    return len(set(_NUMBERED.findall(text))) == 3 or len(_BULLET.findall(text)) >= MANY_OUTCOMES


def _plain(text: str) -> str:
    return _BLANKS.sub(" ", text.replace("’", "'"))


def _clauses(text: str) -> list[str]:
    parts = (_MARKER.sub("", part, count=1).strip() for part in _CLAUSE_ENDS.split(text))
    return [part for part in parts if _LETTERS.search(part)]


def reads_as_english(text: str) -> bool:
    """Tell by letters and by small words, since rules on what is absent would accuse every other language."""
    words = _LETTERS.findall(text.casefold())
    letters = sum(map(len, words))
    latin = sum(len(word) for word in words if word.isascii())
    known = sum(1 for word in words if word in _ENGLISH)
    return bool(words) and latin >= 0.8 * letters and known >= 0.15 * len(words)


def _renamings(unused: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Pair mock variables that nobody uses with variables that have no value and are spelt nearly so."""
    free = {name.casefold(): name for name in reversed(missing[:100]) if len(name) <= 64}
    pairs = {}
    for name in unused[:100]:
        if near := get_close_matches(name[:64].casefold(), free, 1, 0.75):
            pairs[name] = free.pop(near[0])
    return pairs


_LIKENESSES: dict[str, tuple[Severity, str, str]] = {
    "same": (
        "problem",
        "This case is already there: {}.",
        "Run that one; raise its attempts for more evidence.",
    ),
    "variant": (
        "advice",
        "The same prompt and criteria are in {}; only mock data or model differ.",
        "If that is the point, say so in the label.",
    ),
    "near": (
        "advice",
        f"Prompt and criteria are nearly those of {{}} (at least {NEAR_DUPLICATE:.0%} alike).",
        "Change that case, or say in the label what is different.",
    ),
}


def _likeness(draft: TestCase, ours: Sequence["_Compared"], case: TestCase) -> str | None:
    theirs = _judged(case)
    if not all(mine.text for mine in ours) or not all(theirs):
        return None
    if tuple(mine.text for mine in ours) == theirs:
        return "same" if _setting(draft) == _setting(case) else "variant"
    alike = all(
        mine.likeness(other) >= NEAR_DUPLICATE for mine, other in zip(ours, theirs, strict=True)
    )
    return "near" if alike else None


def _judged(case: TestCase) -> tuple[str, str]:
    return _normal(case.user_prompt), _normal(case.success_criteria)


def _setting(case: TestCase) -> tuple[str, dict[str, str]]:
    return case.llm_model or "", {mock.variable_name: mock.value for mock in case.mock_data}


class _Compared(NamedTuple):
    """A normal text with its letter triples, by which it is compared: in linear time, and in every script."""

    text: str
    triples: Counter[str]

    @classmethod
    def of(cls, text: str) -> "_Compared":
        return cls(text, Counter(text[at : at + 3] for at in range(len(text[:COMPARED]) - 2)))

    def likeness(self, other: str) -> float:
        """Dice's coefficient (1945) with another normal text."""
        if self.text == other:
            return 1.0
        here, there = len(self.text[:COMPARED]), len(other[:COMPARED])
        if min(here, there) < 0.6 * max(here, there):
            return 0.0
        theirs = _Compared.of(other).triples
        return 2 * (self.triples & theirs).total() / max(1, self.triples.total() + theirs.total())


def _normal(text: str | None) -> str:
    return " ".join((text or "").casefold().split()).rstrip(".!? ")


def _cases(cases: Iterable[TestCase]) -> str:
    return _shown([case.test_case_id or "" for case in cases], "another test case")


def _shown(names: Sequence[str], unsafe: str = "a name that is not plain text") -> str:
    """Name the first few; what might be more than a name is not repeated."""
    shown = list(dict.fromkeys(name if _SAFE.fullmatch(name) else unsafe for name in names[:FEW]))
    more = len(names) - FEW
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
