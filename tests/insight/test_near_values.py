"""A value that nobody gave is shown with the mock value of the same form, if they differ little."""

import pytest

from sigmamind_mcp.api.models import MockVariable
from sigmamind_mcp.insight.near_values import find_near_mock

MOCKS = [
    MockVariable.read({"variableName": name, "value": value})
    for name, value in (
        ("amount", "214.60"),
        ("fee", "998.75"),
        ("reference", "DSP-70418"),
        ("day", "2026-11-06"),
        ("guests", "12"),
        ("arrival", "15:00"),
    )
]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("$241.60", "amount"),
        ("DSP-70481", "reference"),
        ("2026-11-09", "day"),
        ("214.60", None),
        ("555.55", None),
        ("24.60", None),
        ("11/09/26", None),
        ("CLM-70481", None),
        ("99", None),
        ("$15", None),
        ("11:30", None),
    ],
)
def test_value_is_near_a_mock_value_of_its_form(value: str, name: str | None) -> None:
    found = find_near_mock(value, MOCKS)

    assert (found.variable_name if found else None) == name
