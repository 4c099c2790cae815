"""The checks of false reports: they see a hint, a fault and what separates where these are."""

from typing import Any

import pytest

from sigmamind_mcp.insight.evidence import collect_evidence
from tests.checks.measured import find_places, read_benign, read_published, shuffle_verdicts


def dialogue(*utterances: str) -> dict[str, Any]:
    speakers = ("USER", "SYSTEM")
    turns = [
        {"speaker": speakers[number % 2], "utterance": said}
        for number, said in enumerate(utterances)
    ]
    return {"dialogue_id": "1_00000", "turns": turns}


@pytest.mark.parametrize(
    ("utterances", "kinds"),
    [
        (("A table for two, please.", "It is booked for 7 pm."), set()),
        (("Where is order W23-78B?", "It is on its way."), {"user states unknown id"}),
        (("Where is my order?", '{"status": "sent", "days": 2}'), {"raw data shown"}),
    ],
)
def test_rules_see_benign_dialogues(utterances: tuple[str, ...], kinds: set[str]) -> None:
    assert {kind for kind, _ in find_places(read_benign(dialogue(*utterances)))} == kinds


def test_shuffled_verdicts_hide_what_separates() -> None:
    rows: list[dict[str, Any]] = [
        {
            "testCase": f"task {number // 6}",
            "userPrompt": "You want a refund.",
            "successCriteria": "The agent grants the refund.",
            "mockData": {},
            "remarks": "",
            "isSuccessful": number % 2 == 0,
            "conversation": [
                {"role": "user", "content": "Please."},
                {"role": "assistant", "content": ("I grant the refund.", "No.")[number % 2]},
            ],
        }
        for number in range(48)
    ]
    runs = [read_published(row, row["isSuccessful"]) for row in rows]

    assert collect_evidence(runs).contrast.separating
    assert shuffle_verdicts(rows, 5).separating == 0
