"""Lists arrive as JSON text, and mock values as numbers."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sigmamind_mcp.tools.drafts import MockEntry
from sigmamind_mcp.tools.parts import JobIds

ENTRY = {"variableName": "a", "value": "1"}


@pytest.mark.parametrize(
    "sent",
    [
        ["j1", "j2"],
        '["j1", "j2"]',
        ' [ "j1","j2" ] ',
        ['["j1", "j2"]'],
        ['"j1"', '"j2"'],
        ['["j1"]', "j2"],
        '"[\\"j1\\", \\"j2\\"]"',
    ],
)
def test_json_text_is_understood_in_a_list_and_in_its_entries(sent: object) -> None:
    assert TypeAdapter(JobIds).validate_python(sent) == ["j1", "j2"]


def test_json_text_of_one_entry_is_a_list_of_it() -> None:
    assert TypeAdapter(JobIds).validate_python('"j1"') == ["j1"]


@pytest.mark.parametrize("sent", ["j1", "", "[", '["j1"', "[NaN]", {"a": 1}, 7, True, "[" * 9000])
def test_what_is_no_list_is_refused_by_the_noun_of_its_entries(sent: object) -> None:
    with pytest.raises(ValidationError, match="must be a list of job ids"):
        TypeAdapter(JobIds).validate_python(sent)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("", ""), (" 1.0 ", " 1.0 "), ("null", "null"), ("[]", "[]"), ('"a"', '"a"'),
        (0, "0"), (-7, "-7"), (12345678901234567890123, "12345678901234567890123"), (10**400, str(10**400)),
        (10.0, "10"), (1e3, "1000"), (0.1, "0.1"), (-0.0, "0"), (1.50, "1.5"), (0.00001, "0.00001"),
        (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-7, "1e-7"), (-2.5e-10, "-2.5e-10"),
        (True, "true"), (False, "false"),
    ],
)  # fmt: skip
def test_mock_value_becomes_its_shortest_text(sent: object, text: str) -> None:
    assert MockEntry.model_validate({"variableName": "a", "value": sent}).value == text


@pytest.mark.parametrize("sent", [None, [], ["a"], {}, float("nan"), float("inf")])
def test_mock_value_that_is_no_text_and_no_number_is_refused(sent: Any) -> None:
    with pytest.raises(ValidationError, match="must be a text, a number, true or false"):
        MockEntry.model_validate({"variableName": "a", "value": sent})


def test_number_with_more_digits_than_python_writes_is_refused() -> None:
    with pytest.raises(ValidationError) as refused:
        MockEntry.model_validate({"variableName": "a", "value": 10**5000})

    (problem,) = refused.value.errors(include_input=False)
    assert problem["msg"] == "has too many digits; send a text"
