"""What a test case is in one batch run, and in which fields it differs in another."""

from collections.abc import Iterable

from sigmamind_mcp.api.models import TestCase, TestRun

DEFINING_FIELDS = ("userPrompt", "successCriteria", "mockData", "llmModel")
"""A test case with another value in one of these is another test."""


def find_differences(base: TestCase, candidate: TestCase) -> tuple[str, ...]:
    """Return the names of the fields that differ.

    A field that one side lacks, or that is unreadable there, is not compared.
    """
    fields = {
        "userPrompt": (base.user_prompt, candidate.user_prompt),
        "successCriteria": (base.success_criteria, candidate.success_criteria),
        "mockData": (_get_mock_data(base), _get_mock_data(candidate)),
        "llmModel": (_get_model(base), _get_model(candidate)),
        "label": (base.label, candidate.label),
        "attempt": (base.attempt, candidate.attempt),
    }
    return tuple(name for name, (before, after) in fields.items() if _differ(before, after))


def find_definition(runs: Iterable[TestRun]) -> TestCase | None:
    """Return the first test case that a run shows with prompt and criteria, whole if possible."""
    defined = [run.test_case for run in runs if run.test_case and has_definition(run.test_case)]
    whole = (case for case in defined if not case.unreadable_fields())
    return next(whole, defined[0] if defined else None)


def has_definition(case: TestCase) -> bool:
    """Whether the case shows its prompt and criteria."""
    return case.user_prompt is not None and case.success_criteria is not None


def _differ(before: object, after: object) -> bool:
    is_known = before is not None and after is not None
    return is_known and before != after


def _get_model(case: TestCase) -> str | None:
    """Return the model; "" if the case uses the agent's, None if the API does not show it."""
    return case.llm_model or ("" if _is_shown(case, "llmModel") else None)


def _get_mock_data(case: TestCase) -> list[tuple[str, str]] | None:
    """Return the mock data in a fixed order; None if the API does not show all of it."""
    if not _is_shown(case, "mockData"):
        return None
    return sorted((mock.variable_name, mock.value) for mock in case.mock_data)


def _is_shown(case: TestCase, field: str) -> bool:
    """Whether the API's object has this field, and all of it could be read."""
    unreadable = {name.split(".")[0] for name in case.unreadable_fields()}
    return field in case.raw and field not in unreadable
