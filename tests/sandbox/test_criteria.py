"""Criteria are split into clauses, and each clause asks for something or for nothing known."""

import pytest

from sigmamind_mcp.sandbox.criteria import Clause, read_criteria, split_clauses

CANCEL = (
    "The agent should acknowledge the cancellation request, present retention alternatives, and confirm the"
    " cancellation if the customer insists."
)


@pytest.mark.parametrize(
    ("criteria", "clauses"),
    [
        (
            CANCEL,
            [
                Clause("acknowledge the cancellation request"),
                Clause("present retention alternatives"),
                Clause("confirm the cancellation", "the customer insists"),
            ],
        ),
        ("If the customer asks for a supervisor, escalate.", [Clause("escalate", "the customer asks for a supervisor")]),
        ("Apologises and explains the reason; stays polite", [Clause("Apologises"), Clause("explains the reason"), Clause("stays polite")]),
        ("Apologises and names a delivery date.", [Clause("Apologises"), Clause("names a delivery date")]),
        ("Explains the terms and conditions.", [Clause("Explains the terms and conditions")]),
        ("Reads the terms and conditions.", [Clause("Reads the terms and conditions")]),
        ("It must not promise a refund. Never guarantee a date", [Clause("not promise a refund", forbidden=True), Clause("Never guarantee a date", forbidden=True)]),
        ("Confirm the date and time and apologise", [Clause("Confirm the date and time"), Clause("apologise")]),
        ("Confirms unless the customer accepts.", [Clause("Confirms", "the customer accepts", unless=True)]),
        ("Tells the customer when to expect the money", [Clause("Tells the customer when to expect the money")]),
        (
            "Do not apologise, promise a refund, or transfer the call",
            [
                Clause("Do not apologise", forbidden=True),
                Clause("promise a refund", forbidden=True),
                Clause("transfer the call", forbidden=True),
            ],
        ),
        (
            "Confirms it without escalating, and apologises",
            [Clause("Confirms it"), Clause("without escalating", forbidden=True), Clause("apologises")],
        ),
        ("Not only apologises but also confirms", [Clause("Not only apologises"), Clause("confirms")]),
        (" . ;\n\n ", []),
        ("", []),
    ],
)  # fmt: skip
def test_criteria_are_split_into_clauses(criteria: str, clauses: list[Clause]) -> None:
    assert split_clauses(criteria) == clauses


@pytest.mark.parametrize(
    ("criteria", "outcome"),
    [
        ("acknowledge the problem", "acknowledge"),
        ("apologise for the delay", "apologise"),
        ("apologize for the delay", "apologise"),
        ("offer alternatives", "offer alternatives"),
        ("confirm the refund", "confirm"),
        ("verify the caller's identity", "verify identity"),
        ("ask for the name", "verify identity"),
        ("escalate to a human", "escalate"),
        ("explain the policy", "explain"),
        ("name the next step", "name the next step"),
        ("tell the customer when it arrives", "name the next step"),
        ("decline the request", "decline"),
        ("refuse to transfer the call", "decline"),
        ("give a full refund", "grant a refund"),
        ("offer store credit", "offer alternatives"),
        ("greet the customer", "greet"),
        ("stay polite", "stay polite"),
    ],
)
def test_catalogue_of_outcomes(criteria: str, outcome: str) -> None:
    assert read_criteria(criteria, {}).asked == {outcome}
