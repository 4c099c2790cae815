"""Importing scenarios of LiveKit and Pipecat, as their documentation shows them."""

from pathlib import Path

import pytest

from sigmamind_mcp.suites.importing import describe_left_out, import_scenarios
from sigmamind_mcp.suites.yaml_tree import BadFile

LIVEKIT = """\
id: SCNG_9nF
name: Hotel
scenarios:
  - id: SCN_1
    label: Books a room
    instructions: |
      You are Ana. You want a room for two nights.
    agent_expectations: |
      The agent confirms the dates.
    tags: {area: booking}
    userdata: {room: 12, vip: true, history: [a]}
  - label: Books a room
    instructions: You are Tom.
    agent_expectations: [It is polite, It confirms]
  - label: No criteria
    instructions: x
"""
PIPECAT = """\
name: book_table
persona: |
  Jamie, booking dinner for two.
goal: "Book a table for two at 6 PM."
success: "the bot confirmed a reservation"
metrics:
  - name: politeness
runs: 3
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "scenarios.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_livekit_scenarios_become_cases(tmp_path: Path) -> None:
    imported = import_scenarios(write(tmp_path, LIVEKIT), {"taken"})

    assert imported.cases == {
        "books-a-room": {
            "label": "Books a room",
            "userPrompt": "You are Ana. You want a room for two nights.",
            "successCriteria": "The agent confirms the dates.",
            "mockData": {"room": "12", "vip": "true"},
        },
        "books-a-room-2": {
            "label": "Books a room",
            "userPrompt": "You are Tom.",
            "successCriteria": "- It is polite\n- It confirms",
        },
    }
    assert describe_left_out(imported.left_out) == [
        "not carried over: 'books-a-room: tags'",
        "not carried over: 'books-a-room: userdata.history'",
        "not carried over: 'scenario 3: instructions or agent_expectations are missing'",
    ]


def test_pipecat_scenario_becomes_a_case(tmp_path: Path) -> None:
    imported = import_scenarios(write(tmp_path, PIPECAT), {"book-table"})

    assert imported.cases == {
        "book-table-2": {
            "label": "book_table",
            "userPrompt": "Jamie, booking dinner for two.\n\nYour goal: Book a table for two at 6 PM.",
            "successCriteria": "the bot confirmed a reservation",
            "attempts": 3,
        }
    }
    assert imported.left_out == ["book_table: metrics"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("name: x\nturns: []", "a script of turns"),
        ("suite: 1\ncases: {}", "neither a LiveKit"),
        ("- a", "neither a LiveKit"),
        ("scenarios: []", "no scenario with a user"),
        ("persona: x", "no scenario with a user"),
        ("scenarios: [!x {}]", ":1:13: tags"),
    ],
)
def test_file_without_a_usable_scenario_is_refused(text: str, refusal: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=refusal):
        import_scenarios(write(tmp_path, text), set())


EXPECTATIONS = """\
scenarios:
  - label: Kettle
    instructions:
      - You are Ana.
      - Your mood: angry
    agent_expectations:
      - Agent says: your refund is on its way
      - 'Link': "https://x.example"
      - Agent is polite
      -
      - [It is short, Tone: warm]
      - Agent asks: for the date
        then: it confirms
      - Agent says: [sorry]
      - Agent says:
"""


def test_item_with_a_colon_is_carried_over_and_any_other_mapping_is_named(tmp_path: Path) -> None:
    imported = import_scenarios(write(tmp_path, EXPECTATIONS), set())

    assert imported.cases == {
        "kettle": {
            "label": "Kettle",
            "userPrompt": "- You are Ana.\n- Your mood: angry",
            "successCriteria": (
                "- Agent says: your refund is on its way\n- Link: https://x.example\n"
                "- Agent is polite\n- - It is short\n- Tone: warm"
            ),
        }
    }
    assert imported.left_out == [
        "kettle: item 6 of agent_expectations",
        "kettle: item 7 of agent_expectations",
        "kettle: item 8 of agent_expectations",
    ]


@pytest.mark.parametrize("name", ["name", "persona", "goal", "success"])
def test_field_of_a_pipecat_scenario_that_is_no_text_is_named(name: str, tmp_path: Path) -> None:
    fields = {"name": "Kettle", "persona": "x", "goal": "x", "success": "x"}
    fields[name] = "[x, {a: b, c: d}]"
    text = "\n".join(f"{field}: {value}" for field, value in fields.items())

    imported = import_scenarios(write(tmp_path, text), set())

    assert [line.partition(": ")[2] for line in imported.left_out] == [f"item 2 of {name}"]


def test_scenario_whose_only_criterion_is_no_text_says_both(tmp_path: Path) -> None:
    text = LIVEKIT + "    agent_expectations: [{a: b, c: d}]\n"

    imported = import_scenarios(write(tmp_path, text), set())

    assert imported.left_out[-2:] == [
        "scenario 3: item 1 of agent_expectations",
        "scenario 3: instructions or agent_expectations are missing",
    ]
