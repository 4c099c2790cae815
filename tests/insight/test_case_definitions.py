"""Test cases are told apart by what both sides show."""

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.case_definitions import find_differences
from tests.insight.test_comparison import case


def test_field_that_one_side_lacks_is_no_difference() -> None:
    assert find_differences(TestCase.read({"testCaseId": "a"}), case(1, mockData=[])) == ()


def test_mock_data_in_another_order_is_the_same() -> None:
    entries = [{"variableName": "a", "value": "1"}, {"variableName": "b", "value": "2"}]

    assert find_differences(case(1, mockData=entries), case(1, mockData=entries[::-1])) == ()


def test_no_model_and_a_model_are_two_definitions() -> None:
    assert find_differences(case(1, llmModel=None), case(1, llmModel="gpt-4o-mini")) == (
        "llmModel",
    )
    assert find_differences(case(1), case(1, llmModel="gpt-4o-mini")) == ()
