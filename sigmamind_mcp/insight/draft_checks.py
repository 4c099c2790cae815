"""Find what is likely to be wrong with a draft test case, before it costs model calls.

The rules read words, not meaning. They would rather miss a fault than report a false one: a
`problem` almost certainly spoils the result, an `advice` is worth a look. Reasons and suggestions
are our words; they quote only names from the draft. Rules about English words ignore a text that
does not read as English.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sigmamind_mcp.api.models import KNOWN_LLM_MODELS, Agent, MockVariable, TestCase
from sigmamind_mcp.insight.draft_rules import (
    DESCRIBE_THE_USER,
    GOAL,
    HEDGE,
    MANNER,
    OBSERVABLE,
    OUTCOME,
    PERSONA,
    RULES,
    SPEECH,
    Field,
    Rule,
    Severity,
    compile_ignoring_case,
)
from sigmamind_mcp.insight.similar_texts import ComparableText, normalize_text
from sigmamind_mcp.insight.variable_names import (
    TEMPLATE_VARIABLE,
    is_person_name,
    list_variables,
    quote_names,
    split_variable_name,
)

MANY_OUTCOMES = 3
MIN_CRITERIA_WORDS = 3
SHORT_PROMPT_WORDS = 12  # a longer prompt may imply its goal
COPIED = 0.8  # share of letter triples in common from which criteria are a copy of the prompt
MAX_COMPARED_NAMES = 100
MODELS_SHOWN = 3


class Finding(NamedTuple):
    """A fault of a draft; `language_bound` if a rule about English words found it."""

    field: Field
    severity: Severity
    reason: str
    suggestion: str
    language_bound: bool = False


def lint_draft(draft: TestCase) -> list[Finding]:
    """Check what the draft alone shows."""
    prompt, criteria = draft.user_prompt or "", draft.success_criteria or ""
    return [
        *_lint_prompt(prompt),
        *_lint_criteria(criteria),
        *_lint_copied_prompt(prompt, criteria),
        *_lint_placeholders("userPrompt", prompt),
        *_lint_placeholders("successCriteria", criteria),
        *_lint_persona_name(prompt, draft.mock_data),
        *_lint_mock_names(draft.mock_data),
        *_lint_model(draft.llm_model or ""),
        *_lint_attempt(draft.attempt),
    ]


def lint_against_agent(draft: TestCase, agent: Agent) -> list[Finding]:
    """Compare the draft's model and mock data with the agent's model and variables."""
    return [*_lint_model_of_agent(draft, agent), *_lint_variables(draft, agent)]


# What a text is made of.

_SPACES = re.compile(r"[^\S\n]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_LIST_NUMBER = re.compile(r"(?:^|\s)\(?([123])[.)]\s")
_BULLET = re.compile(r"^[ \t]{0,8}[-*•–][ \t]", re.MULTILINE)
_LIST_MARKER = re.compile(r"^[\s\"'“”(*•–-]{0,20}(?:\d{1,2}[.)]\s{0,4})?")
_CLAUSE_END = compile_ignoring_case(
    r"[.;!?](?=\s|$)|\n|,(?! (?:for example|such as|e\.?g|i\.?e|that is|namely|meaning|by)\b)"
    r"|\b(?:and|or|but|then)\b"
)
_SMALL_ENGLISH_WORDS = frozenset(
    "the you your are is and to who with has have that of for was not it he she they their an"
    " should must wants want customer caller i'm my be if than from when how which before"
    " after".split()
)


def reads_as_english(text: str) -> bool:
    """Tell by letters and small words whether a text is English."""
    # Without this, rules on words that are missing would report every text in another language.
    words = _LETTERS.findall(text.casefold())
    letters = sum(map(len, words))
    latin_letters = sum(map(len, filter(str.isascii, words)))
    small_words = sum(word in _SMALL_ENGLISH_WORDS for word in words)
    has_enough_small_words = small_words >= 0.15 * len(words)
    return bool(words) and latin_letters >= 0.8 * letters and has_enough_small_words


def _normalize_quotes_and_spaces(text: str) -> str:
    return _SPACES.sub(" ", text.replace("’", "'"))


def _split_into_clauses(text: str) -> list[str]:
    clauses = [_LIST_MARKER.sub("", part, count=1).strip() for part in _CLAUSE_END.split(text)]
    return list(filter(_LETTERS.search, clauses))


def _has_long_list(text: str) -> bool:
    has_three_numbers = len(set(_LIST_NUMBER.findall(text))) == 3
    return has_three_numbers or len(_BULLET.findall(text)) >= MANY_OUTCOMES


# The prompt.


def _lint_prompt(prompt: str) -> list[Finding]:
    if not prompt.strip():
        reason = "There is no user prompt, so the simulated user has no role and no goal."
        return [Finding("userPrompt", "problem", reason, DESCRIBE_THE_USER)]
    prompt = _normalize_quotes_and_spaces(prompt)
    if not reads_as_english(prompt):
        return []
    return [*_apply_rules("userPrompt", prompt), *_lint_goal(prompt), *_lint_persona(prompt)]


def _lint_goal(prompt: str) -> list[Finding]:
    if GOAL.search(prompt):
        return []
    is_short = len(prompt.split()) <= SHORT_PROMPT_WORDS
    severity: Severity = "problem" if is_short else "advice"
    reason = "The prompt names no goal, so each attempt may test something else."
    suggestion = "Add what they want: 'You want …'."
    return [Finding("userPrompt", severity, reason, suggestion, language_bound=True)]


def _lint_persona(prompt: str) -> list[Finding]:
    if PERSONA.search(prompt):
        return []
    reason = "The prompt does not say who the simulated user is, so each attempt may differ."
    suggestion = "Begin with who they are: 'You are …'."
    return [Finding("userPrompt", "advice", reason, suggestion, language_bound=True)]


def _apply_rules(field: Field, text: str) -> list[Finding]:
    """Return one finding for each broken rule; rules with the same words count once."""
    clauses = _split_into_clauses(text)
    findings = [
        Finding(field, rule.severity, rule.reason, rule.suggestion, language_bound=True)
        for rule in RULES
        if rule.field == field and _is_broken(rule, clauses)
    ]
    return list(dict.fromkeys(findings))


def _is_broken(rule: Rule, clauses: Sequence[str]) -> bool:
    for clause in clauses:
        match = rule.pattern.search(clause)
        if match is None:
            continue
        if rule.unless is None or not rule.unless.search(clause, 0, match.start()):
            return True
    return False


# The criteria.

_NAME_AN_OUTCOME = "Say what the agent must say or do in the conversation."
_NAME_SOMETHING_VISIBLE = (
    "Say what a reader can see in the transcript: 'states the order number', 'offers a refund'."
)


def _lint_criteria(criteria: str) -> list[Finding]:
    if not criteria.strip():
        reason = "There are no success criteria, so the judge has nothing to judge by."
        return [Finding("successCriteria", "problem", reason, _NAME_AN_OUTCOME)]
    criteria = _normalize_quotes_and_spaces(criteria)
    if criteria.isascii() and len(_LETTERS.findall(criteria)) < MIN_CRITERIA_WORDS:
        reason = "The criteria have too few words, so the judge decides what success is."
        return [Finding("successCriteria", "problem", reason, _NAME_AN_OUTCOME)]
    is_english = reads_as_english(criteria)
    findings = _lint_outcomes(criteria, is_english=is_english)
    if is_english:
        findings += _apply_rules("successCriteria", criteria)
        findings += _lint_vagueness(_split_into_clauses(criteria))
    return findings


def _lint_outcomes(criteria: str, *, is_english: bool) -> list[Finding]:
    """Return a finding if the criteria ask for many outcomes at once."""
    if _has_long_list(criteria):
        return [_report_outcomes("a list of outcomes", language_bound=False)]
    if not is_english:
        return []
    count = sum(bool(OUTCOME.match(clause)) for clause in _split_into_clauses(criteria))
    if count < MANY_OUTCOMES:
        return []
    return [_report_outcomes(f"about {count} outcomes", language_bound=True)]


def _report_outcomes(outcomes: str, *, language_bound: bool) -> Finding:
    reason = (
        f"The criteria contain {outcomes}: a run fails if one is missing,"
        " and only the remarks can say which one."
    )
    suggestion = "Make a separate test case for each outcome that matters."
    return Finding("successCriteria", "advice", reason, suggestion, language_bound)


def _lint_vagueness(clauses: Sequence[str]) -> list[Finding]:
    vague = list(filter(_is_vague, clauses))
    if not vague:
        return []
    severity: Severity = "advice"
    reason = "Some criteria are vague, so two judges can differ."
    if len(vague) == len(clauses):
        severity = "problem"
        reason = "All criteria are vague, so two judges can differ on every run."
    suggestion = _NAME_SOMETHING_VISIBLE
    return [Finding("successCriteria", severity, reason, suggestion, language_bound=True)]


def _is_vague(clause: str) -> bool:
    if OBSERVABLE.search(clause):
        return False
    if HEDGE.search(clause):
        return True
    return bool(MANNER.search(clause)) and not SPEECH.search(clause)


def _lint_copied_prompt(prompt: str, criteria: str) -> list[Finding]:
    normalized = normalize_text(prompt)
    similarity = ComparableText.read(normalized).measure_similarity(normalize_text(criteria))
    if not normalized or similarity < COPIED:
        return []
    reason = "The criteria repeat the user prompt, so the agent is not judged at all."
    return [Finding("successCriteria", "problem", reason, _NAME_AN_OUTCOME)]


def _lint_placeholders(field: Field, text: str) -> list[Finding]:
    if not TEMPLATE_VARIABLE.search(text):
        return []
    reason = "{{ }} is for the agent's own prompt; no document says that it is replaced here."
    return [Finding(field, "advice", reason, "Write the value itself.")]


# The mock data.

_PERSONA_NAME = re.compile(
    r"\b[Yy]ou(?: are|'re) ([A-Z][\w'-]{1,30}(?: [A-Z][\w'-]{1,30}){0,2})(?=[,.;]| and | who "
    r"| with |$)"
)


def _lint_persona_name(prompt: str, mock_data: Sequence[MockVariable]) -> list[Finding]:
    """Compare the simulated user's name with the customer's name in the mock data."""
    persona = _PERSONA_NAME.search(_normalize_quotes_and_spaces(prompt))
    if persona is None:
        return []
    persona_words = _fold_letters(persona.group(1))
    others = [mock.variable_name for mock in mock_data if _has_other_name(mock, persona_words)]
    if not others:
        return []
    reason = f"The simulated user has another name than the mock data's {quote_names(others)}."
    suggestion = "Use one name, unless you want to test the difference."
    return [Finding("mockData", "advice", reason, suggestion, language_bound=True)]


def _has_other_name(mock: MockVariable, persona_words: set[str]) -> bool:
    """Tell whether a mock variable names a person, and none of these words."""
    words = _fold_letters(mock.value)
    if not words or not is_person_name(split_variable_name(mock.variable_name)):
        return False
    return words.isdisjoint(persona_words)


def _fold_letters(text: str) -> set[str]:
    return {word.casefold() for word in _LETTERS.findall(text)}


def _lint_mock_names(mock_data: Sequence[MockVariable]) -> list[Finding]:
    counts = Counter(mock.variable_name for mock in mock_data)
    findings = []
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        reason = (
            f"The mock data has {quote_names(repeated)} more than once,"
            " and no document says which value is used."
        )
        findings.append(Finding("mockData", "problem", reason, "Keep one value for each name."))
    if not all(map(_can_match, counts)):
        reason = (
            "A mock variable's name is blank or has braces, so it matches no variable of the agent."
        )
        suggestion = "Write only the name: order_id for {{order_id}}."
        findings.append(Finding("mockData", "problem", reason, suggestion))
    return findings


def _can_match(name: str) -> bool:
    return bool(name.strip()) and {"{", "}"}.isdisjoint(name)


# The mock data and the agent's variables.

# In JSON: a name where a tool may say what it extracts.
_VALUE_OR_OBJECT = re.compile(r'"([\w.-]+)"(?=[,\]}]|: \{)')


class _VariableMatch(NamedTuple):
    """How the mock data fits the agent's variables."""

    needed: Sequence[str]
    renamed: dict[str, str]  # a mock variable, and the agent's variable that it resembles
    empty: Sequence[str]
    extracted: Sequence[str]  # without a value until a tool sets it
    unused: Sequence[str]


