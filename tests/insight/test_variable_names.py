"""Names of variables."""

import pytest

from sigmamind_mcp.insight.variable_names import (
    is_person_name,
    is_plain_name,
    list_variables,
    quote_names,
    split_variable_name,
)


def test_variables_stand_in_order_and_once() -> None:
    assert list_variables("{{b}} {{ a_1 }} {{b}} {c} {{}} {{ d e }} {{注文}} {{x.y-z}}") == (
        "b",
        "a_1",
        "注文",
        "x.y-z",
    )


@pytest.mark.parametrize("name", ["order_id", "orderId", "Order-ID", "order id"])
def test_name_is_split_in_each_style(name: str) -> None:
    assert split_variable_name(name) == ["order", "id"]


@pytest.mark.parametrize(
    ("name", "is_person"),
    [
        ("customer_name", True),
        ("firstName", True),
        ("name", True),
        ("customer", True),
        ("username", True),
        ("company_name", False),
        ("name_of_plan", False),
        ("", False),
    ],
)
def test_variable_that_holds_a_persons_name(name: str, is_person: bool) -> None:
    assert is_person_name(split_variable_name(name)) is is_person


@pytest.mark.parametrize("name", ["order id", "注文", "x" * 41, "a\nb", ""])
def test_text_that_may_be_more_than_a_name_is_not_quoted(name: str) -> None:
    assert not is_plain_name(name)


def test_first_names_are_quoted_and_the_rest_counted() -> None:
    assert quote_names(["a", "b", "c"]) == "a, b, c"
    assert quote_names(["a", "b c", "d e", "f"]) == "a, a name that is not plain text and 1 more"
    assert quote_names([""], unsafe="another test case") == "another test case"
