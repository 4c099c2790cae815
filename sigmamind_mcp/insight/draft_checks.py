"""Find what is likely to be wrong with a draft test case, before it costs model calls.

The rules read words, not meaning. They would rather miss a fault than report a false one: a
`problem` almost certainly spoils the result, an `advice` is worth a look. Reasons and suggestions
are our words, with names from the draft; other words of the draft are in `quotes`. Rules about
English words ignore a text that does not read as English.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from sigmamind_mcp.api.models import KNOWN_LLM_MODELS, Agent, MockVariable, TestCase
from sigmamind_mcp.insight.draft_rules import (
    DESCRIBE_THE_USER,
    GOAL,
    HEDGE,
    MANNER,
    OBSERVABLE,
    PERSONA,
    RULES,
    SPEECH,
    Field,
    Finding,
    Rule,
    Severity,
    compile_ignoring_case,
)
from sigmamind_mcp.insight.draft_variables import can_match, lint_variables
from sigmamind_mcp.insight.similar_texts import ComparableText, normalize_text
from sigmamind_mcp.insight.variable_names import (
    TEMPLATE_VARIABLE,
    is_person_name,
    quote_names,
    split_variable_name,
)

MIN_CRITERIA_WORDS = 3
SHORT_PROMPT_WORDS = 12  # a longer prompt may imply its goal
COPIED = 0.8  # share of letter triples in common from which criteria are a copy of the prompt
MODELS_SHOWN = 3
QUOTES_SHOWN = 3
QUOTE_LENGTH = 80
MANY_ATTEMPTS = 50
"""The server's default limit above which a launch needs a person's yes."""
TOO_MANY_ATTEMPTS = 1_000


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
    return [*_lint_model_of_agent(draft, agent), *lint_variables(draft, agent)]


_SPACES = re.compile(r"[^\S\n]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_REST_OF_WORD = re.compile(r"[\w'-]*")
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
    clauses = []
    for part in _CLAUSE_END.split(text):
        clause = _LIST_MARKER.sub("", part, count=1).strip()
        if _LETTERS.search(clause):
            clauses.append(clause)
    return clauses


def _quote_words(clause: str, match: re.Match[str]) -> str:
    """Return the matched part of a clause, up to the end of its last word."""
    rest = _REST_OF_WORD.match(clause, match.end())
    end = rest.end() if rest else match.end()
    return clause[match.start() : end].strip()


def _limit_quotes(quotes: Sequence[str]) -> tuple[str, ...]:
    shown = list(dict.fromkeys(quotes))[:QUOTES_SHOWN]
    return tuple(quote[:QUOTE_LENGTH] for quote in shown)


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
    quotes: dict[Finding, list[str]] = {}
    for rule in RULES:
        broken = _list_broken(rule, clauses) if rule.field == field else []
        if broken:
            reason, suggestion = rule.reason, rule.suggestion
            finding = Finding(field, rule.severity, reason, suggestion, language_bound=True)
            quotes.setdefault(finding, []).extend(broken)
    return [finding._replace(quotes=_limit_quotes(words)) for finding, words in quotes.items()]


def _list_broken(rule: Rule, clauses: Sequence[str]) -> list[str]:
    """Return the words that break the rule."""
    broken = []
    for clause in clauses:
        match = rule.pattern.search(clause)
        if match is None:
            continue
        if rule.unless is None or not rule.unless.search(clause, 0, match.start()):
            broken.append(_quote_words(clause, match))
    return broken


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
        quotes = _limit_quotes([criteria.strip()])
        return [Finding("successCriteria", "problem", reason, _NAME_AN_OUTCOME, quotes=quotes)]
    if not reads_as_english(criteria):
        return []
    vagueness = _lint_vagueness(_split_into_clauses(criteria))
    return [*_apply_rules("successCriteria", criteria), *vagueness]


def _lint_vagueness(clauses: Sequence[str]) -> list[Finding]:
    vague = list(filter(None, map(_find_vague_words, clauses)))
    if not vague:
        return []
    severity: Severity = "advice"
    reason = "Some criteria are vague, so two judges can differ."
    if len(vague) == len(clauses):
        severity = "problem"
        reason = "All criteria are vague, so two judges can differ on every run."
    return [
        Finding(
            "successCriteria",
            severity,
            reason,
            _NAME_SOMETHING_VISIBLE,
            language_bound=True,
            quotes=_limit_quotes(vague),
        )
    ]


def _find_vague_words(clause: str) -> str | None:
    """Return the vague words of a clause that is not otherwise concrete."""
    if OBSERVABLE.search(clause):
        return None
    hedge = HEDGE.search(clause)
    if hedge:
        return _quote_words(clause, hedge)
    manner = MANNER.search(clause)
    if manner is None or SPEECH.search(clause):
        return None
    return _quote_words(clause, manner)


def _lint_copied_prompt(prompt: str, criteria: str) -> list[Finding]:
    normalized = normalize_text(prompt)
    similarity = ComparableText.read(normalized).measure_similarity(normalize_text(criteria))
    if not normalized or similarity < COPIED:
        return []
    reason = "The criteria repeat the user prompt, so the agent is not judged at all."
    return [Finding("successCriteria", "problem", reason, _NAME_AN_OUTCOME)]


def _lint_placeholders(field: Field, text: str) -> list[Finding]:
    variables = [match[0] for match in TEMPLATE_VARIABLE.finditer(text)]
    if not variables:
        return []
    quotes = _limit_quotes(variables)
    reason = "{{ }} is for the agent's own prompt; no document says that it is replaced here."
    return [Finding(field, "advice", reason, "Write the value itself.", quotes=quotes)]


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
    quotes = _limit_quotes([persona.group(1)])
    return [Finding("mockData", "advice", reason, suggestion, True, quotes)]


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
    if not all(map(can_match, counts)):
        reason = (
            "A mock variable's name is blank or has braces, so it matches no variable of the agent."
        )
        suggestion = "Write only the name: order_id for {{order_id}}."
        findings.append(Finding("mockData", "problem", reason, suggestion))
    return findings


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
    quotes = _limit_quotes([model])
    return [Finding("llmModel", "advice", reason, suggestion, quotes=quotes)]


def _lint_attempt(attempt: int | None) -> list[Finding]:
    if attempt is not None and attempt > MANY_ATTEMPTS:
        return [_report_many_attempts(attempt)]
    if attempt is not None and attempt > 1:
        return []
    # The lower end of the 95 % Wilson interval for 1 of 1 is 1 / (1 + 1.96²) = 0.207.
    reason = (
        "One attempt says little: after 1 of 1 passed, the true pass rate is 21 to 100 % (95 %"
        " Wilson interval)."
    )
    suggestion = "Use more attempts: after 10 of 10 passed, it is 72 to 100 %."
    return [Finding("attempt", "advice", reason, suggestion)]


def _report_many_attempts(attempt: int) -> Finding:
    severity: Severity = "problem" if attempt > TOO_MANY_ATTEMPTS else "advice"
    reason = (
        f"{attempt:,} attempts are as many conversations in each batch run: each costs model calls,"
        " and a batch run cannot be stopped."
    )
    # Half of the 95 % Wilson interval where it is widest, at half of the attempts passed.
    suggestion = (
        "Begin with 10 to 50: with 50, the pass rate is known within 13 points; with 1,000, within"
        " 3 (95 % Wilson interval)."
    )
    return Finding("attempt", severity, reason, suggestion)
