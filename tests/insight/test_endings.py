"""How a conversation ended, from who spoke last and what was said."""

import pytest

from sigmamind_mcp.insight.endings import find_ending, find_endings, find_go_aheads
from tests.insight.conversations import make_run

ASKS = "That is 40 CHF. Shall I cancel it?"


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (["Hi.", "Done. Anything else?", "No, thanks. Bye."], "closed"),
        (["Hi.", "Done.", "You too!"], "closed"),
        (["Cancel.", "You're welcome, have a nice day!"], "closed"),
        (["I want a human.", "I am transferring you to a colleague."], "handed over"),
        (["Help.", "tool|transfer_to_human_agents({})", "user|Ok."], "handed over"),
        (["Cancel.", ASKS, "Yes, please proceed. Thank you."], "on the user's go-ahead"),
        (["Cancel.", 'Please reply with "yes" to proceed.', "Yes."], "on the user's go-ahead"),
        (["Cancel.", ASKS, "Yes.", "user|Hello? Are you still there?"], "agent silent"),
        (["Cancel.", "Which order?", "4411", "user|I am waiting."], "agent silent"),
        (["Cancel.", "I will do that now. Please hold on."], "action promised"),
        (["Cancel.", "Which order?", "Why do you ask?"], "user spoke last"),
        (["Cancel.", "Which order?"], "agent spoke last"),
        ([], "no transcript"),
        (["", " "], "no transcript"),
    ],
)
def test_ending(said: list[str], ending: str) -> None:
    assert find_ending(make_run(*said).conversation or []) == ending


@pytest.mark.parametrize(
    "says_yes",
    ["YES", "Okay, do", "Well, please DO", "Go ahead", "Do proceed", "I confirm", "I agree", "Why"],
)
@pytest.mark.parametrize(
    "asks",
    [
        "CONFIRM it", "Shall I", "Should I", "Would you like to", "Do you want me to", "Reply YES",
        "Transferring you", "You are being put through", "being HANDED OVER", "Connecting you to a",
        "No",
    ],
)  # fmt: skip
def test_ending_is_the_same_in_a_text_with_other_letters(asks: str, says_yes: str) -> None:
    turns = make_run("Cancel.", asks, says_yes).conversation or []
    others = [turn._replace(content=f"{turn.content} é") for turn in turns]

    assert find_ending(turns) == find_ending(others)
    assert find_go_aheads(turns) == find_go_aheads(others)


def test_length_that_three_of_the_longest_share_is_a_limit() -> None:
    long = make_run(*["Which order?", "Not that one."] * 12).conversation or []
    shorter = [long[:4]] * 5

    limited = find_endings([long, long, long, *shorter])

    assert limited == [*["limit reached"] * 3, *["agent spoke last"] * 5]
    assert "limit reached" not in find_endings([long, long, *shorter])
    assert "limit reached" not in find_endings([long[:14]] * 3 + shorter)
    assert "limit reached" not in find_endings([long, long, long, long[:16]])


def test_go_aheads_are_answers_of_yes_to_the_agent() -> None:
    run = make_run(
        "Yes, hello.", "Which order?", "4411", ASKS, "Yes, go ahead.", "Is your name Ana?", "Yes."
    )

    assert find_go_aheads(run.conversation or []) == [5, 7]
