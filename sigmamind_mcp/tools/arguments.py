"""Input models of the tools: closed, flat, under the API's names, with errors in our own words.

Tools do not use the SDK's argument models, which rewrite texts that look like JSON and quote
values in errors.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.strict_json import JSONObject

MAX_TEXT = 32_000
NO_LIMIT = 100_000
"""A maximum from here on only rejects nonsense, so the JSON Schema leaves it out."""


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _parse_list(value: object) -> object:
    """Parse a list that a client sent as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# Put these after an argument's Field: before it, they would hide its limits from the JSON Schema.
NotBool = BeforeValidator(_refuse_bool)
SentAsList = BeforeValidator(_parse_list)

Id = Annotated[str, Field(pattern=ID_PATTERN)]

AgentId = Annotated[Id, Field(description="From list_agents.")]
TestCaseId = Annotated[Id, Field(description="From list_test_cases.")]
BatchId = Annotated[Id, Field(description="From list_batch_runs.")]
JobId = Annotated[Id, Field(description="From list_test_runs.")]
Detail = Annotated[Literal["concise", "full"], Field(description="full: all fields.")]
PageNumber = Annotated[int, Field(ge=0, description="From 0."), NotBool]
PageSize = Annotated[int, Field(ge=1, le=100, description="Items per page."), NotBool]
Skip = Annotated[
    int, Field(ge=0, le=NO_LIMIT, description="Items of this page already shown."), NotBool
]
LabelContains = Annotated[
    str, Field(min_length=1, max_length=256, description="Part of the label, in any case.")
]


class Arguments(BaseModel):
    """The base of every tool's input model; its fields are the tool's arguments."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True
    )


class Paged(Arguments):
    """Arguments of a paged list; `skip` continues within a page too large for one answer."""

    page: PageNumber = 0
    size: PageSize = 20
    skip: Skip = 0


class ForAgent(Arguments):
    """Arguments of a tool that works on one agent."""

    agent_id: AgentId


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def hide_default(schema: JSONObject) -> None:
    """Remove the default from the JSON Schema, for a field that differs when it is not given."""
    # Some clients fill in defaults.
    del schema["default"]


def read_arguments(
    model: type[ArgumentsT],
    sent: Mapping[str, Any] | None,
    *,
    tool: str,
    default_agent_id: str | None,
) -> ArgumentsT:
    """Validate what the client sent; null means not given, and `agentId` has a default.

    Raises:
        InvalidArguments: says which argument is wrong and what it takes.
    """
    given = {name: value for name, value in (sent or {}).items() if value is not None}
    if default_agent_id and issubclass(model, ForAgent):
        given.setdefault("agentId", default_agent_id)
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
    sentences = [_explain_problem(problem, model, tool) for problem in problems[:3]]
    raise InvalidArguments(" ".join(dict.fromkeys(sentences)))


def input_schema(model: type[Arguments], *, default_agent_id: str | None) -> JSONObject:
    """Return the JSON Schema of a tool's arguments; with a default agent, `agentId` is optional."""
    schema: JSONObject = _drop_costly_keywords(tidy_schema(model.model_json_schema(by_alias=True)))
    schema["additionalProperties"] = False
    if default_agent_id and issubclass(model, ForAgent):
        schema["required"] = [name for name in schema["required"] if name != "agentId"]
        schema["properties"]["agentId"]["default"] = default_agent_id
    return schema


