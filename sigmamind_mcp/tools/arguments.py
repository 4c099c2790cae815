"""What tools take: closed, flat, in the API's own spelling, refused in our own words.

The SDK's argument models rewrite texts that look like JSON and quote values back, so tools do not use them.
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
"""A maximum from here on only keeps out what cannot be meant."""


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _list_from_json(value: object) -> object:
    """Accept a list that a client sent as a JSON text, as some do."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


# Both stand after an argument's Field: before it, they would hide the limits from the JSON Schema.
NotBool = BeforeValidator(_refuse_bool)
SentAsList = BeforeValidator(_list_from_json)

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
    """Arguments of a list in pages; `skip` goes on within a page that one answer could not hold."""

    page: PageNumber = 0
    size: PageSize = 20
    skip: Skip = 0


class ForAgent(Arguments):
    """Arguments of a tool that works on one agent, as nearly all of the API does."""

    agent_id: AgentId


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def read_arguments(
    model: type[ArgumentsT],
    sent: Mapping[str, Any] | None,
    *,
    tool: str,
    default_agent_id: str | None,
) -> ArgumentsT:
    """Validate what the client sent; null counts as not given, and the default agent fills in for `agentId`.

    Raises:
        InvalidArguments: in one sentence, which argument is wrong and what it takes.
    """
    given = {name: value for name, value in (sent or {}).items() if value is not None}
    if default_agent_id and issubclass(model, ForAgent):
        given.setdefault("agentId", default_agent_id)
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
    sentences = [_problem(problem, model, tool) for problem in problems[:3]]
    raise InvalidArguments(" ".join(dict.fromkeys(sentences)))


def input_schema(model: type[Arguments], *, default_agent_id: str | None) -> JSONObject:
    """The JSON Schema of a tool's arguments, without noise; with a default agent, `agentId` is optional."""
    schema: JSONObject = _brief(tidy_schema(model.model_json_schema(by_alias=True)))
    schema["additionalProperties"] = False
    if default_agent_id and issubclass(model, ForAgent):
        schema["required"] = [name for name in schema["required"] if name != "agentId"]
        schema["properties"]["agentId"]["default"] = default_agent_id
    return schema


def tidy_schema(schema: JSONObject) -> JSONObject:
    """Put each `$ref` in its place; leave out docstrings, titles made of names, and defaults that mean "not given"."""
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)

    def tidy(node: Any, *, are_names: bool = False) -> Any:
        if isinstance(node, list):
            return [tidy(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
            node = {
                key: value
                for key, value in {**target, **node}.items()
                if key not in ("$ref", "description")
            }
        return {
            key: tidy(value, are_names=key == "properties" and not are_names)
            for key, value in node.items()
            if are_names or (key != "title" and not (key == "default" and value in ("", [])))
        }

    tidied: JSONObject = tidy(schema)
    return tidied


def _brief(node: Any) -> Any:
    """Leave out what every list of the tools would cost a model tokens for, and a refusal says where it matters.

    That is the letters of an id, the least there can be, how long a text or list may be, that entries are closed as
    well, and null, 0 and false as ways of not giving a value.
    """
    if isinstance(node, list):
        return [_brief(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "anyOf" in node and node.get("default", "") is None:
        given, _ = node["anyOf"]
        node = {
            key: value
            for key, value in {**given, **node}.items()
            if key not in ("anyOf", "default")
        }
    told = {
        key: _brief(value)
        for key, value in node.items()
        if isinstance(value, dict) or _tells(key, value)
    }
    return dict(sorted(told.items(), key=lambda item: item[0] != "type"))


def _tells(key: str, value: Any) -> bool:
    match key:
        case "pattern" | "minimum" | "minLength" | "maxLength" | "minItems" | "maxItems":
            return False
        case "default" | "additionalProperties":
            return bool(value)
        case "maximum":
            return bool(value < NO_LIMIT)
        case _:
            return True


def _problem(problem: ErrorDetails, model: type[Arguments], tool: str) -> str:
    where = _name(problem["loc"])
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{where} is missing. {_hint(model, where)}".rstrip()
        case "extra_forbidden":
            known = (
                ", ".join(_properties(model)) if len(problem["loc"]) == 1 else "variableName, value"
            )
            return f"{tool} does not take {where}. It takes: {known}."
        case "string_pattern_mismatch" if limits.get("pattern") == ID_PATTERN:
            return f"{where} must be an id: letters, digits, '_' and '-' only. {_hint(model, where)}".rstrip()
        case "string_pattern_mismatch":
            return f"{where} must not be blank."
        case "string_too_short" | "too_short":
            return f"{where} must not be empty."
        case "string_too_long" | "too_long":
            unit = "characters" if problem["type"] == "string_too_long" else "entries"
            return f"{where} must have at most {limits['max_length']:,} {unit}."
        case "greater_than_equal":
            return f"{where} must be {limits['ge']} or more."
        case "less_than_equal":
            return f"{where} must be {limits['le']} or less."
        case "literal_error":
            return f"{where} must be one of {limits['expected']}."
        case "string_type" | "string_unicode":
            return f"{where} must be a text."
        case "bool_type" | "bool_parsing":
            return f"{where} must be true or false."
        case "list_type":
            of = "of {variableName, value}" if where == "mockData" else "of test case ids"
            return f"{where} must be a list {of}."
        case "model_type" | "model_attributes_type":
            return f"{where} must be an object with variableName and value."
        case _ if problem["type"].startswith("int_") or problem["type"] in (
            "value_error",
            "finite_number",
        ):
            return f"{where} must be a whole number."
        case _:
            return f"{where} is not usable: {problem['msg']}."


def _name(loc: tuple[int | str, ...]) -> str:
    """The argument's name, as far as it can be repeated: a name that the caller made up may hold anything."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return name if re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,64}", name) else "an argument of that name"


def _properties(model: type[Arguments]) -> JSONObject:
    properties: JSONObject = model.model_json_schema(by_alias=True)["properties"]
    return properties


def _hint(model: type[Arguments], name: str) -> str:
    if name == "agentId":
        return "list_agents shows the agents; SIGMAMIND_AGENT_ID sets a default."
    return str(_properties(model).get(name, {}).get("description", ""))
