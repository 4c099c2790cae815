"""A name is found where one attempt says it in the place of a mock value."""

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.replaced_names import find_replaced_names, is_word_given
from tests.insight.conversations import make_run

NAME = "Marlon Figueroa"
SAYS = "It is blocked now, Mr. Figueroa."
SLIPS = "To the address on file, Mr. Ferreira."


def make_attempt(*said: str, name: str = NAME) -> TestRun:
    turns = [turn for text in said for turn in ("And now?", text)]
    return make_run(*turns, mock_data={"cardholder": name})


def find(runs: list[TestRun]) -> list[str]:
    return [found.word for found in find_replaced_names(runs, has_time=lambda: True)]


def find_slip(slip: str, says: str = SAYS, name: str = NAME) -> list[str]:
    """Return what is found in one of three attempts that all say the name."""
    others = [make_attempt(says, name=name) for _ in range(2)]
    return find([*others, make_attempt(says, slip, name=name)])


def test_other_name_of_one_attempt_is_found_with_its_variable() -> None:
    runs = [make_attempt(SAYS), make_attempt(SAYS), make_attempt(SAYS, "Right.", SLIPS)]
    [found] = find_replaced_names(runs, has_time=lambda: True)

    assert (found.word, found.mock.variable_name) == ("Ferreira", "cardholder")
    assert found.run is runs[2]


@pytest.mark.parametrize(
    ("says", "slip", "word"),
    [
        ("Danke, Herr Figueroa.", "Gerne, Herr Ferreira.", "Ferreira"),
        ("Gracias, señor Figueroa.", "Sí, señor Ñáñez.", "Ñáñez"),
        ("So you are Marlon Figueroa.", "Marlon Ferreira it is.", "Ferreira"),
        ("Thanks, Mr.\u00a0Figueroa.", "Mr. Ferreira's card", "Ferreira"),
        ("It is for Sr. Figueroa!", "And for Sr. FERREIRA!", "FERREIRA"),
        (SAYS, "Thanks, Mr. Henderson.", "Henderson"),
        (SAYS, "Thanks, Mr. Lee.", "Lee"),
    ],
)
def test_slots_are_words_of_any_language(says: str, slip: str, word: str) -> None:
    assert find_slip(slip, says) == [word]


def test_attempts_of_several_test_cases_count_together() -> None:
    names = ("Ada Okonkwo", "Emil Kessler")
    attempts = [make_attempt(f"Thanks, Mr. {name.split()[1]}.", name=name) for name in names]

    [found] = find_replaced_names([*attempts, make_attempt(SAYS, SLIPS)], has_time=lambda: True)
    assert (found.word, found.mock.value) == ("Ferreira", NAME)
    assert find([*attempts[1:], make_attempt(SAYS, SLIPS)]) == []


def test_attempt_that_never_says_its_mock_value_there_does_not_contradict_itself() -> None:
    assert find([*[make_attempt(SAYS)] * 3, make_attempt("Right.", SLIPS)]) == []


@pytest.mark.parametrize(
    "slip",
    [
        "Well, Mr. Figueroa.",  # the name
        "Well, Mr. Marlon.",  # another word of it
        "Well, Mr. ferreira.",  # no capital
        "Well, Mr. Fu.",  # short
        "Well, Mr. or Mrs. Ferreira.",
        "Well, Mr Ferreira.",
        "Well, Ferreira.",
        "Ferreira, Mr. Figueroa.",
        "It is blocked now. Ferreira is on it.",
        "Well, Mr.",
        "Mr. Ferreira and Mr. Fonseca",
    ],
)
def test_what_may_be_the_name_or_no_name_is_not_found(slip: str) -> None:
    assert find_slip(slip) == []


@pytest.mark.parametrize("end", ["Mr. Osei.", "Mr.", "Mr., yes.", "Mr. or Mrs.", "Mr. 7"])
def test_another_attempt_with_anything_else_after_the_word_ends_the_slot(end: str) -> None:
    attempts = [make_attempt(SAYS), make_attempt(SAYS), make_attempt(SAYS, SLIPS)]

    assert find([*attempts, make_attempt(f"Then ask {end}")]) == []
    assert find([make_attempt(f"Then ask {end}"), *attempts]) == []


@pytest.mark.parametrize(
    ("name", "says", "slip"),
    [
        ("山田太郎", "こんにちは 山田太郎 様", "こんにちは 山本太郎 様"),
        ("محمد الفيصل", "شكرا سيد الفيصل", "شكرا سيد الفاضل"),
    ],
)
def test_scripts_without_capitals_have_no_slots(name: str, says: str, slip: str) -> None:
    assert find_slip(slip, says, name) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FERREIRA", True),
        ("Ferréira", True),
        ("the ferreiras", True),
        ("Fereira", True),
        ("maria.ferreira@example.com", True),
        ("it is f, e, r-r, e, i, r, a", True),
        ("F as in Frank, E as in Emil, R, R, E, I as in India, R, A", True),
        ("Figueroa", False),
        ("", False),
    ],
)
def test_word_is_given_in_any_case_form_or_spelling(text: str, expected: bool) -> None:
    assert is_word_given("Ferreira", ["Hello.", text]) is expected


def test_place_of_a_mock_value_without_a_capital_is_not_that_of_a_name() -> None:
    assert find_slip("So you pay by Visa.", "Do you pay by cash?", "cash") == []


def test_nothing_is_found_without_time_or_without_a_conversation() -> None:
    attempts = [make_attempt(SAYS), make_attempt(SAYS), make_attempt(SAYS, SLIPS)]

    assert find_replaced_names(attempts, has_time=lambda: False) == []
    assert find([TestRun.read({"jobId": "j"})] * 4) == []
