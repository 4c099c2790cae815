"""Skills: one text with the prompts and guides, short, and served as SEP-2640 says."""

import re
from hashlib import sha256
from typing import Any

import jsonschema
import pytest
import yaml
from mcp_types import INVALID_PARAMS

from sigmamind_mcp.cli import build_parser
from sigmamind_mcp.protocol.catalogue import TOOLS
from sigmamind_mcp.protocol.resources import GUIDES
from sigmamind_mcp.protocol.skills import (
    SKILLS,
    SKILLS_EXTENSION,
    read_frontmatter,
    uri_of_skill,
    write_skill,
)
from tests.protocol.test_server import MODERN
from tests.support.processes import RawClient

ENTRY = {
    "type": "object",
    "required": ["uri", "frontmatter", "resources"],
    "properties": {
        "uri": {"pattern": r"^skill://[a-z0-9-]+/SKILL\.md$"},
        "frontmatter": {"type": "object", "required": ["name", "description"]},
        "resources": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["uri", "digest", "size"],
                "properties": {
                    "digest": {"pattern": "^sha256:[0-9a-f]{64}$"},
                    "size": {"type": "integer"},
                },
            },
        },
    },
}
"""The shape of an entry in SEP-2640."""


@pytest.mark.parametrize("name", SKILLS)
def test_skill_is_short_and_has_the_fields_of_the_specification(name: str) -> None:
    text = write_skill(name)
    fields = read_frontmatter(text)

    assert len(text.splitlines()) <= 150
    assert fields == yaml.safe_load(text.split("---\n")[1])
    assert fields["name"] == name and 1 <= len(fields["description"]) <= 1024
    assert len(fields["compatibility"]) <= 500
    assert not re.search(r"^\{\{", text, re.M), "an include that nothing replaced"
    assert not re.search(r"^##+ .+\n\s*(\Z|##)", text, re.M), "an include without text"


@pytest.mark.parametrize("name", SKILLS)
def test_skill_names_only_tools_commands_and_guides_that_exist(name: str) -> None:
    text = write_skill(name)
    tools = {tool.name for tool in TOOLS}
    verbs = {tool.partition("_")[0] for tool in tools}
    commands = set(re.findall(r"(?m)^  +(?:sigmamind-mcp )?(\w+)  ", build_parser().format_help()))

    named = {
        word for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text) if word.split("_")[0] in verbs
    }
    assert named <= tools and len(named) >= 3
    assert set(re.findall(r"^sigmamind-mcp (\w+)", text, re.M)) <= commands | {"report", "watch"}
    assert set(re.findall(r"sigmamind://guide/([a-z-]+)", text)) <= set(GUIDES)


def ask(raw: RawClient, method: str, **params: Any) -> dict[str, Any]:
    answer: dict[str, Any] = raw.ask(method, {**params, "_meta": MODERN})
    return answer


def test_listed_entries_are_complete_and_match_what_is_read(raw: RawClient) -> None:
    discovered = ask(raw, "server/discover")["result"]
    listed = ask(raw, "skills/list")["result"]

    assert SKILLS_EXTENSION in discovered["capabilities"]["extensions"]
    assert (listed["resultType"], listed["ttlMs"], listed["cacheScope"]) == (
        "complete",
        3_600_000,
        "public",
    )
    assert [entry["uri"] for entry in listed["skills"]] == [uri_of_skill(name) for name in SKILLS]
    for entry in listed["skills"]:
        jsonschema.validate(entry, ENTRY)
        (file,) = entry["resources"]
        (contents,) = ask(raw, "resources/read", uri=file["uri"])["result"]["contents"]
        data = contents["text"].encode()
        assert contents["mimeType"] == "text/markdown"
        assert file["digest"] == f"sha256:{sha256(data).hexdigest()}" and file["size"] == len(data)
        assert entry["frontmatter"] == yaml.safe_load(contents["text"].split("---\n")[1])
        assert ask(raw, "skills/get", uri=entry["uri"])["result"]["skill"] == entry


@pytest.mark.parametrize(
    "uri", ["skill://author-simulations", "skill://nothing/SKILL.md", "", "x" * 3000]
)
def test_unknown_skill_is_invalid_params(raw: RawClient, uri: str) -> None:
    error = ask(raw, "skills/get", uri=uri)["error"]

    assert error["code"] == INVALID_PARAMS
    assert "skill://diagnose-batch/SKILL.md" in error["message"]
