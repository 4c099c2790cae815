"""An id that nobody gave to the simulated user is a fault of the test."""

import pytest

from sigmamind_mcp.insight.simulator_faults import find_unknown_id
from tests.insight.conversations import make_run


@pytest.mark.parametrize(
    "text",
    ["Sure, it is #W2702727.", "The confirmation number is DA-482956."],
)
def test_unknown_id_with_its_first_turn(text: str) -> None:
    run = make_run("Hi.", "Hello.", text, "Thanks.", text)

    assert find_unknown_id(run) == 3


@pytest.mark.parametrize(
    "said",
    [
        ["My order is A-1001 and my mail ana@example.com."],
        ["Hi.", "Is it X-77001 or X-77002?", "X-77001."],
        ["I need it by 10am, the 14th, in 256gb and 27in."],
        ["That one, I thought it was 240-something."],
        ["Hi.", "Your number is DA-482956."],
        ["Sure, it is ana.lopez77@example.com."],
    ],
)
def test_what_the_user_can_know_is_no_fault(said: list[str]) -> None:
    run = make_run(*said, prompt="You are Ana, ana@example.com, with order A1001.")

    assert find_unknown_id(run) is None


def test_without_a_prompt_nobody_knows_which_ids_were_given() -> None:
    assert find_unknown_id(make_run("It is DA-482956.", prompt="")) is None
