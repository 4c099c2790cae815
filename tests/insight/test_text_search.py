"""What a query finds in a turn, in many languages, and the sentence that is quoted."""

import pytest

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.insight.text_search import (
    fold_text,
    parse_search,
    quote_match,
    quote_sentence,
    split_sentences,
)


def finds(query: str, text: str) -> bool:
    return bool(parse_search(query).match(text).alternatives)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("guest card", "The card for our guests"),
        ('"guest card"', "Guest-Cards!"),
        ("parrot | dog", "my DOG"),
        ("late check-out", "Check out is late"),
        ("check-out", "late checkout"),
        ("can't", "you can’t"),
        ("can’t", "you can't"),
        ("“late checkout”", "a late checkout"),
        ("«late checkout»", "a late checkout"),
        ("$25.00", "it costs $25.00."),
        ("25.00", "it costs $25.00."),
        ('"costs 25.00"', "it costs $25.00."),
        ("€20", "a fee of € 20"),
        ("14 days", "within 14 days"),
        ("14", "It takes 14."),
        ("BK-4821", "Booking BK-4821."),
        ("BK-4821", "booking bk4821"),
        ("3.30 pm", "at 3.30 pm"),
        ("order", '{"order_id": 7}'),
        ("order_id", "the order id"),
        ("soft", "so\u00adft"),
        ("late | 20%", "a 20% discount"),
        ("🎉", "Done 🎉!"),
    ],
)
def test_query_finds_the_words_however_they_are_written(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("cafe", "Das Café"),
        ("CAFÉ", "cafe\u0301"),
        ("straße", "STRASSE 5"),
        ("lodz", "Łódź"),
        ("ısparta", "ISPARTA"),
        ("istanbul", "İSTANBUL"),
        ("hotel", "l’hôtel"),
        ("Kündigung", "die Kündigungsfrist"),
        ("привет", "Приветствую"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("שלום", "שָׁלוֹם"),
        ("محمد", "مُحَمَّد"),
        ("٢٥", "25 euro"),
        ("हिंदी", "मैं हिंदी बोलता"),
        ("예약", "예약을 했습니다"),
        ("订单", "我的订单BK4821到了"),
        ("BK4821", "我的订单BK4821到了"),
        ("订单BK4821", "我的订单 BK4821"),
        ("ห้อง", "มีห้องว่าง"),
        ("予約", "ご予約を承りました"),
        ("ガード", "ｶﾞｰﾄﾞ"),
        ("ប្រាក់", "តម្លៃប្រាក់"),
    ],
)
def test_query_finds_words_in_any_language(query: str, text: str) -> None:
    assert finds(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("can", "cannot"),
        ("fee", "feeble"),
        ("end", "bend"),
        ("heck", "check"),
        ("guest card", "the guest"),
        ('"card guest"', "the guest card"),
        ('"late out"', "late check out"),
        ("parrot | cat", "my dog"),
        ("25", "$25.50"),
        ("50", "$25.50"),
        ("4821", "48210"),
        ("2026", "20261"),
        ("25/11", "2511"),
        ("$25.00", "€25.00"),
        ("check-out", "checking x out"),
        ("か", "が"),
        ("कि", "की"),
        ("单订", "订单"),
    ],
)
def test_query_does_not_find_other_words(query: str, text: str) -> None:
    assert not finds(query, text)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('"late', "without a second one"),
        ("late “checkout", "without a second one"),
        ('""', "quotation marks without a word"),
        ('late "…"', "quotation marks without a word"),
        ("...", "text has no word"),
        ("  ", "text has no word"),
        ("| late", "one side of |"),
        ("late || early", "one side of |"),
        ("late OR early", "OR, which is no operator"),
        ("late AND early", "AND, which is no operator"),
        ("NOT refund", "NOT, which is no operator"),
        ("late NOT refund", "NOT, which is no operator"),
        ("late | NOT refund", "NOT, which is no operator"),
        ("-refund", "text has no word"),
        ("| -refund", "text has no word"),
        ("late !refund", "! before a word"),
        ('late -""', "quotation marks without a word"),
        ("late -NOT", "NOT, which is no operator"),
    ],
)
def test_query_that_says_nothing_is_refused_with_what_to_write(query: str, reason: str) -> None:
    with pytest.raises(InvalidArguments, match=f"(?s){reason.replace('|', '[|]')}.*Write words"):
        parse_search(query)


LONG = f"Nothing {'at all ' * 30}happens."


@pytest.mark.parametrize(
    "query",
    [
        "not late",
        "Not late",
        '"NOT late"',
        '"-late"',
        "-5 late",
        "- late",
        "check-out late",
        "NOTE late",
    ],
)
def test_word_that_only_resembles_an_operator_is_searched(query: str) -> None:
    assert finds(query, "It is not late, note: -5 check-out")


