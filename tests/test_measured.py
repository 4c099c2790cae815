"""The measurements on data of others: they see what they count where it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from sigmamind_mcp.insight.evidence import collect_evidence
from tests.checks.measured import find_places, read_benign, read_published, shuffle_verdicts
from tests.checks.wordings import format_wordings


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


def test_searches_of_labelled_dialogues_are_counted(tmp_path: Path) -> None:
    wordings = ["Your table is reserved for noon.", "I booked your table for noon."]
    dialogues = []
    for number in range(12):
        action = {"act": "NOTIFY_SUCCESS", "slot": ""}
        said = {
            "speaker": "SYSTEM",
            "utterance": wordings[number % 2],
            "frames": [{"actions": [action]}],
        }
        small_talk = {"speaker": "SYSTEM", "utterance": f"Line {number}.", "frames": []}
        dialogues.append({"services": ["Restaurants_1"], "turns": [small_talk, said]})
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps(dialogues), encoding="utf-8")

    assert list(format_wordings([path])) == [
        "1 searches of one word: 1 show a right wording",
        "1 wordings, 1 of them right (100%)",
        "12 attempts with what was meant: 6 match the word, and 6 more say a right wording or the like",
    ]
