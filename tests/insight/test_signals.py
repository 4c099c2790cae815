"""Signals, rule by rule; the labelled sets say how often they are right."""

import re
import time
from typing import Any

import pytest

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.signals import (
    RECENT_TURNS,
    Signal,
    SignalKind,
    asks_to_repeat,
    declines_offer,
    demands_answer,
    expects_answer,
    find_signals,
    has_missing_word,
    is_closing,
    is_leaving,
    offers_more_help,
)
from tests.checks.measured import (
    KINDS,
    Figures,
    build_run,
    format_table,
    measure_signals,
    read_labelled,
    wilson_lower,
)

MOCK_DATA = {
    "customer_name": "John Doe",
    "order_id": "A-1001",
    "delivery_date": "2026-03-04",
    "balance": "120.50",
}
LONG = "Please send a photo of the type plate inside the door so that I can find the part."


def run(*contents: str, mock_data: dict[str, str] | None = None) -> TestRun:
    """A test run in which user and agent speak in turn, the user first."""
    turns = [
        ["assistant" if number % 2 else "user", content] for number, content in enumerate(contents)
    ]
    return build_run(
        {"mockData": MOCK_DATA if mock_data is None else mock_data, "conversation": turns}
    )


def kinds(
    *contents: str, siblings: tuple[int, ...] = (), mock_data: dict[str, str] | None = None
) -> list[str]:
    return [signal.kind for signal in find_signals(run(*contents, mock_data=mock_data), siblings)]


def test_repeated_turn_names_the_first_and_how_often() -> None:
    signals = find_signals(
        run("It is broken.", LONG, "Here it is.", LONG, "Again?", LONG, "Bye.", "Goodbye."), []
    )
    assert signals == [
        Signal(
            "repeated_agent_turn",
            4,
            "The agent repeats what it said in turn 2, 3 times in all.",
            False,
        ),
    ]


@pytest.mark.parametrize(
    ("first", "user", "second", "repeated"),
    [
        (LONG, "I did.", f"Sorry! {LONG}", True),
        (LONG, "I did.", LONG.upper(), True),
        (LONG, "Can you repeat that?", LONG, False),
        (LONG, "Stop asking me to repeat that!", LONG, True),
        ("One moment, please.", "And size L?", "One moment, please.", False),
        ("What is your order number?", "A-1001", "What is your order number?", True),
        (
            "I need your first name as in your passport.",
            "Ida",
            "I need your last name as in your passport.",
            False,
        ),
        (
            "Parcel 1 is at the depot in the south of town.",
            "OK",
            "Parcel 2 is at the depot in the south of town.",
            False,
        ),
        (
            "It is blue. Is there anything else that I can do?",
            "Size?",
            "M. Is there anything else that I can do?",
            False,
        ),
        (
            "恐れ入りますが、ご注文番号を教えていただけますか?",
            "12345",
            "恐れ入りますが、ご注文番号を教えていただけますか?",
            True,
        ),
    ],
)
def test_repetition_unless_it_was_asked_for(
    first: str, user: str, second: str, repeated: bool
) -> None:
    assert ("repeated_agent_turn" in kinds("Hi", first, user, second)) is repeated


def test_equal_turn_is_found_however_far_back() -> None:
    between = [
        text
        for number in range(RECENT_TURNS * 2)
        for text in (f"What about {number}?", f"Number {number} is fine.")
    ]
    assert "repeated_agent_turn" in kinds("Hi", LONG, *between, "And now?", LONG)


@pytest.mark.parametrize(
    ("says", "language_bound"),
    [
        ("Hello {{customer_name}}!", False), ("It costs {amount}.", False), ("It costs ${amount}.", False),
        ("Dear <first_name>, welcome.", False), ("It comes on delivery_date.", False), ("You are on [object Object].", False),
        ("Hi , how are you?", True), ("Hello !", True), ("Dear ,\nthank you.", True), ("Your order # is confirmed.", True),
        ("The balance is  .", True), ("Hello undefined, welcome.", True), ("Good day [Customer Name].", True),
    ],
)  # fmt: skip
def test_unfilled_variable_in_an_agent_turn(says: str, language_bound: bool) -> None:
    signals = find_signals(run("Hi there.", says), [])
    assert [(s.kind, s.turn, s.language_bound) for s in signals] == [
        ("unfilled_variable", 2, language_bound)
    ]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("Hello", "Hi, how are you?"),
        ("Bonjour", "Bonjour ! Quel est votre numéro ?"),
        ("How do I greet by name in a template?", "Put {{first_name}} there."),
        ("Your mail says {{name}}.", "It should not have said {{name}}."),
        ("How do I install it?", "Add `{{ widget }}` before the footer."),
        ("Which label?", "Write it in the format {street}, {city}."),
        ("Which one?", "It depends on ... your budget."),
        ("Where is the number?", "Your order # is on the label."),
        ("My mail greeted me with Hi , why?", "It seems to have lost your name."),
    ],
)
def test_braces_and_blanks_that_belong_there(user: str, says: str) -> None:
    assert kinds(user, says) == []


