"""The schemas in tools/list state each limit, in keywords that every client takes."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from sigmamind_mcp.protocol.catalogue import TOOLS, Tool
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.tools.schemas import input_schema
from tests.test_hostile_input import CALLS, LIMITS

INPUTS = {tool.name: input_schema(tool.arguments, default_agent_id=None) for tool in TOOLS}
KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "description", "default", "enum", "items",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip


def list_nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and every schema in it."""
    if isinstance(schema, list):
        for item in schema:
            yield from list_nodes(item)
    if isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            yield from list_nodes(list(value.values()) if key == "properties" else value)


@pytest.mark.parametrize("tool", INPUTS)
def test_input_has_only_keywords_that_every_client_takes(tool: str) -> None:
    for node in list_nodes(INPUTS[tool]):
        assert set(node) <= KEYWORDS
        assert isinstance(node["type"], str)


@pytest.mark.parametrize("tool", INPUTS)
def test_every_number_and_required_text_and_id_has_its_limits(tool: str) -> None:
    arguments = INPUTS[tool]
    for name, argument in arguments["properties"].items():
        if argument["type"] == "integer":
            assert "minimum" in argument, name
        if name.endswith("Id"):
            assert argument["maxLength"] == 128, name
        if argument["type"] == "string" and name in arguments.get("required", []):
            assert argument["minLength"] == 1, name
        if argument["type"] == "string" and name not in arguments.get("required", []):
            assert "minLength" not in argument, f"an empty {name} counts as not given"


@pytest.mark.parametrize(
    ("tool", "name", "within", "beyond"),
    [row[:4] for row in LIMITS],
    ids=[f"{row[0]}-{row[1]}-{number}" for number, row in enumerate(LIMITS)],
)
def test_schema_and_server_have_the_same_limits(
    tool: str, name: str, within: object, beyond: object
) -> None:
    schema = jsonschema.Draft202012Validator(INPUTS[tool])

    assert schema.is_valid({**CALLS[tool], name: within})
    # A pattern would say that a text is blank; some clients reject patterns.
    is_blank = isinstance(beyond, str) and beyond.isspace()
    assert is_blank or not schema.is_valid({**CALLS[tool], name: beyond})


@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
def test_output_has_no_null(tool: Any) -> None:
    for node in list_nodes(tool.answer_schema):
        assert node.get("type") != "null" and "$ref" not in node
        assert node.get("default", "") is not None


@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
def test_listed_output_has_each_field_and_names_what_its_rows_have(tool: Tool) -> None:
    whole, listed = tool.answer_schema, tool.advertise(Settings()).output_schema
    assert listed is not None

    assert list(listed["properties"]) == list(whole["properties"])
    assert listed["required"] == whole["required"] and listed["type"] == "object"
    for name, field in whole["properties"].items():
        shown = listed["properties"][name]
        assert not {"properties", "items", "anyOf"} & set(shown)
        assert shown.get("type") == field.get("type")
        assert field.get("description", "") in shown.get("description", "")
        rows = field.get("items", field).get("properties", {})
        assert all(inner in shown["description"] for inner in rows)


@pytest.mark.parametrize("tool", ["check_test_case", "create_test_case", "update_test_case"])
@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("userPrompt", "Persona and intent of the simulated user"),
        ("userPrompt", "drives all the user's messages"),
        ("successCriteria", "plain language"),
        ("successCriteria", "judged by"),
        ("label", "reports and dashboards"),
        ("llmModel", "agent's responses"),
        ("llmModel", "OpenAI's priority tier append '-fast-tier'"),
        ("mockData", "replace real external data"),
        ("attempt", "Independent simulations"),
    ],
)
def test_description_has_the_facts_of_the_api_pages(tool: str, name: str, fact: str) -> None:
    assert fact in INPUTS[tool]["properties"][name]["description"]
