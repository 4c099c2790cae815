"""Where two conversations diverge."""

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.insight.alignment import (
    MAX_ALIGNED_TURNS,
    TURNS_AROUND,
    align_turns,
    compare_conversations,
    find_divergence,
    find_unmatched_turns,
)


def turns(*said: str) -> list[Turn]:
    return [
        Turn(role=("user", "assistant")[n % 2], content=content) for n, content in enumerate(said)
    ]


GREETING = ("I want to cancel my plan.", "I am sorry to hear that you want to cancel the plan.")


def test_conversations_diverge_where_the_agent_first_says_something_else() -> None:
    passed = turns(
        *GREETING, "Yes.", "Your plan ends today; the cancellation is confirmed.", "Thanks."
    )
    failed = turns(*GREETING, "Sure.", "Could I interest you in a discount voucher instead?", "No!")

    aligned = align_turns(passed, failed)
    place = find_divergence(aligned, passed, failed)

    assert place is not None and 4 in (aligned[place].base, aligned[place].candidate)
    assert find_unmatched_turns(passed, failed) == [4]


def test_conversations_that_are_alike_do_not_diverge() -> None:
    base, candidate = turns(*GREETING), turns(*GREETING)

    assert find_divergence(align_turns(base, candidate), base, candidate) is None


def test_skipped_turn_leaves_the_rest_aligned() -> None:
    base = turns(
        *GREETING,
        "Go on.",
        "May I have your full name, please?",
        "Ann Lee.",
        "Your cancellation is confirmed.",
    )
    candidate = [*base[:2], *base[4:]]

    pairs = [(pair.base, pair.candidate) for pair in align_turns(base, candidate)]

    assert (1, 1) in pairs and (2, 2) in pairs and (6, 4) in pairs
    assert sorted(n for n, _ in pairs if n) == [1, 2, 3, 4, 5, 6]
    assert sorted(n for _, n in pairs if n) == [1, 2, 3, 4]


def test_turn_of_the_user_is_no_divergence() -> None:
    base, candidate = turns(*GREETING), turns(*GREETING, "One more thing entirely.")

    assert find_divergence(align_turns(base, candidate), base, candidate) is None


def test_difference_of_two_conversations_is_one_record() -> None:
    base = turns(*GREETING, "Yes.", "Your cancellation is confirmed.", "Thanks.")
    candidate = turns(*GREETING, "Yes.", "Could I interest you in a discount voucher?", "No!")

    diff = compare_conversations(base, candidate)

    assert diff.divergence in diff.around and len(diff.around) <= 2 * TURNS_AROUND + 1
    assert (diff.only_base, diff.only_candidate, diff.is_complete) == ([4], [4], True)


def test_empty_conversation_has_no_differences() -> None:
    assert compare_conversations([], turns(*GREETING)) == (None, [], [], [], True)


def test_difference_of_long_conversations_is_incomplete() -> None:
    long = turns(*["Hm."] * (MAX_ALIGNED_TURNS + 1))

    assert not compare_conversations(long, turns(*GREETING)).is_complete


def test_turns_pair_by_side_and_only_the_agent_diverges() -> None:
    base = [
        Turn(role="system", content="Be kind."),
        Turn(role="Customer", content="Where is my parcel?"),
        Turn(role="Agent", content="Your parcel arrives on Monday."),
        Turn(role="tool", content="rain"),
    ]
    candidate = [
        Turn(role="developer", content="Be strict."),
        Turn(role="user", content="Where is my parcel?"),
        Turn(role="assistant", content="Your parcel arrives on Monday."),
        Turn(role="function", content="sunshine and nothing else"),
    ]

    diff = compare_conversations(base, candidate)

    assert diff.divergence is None
    assert (diff.only_base, diff.only_candidate) == ([], [])
    pairs = [(pair.base, pair.candidate) for pair in align_turns(base, candidate)]
    assert pairs == [(1, None), (None, 1), (2, 2), (3, 3), (4, 4)]
