"""The file of a suite: test cases under stable keys, in the words of the API."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from unicodedata import normalize

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from sigmamind_mcp.api.models import LARGEST_COUNT
from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.suites.yaml_tree import (
    BadFile,
    FilePlace,
    PlainText,
    YAMLNode,
    describe_place,
    parse_yaml,
    quote_word,
    read_text_file,
)

LONGEST_KEY = 48
KEY_PATTERN = rf"[a-z0-9-]{{1,{LONGEST_KEY}}}"
LONGEST_LABEL = 256
LONGEST_TEXT = 100_000
PROBLEMS_SHOWN = 10

_WHOLE_NUMBER = re.compile(r"[0-9]{1,12}")
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?|\.[0-9]{1,9}")


def _read_number(value: object) -> object:
    if isinstance(value, PlainText) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    raise ValueError("must be a whole number, without quotation marks")


def _read_fraction(value: object) -> object:
    if isinstance(value, PlainText) and _DECIMAL.fullmatch(value):
        return float(value)
    raise ValueError("must be a number above 0.2 and at most 1, such as 0.8")


def _read_boolean(value: object) -> object:
    if isinstance(value, PlainText) and value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def _read_format(value: object) -> object:
    if value == "1" and isinstance(value, PlainText):
        return 1
    raise ValueError("must be 1, the only format so far")


def _read_mock_data(value: object) -> object:
    """Return the mock data as the API's list of names and values."""
    if isinstance(value, Mapping):
        return [{"variableName": name, "value": item} for name, item in value.items()]
    if isinstance(value, list):
        return value
    raise ValueError("must have one variable on each line: 'name: value'")


_SCALAR = {"type": ["string", "number", "boolean"]}
_MOCK_SCHEMA = {
    "description": "Values for the agent's variables, by name.",
    "anyOf": [
        {"type": "object", "additionalProperties": _SCALAR},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"variableName": {"type": "string"}, "value": _SCALAR},
                "required": ["variableName", "value"],
                "additionalProperties": False,
            },
        },
    ],
}

Prose = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, pattern=r"\S")]
CaseKey = Annotated[str, StringConstraints(pattern=f"^{KEY_PATTERN}$")]


class FileFields(BaseModel):
    """Fields under the names of the file; any other name is refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class FileVariable(FileFields):
    variable_name: Annotated[str, Field(min_length=1)]
    value: str


class CaseDefaults(FileFields):
    """What a case of the file has where it says nothing else."""

    user_prompt: Annotated[
        Prose | None, Field(description="Who the simulated user is and wants: 'You are…'")
    ] = None
    success_criteria: Annotated[
        Prose | None, Field(description="What the agent must do; each attempt is judged by it.")
    ] = None
    mock_data: Annotated[
        list[FileVariable] | None,
        BeforeValidator(_read_mock_data),
        WithJsonSchema(_MOCK_SCHEMA),
    ] = None
    llm_model: Annotated[
        str | None,
        Field(description="Model that plays the agent; the agent's own if it was never set."),
    ] = None
    attempts: Annotated[
        Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None,
        BeforeValidator(_read_number),
        Field(description="Attempts in each batch run; each costs model calls."),
    ] = None
    bar: Annotated[
        Annotated[float, Field(gt=0.2, le=1)] | None,
        BeforeValidator(_read_fraction),
        Field(description="Pass rate that is required, above 0.2: fails if proven lower."),
    ] = None
    quarantine: Annotated[
        bool | None,
        BeforeValidator(_read_boolean),
        Field(description="Run and report the case, but never fail because of it."),
    ] = None


class FileCase(CaseDefaults):
    """One test case of the file. A field that is absent stays as it is stored."""

    label: Annotated[
        Annotated[str, StringConstraints(max_length=LONGEST_LABEL)] | None,
        Field(description="Name in reports; the key is stored after it, in brackets."),
    ] = None
    was: Annotated[CaseKey | None, Field(description="The key that this case had before.")] = None


class SuiteModel(FileFields):
    """A suite of test cases of one SigmaMind agent."""

    suite: Annotated[Literal[1], BeforeValidator(_read_format), Field(description="The format.")]
    agent: Annotated[
        Annotated[str, StringConstraints(pattern=ID_PATTERN)] | None,
        Field(description="Id of the agent; without it, SIGMAMIND_AGENT_ID."),
    ] = None
    defaults: CaseDefaults = CaseDefaults()
    cases: Annotated[dict[CaseKey, FileCase], Field(description="The test cases, by key.")]


class SuiteCase(NamedTuple):
    """A test case of a suite; `fields` are those to store, under the API's names."""

    key: str
    fields: JSONObject
    was: str | None
    bar: float | None
    quarantine: bool
    place: FilePlace


class Suite(NamedTuple):
    """A suite as read from its file; `tree` has the place of each value.

    `defaults` are fields to store, under the API's names.
    """

    path: Path
    text: str
    tree: YAMLNode
    agent_id: str | None
    defaults: JSONObject
    cases: dict[str, SuiteCase]

    def name_place(self, *path: str | int) -> str:
        """Return file, line and column of the value at this path."""
        return describe_place(str(self.path), self.tree.find_place(path))


def load_suite(path: Path) -> Suite:
    """Read and check a suite.

    Raises:
        BadFile: it cannot be used; the message names line and column of each problem.
    """
    if not path.exists():
        raise BadFile(
            f"{path}: there is no such file. 'sigmamind-mcp suite pull --agent ID' writes it from"
            " the stored test cases."
        )
    text = read_text_file(path)
    return parse_suite(text, path)