def tidy_schema(schema: JSONObject) -> JSONObject:
    """Replace each `$ref` by its target; drop docstrings, titles and empty defaults."""
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)

    def tidy(node: Any, *, are_names: bool = False) -> Any:
        if isinstance(node, list):
            return [tidy(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = _resolve_reference(node, definitions)
        tidied = {}
        for key, value in node.items():
            if are_names or not _is_noise(key, value):
                # The keys of `properties` are names: an argument may be called "title".
                tidied[key] = tidy(value, are_names=key == "properties" and not are_names)
        return tidied

    tidied: JSONObject = tidy(schema)
    return tidied


def _resolve_reference(node: JSONObject, definitions: JSONObject) -> JSONObject:
    if "$ref" not in node:
        return node
    target = definitions[node["$ref"].rpartition("/")[2]]
    merged = {**target, **node}
    del merged["$ref"]
    merged.pop("description", None)
    return merged


def _is_noise(key: str, value: object) -> bool:
    return key == "title" or (key == "default" and value in ("", []))


def _drop_costly_keywords(node: Any) -> Any:
    """Drop keywords that cost tokens in tools/list; validation errors explain them instead."""
    if isinstance(node, list):
        return [_drop_costly_keywords(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = _drop_null(node)
    kept = {}
    for key, value in node.items():
        if isinstance(value, dict) or _is_worth_tokens(key, value):
            kept[key] = _drop_costly_keywords(value)
    # Put the type first.
    return {"type": kept["type"], **kept} if "type" in kept else kept


def _drop_null(node: JSONObject) -> JSONObject:
    """Advertise an optional argument by its type alone; null is still accepted."""
    if "anyOf" not in node or node.get("default", "") is not None:
        return node
    given, _ = node["anyOf"]
    merged = {**given, **node}
    del merged["anyOf"], merged["default"]
    return merged


def _is_worth_tokens(key: str, value: Any) -> bool:
    match key:
        case "pattern" | "minimum" | "minLength" | "maxLength" | "minItems" | "maxItems":
            return False
        case "default" | "additionalProperties":
            return bool(value)
        case "maximum":
            return bool(value < NO_LIMIT)
        case _:
            return True


_REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "finite_number": "must be a whole number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "must not be blank",
    "string_too_long": "must have at most {max_length:,} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a text",
    "string_unicode": "must be a text",
    "too_long": "must have at most {max_length:,} entries",
    "too_short": "must not be empty",
    "value_error": "must be a whole number",
}
"""What to say by pydantic's type of error."""


def _explain_problem(
    problem: ErrorDetails,
    model: type[Arguments],
    tool: str,
) -> str:
    name = _quote_name(problem["loc"])
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{name} is missing. {_describe_argument(model, name)}".rstrip()
        case "extra_forbidden":
            is_argument = len(problem["loc"]) == 1
            known = _list_properties(model) if is_argument else _list_entry_fields(model, problem)
            return f"{tool} does not take {name}. It takes: {', '.join(known)}."
        case "string_pattern_mismatch" if limits.get("pattern") == ID_PATTERN:
            rule = "must be an id: letters, digits, '_' and '-' only."
            return f"{name} {rule} {_describe_argument(model, name)}".rstrip()
        case "list_type":
            fields = ", ".join(_list_entry_fields(model, problem))
            ids = "test case ids" if name == "testCases" else "ids"
            return f"{name} must be a list of {f'{{{fields}}}' if fields else ids}."
        case "model_attributes_type" | "model_type":
            fields = ", ".join(_list_entry_fields(model, problem))
            return f"{name} must be an object with {fields}."
        case kind if kind in _REASONS:
            return f"{name} {_REASONS[kind].format(**limits)}."
        case kind if kind.startswith("int_"):
            return f"{name} must be a whole number."
        case _:
            return f"{name} is not usable: {problem['msg']}."


def _quote_name(loc: tuple[int | str, ...]) -> str:
    """Return the argument's name, unless the caller made up one that can say anything."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    name = "".join(parts).lstrip(".")
    return name if re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,64}", name) else "an argument of that name"


def _list_properties(model: type[Arguments]) -> JSONObject:
    properties: JSONObject = model.model_json_schema(by_alias=True)["properties"]
    return properties


def _list_entry_fields(model: type[Arguments], problem: ErrorDetails) -> list[str]:
    """Return the names of the fields of an entry of the list that the problem is in."""
    argument = str(problem["loc"][0])
    schema = tidy_schema(model.model_json_schema(by_alias=True))
    return list(schema["properties"][argument].get("items", {}).get("properties", {}))


def _describe_argument(model: type[Arguments], name: str) -> str:
    if name == "agentId":
        return "list_agents shows the agents; SIGMAMIND_AGENT_ID sets a default."
    argument = _list_properties(model).get(name, {})
    return str(argument.get("description", ""))
