"""Test cases are told apart by what both sides show."""

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.case_definitions import (
    DEFINING_FIELDS,
    MAX_MATCHED_WORDS,
    DefinitionEdit,
    find_differences,
    find_edits,
)
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


RETURNS = "You bought shoes, and {} you want to return them within {} days of delivery."


def test_edited_words_stand_between_the_words_around_them() -> None:
    base = case(1, userPrompt=RETURNS.format("now", "14"))
    candidate = case(1, userPrompt=RETURNS.format("now", "30"))

    assert find_edits(base, candidate) == [
        DefinitionEdit("userPrompt", "14", "30", "return them within", "days of delivery.")
    ]


def test_two_places_of_one_text_are_two_edits() -> None:
    base = case(1, userPrompt=RETURNS.format("now", "14"))
    candidate = case(1, userPrompt=RETURNS.format("after a week", "30"))

    edits = find_edits(base, candidate)

    assert [(edit.before, edit.after) for edit in edits] == [("now", "after a week"), ("14", "30")]


@pytest.mark.parametrize(
    ("before", "after", "edit"),
    [
        (f"{'word ' * 20}end", f"{'word ' * 20}end. More.", ("end", "end. More.")),
        (f"first {'word ' * 20}", "word " * 20, ("first", "")),
        (f"{'漢' * 30}十四{'字' * 30}", f"{'漢' * 30}三十{'字' * 30}", ("十四", "三十")),
        (f'{{"a":{"1" * 40},"b":"x"}}', f'{{"a":{"1" * 40},"b":"y"}}', ("x", "y")),
        ("short one", "short two", ("short one", "short two")),
    ],
    ids=["added", "removed", "script without spaces", "JSON", "short"],
)
@pytest.mark.parametrize("field", ["userPrompt", "successCriteria", "mockData"])
def test_only_the_words_that_differ_are_shown(
    field: str, before: str, after: str, edit: tuple[str, str]
) -> None:
    base, candidate = (
        case(1, **{field: _mock(a=text) if field == "mockData" else text})
        for text in (before, after)
    )

    (found,) = find_edits(base, candidate)

    assert (found.field, found.before, found.after) == (field, *edit)


def test_mock_data_is_compared_by_variable() -> None:
    base = case(1, mockData=_mock(kept="1", changed="2", removed="3"))
    candidate = case(1, mockData=_mock(added="", changed="4", kept="1"))

    assert find_edits(base, candidate) == [
        DefinitionEdit("mockData", "2", "4", variable="changed"),
        DefinitionEdit("mockData", "3", None, variable="removed"),
        DefinitionEdit("mockData", None, "", variable="added"),
    ]


def test_variable_with_two_values_shows_both() -> None:
    base = case(1, mockData=[*_mock(a="1"), *_mock(a="2")])

    assert find_edits(base, case(1, mockData=_mock(a="1"))) == [
        DefinitionEdit("mockData", "1 | 2", "1", variable="a")
    ]


def test_short_fields_are_shown_whole() -> None:
    base = case(1, llmModel=None, label="old", attempt=3)
    candidate = case(1, llmModel="gpt-5.2", label="new", attempt=10)

    assert find_edits(base, candidate) == [
        DefinitionEdit("llmModel", "", "gpt-5.2"),
        DefinitionEdit("label", "old", "new"),
        DefinitionEdit("attempt", "3", "10"),
    ]


@pytest.mark.parametrize("after", ["You  want\nhelp.", "You\u200b want help."])
def test_edit_that_nobody_sees_has_no_words(after: str) -> None:
    edits = find_edits(case(1, userPrompt="You want help."), case(1, userPrompt=after))

    assert edits == [DefinitionEdit("userPrompt", None, None, is_visible=False)]


def test_text_that_is_wholly_another_is_one_edit() -> None:
    base = case(1, userPrompt=" ".join(f"a{number}" for number in range(MAX_MATCHED_WORDS + 1)))
    candidate = case(1, userPrompt=" ".join(f"b{number}" for number in range(9)))

    (edit,) = find_edits(base, candidate)

    assert (edit.before, edit.after) == (base.user_prompt, candidate.user_prompt)


@pytest.mark.parametrize("field", [*DEFINING_FIELDS, "label", "attempt"])
def test_field_that_differs_has_an_edit(field: str) -> None:
    values: dict[str, tuple[object, object]] = {
        "mockData": (_mock(a="1"), _mock(a="2")),
        "attempt": (1, 2),
    }
    before, after = values.get(field, ("one", "two"))
    base, candidate = case(1, **{field: before}), case(1, **{field: after})

    assert find_differences(base, candidate) == (field,)
    assert [edit.field for edit in find_edits(base, candidate)] == [field]


def _mock(**values: str) -> list[dict[str, str]]:
    return [{"variableName": name, "value": value} for name, value in values.items()]