def _lint_variables(draft: TestCase, agent: Agent) -> list[Finding]:
    settings = agent.agent_settings
    texts = [agent.instructions, agent.welcome_message, settings.global_prompt]
    prompts = "\n".join(filter(None, texts))
    if not prompts:
        return []
    match = _match_variables(draft.mock_data, agent, list_variables(prompts))
    return [*_report_renamed(match), *_report_missing(match), *_report_unused(match)]


def _match_variables(
    mock_data: Sequence[MockVariable], agent: Agent, needed: Sequence[str]
) -> _VariableMatch:
    tools = json.dumps(agent.tools, ensure_ascii=False, default=str)
    # Tools and fields that we do not know may use variables too.
    everything = json.dumps(agent.raw, ensure_ascii=False, default=str) + tools
    used = {*needed, *list_variables(everything)}
    extractable = set(_VALUE_OR_OBJECT.findall(tools))
    names = dict.fromkeys(mock.variable_name for mock in mock_data)
    mocked = list(filter(_can_match, names))
    missing = [name for name in needed if name not in names]
    unused = [name for name in mocked if name not in used]
    renamed = _find_renamed(unused, missing)
    missing = [name for name in missing if name not in renamed.values()]
    return _VariableMatch(
        needed=needed,
        renamed=renamed,
        empty=[name for name in missing if name not in extractable],
        extracted=[name for name in missing if name in extractable],
        unused=[name for name in unused if name not in renamed],
    )


