"""A broken judge writes about itself, a working one about the agent."""

import pytest

from sigmamind_mcp.insight.judge_errors import is_judge_error


@pytest.mark.parametrize(
    "remarks",
    [
        "Rate limit exceeded",
        "Error code: 429 - too many requests",
        "Evaluation failed: timed out after 60 s",
        "Could not parse the JSON of the judgement",
        "502 gateway error",
        "openai.APITimeoutError: Request timed out.",
        "Model is overloaded, please retry",
        "The LLM returned an empty response",
        "No transcript was provided, so I cannot evaluate it.",
        "This model's maximum context length is 128000 tokens",
        "The evaluator declined: content policy.",
        "Passed by default, since the grader was unreachable.",
        "The agent could not be evaluated: the conversation was empty.",
    ],
)
def test_remarks_of_a_broken_judge(remarks: str) -> None:
    assert is_judge_error(remarks)


@pytest.mark.parametrize(
    "remarks",
    [
        "The agent told the customer about a rate limit.",
        "The agent's webhook gave an internal server error.",
        "The refund was not confirmed.",
        "Verdict: failed - confirmation missing.",
        "Evaluation: the refund could not be processed.",
        "Rate limit explained.",
        "The order lookup timed out, so no refund was made.",
        "The model that was asked for was unavailable.",
        "",
    ],
)
def test_remarks_of_a_working_judge(remarks: str) -> None:
    assert not is_judge_error(remarks)
