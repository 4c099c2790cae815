"""No sentence is written by hand in two places: one of them is generated from the other."""

import json
import re
from collections import defaultdict
from pathlib import Path

from sigmamind_mcp.cli import ENVIRONMENT
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.protocol.instructions import write_instructions
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.protocol.skills import SKILLS, write_skill
from sigmamind_mcp.settings import Settings
from tests.checks import plugin
from tests.checks.surface import fill_prompt

ROOT = Path(__file__).parent.parent
MOST_WORDS = 11
"""Two places may share this many words in a row."""
LEFT_OUT = ("docs/reference.md", "CHANGELOG.md")
"""The first is generated. The second keeps what was true of a version, in the words of its time."""
PAGES = (
    "*.md",
    "docs/*.md",
    "plugin/*.md",
    "sigmamind_mcp/guides/*.md",
    "sigmamind_mcp/skills/*.md",
)


def read_places() -> dict[str, str]:
    """Return every text that is written by hand, by its place."""
    files = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    places = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    for name in LEFT_OUT:
        del places[name]
    manifest = plugin.read_json("manifest.json")
    about = manifest["long_description"].partition("\n\nPrivacy: ")[0]
    places |= {f"prompt {name}": fill_prompt(prompt) for name, prompt in PROMPTS.items()}
    places |= {f"tool {tool.name}": tool.description for tool in TOOLS}
    places["manifest.json"] = json.dumps([about, manifest["user_config"]])
    places["server.json"] = plugin.read_json("server.json")["description"]
    places["instructions"] = write_instructions(Settings(sandbox=True))
    places["--help"] = ENVIRONMENT
    return places


def list_passages(text: str) -> list[list[str]]:
    """Return the words of each paragraph, list item and table cell, without code and generated parts."""
    text = re.sub(r"<!-- from .+?<!-- end -->", "\n\n", text, flags=re.S)
    text = re.sub(r"```.+?```", "\n\n", text, flags=re.S)
    passages = re.split(r"\n\s*\n|\n(?=[-|*>\d]|\w+: )|\|", text)
    return [re.findall(r"[\w']+", passage.lower()) for passage in passages]


def find_copies(places: dict[str, str]) -> dict[str, set[str]]:
    """Return each run of too many words that stands in several places, with these."""
    size = MOST_WORDS + 1
    found: defaultdict[str, set[str]] = defaultdict(set)
    for place, text in places.items():
        for words in list_passages(text):
            for start in range(len(words) - size + 1):
                found[" ".join(words[start : start + size])].add(place)
    return {words: where for words, where in found.items() if len(where) > 1}


def test_no_sentence_is_written_by_hand_in_two_places() -> None:
    assert find_copies(read_places()) == {}


def test_a_copied_sentence_of_a_guide_is_found() -> None:
    places = read_places()
    guide = places["sigmamind_mcp/guides/attempts.md"]
    sentence = guide[guide.index("Attempts of one test case") :].split(". ")[0]

    places["README.md"] += f"\n\nNote: {sentence}."

    copies = find_copies(places)
    assert {"README.md", "sigmamind_mcp/guides/attempts.md"} in copies.values()


def test_every_prompt_and_most_guides_are_part_of_a_skill() -> None:
    text = "".join(write_skill(name) for name in SKILLS)

    for prompt in PROMPTS.values():
        last_step = re.findall(r"^\d\. (.+)$", fill_prompt(prompt), re.M)[-1]
        assert last_step in text, prompt.name


def test_generated_files_are_current() -> None:
    for name, text in plugin.write_files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name}: run scripts/plugin"
    assert list(plugin.list_strays()) == []
