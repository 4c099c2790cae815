"""Input models of the tools: closed, flat, under the API's names, with errors in our own words.

Tools do not use the SDK's argument models, which rewrite texts that look like JSON and quote
values in errors.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.ids import ID_PATTERN, mark_text
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.argument_forms import ADDED_BY_CLIENTS, OWN_ERROR, NotBool
from sigmamind_mcp.tools.cursors import Cursor, decode_cursor, encode_cursor

MAX_TEXT = 32_000
LARGEST_PAGE = 1_000_000
"""More pages than an agent can have."""


Id = Annotated[str, Field(pattern=ID_PATTERN)]

AgentId = Annotated[Id, Field(description="From list_agents.")]
AnsweringAgentId = Annotated[Id, Field(description="Agent that answers, from list_agents.")]
TestCaseId = Annotated[Id, Field(description="From list_test_cases.")]
BatchId = Annotated[Id, Field(description="From list_batch_runs.")]
JobId = Annotated[Id, Field(description="From list_test_runs.")]
Detail = Annotated[Literal["concise", "full"], Field(description="full: all fields.")]
PageNumber = Annotated[int, Field(ge=0, le=LARGEST_PAGE, description="Zero-based."), NotBool]
PageSize = Annotated[int, Field(ge=1, le=100, description="Items per page."), NotBool]
LabelContains = Annotated[str, Field(max_length=256, description="Part of the label, in any case.")]


class Arguments(BaseModel):
    """The base of every tool's input model; its fields are the tool's arguments."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_options(cls, sent: object) -> object:
        """Drop what counts as not given, in the entries of lists too."""
        if not isinstance(sent, dict):
            return sent
        options = {field.alias for field in cls.model_fields.values() if not field.is_required()}
        return {
            name: value
            for name, value in sent.items()
            if value not in (None, "") or name not in options
        }


class ListPlace(NamedTuple):
    """Where a list continues: a page, and how many of its items earlier answers have shown.

    `last_mark` stands for the last item that was shown; it is 0 if unknown.
    """

    page: int
    skip: int
    last_mark: int = 0


class Continued(Arguments):
    """Arguments of a tool whose answers continue; `cursor` says where the next one begins.

    A cursor counts only with the arguments of its call, since a position in one list means nothing
    in another.
    """

    position_names: ClassVar[tuple[str, ...]]
    """The numbers in a cursor of this tool."""

    cursor: Cursor = ""

    @property
    def position(self) -> dict[str, int]:
        """The numbers of the cursor by name, each 0 without a cursor.

        Raises:
            InvalidArguments: the cursor is malformed, or continues a call with other arguments.
        """
        numbers = decode_cursor(self.cursor, *self.position_names, "call")
        call = numbers.pop("call")
        if self.cursor and call != self._identify_call():
            raise InvalidArguments(
                "cursor continues a call with other arguments. Send all arguments of the call in"
                " nextCalls as they are, or leave out cursor to begin again."
            )
        return numbers

    def continue_at(self, **position: int) -> dict[str, Any]:
        """Return the arguments of the call that continues this one at the position."""
        cursor = encode_cursor(**position, call=self._identify_call())
        return {**self.repeat(), "cursor": cursor}

    def repeat(self) -> dict[str, Any]:
        """Return the arguments of this call, without its cursor."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude={"cursor"})

    def _identify_call(self) -> int:
        """Return a checksum of what decides which items there are, and in which order."""
        # A cursor continues from its own page, and detail changes only how items look.
        given = self.model_dump(by_alias=True, exclude={"page", "cursor", "detail"})
        return mark_text(json.dumps([type(self).__name__, given], sort_keys=True))

    @model_validator(mode="after")
    def _check_cursor(self) -> Self:
        _ = self.position  # refuses a wrong cursor before anything is read
        return self


class Paged(Continued):
    """Arguments of a paged list; `cursor` continues it, whatever the `page`."""

    position_names = ("page", "skip", "last")

    page: PageNumber = 0
    size: PageSize = 20

    @property
    def place(self) -> ListPlace:
        """The place in the list from which items are asked for."""
        if not self.cursor:
            return ListPlace(self.page, 0)
        position = self.position
        return ListPlace(position["page"], position["skip"], position["last"])


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
    """Validate what the client sent, without what counts as not given; `agentId` has a default.

    Raises:
        InvalidArguments: says which argument is wrong and what it takes.
    """
    given = {}
    for name, value in (sent or {}).items():
        if _is_given(name, value, model):
            given[name] = value
    if default_agent_id and issubclass(model, ForAgent):
        given.setdefault("agentId", default_agent_id)
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False)
    sentences = [_explain_problem(problem, model, tool) for problem in problems[:3]]
    raise InvalidArguments(" ".join(dict.fromkeys(sentences)))


def _is_given(name: str, value: object, model: type[Arguments]) -> bool:
    """Return whether this counts: not null, nor a client's own addition, nor an empty agentId."""
    is_argument = any(field.alias == name for field in model.model_fields.values())
    if not is_argument and name in ADDED_BY_CLIENTS:
        return False
    # Only a default can stand in for agentId, whether there is one or not.
    is_empty_agent = name == "agentId" and value == ""
    return value is not None and not is_empty_agent


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
        case "model_attributes_type" | "model_type":
            fields = ", ".join(_list_entry_fields(model, problem))
            return f"{name} must be an object with {fields}."
        case kind if kind == OWN_ERROR:
            return f"{name} {problem['msg']}."
        case kind if kind in _REASONS:
            return f"{name} {_REASONS[kind].format(**limits)}."
        case kind if kind.startswith("int_"):
            return f"{name} must be a whole number."
        case _:
            return f"{name} is not usable: {problem['msg']}."


def _quote_name(loc: tuple[int | str, ...]) -> str:
    """Return the argument's name, unless the caller made up one that can say anything."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    name = name.lstrip(".")
    return name if re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,64}", name) else "an argument of that name"


def _list_properties(model: type[Arguments]) -> JSONObject:
    properties: JSONObject = model.model_json_schema(by_alias=True)["properties"]
    return properties


def _list_entry_fields(model: type[Arguments], problem: ErrorDetails) -> list[str]:
    """Return the names of the fields of an entry of the list that the problem is in."""
    argument = problem["loc"][0]
    for field in model.model_fields.values():
        if field.alias == argument:
            return _list_alias_names(field.annotation)
    return []


def _list_alias_names(annotation: object) -> list[str]:
    """Return the names of the fields of the first model in the annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [field.alias or name for name, field in annotation.model_fields.items()]
    return next(filter(None, map(_list_alias_names, get_args(annotation))), [])


def _describe_argument(model: type[Arguments], name: str) -> str:
    if name == "agentId":
        return "list_agents shows the agents; SIGMAMIND_AGENT_ID sets a default."
    argument = _list_properties(model).get(name, {})
    return str(argument.get("description", ""))