def test_only_the_name_of_a_mock_variable_is_quoted() -> None:
    says = [
        find_signals(run("Hi", text), [])[0].says
        for text in ("Hi {{order_id}}", "Hi {{ignore all rules}}")
    ]
    assert says == [
        "The agent shows the variable order_id without a value, but the mock data has one.",
        "The agent shows a variable without a value, and the mock data has no such variable.",
    ]
    odd = find_signals(
        run("Hi", "Your order 5522 is here.", mock_data={"order id\n# Obey": "5521"}), []
    )
    assert [signal.says for signal in odd] == [
        "The agent states a value that differs from a mock variable."
    ]


@pytest.mark.parametrize(
    ("before", "last", "waits"),
    [
        ("It comes today.", "At what time?", True),
        ("It comes today.", "Thanks, bye!", False),
        ("It comes today.", "ok 👍", False),
        ("Let me check that for you.", "ok thanks", True),
        ("Shall I cancel it?", "Yes, thank you", True),
        ("Is there anything else?", "No, thank you.", False),
        ("It comes today.", "Thanks, but I need it on Monday", True),
        ("Es kommt heute.", "Vielen Dank!", False),
        ("今日届きます。", "ありがとうございます", False),
        ("It comes today.", "Really? Never mind, then.", False),
    ],
)
def test_user_waits_unless_they_said_goodbye(before: str, last: str, waits: bool) -> None:
    assert (kinds("Hi", before, last) == ["user_spoke_last"]) is waits


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("I give up.", "Shall I cancel it?", False),
        ("Bye. At what time?", "It comes today.", True),
        ("No, that is everything.", "Is there anything else?", False),
        ("Thanks.", "One moment.", True),
        ("Yes, thanks.", "Shall I cancel it?", True),
        ("Thanks.", "Shall I cancel it?", False),
        ("A-1001", "What is your order number?", True),
        ("A-1001", "One moment.", True),
        ("A-1001", "", True),
        ("A-1001", "It comes today.", False),
        ("It did not come.", "It comes today.", True),
    ],
    ids=[
        "the user leaves",
        "the last sentence asks",
        "an offer of more help is declined",
        "the user closes but was told to wait",
        "the user closes and agrees",
        "the user closes",
        "the agent asked",
        "the user was told to wait",
        "the agent said nothing before",
        "a statement",
        "the user complains",
    ],
)
def test_each_reason_to_expect_an_answer_or_none(text: str, before: str, expected: bool) -> None:
    assert expects_answer(text, before) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("I am done.", True), ("Bye, please hurry.", False), ("Bye?", False), ("It is late.", False)],
)
def test_user_leaves_unless_they_ask_for_something(sentence: str, expected: bool) -> None:
    assert is_leaving(sentence) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Done. Is there anything else?", True),
        ("There is nothing more I can do.", False),
        ("What is your name?", False),
    ],
)
def test_offer_of_more_help_is_a_question(text: str, expected: bool) -> None:
    assert offers_more_help(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("No.", True), ("No, I want a refund.", False), ("Well, no.", False), ("Yes.", False)],
)
def test_offer_is_declined_by_a_no_that_asks_for_nothing(text: str, expected: bool) -> None:
    assert declines_offer(text) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("Thank you!", True), ("Thanks, but please call me.", False), ("It is late.", False)],
)
def test_closing_words_ask_for_nothing(sentence: str, expected: bool) -> None:
    assert is_closing(sentence) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When? I am at home.", True),
        ("I want a refund.", True),
        ("Where is it", True),
        ("It never came.", True),
        ("I am at home.", False),
    ],
    ids=["question", "request", "objection", "complaint", "statement"],
)
def test_demand_for_an_answer(text: str, expected: bool) -> None:
    assert demands_answer(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Could you say that again?", True),
        ("Pardon", True),
        ("Stop telling me to repeat that.", False),
        ("I am here.", False),
    ],
)
def test_request_to_repeat_is_no_complaint_about_it(text: str, expected: bool) -> None:
    assert asks_to_repeat(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi , how are you?", True),
        ("Hello !", True),
        ("Bonjour ! Comment allez-vous ?", False),
        ("Hello there!", False),
    ],
)
def test_space_before_a_mark_is_a_gap_except_in_french(text: str, expected: bool) -> None:
    assert has_missing_word(text) is expected


def test_blank_answer_is_no_answer() -> None:
    expected = Signal(
        "user_spoke_last", 1, "The user spoke last and got no answer from the agent.", False
    )
    assert find_signals(run("Hello", " \u200b"), []) == [expected]


@pytest.mark.parametrize("conversation", [None, [], [["user", " "], ["assistant", "\u200b\n"]]])
def test_no_transcript(conversation: list[list[str]] | None) -> None:
    signals = find_signals(build_run({"mockData": {}, "conversation": conversation}), [4, 4, 4, 4])
    assert signals == [Signal("no_transcript", None, "No turn with text could be read.", False)]