def parse_suite(text: str, path: Path) -> Suite:
    tree = parse_yaml(text, str(path))
    if not isinstance(tree.value, dict):
        raise BadFile(f"{path}:1:1: a suite begins with the line 'suite: 1'.")
    problems = []
    for name, place in _list_empty(tree):
        where = describe_place(str(path), place)
        problems.append(
            f'{where}: {quote_word(name)} has no value. For an empty text write "", otherwise'
            " remove the line."
        )
    if problems:
        raise BadFile(_join_problems(problems))
    try:
        model = SuiteModel.model_validate(tree.to_data())
    except ValidationError as exc:
        problems = [_word_error(error, tree, str(path)) for error in exc.errors(include_url=False)]
        raise BadFile(_join_problems(problems)) from None
    given = model.defaults.model_dump(by_alias=True, exclude_none=True)
    for name in ("bar", "quarantine"):
        given.pop(name, None)
    defaults = _name_for_api(given)
    suite = Suite(path, text, tree, model.agent, defaults, _build_cases(model, tree))
    _check_renames(suite)
    return suite


def _list_empty(tree: YAMLNode) -> list[tuple[str, FilePlace]]:
    empty, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node.value, list):
            waiting += node.value
        elif isinstance(node.value, dict):
            for name, inner in node.value.items():
                if inner.is_empty:
                    empty.append((name, node.key_places[name]))
                waiting.append(inner)
    return sorted(empty, key=lambda found: found[1])


def _join_problems(problems: list[str]) -> str:
    shown = problems[:PROBLEMS_SHOWN]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more problems.")
    return "\n".join(shown)


def _build_cases(model: SuiteModel, tree: YAMLNode) -> dict[str, SuiteCase]:
    cases = {}
    for key, case in model.cases.items():
        given = model.defaults.model_dump(by_alias=True, exclude_none=True)
        given.update(case.model_dump(by_alias=True, exclude_none=True))
        was, bar = given.pop("was", None), given.pop("bar", None)
        quarantine = given.pop("quarantine", False)
        place = tree.find_place(("cases", key))
        cases[key] = SuiteCase(key, _name_for_api(given), was, bar, quarantine, place)
    return cases


def _name_for_api(given: dict[str, Any]) -> JSONObject:
    """Return the fields under the API's names, texts without the line feeds at their ends."""
    fields: JSONObject = {}
    for name, value in given.items():
        is_text = name in ("userPrompt", "successCriteria")
        api_name = "attempt" if name == "attempts" else name
        # A block of YAML ends with a line feed that nobody means.
        fields[api_name] = value.rstrip() if is_text else value
    return fields


def _check_renames(suite: Suite) -> None:
    previous: dict[str, str] = {}
    for case in suite.cases.values():
        if case.was is None:
            continue
        place = suite.name_place("cases", case.key, "was")
        if case.was in suite.cases:
            raise BadFile(
                f"{place}: 'was' names {quote_word(case.was)}, which is still a key of this file."
            )
        if case.was in previous:
            other = previous[case.was]
            raise BadFile(
                f"{place}: {quote_word(other)} has the same 'was': {quote_word(case.was)}."
            )
        previous[case.was] = case.key


_MODELS: dict[str, type[BaseModel]] = {"defaults": CaseDefaults, "cases": FileCase}


def _word_error(error: Any, tree: YAMLNode, name: str) -> str:
    path = tuple(part for part in error["loc"] if part != "[key]")
    place = describe_place(name, tree.find_place(path))
    field = quote_word(str(path[-1])) if path else "the file"
    return f"{place}: {_word_reason(error, path, field)}"


def _word_reason(error: Any, path: tuple[Any, ...], field: str) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return _word_unknown_name(path)
    if kind == "missing":
        return f"{field} is missing."
    if error["loc"][-1] == "[key]":
        return f"a key has 1 to 48 of the characters a-z, 0-9 and -; {field} has others."
    if kind == "value_error":
        return f"{field} {str(error['ctx']['error'])}."
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{field} must have fields of its own, indented below it."
    if kind == "string_too_long":
        return f"{field} is longer than {error['ctx']['max_length']:,} characters."
    if kind in ("string_pattern_mismatch", "string_too_short"):
        return f"{field} is empty or has characters that are not allowed here."
    if kind == "string_type":
        return f"{field} must be one text."
    return f"{field} is not valid: {error['msg'][0].lower()}{error['msg'][1:]}."


def _word_unknown_name(path: tuple[Any, ...]) -> str:
    model = SuiteModel if len(path) == 1 else _MODELS.get(str(path[0]), SuiteModel)
    known = [to_camel(name) for name in model.model_fields]
    if "mockData" in path:
        known = [to_camel(name) for name in FileVariable.model_fields]
    name = str(path[-1])
    similar = get_close_matches(name, known, 1, 0.6)
    hint = f" Do you mean {similar[0]}?" if similar else f" Known: {', '.join(known)}."
    return f"{quote_word(name)} is not a known field.{hint}"


def make_key(label: str, taken: set[str]) -> str:
    """Return a key that is not taken, made of a label's letters and digits."""
    plain = normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    name = words[:LONGEST_KEY].strip("-") or "case"
    number, key = 1, name
    while key in taken:
        number += 1
        ending = f"-{number}"
        key = name[: LONGEST_KEY - len(ending)] + ending
    return key


def build_schema() -> JSONObject:
    """Return the JSON Schema of the file, for editors."""
    schema = SuiteModel.model_json_schema(by_alias=True)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_drop_noise(schema),
        "title": "Suite of SigmaMind test cases",
    }
    return schema


def _drop_noise(schema: Any) -> Any:
    """Return the schema without generated titles and null, which the file does not allow."""
    if isinstance(schema, list):
        return [_drop_noise(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _drop_noise(item) for name, item in schema.items()}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    if kept.get("default", ...) is None or isinstance(kept.get("default"), dict):
        del kept["default"]
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    choices = [choice for choice in kept.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    return kept