def _find_renamed(unused: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Pair each unused mock variable with a variable of almost the same name and no value."""
    candidates = [name for name in missing[:MAX_COMPARED_NAMES] if len(name) <= 64]
    # Of names that differ only in case, the first counts.
    free = {name.casefold(): name for name in reversed(candidates)}
    renamed = {}
    for name in unused[:MAX_COMPARED_NAMES]:
        close = get_close_matches(name[:64].casefold(), free, n=1, cutoff=0.75)
        if close:
            renamed[name] = free.pop(close[0])
    return renamed


def _report_renamed(match: _VariableMatch) -> list[Finding]:
    findings = []
    for wrong, right in match.renamed.items():
        quoted = quote_names([right])
        reason = (
            f"Mock variable {quote_names([wrong])} is not used by the agent, which uses {quoted}:"
            " a variable without a value becomes empty text, and no error is shown."
        )
        suggestion = f"Rename it to {quoted}, in the same upper and lower case."
        findings.append(Finding("mockData", "problem", reason, suggestion))
    return findings


def _report_missing(match: _VariableMatch) -> list[Finding]:
    findings = []
    if match.empty:
        reason = (
            f"The agent uses {quote_names(match.empty)} without a mock value:"
            " each becomes empty text, and no error is shown."
        )
        findings.append(Finding("mockData", "problem", reason, "Add a mock value for each."))
    if match.extracted:
        reason = (
            f"The agent uses {quote_names(match.extracted)} without a mock value:"
            " empty text until a tool sets it."
        )
        suggestion = "Add a mock value unless a tool extracts it."
        findings.append(Finding("mockData", "advice", reason, suggestion))
    return findings


def _report_unused(match: _VariableMatch) -> list[Finding]:
    if not match.unused:
        return []
    reason = f"Nothing in the agent's settings uses the mock data {quote_names(match.unused)}."
    suggestion = "Remove it."
    if match.needed:
        suggestion = f"Remove it, or use a variable of the agent: {quote_names(match.needed)}."
    return [Finding("mockData", "advice", reason, suggestion)]


# The model and the number of attempts.


def _lint_model_of_agent(draft: TestCase, agent: Agent) -> list[Finding]:
    live_model = agent.agent_settings.llm_model
    if not live_model or draft.llm_model in (None, "", live_model):
        return []
    reason = "The live agent uses another model, so what passes here can fail there."
    suggestion = f"Use {quote_names([live_model])}, unless you want to test another model."
    return [Finding("llmModel", "advice", reason, suggestion)]


def _lint_model(model: str) -> list[Finding]:
    if not model or model in KNOWN_LLM_MODELS:
        return []
    reason = "SigmaMind's documentation does not list this model; our copy of the list may be old."
    similar = get_close_matches(model[:128].casefold(), KNOWN_LLM_MODELS, n=MODELS_SHOWN)
    if similar:
        suggestion = f"Similar models: {', '.join(similar)}."
    else:
        suggestion = f"Listed, for example: {', '.join(KNOWN_LLM_MODELS[:MODELS_SHOWN])}."
    return [Finding("llmModel", "advice", reason, suggestion)]


def _lint_attempt(attempt: int | None) -> list[Finding]:
    if attempt is not None and attempt > 1:
        return []
    # The lower end of the 95 % Wilson interval for 1 of 1 is 1 / (1 + 1.96²) = 0.207.
    reason = (
        "One attempt says little: after 1 of 1 passed, the true pass rate is 21 to 100 % (95 %"
        " Wilson interval)."
    )
    suggestion = "Use more attempts: after 10 of 10 passed, it is 72 to 100 %."
    return [Finding("attempt", "advice", reason, suggestion)]
