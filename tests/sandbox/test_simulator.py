"""The scripted conversation says what the scenario and the agent's behaviour make of it."""

from random import Random

import pytest

from sigmamind_mcp.sandbox.criteria import CATALOGUE, GREET, RUDE, read_criteria
from sigmamind_mcp.sandbox.judge import judge_conversation
from sigmamind_mcp.sandbox.script import INTENTS, STEPS, VAGUE_LINES
from sigmamind_mcp.sandbox.simulator import Behaviour, Scenario, converse


def collect_agent_words(criteria: str, prompt: str, behaviour: Behaviour) -> list[str]:
    """Return what an agent with that behaviour says in many conversations."""
    scenario = Scenario.of(
        prompt, {"customer_name": "Ana", "amount": "18"}, read_criteria(criteria, {})
    )
    talks = [
        converse(scenario, agent=behaviour, greeting=None, random=Random(number))
        for number in range(40)
    ]
    return [turn.content for talk in talks for turn in talk if turn.role == "assistant"]


PATTERNS = {outcome.name: outcome for outcome in (*CATALOGUE, GREET)}
PROMPTS = [intent.wish for intent in INTENTS] + ["something else"]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("outcome", sorted(PATTERNS.keys() - {"fact"}))
def test_skilled_agent_shows_each_outcome_whatever_the_user_wants(
    outcome: str, prompt: str
) -> None:
    criteria = read_criteria(outcome, {})
    scenario = Scenario.of(prompt, {}, criteria)

    for number in range(10):
        talk = converse(scenario, agent=Behaviour(skill=1), greeting=None, random=Random(number))
        assert judge_conversation(criteria, talk).is_successful, talk


def test_missed_step_shows_nothing_that_the_judge_knows() -> None:
    lines = [line for missed in VAGUE_LINES.values() for line in missed]

    assert set(VAGUE_LINES) <= set(STEPS)
    assert not [
        line for line in lines if any(known.shown.search(line) for known in PATTERNS.values())
    ]
    assert not [line for line in lines if RUDE.search(line)]


def test_agent_speaks_of_the_users_things_as_theirs() -> None:
    said = collect_agent_words(
        "acknowledge", "You want to cancel your subscription.", Behaviour(skill=1)
    )

    assert any("you want to cancel your subscription" in line for line in said)
    assert not any("cancel my subscription" in line for line in said)


def test_user_tells_what_the_prompt_tells() -> None:
    prompt = "You are upset. Your kettle arrived broken and you want to get a refund."
    scenario = Scenario.of(prompt, {}, read_criteria("acknowledge", {}))
    talk = converse(scenario, agent=Behaviour(skill=1), greeting=None, random=Random(1))

    assert talk[0].content.endswith("I want to get a refund.")
    assert talk[2].content.startswith("My kettle arrived broken.")


def test_agent_never_repeats_itself_within_a_turn() -> None:
    behaviour = Behaviour(skill=0.5, weaknesses=("loops",))

    for line in collect_agent_words(
        "confirm, name the next step", "You want to cancel your subscription.", behaviour
    ):
        sentences = [sentence for sentence in line.split(". ") if len(sentence) > 3]
        assert len(sentences) == len(set(sentences)), line
