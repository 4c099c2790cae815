"""Sentences that do not match a search, and say most nearly what the matches say."""

from collections.abc import Sequence

from sigmamind_mcp.insight.other_wordings import MOST_WORDINGS, Sentence, find_other_wordings

WAIVED = "Your late departure is waived, the room is yours until noon."
OTHER = "Stay in the room until noon, with our compliments."
SMALL_TALK = ["Hello, this is the desk.", "The pool opens at seven.", "Have a lovely evening."]


def say(*attempts: Sequence[str], matching: str = WAIVED) -> list[Sentence]:
    """Build what these attempts say; the sentences `matching` are the matches."""
    sentences = []
    for number, texts in enumerate(attempts):
        for turn, text in enumerate(texts, start=1):
            sentences.append(Sentence(number, turn, text, is_match=text == matching))
    return sentences


def test_other_wording_is_found_with_its_place_and_counted_by_attempts() -> None:
    sentences = say([*SMALL_TALK, WAIVED], [*SMALL_TALK, OTHER], [*SMALL_TALK, OTHER], SMALL_TALK)
    (wording,) = find_other_wordings(sentences, {0}) or []
    place = (wording.sentence.attempt, wording.sentence.turn, wording.sentence.text)
    assert place == (1, len(SMALL_TALK) + 1, OTHER)
    assert wording.attempts == {1, 2}


def test_attempt_that_matches_elsewhere_is_left_out() -> None:
    sentences = say([*SMALL_TALK, WAIVED, OTHER], SMALL_TALK)
    assert find_other_wordings(sentences, {0}) == []


def test_words_that_all_say_do_not_make_a_sentence_like_the_matches() -> None:
    sentences = say(
        ["Thank you for your stay.", "Thank you, the fee is waived."],
        ["Thank you for your stay."],
        ["Thank you for your stay."],
        matching="Thank you, the fee is waived.",
    )
    assert find_other_wordings(sentences, {0}) == []


def test_sentences_far_less_like_the_matches_than_the_best_are_left_out() -> None:
    likest = "A late departure costs nothing, the room is yours until noon."
    sentences = say(
        [*SMALL_TALK, WAIVED], [*SMALL_TALK, likest], [*SMALL_TALK, "Each room has a kettle."]
    )
    assert [wording.sentence.text for wording in find_other_wordings(sentences, {0}) or []] == [
        likest
    ]


def test_examples_count_as_matches_where_nothing_matches() -> None:
    sentences = say([*SMALL_TALK, "A late departure is our gift."], SMALL_TALK)
    (wording,) = find_other_wordings(sentences, set(), ["late checkout"]) or []
    assert wording.sentence.text == "A late departure is our gift."
    assert find_other_wordings(sentences, set()) is None


def test_alike_sentences_are_one_wording_and_there_are_few() -> None:
    endings = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"]
    others = [f"Until noon the {ending} {ending}house is yours." for ending in endings]
    again = [f"Well, {text.lower()}" for text in others]
    talk = [f"{text} {ending}" for text in SMALL_TALK for ending in endings]
    attempts = [[text] for text in (*others, *again)]
    wordings = find_other_wordings(say([*talk, WAIVED], *attempts), {0}) or []
    assert len(wordings) == MOST_WORDINGS
    assert [len(wording.attempts) for wording in wordings] == [2] * MOST_WORDINGS


def test_scripts_without_spaces_are_compared_too() -> None:
    match, other = "お部屋は正午までご利用いただけます。", "正午までお部屋をお使いください。"
    sentences = say(
        ["こんにちは。", match], ["こんにちは。", other], ["こんにちは。"], matching=match
    )
    (wording,) = find_other_wordings(sentences, {0}) or []
    assert wording.sentence.text == other
