"""Test cases are told apart by what both sides show."""

from unicodedata import category

import pytest

from sigmamind_mcp.api.models import TestCase
from sigmamind_mcp.insight.case_definitions import (
    DEFINING_FIELDS,
    MAX_EDITED_WORDS,
    MAX_STEPS,
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


# Of each script without spaces: a long sentence, and two words for the same place in it.
UNSPACED = {
    "Thai": ("กรุณายกเลิกแผนบริการของ{}ภายในวันนี้และส่งใบยืนยันทางอีเมลด้วย", "ฉัน", "เพื่อน"),
    "Lao": ("ກະລຸນາຍົກເລີກແຜນບໍລິການຂອງ{}ພາຍໃນມື້ນີ້ແລະສົ່ງໃບຢັ້ງຢືນທາງອີເມວດ້ວຍ", "ຂ້ອຍ", "ໝູ່"),
    "Burmese": ("ကျေးဇူးပြု၍ယနေ့အတွင်း{}ဝန်ဆောင်မှုကိုပယ်ဖျက်ပြီးအီးမေးလ်ပို့ပေးပါ", "ကျွန်ုပ်၏", "သူငယ်ချင်း၏"),
    "Khmer": ("សូមលុបចោលគម្រោងសេវាកម្មរបស់{}នៅថ្ងៃនេះហើយផ្ញើការបញ្ជាក់តាមអ៊ីមែល", "ខ្ញុំ", "មិត្ត"),
    "Japanese": ("本日中に{}のプランを解約して、確認のメールを送っていただけますでしょうか。よろしく。", "私", "友人"),
}  # fmt: skip


@pytest.mark.parametrize(("sentence", "old", "new"), UNSPACED.values(), ids=UNSPACED)
def test_only_the_letters_that_differ_are_shown_where_words_have_no_spaces(
    sentence: str, old: str, new: str
) -> None:
    before, after = sentence.format(old), sentence.format(new)

    edits = find_edits(case(1, userPrompt=before), case(1, userPrompt=after))

    for edit in edits:
        shown = [edit.before or "", edit.after or "", edit.left, edit.right]
        assert len("".join(shown)) < len(before) / 2
        # A vowel sign or tone mark is never cut from its letter.
        assert not any(text and category(text[0]).startswith("M") for text in shown)
    assert edits


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


INVISIBLE = {
    "spaces": ("You want help.", "You  want\nhelp."),
    "zero width": ("You want help.", "You\u200b want help."),
    "Unicode form": ("Un caf\u00e9", "Un cafe\u0301"),
    "long": (f"{'word ' * 2_000}caf\u00e9", f"{'word ' * 2_000}cafe\u0301"),
}


@pytest.mark.parametrize(("before", "after"), INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("field", ["userPrompt", "successCriteria", "label", "llmModel"])
def test_edit_that_nobody_sees_has_no_words(field: str, before: str, after: str) -> None:
    edits = find_edits(case(1, **{field: before}), case(1, **{field: after}))

    assert edits == [DefinitionEdit(field, None, None, is_visible=False)]


@pytest.mark.parametrize(("before", "after"), INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("is_name", [False, True], ids=["value", "name"])
def test_mock_data_that_looks_the_same_has_no_words(before: str, after: str, is_name: bool) -> None:
    base, candidate = (
        case(1, mockData=_mock(**{text: "1"} if is_name else {"a": text}))
        for text in (before, after)
    )

    edits = find_edits(base, candidate)

    if is_name and before == INVISIBLE["spaces"][0] and "\n" in after:
        assert len(edits) == 2  # a name with other spaces is another name
    else:
        assert [(edit.before, edit.is_visible) for edit in edits] == [(None, False)]


def test_text_that_is_wholly_another_is_one_edit() -> None:
    base = case(1, userPrompt=" ".join(f"a{number}" for number in range(2 * MAX_EDITED_WORDS)))
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


# Each has hundreds of words, of which a few are edited far from each other.
LONG_TEXTS = {
    "one word": ["word"] * 3_000,
    "two words in turn": ["left", "right"] * 2_000,
    "sentences": "You are Ana and you want a refund. Be brief .".split() * 150,
    "distinct words": [f"w{number}" for number in range(3_000)],
    "ideographs": list("返品をお願いします。" * 150),
}


@pytest.mark.parametrize("words", LONG_TEXTS.values(), ids=LONG_TEXTS)
@pytest.mark.parametrize("field", ["userPrompt", "successCriteria", "mockData"])
@pytest.mark.parametrize("places", [(3, -4), (0, 500, -1), (3, 7, 400, 800, -20, -4)])
def test_every_edited_word_of_a_long_text_is_shown(
    words: list[str], field: str, places: tuple[int, ...]
) -> None:
    edited = list(words)
    for number, place in enumerate(places):
        edited[place] = f"EDITED{number}"
    base, candidate = _make_pair(field, " ".join(words), " ".join(edited))

    edits = find_edits(base, candidate)

    after = [edit.after for edit in edits if edit.after]
    assert after == [f"EDITED{number}" for number in range(len(places))]
    # Of equal words, any may be the one that is gone.
    if len(set(words)) > 1:
        assert [edit.before for edit in edits] == [words[place] for place in places]


@pytest.mark.parametrize("words", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_rewritten_paragraph_hides_no_other_edit(words: list[str]) -> None:
    paragraph = [f"new{number}" for number in range(3 * MAX_EDITED_WORDS)]
    named = [*words[:400], "Here", "ends", "it", *words[400:900], "And", "there", *words[900:]]
    edited = [*named[:200], *paragraph, *named[300:]]
    edited[3], edited[-4] = "FIRST", "LAST"
    base, candidate = _make_pair("userPrompt", " ".join(named), " ".join(edited))

    after = [edit.after or "" for edit in find_edits(base, candidate)]

    assert any("new0" in text for text in after)
    assert any("LAST" in text for text in (after[-1], after[-1][-200:]))
    assert "FIRST" in after[0]


@pytest.mark.parametrize("field", ["userPrompt", "successCriteria", "mockData"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{'x' * 31_000}A", f"{'x' * 31_000}B"),
        (f"A{'x' * 31_000}", f"B{'x' * 31_000}"),
        (f"{'x' * 15_000}A{'x' * 15_000}", f"{'x' * 15_000}B{'x' * 15_000}"),
        (f"{'x' * 15_000}A{'x' * 15_000}", f"{'x' * 15_000}BBB{'x' * 15_000}"),
        (f"{'x' * 15_000}{'y' * 15_000}A", f"{'x' * 15_000}{'y' * 15_000}B"),
        (f"You are {'x' * 31_000}A now", f"You are {'x' * 31_000}B now"),
        (f"{'漢' * 20_000}A", f"{'漢' * 20_000}B"),
        (f'{{"a":"{"x" * 20_000}A"}}', f'{{"a":"{"x" * 20_000}B"}}'),
    ],
    ids=["end", "start", "middle", "longer", "varied", "in a text", "ideographs", "JSON"],
)
def test_difference_in_a_long_word_is_shown(field: str, before: str, after: str) -> None:
    edit = find_edits(*_make_pair(field, before, after))[0]

    assert edit.before is not None and edit.after is not None
    assert "A" in edit.before[:160] and "B" in edit.after[:160]
    assert len(edit.before) < 160


def test_work_grows_with_the_length_of_the_texts_alone() -> None:
    # Without a bound, these would take the square of 100,000 steps.
    old = ["a", "b"] * 50_000
    new = ["b", "a", "c"] * 33_000

    edits = find_edits(*_make_pair("userPrompt", " ".join(old), " ".join(new)))

    assert edits and len(old) * MAX_EDITED_WORDS > MAX_STEPS


def _make_pair(field: str, before: str, after: str) -> tuple[TestCase, TestCase]:
    texts = (before, after)
    values = [_mock(a=text) if field == "mockData" else text for text in texts]
    base, candidate = (case(1, **{field: value}) for value in values)
    return base, candidate


def _mock(**values: str) -> list[dict[str, str]]:
    return [{"variableName": name, "value": value} for name, value in values.items()]
