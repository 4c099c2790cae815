"""A long turn is shortened to the sentences that tell most about the remarks."""

import random

import pytest

from sigmamind_mcp.insight.excerpts import MAX_TEXT_READ, excerpt_text

REMARKS = "The agent books with the wrong number of bags and charges the Visa card."
BOOKING = """Your flight is booked! Here are the details:

- **Passenger:** Mia Kim
- **Cabin:** Economy
- **Flight:** HAT069 from JFK to SEA
- **Bags:** 2 checked bags
- **Departure:** 7 am
- **Payment:** Visa card ending in 7447

If you need any further assistance, feel free to ask. Have a great trip!
"""


def test_sentences_with_words_of_the_remarks_are_kept_in_their_order() -> None:
    assert excerpt_text(BOOKING, REMARKS, 80) == (
        "… Here are the details: … - **Bags:** 2 checked bags … - **Payment:** Visa card ending in"
        " 7447 …"
    )


@pytest.mark.parametrize(
    ("text", "remarks", "told"),
    [
        ("It is sent soon. The fee is $21.64. Please wait for it.", "Not 21.64.", "The fee is $21.64."),
        ("Hello there. I cancelled it. Anything else?", "It was cancelled.", "I cancelled it."),
        ("Bonjour à vous. Frais de 5 €. À bientôt donc.", "Les frais.", "Frais de 5 €."),
        ("1. Call us. 2. Return the boots. 3. Wait.", "No return.", "2. Return the boots."),
    ],
)  # fmt: skip
def test_words_and_values_of_the_remarks_choose(text: str, remarks: str, told: str) -> None:
    shown = excerpt_text(text, remarks, 28)

    assert shown.strip("… ") == told and len(shown) <= 28


def test_words_of_most_sentences_tell_less() -> None:
    items = "The item of order A waits. The item of order B waits. The item of order C waits."

    shown = excerpt_text(f"{items} Visa pays.", "The item of the order is paid by Visa.", 28)

    assert shown == "… Visa pays."


def test_a_long_sentence_needs_more() -> None:
    text = "Our blue tents, red lamps and green chairs come with two bags. Two bags! Bye."

    assert excerpt_text(text, "The bags.", 65) == "… Two bags! Bye."


def test_without_remarks_the_sentences_with_many_words_are_kept() -> None:
    text = "Hi! Sure. The blue tent for four people costs more than the red one. Ok? Ok!"

    assert excerpt_text(text, "", 64) == (
        "… The blue tent for four people costs more than the red one. …"
    )


@pytest.mark.parametrize("text", ["Short.  On two\nlines. And\tthree.", "x" * 200, ""])
def test_a_text_that_fits_is_returned_whole(text: str) -> None:
    assert excerpt_text(text, "It is about bags.", 200) == " ".join(text.split())


@pytest.mark.parametrize("text", ["no sentence " * 30, "これは長い文です" * 30, "x" * 300])
def test_a_text_without_sentences_is_cut(text: str) -> None:
    shown = excerpt_text(text, "It is about bags.", 200)

    assert shown == f"{text[:199].rstrip()}…"


def test_a_first_choice_that_is_too_long_is_cut_with_all_that_follows() -> None:
    long = "The bags " + "are many and " * 9 + "heavy."

    shown = excerpt_text(f"Hello. {long} Goodbye.", "Bags.", 100)

    assert shown == f"… {long}"[:99] + "…"


def test_sentences_without_spaces_between_them_stay_joined() -> None:
    text = "こんにちは。荷物は二つです。料金は無料です。" + "よろしくお願いします。" * 3

    assert excerpt_text(text, "荷物の料金", 22) == "… 荷物は二つです。料金は無料です。 …"


def test_of_a_very_long_text_the_first_part_is_read() -> None:
    bags = "It has 2 bags."
    filler = "Nothing else is of any note here. "

    early = excerpt_text(filler * 5 + bags + " " + filler * 9_000, REMARKS, 60)
    late = excerpt_text(
        filler * (MAX_TEXT_READ // len(filler) + 1) + bags + f" {filler}" * 9, REMARKS, 60
    )

    assert bags in early and early.endswith("…")
    assert bags not in late and late.endswith("…")


def test_an_excerpt_is_whole_sentences_in_order_and_never_too_long() -> None:
    rng = random.Random(16)
    words = ["bags", "Visa", "order", "tent", "seat", "12", "$5.50", "please"]
    for _ in range(300):
        sentences = [" ".join(rng.choices(words, k=rng.randint(1, 12))) + "." for _ in range(9)]
        characters = rng.randint(90, 160)

        shown = excerpt_text("\n".join(sentences), REMARKS, characters)

        rest = " ".join(sentences)
        assert len(shown) <= characters or shown == rest
        for part in filter(None, map(str.strip, shown.split("…"))):
            before, _, rest = rest.partition(part)
            assert not before or before.endswith((" ", "."))
            assert part.endswith(".")


@pytest.mark.parametrize("negation", ["We do not", "You can't,", "Never"])
def test_line_break_within_a_sentence_hides_no_negation(negation: str) -> None:
    text = f"Hello there, dear customer of ours.\n{negation}\nrefund the Visa card.\nBye for now."

    shown = excerpt_text(text, "Refund of the Visa card.", 45)

    assert f"{negation} refund the Visa card." in shown


@pytest.mark.parametrize(
    "turn",
    [
        "We cannot do these:\n- cancel it\n- refund the Visa card",
        "We cannot do these:\n\n* cancel it.\n\n* refund the Visa card.\n\nBye for now.",
        "**We cannot do these:**\n• cancel it\n• refund the Visa card",
        "We cannot do these:\r\n\r\n1. cancel it\r\n2. refund the Visa card",
        "We cannot do these:\na) cancel it;\nb) refund the Visa card",
        "We cannot do these:\nCancel it.\nWe refund the Visa card.\n\nBye for now.",
        "We cannot do these:\n1. Order A:\n   - cancel it\n   - refund the Visa card",
        "We cannot do these: 1. cancel it. 2. refund the Visa card. 3. More of it.",
        "## We cannot do these\n- cancel it\n- refund the Visa card",
    ],
)
def test_entry_of_a_list_has_the_line_that_says_what_the_list_is(turn: str) -> None:
    text = f"Hello there, dear customer of ours.\n{turn}"

    shown = excerpt_text(text, "Refund of the Visa card.", 60)

    assert "We cannot do these" in shown and "refund the Visa card" in shown
    assert shown.index("cannot") < shown.index("refund") and "…" in shown


def test_heads_of_a_list_need_no_room_of_its_entries() -> None:
    text = "Bye now. We cannot do these:\n- cancel it\n- refund the Visa card"

    shown = excerpt_text(text, "Refund of the Visa card.", 30)

    assert shown == "… We cannot do these: … - refund the Visa card"


def test_long_head_keeps_both_ends_and_its_negation() -> None:
    head = (
        f"Of what you asked for {'in this call and before ' * 9}we cannot {'do ' * 30}any of this:"
    )

    shown = excerpt_text(f"{head}\n- cancel it\n- refund the Visa card", "Refund Visa.", 60)

    assert shown == (
        "Of what you asked … cannot … do do any of this: - cancel it - refund the Visa card"
    )


@pytest.mark.parametrize("turn", ["Wait… I refund it. " * 9, "Wait… " * 60, "Wait… now."])
def test_dots_that_a_speaker_wrote_are_no_mark(turn: str) -> None:
    shown = excerpt_text(turn, "It is refunded.", 100)

    assert "Wait..." in shown and "Wait…" not in shown
    assert ("…" in shown) == (len(turn) > 100)