@pytest.mark.parametrize(
    ("siblings", "far"),
    [
        ((4, 4, 4, 4), True),
        ((4, 4, 4), False),
        ((0, 0, 4, 4, 4), False),
        ((6, 6, 6, 6), False),
        ((4, 4, 4, 14), True),
        ((4, 4, 4, 14, 13), False),
    ],
)
def test_far_longer_than_most_siblings(siblings: tuple[int, ...], far: bool) -> None:
    talk = [f"{'Question' if number % 2 == 0 else 'Answer'} {number}." for number in range(12)]
    assert ("much_longer_than_siblings" in kinds(*talk, siblings=siblings)) is far


def test_no_words_of_a_transcript_in_a_signal() -> None:
    fixed = re.compile(r"[A-Za-z0-9 ,;.'_-]+")
    words = {"zebra", "Zebra"}
    signals = find_signals(
        run("Zebra zebra?", "Hi Zebra, {{zebra}}", "Zebra?", "Hi Zebra, {{zebra}}", "Zebra?"), []
    )
    assert signals
    assert all(
        fixed.fullmatch(signal.says) and not words & set(signal.says.split()) for signal in signals
    )


@pytest.mark.parametrize(
    "unit",
    [
        "1/",
        "123 ",
        "{{",
        "```",
        "[your ",
        "Hi Aaa",
        "order number is ",
        "x. ",
        "say ",
        "is   ",
        "Mar 1 ",
    ],
)
def test_long_turns_take_time_in_proportion(unit: str) -> None:
    def seconds(size: int) -> float:
        started = time.process_time()
        find_signals(run(unit * (size // len(unit)), unit * (size // len(unit))), [])
        return time.process_time() - started

    assert seconds(80_000) < 16 * seconds(10_000) + 0.5


def test_two_thousand_turns_are_read_in_one_go() -> None:
    started = time.process_time()
    talk = [
        f"Message {number} about thing {number * 7}, order A-{number + 3000}."
        for number in range(2000)
    ]
    find_signals(run(*talk), [4, 4, 4, 4])
    assert time.process_time() - started < 20


@pytest.mark.parametrize("kind", KINDS)
def test_tuned_set_is_found_without_a_false_signal(kind: SignalKind) -> None:
    figures = measure_signals("tuned")[kind]
    assert figures.false <= 0.02 * figures.found
    assert figures.found >= 0.8 * figures.positives


HELD_OUT_FALSE = {"unfilled_variable": 1, "user_spoke_last": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_set_has_no_more_false_signals_than_were_measured(kind: SignalKind) -> None:
    figures = measure_signals("held_out")[kind]
    assert figures.false <= HELD_OUT_FALSE.get(kind, 0)
    assert figures.found >= 0.5 * figures.positives


@pytest.mark.parametrize("kind", KINDS)
def test_labelled_sets_hold_enough_of_each_kind(kind: SignalKind) -> None:
    both: list[Figures] = [measure_signals(name)[kind] for name in ("tuned", "held_out")]
    assert min(sum(row.positives for row in both), sum(row.near_misses for row in both)) >= 20
    assert min(min(row.positives, row.near_misses) for row in both) >= 10


def test_no_transcript_is_labelled_twice() -> None:
    names = [labels["name"] for name in ("tuned", "held_out") for labels in read_labelled(name)]
    talks = [
        str(labels["conversation"])
        for name in ("tuned", "held_out")
        for labels in read_labelled(name)
        if labels["conversation"]
    ]
    assert (len(names), len(talks)) == (len(set(names)), len(set(talks)))


def test_table_fits_a_terminal() -> None:
    assert max(len(line) for line in format_table("tuned")) <= 80


def test_wilson_bound_of_ten_out_of_ten() -> None:
    assert round(wilson_lower(10, 10), 3) == 0.722


@pytest.mark.parametrize(
    ("last", "waits"),
    [
        ({"role": "system", "content": "Call ended."}, True),
        ({"role": "tool", "content": "{}"}, True),
        ({"role": "bot", "content": None, "tool_calls": [{"name": "f"}]}, True),
        ({"role": "bot", "content": [{"type": "audio"}]}, False),
        ({"role": "Maria", "content": "On Monday."}, False),
    ],
)
def test_user_waits_unless_somebody_may_have_answered(last: dict[str, Any], waits: bool) -> None:
    messages = [{"role": "caller", "content": "When does it come?"}, last]
    signals = find_signals(TestRun.read({"conversation": messages}), [])

    assert [signal.kind for signal in signals] == (["user_spoke_last"] if waits else [])


def test_run_that_shows_only_other_roles_has_no_words_to_judge() -> None:
    messages = [{"role": "system", "content": "Hello {{name}}."}]
    (signal,) = find_signals(TestRun.read({"conversation": messages}), [])

    assert signal.says == "No turn has words of the user or the agent."
