"""The fields of a test case that a client writes, and whether the API stored them as sent."""

from typing import Any

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.strict_json import JSONObject


def read_fields(case: TestCase) -> JSONObject:
    """Return the fields by the API's names; of mock data only names and values."""
    mock_data = []
    for mock in case.mock_data:
        mock_data.append({"variableName": mock.variable_name, "value": mock.value})
    return {
        "label": case.label or "",
        "userPrompt": case.user_prompt or "",
        "successCriteria": case.success_criteria or "",
        "mockData": mock_data,
        "llmModel": case.llm_model or "",
        "attempt": case.attempt,
    }


def has_same_value(name: str, case: TestCase, other: TestCase) -> bool:
    """Return whether a field is the same in both, whatever else the API adds to mock data."""
    if case.has_unreadable(name) or other.has_unreadable(name):
        return bool(case.raw.get(name) == other.raw.get(name))
    return bool(read_fields(case)[name] == read_fields(other)[name])


def is_as_sent(name: str, case: TestCase, sent: TestCase) -> bool:
    """Return whether a stored field has the value that was sent."""
    if case.has_unreadable(name) or sent.has_unreadable(name):
        return has_same_value(name, case, sent)
    stored, wanted = read_fields(case)[name], read_fields(sent)[name]
    return bool(reduce_value(name, stored) == reduce_value(name, wanted))


def reduce_value(name: str, value: Any) -> Any:
    """Return a form of the value that is equal for values that mean the same."""
    if name == "mockData":
        return sorted((str(item["variableName"]), str(item["value"])) for item in value or [])
    if name == "attempt":
        return value
    # The API may remove blanks at the end of a text.
    return str(value or "").rstrip()