@pytest.mark.parametrize(
    ("query", "text", "quote"),
    [
        ("late", "I am late! Bye.\n", "I am late! Bye."),
        (
            "late checkout",
            f"{LONG} I am late! The late checkout is free. {LONG}",
            "…I am late! The late checkout is free.…",
        ),
        (
            "late checkout",
            f"I am late! {LONG} The late checkout is free. It is. {LONG}",
            "…The late checkout is free. It is.…",
        ),
        (
            "late",
            f"{'One. ' * 50}So late. Two. {LONG}",
            f"…{'One. ' * 10}So late. Two.…",
        ),
        ("late", f"So late. {'One. ' * 60}", f"So late. {'One. ' * 11}".strip() + "…"),
        (
            "late",
            f"{'No. ' * 20}A sentence of more than sixty characters, late enough, stands alone. No.",
            "…A sentence of more than sixty characters, late enough, stands alone.…",
        ),
        ('"card guest"', f"{LONG} Here is the card. Guest one.", "…Here is the card. Guest one."),
        ("free", f"{LONG}\nDas Zimmer ist FREE – ja.", "…Das Zimmer ist FREE – ja."),
        ("订单", f"{'好' * 200}。我的订单到了。{'见' * 200}", "…我的订单到了。…"),
        ("x9", f"{'a ' * 300}x9 {'b ' * 300}", f"…{'a ' * 30}x9 {'b ' * 58}b…"),
        (
            "refund",
            f"{LONG}\nWe cannot do these:\n- any change of the booking\n"
            f"- refund of a room that others have booked for you\n\n{LONG}",
            "…We cannot do these:…- refund of a room that others have booked for you…",
        ),
        ("refund", "We cannot:\n- refund\n- change", "We cannot:\n- refund\n- change"),
        (
            "refund",
            f"We cannot:\n- change\n- {'no ' * 50}refund {'b ' * 60}",
            f"We cannot:…{'no ' * 19}no refund {'b ' * 56}b…",
        ),
        ("late", f"Well… so late… {LONG}", "Well... so late...…"),
    ],
)
def test_sentence_with_the_most_terms_is_quoted_with_those_around_it(
    query: str, text: str, quote: str
) -> None:
    parsed = parse_search(query)
    terms = parsed.alternatives[parsed.match(text).alternatives[0]]
    assert quote_match(text, terms) == quote


def test_folding_is_the_same_for_a_text_and_for_its_characters() -> None:
    text = "ΟΔΟΣ İstanbul ﬁne Straße ｶﾞ 각 “x” _y"

    assert fold_text(text) == "".join(map(fold_text, text))


HOUSE = 'house | gift -"depending on the house"'


@pytest.mark.parametrize(
    ("query", "text", "is_found"),
    [
        (HOUSE, "It varies, depending on the house.", False),
        (HOUSE, "Depending on the House, a gift.", True),
        (HOUSE, "It depends. The house pays.", True),
        (HOUSE, "Depending on the house, the house pays.", True),
        ("late -refund", "A late refund.", True),
        ('house | -"depending on the house"', "It varies, depending on the house.", False),
        ('-"depending on the house" | house', "The house pays.", True),
        ("refund late -refunds", "A late refund.", True),
        ("refund late -refund", "A late refund.", False),
        ("late \u2212later", "Later.", False),
        ('"the pays" -house', "The house pays.", False),
        ("正午 -正午まで", "正午までお部屋を。", False),
    ],
)
def test_what_is_excluded_is_not_read(query: str, text: str, is_found: bool) -> None:
    assert bool(parse_search(query).match(text).alternatives) == is_found


def test_quoted_sentence_is_not_that_of_an_excluded_phrase() -> None:
    query = parse_search(HOUSE)
    text = f"{LONG} It varies, depending on the house, as you know. {LONG} The house pays. {LONG}"

    quoted = quote_match(
        text, [term for terms in query.alternatives for term in terms], query.excluded
    )

    assert "The house pays." in quoted and "varies" not in quoted


def test_turn_of_dots_is_split_in_linear_time() -> None:
    dots = "." * 200_000

    assert split_sentences(f"One.{dots}Two. Three.") == [f"One.{dots}Two. ", "Three."]


@pytest.mark.parametrize(
    ("text", "sentence", "quote"),
    [
        ("One. Two. Three.", "Two. ", "…Two.…"),
        ("One. Two. Three.", "Three.", "…Three."),
        ("One.", "One.", "One."),
        ("It… is long. Three.", "It… is long. ", "It... is lo…"),
        ("No:\n- a\n- b", "- b", "No:…- b"),
    ],
)
def test_sentence_is_quoted_with_marks_and_heads(text: str, sentence: str, quote: str) -> None:
    assert quote_sentence(text, sentence, 9) == quote
