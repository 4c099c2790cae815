"""JSON Schemas of the tools: they state each limit that the server enforces.

There is no `$ref`, no pattern and no null, since some clients reject them.
"""

from typing import Any

from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.arguments import Arguments, ForAgent

ID_LENGTHS = {"minLength": 1, "maxLength": 128}
_NULL = {"type": "null"}


def input_schema(model: type[Arguments], *, default_agent_id: str | None) -> JSONObject:
    """Return the JSON Schema of a tool's arguments; with a default agent, `agentId` is optional."""
    schema: JSONObject = _state_limits(tidy_schema(model.model_json_schema(by_alias=True)))
    schema["additionalProperties"] = False
    if default_agent_id and issubclass(model, ForAgent):
        schema["required"] = [name for name in schema["required"] if name != "agentId"]
        schema["properties"]["agentId"]["default"] = default_agent_id
    _forgive_empty_options(schema)
    return schema


def _forgive_empty_options(schema: JSONObject) -> None:
    """Remove what an optional text must have at least: an empty one counts as not given."""
    for name, argument in schema.get("properties", {}).items():
        if name not in schema.get("required", []):
            argument.pop("minLength", None)
        _forgive_empty_options(argument.get("items", {}))


def output_schema(answer: JSONObject) -> JSONObject:
    """Return what tools/list shows of an answer's schema: its own fields, without trees in them."""
    # A client for TypeScript compiles all tools before its first call. Nested fields were most of
    # that time.
    shown = {name: _outline_field(field) for name, field in answer["properties"].items()}
    return {**answer, "properties": shown}


def _outline_field(field: JSONObject) -> JSONObject:
    outline: JSONObject = {key: field[key] for key in ("type", "enum") if key in field}
    sentences = filter(None, [field.get("description"), _name_fields(field)])
    description = " ".join(sentences)
    if description:
        outline["description"] = description
    return outline


def _name_fields(field: JSONObject) -> str | None:
    """Return the names of an object's fields, or of the rows of a list, as a sentence."""
    names = ", ".join(field.get("properties", {}))
    names_in_row = ", ".join(field.get("items", {}).get("properties", {}))
    if names_in_row:
        return f"Each has {names_in_row}."
    return f"It has {names}." if names else None


def tidy_schema(schema: JSONObject) -> JSONObject:
    """Replace each `$ref` by its target; drop null, docstrings, titles and empty defaults."""
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)

    def tidy(node: Any, *, are_names: bool = False) -> Any:
        if isinstance(node, list):
            return list(map(tidy, node))
        if not isinstance(node, dict):
            return node
        node = _resolve_reference(_drop_null(node), definitions)
        tidied = {}
        for key, value in node.items():
            if are_names or not _is_noise(key, value):
                # The keys of `properties` are names: an argument may be called "title".
                has_names = key == "properties" and not are_names
                tidied[key] = tidy(value, are_names=has_names)
        return tidied

    tidied: JSONObject = tidy(schema)
    return tidied


def _drop_null(node: JSONObject) -> JSONObject:
    """Describe an optional value by its type alone: absent fields are absent, null is not given."""
    choices = node.get("anyOf", [])
    if _NULL not in choices:
        return node
    rest = dict(node)
    del rest["anyOf"]
    left = [choice for choice in choices if choice != _NULL]
    if len(left) == 1:
        return {**left[0], **rest}
    return {"anyOf": left, **rest}


def _resolve_reference(node: JSONObject, definitions: JSONObject) -> JSONObject:
    if "$ref" not in node:
        return node
    target = definitions[node["$ref"].rpartition("/")[2]]
    # The target's own description is a docstring.
    merged = {**target, "description": None, **node}
    del merged["$ref"]
    return merged


def _is_noise(key: str, value: object) -> bool:
    if key in ("default", "description"):
        return value in (None, "", [])
    return key == "title"


def _state_limits(node: Any) -> Any:
    """Replace each pattern by the lengths that it allows; drop keywords that change nothing."""
    if isinstance(node, list):
        return list(map(_state_limits, node))
    if not isinstance(node, dict):
        return node
    pattern = node.get("pattern")
    if isinstance(pattern, str):
        lengths = ID_LENGTHS if pattern == ID_PATTERN else {"minLength": 1}
        node = {**lengths, **node}
        del node["pattern"]
    if "const" in node:  # not every client knows it
        node = {**node, "enum": [node["const"]]}
        del node["const"]
    kept = {}
    for key, value in node.items():
        if value or key not in ("default", "additionalProperties"):
            kept[key] = _state_limits(value)
    # Put the type first.
    return {"type": kept["type"], **kept} if "type" in kept else kept
