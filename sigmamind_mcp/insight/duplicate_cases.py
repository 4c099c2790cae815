"""Look for a draft among the test cases that its agent already has."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.ids import same_id
from sigmamind_mcp.insight.draft_rules import Finding, Severity
from sigmamind_mcp.insight.similar_texts import ComparableText, normalize_text
from sigmamind_mcp.insight.variable_names import quote_names

NEAR_DUPLICATE = 0.9  # share of letter triples in common

Likeness = Literal["same", "variant", "near"]


class _Advice(NamedTuple):
    """What to say about a kind of duplicate; {} in the reason stands for the other cases."""

    severity: Severity
    reason: str
    suggestion: str


# The closest kind comes first: only that one is reported.
_ADVICE: dict[Likeness, _Advice] = {
    "same": _Advice(
        "problem",
        "This test case already exists: {}.",
        "Run that one, with more attempts for more evidence.",
    ),
    "variant": _Advice(
        "advice",
        "The same prompt and criteria are in {}; only mock data or model differ.",
        "If you want both, name the difference in the label.",
    ),
    "near": _Advice(
        "advice",
        f"Prompt and criteria are at least {NEAR_DUPLICATE:.0%} the same as in {{}}.",
        "Change that test case, or name the difference in the label.",
    ),
}


def lint_against_cases(draft: TestCase, cases: Sequence[TestCase]) -> list[Finding]:
    """Return findings on duplicates of the draft; a case with the draft's own id is the draft."""
    others = [case for case in cases if not _has_same_id(case, draft)]
    return [*_lint_duplicates(draft, others), *_lint_label(draft, others)]


def _has_same_id(case: TestCase, draft: TestCase) -> bool:
    if case.test_case_id is None or draft.test_case_id is None:
        return False
    return same_id(case.test_case_id, draft.test_case_id)


def _lint_duplicates(draft: TestCase, others: Sequence[TestCase]) -> list[Finding]:
    prompt = ComparableText.read(normalize_text(draft.user_prompt))
    criteria = ComparableText.read(normalize_text(draft.success_criteria))
    duplicates: dict[Likeness, list[TestCase]] = defaultdict(list)
    for case in others:
        likeness = _compare_case(draft, prompt, criteria, case)
        if likeness is not None:
            duplicates[likeness].append(case)
    for likeness, advice in _ADVICE.items():
        if likeness in duplicates:
            reason = advice.reason.format(_quote_ids(duplicates[likeness]))
            return [Finding("userPrompt", advice.severity, reason, advice.suggestion)]
    return []


def _compare_case(
    draft: TestCase, prompt: ComparableText, criteria: ComparableText, case: TestCase
) -> Likeness | None:
    """Return how much another test case is like the draft, if it is."""
    other_prompt = normalize_text(case.user_prompt)
    other_criteria = normalize_text(case.success_criteria)
    if not all((prompt.text, criteria.text, other_prompt, other_criteria)):
        return None
    if (prompt.text, criteria.text) == (other_prompt, other_criteria):
        return "same" if _has_same_setup(draft, case) else "variant"
    if prompt.measure_similarity(other_prompt) < NEAR_DUPLICATE:
        return None
    if criteria.measure_similarity(other_criteria) < NEAR_DUPLICATE:
        return None
    return "near"


def _has_same_setup(draft: TestCase, case: TestCase) -> bool:
    """Tell whether two test cases have the same model and mock data."""
    has_same_model = (draft.llm_model or "") == (case.llm_model or "")
    return has_same_model and _read_mock_values(draft) == _read_mock_values(case)


def _read_mock_values(case: TestCase) -> dict[str, str]:
    return {mock.variable_name: mock.value for mock in case.mock_data}


def _lint_label(draft: TestCase, others: Sequence[TestCase]) -> list[Finding]:
    label = normalize_text(draft.label)
    if not label:
        return []
    namesakes = [case for case in others if normalize_text(case.label) == label]
    if not namesakes:
        return []
    reason = f"The same label as {_quote_ids(namesakes)}: lists and reports look the same for both."
    return [Finding("label", "advice", reason, "Say in the label what is different in this case.")]


def _quote_ids(cases: Sequence[TestCase]) -> str:
    return quote_names([case.test_case_id or "" for case in cases], unsafe="another test case")
