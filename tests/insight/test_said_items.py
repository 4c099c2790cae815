"""What an attempt has: words of the test case, values, tools, how often the user agrees."""

from sigmamind_mcp.insight.agent_words import AgentWords
from sigmamind_mcp.insight.said_items import (
    UNSAID,
    Item,
    build_vocabulary,
    find_long_runs,
    find_run_texts,
    make_items,
)
from tests.insight.conversations import make_run


def list_all(*said: str, **fields: object) -> set[Item]:
    run = make_run(*said, **fields)  # type: ignore[arg-type]  # the fields of make_run
    words = AgentWords.read_run(run)
    return set(make_items(find_run_texts(run, "closed", words, build_vocabulary([run]))))


def test_words_and_pairs_of_criteria_prompt_mock_data_and_remarks_are_items() -> None:
    items = list_all(
        "Hi.",
        "Your referral code is needed; the gift card is blue, and an airplane.",
        criteria="The agent asks for a referral code.",
        remarks="The gift card was forgotten.",
        mock_data={"colour": "blue"},
    )

    assert {item.text for item in items if item.kind == "phrase"} == {
        "referral", "code", "referral code", "gift", "card", "gift card", "blue",
    }  # fmt: skip


def test_what_the_user_says_is_no_item() -> None:
    assert not [
        item for item in list_all("Cancel 4411.", "Hm.") if item.kind in ("phrase", "value")
    ]


def test_mock_values_are_items_by_the_name_of_the_variable() -> None:
    items = list_all("Hi.", "It comes on May 4.", mock_data={"date": "2026-05-04", "order": "4411"})

    assert Item("mock value", "date") in items and Item("mock value", "order") not in items


def test_value_that_the_criteria_ask_for_and_nobody_says_is_an_item() -> None:
    criteria = "The agent states the fee of 25 CHF."

    assert UNSAID in list_all("Hi.", "There is a fee.", criteria=criteria)
    assert UNSAID not in list_all("Hi.", "The fee is CHF 25.00.", criteria=criteria)
    assert UNSAID not in list_all("Hi.", "It is twenty-five francs.", criteria=criteria)


def test_tools_and_go_aheads_are_items() -> None:
    items = list_all(
        "Cancel.", "Shall I cancel it?", "Yes.", 'tool|cancel_order({"id": 1})', "tool|Error: 500"
    )

    assert {Item("tool", "calls cancel_order"), Item("tool", "a tool answers with an error"),
            Item("go-aheads", "one")} <= items  # fmt: skip


def test_long_is_longer_than_most_attempts_of_the_same_case() -> None:
    runs = [make_run(*["Hm."] * size, case=case)
            for case, size in (("a", 2), ("a", 2), ("a", 9), ("b", 9), ("b", 9))]  # fmt: skip

    assert find_long_runs(runs) == [False, False, True, False, False]
