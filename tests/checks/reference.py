"""Write docs/reference.md from the code: tools, prompts, resources, settings, commands, limits."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sigmamind_mcp.api import idempotency, pool, transport, walks
from sigmamind_mcp.cli import ENVIRONMENT, build_parser
from sigmamind_mcp.protocol.catalogue import TOOLS, Tool
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.protocol.resources import GUIDES, KINDS
from sigmamind_mcp.protocol.skills import SKILLS, read_frontmatter, uri_of_skill, write_skill
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.tools.answers import CONCISE_CHARACTERS, FULL_BYTES, FULL_CHARACTERS
from sigmamind_mcp.tools.schemas import ID_LENGTHS
from sigmamind_mcp.transports import opening, sse, traffic, uvicorn_server
from sigmamind_mcp.uris import TEMPLATES
from tests.support.tool_examples import EXAMPLES

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
COMMON = ("nextCalls", "hint", "cut", "notice")
EFFECTS = {"reads": "Only reads.", "creates": "Creates.", "changes": "Changes."}

JSON_TYPES = {"string": "text", "boolean": "`true` or `false`", "integer": "whole number"}

Schema = dict[str, Any]


def build_page() -> str:
    sections = (
        _write_head,
        _write_tools,
        _write_prompts,
        _write_resources,
        _write_settings,
        _write_commands,
        _write_limits,
    )
    lines = [line for section in sections for line in section()]
    return "\n".join(lines).rstrip("\n") + "\n"


def _write_head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "`scripts/reference` writes this page from the code, and a test compares them. Do not edit it."
    yield ""
    yield "[Tools](#tools) · [Prompts](#prompts) · [Resources](#resources) · [Settings](#settings)"
    yield "· [Command line](#command-line) · [Limits](#limits)"
    yield ""


def _write_tools() -> Iterator[str]:
    yield "## Tools"
    yield ""
    yield "A tool rejects unknown arguments, and the error lists the valid ones. `null` means not given; so does an empty text"
    yield "for an argument that is not required. What n8n and Cursor add to every call (`sessionId`, `action`, `chatInput`,"
    yield "`toolCallId`, `random_string`) is ignored. A list, or an entry of it, can be JSON text. A mock value can be a number,"
    yield "`true` or `false`; it becomes a text as JavaScript writes it: 10.0 becomes `10`, 1e3 becomes `1000`. `null` is refused,"
    yield "and an empty value stays."
    yield ""
    yield "A list continues with the call in `nextCalls`: the same arguments with a `cursor`, which counts instead of `page`. A"
    yield "cursor with other arguments is refused."
    yield ""
    yield "An id has letters, digits, `_` and `-`, at most 128 characters. An agent's id works with or without the prefix `agent_`."
    yield "If `SIGMAMIND_AGENT_ID` is set, `agentId` is optional."
    yield ""
    yield "Every answer has a text and structured content with the same facts. A field without a value is absent. Any answer"
    yield "can have these fields:"
    yield ""
    fields = TOOLS[0].answer_schema["properties"]
    common = {name: fields[name] for name in COMMON}
    yield from _format_table(("field", "type", "meaning"), _list_fields(common, set(COMMON)))
    for tool in TOOLS:
        yield from _write_tool(tool)


def _write_tool(tool: Tool) -> Iterator[str]:
    advertised = tool.advertise(Settings())
    answer = tool.answer_schema
    yield f"### {tool.name}"
    yield ""
    yield _join_lines(advertised.description or "")
    yield EFFECTS[tool.effect]
    yield ""
    arguments = _list_arguments(advertised.input_schema)
    yield from _format_table(("argument", "takes", "default", "meaning"), arguments)
    yield f"In the sandbox: `{json.dumps(EXAMPLES[tool.name])}`"
    yield ""
    yield "The answer:"
    yield ""
    own = {name: schema for name, schema in answer["properties"].items() if name not in COMMON}
    fields = _list_fields(own, set(answer.get("required", ())))
    yield from _format_table(("field", "type", "meaning"), fields)


def _list_arguments(schema: Schema, path: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row for each argument, and for each field of the objects in a list."""
    required = schema.get("required", ())
    for name, argument in schema["properties"].items():
        default = "required" if name in required else _format_default(argument)
        meaning = _join_lines(argument.get("description", ""))
        yield f"`{path}{name}`", _describe_argument(argument), default, meaning
        items = argument.get("items", {})
        if items.get("type") == "object":
            yield from _list_arguments(items, f"{path}{name}[].")


def _format_default(argument: Schema) -> str:
    default = argument.get("default")
    return "" if default in (None, "") else f"`{str(default).lower()}`"


def _describe_argument(argument: Schema) -> str:
    """Say what an argument takes, with its limits."""
    if "enum" in argument:
        return " or ".join(f"`{choice}`" for choice in argument["enum"])
    match argument.get("type"):
        case "string":
            return _describe_string(argument)
        case "integer":
            return _describe_integer(argument)
        case "array":
            return _describe_list(argument)
        case "boolean":
            return "`true` or `false`"
        case "object":
            return "object"
    options = [option for option in argument["anyOf"] if option.get("type") != "null"]
    return " or ".join(_describe_argument(option) for option in options)


def _describe_string(argument: Schema) -> str:
    most = argument.get("maxLength")
    if most == ID_LENGTHS["maxLength"]:
        return "id"
    limit = f", at most {most:,} characters" if most else ""
    return f"text{limit}, not empty" if "minLength" in argument else f"text{limit}"


def _describe_integer(argument: Schema) -> str:
    if "maximum" in argument:
        return f"whole number, {argument.get('minimum', 0):,} to {argument['maximum']:,}"
    if "minimum" in argument:
        return f"whole number, {argument['minimum']:,} or more"
    return "whole number"


def _describe_list(argument: Schema) -> str:
    kind = {"id": "ids", "object": "objects"}.get(_describe_argument(argument["items"]), "texts")
    most = argument.get("maxItems")
    return f"list of {kind}, at most {most:,}" if most else f"list of {kind}"


def _list_fields(
    properties: Schema, required: set[str], path: str = ""
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each field of an answer, and for each field of the objects in it."""
    for name, schema in properties.items():
        kind, nested = _describe_field(schema)
        is_list = kind.startswith("list")
        optional = "" if name in required or is_list else ", or absent"
        meaning = _join_lines(schema.get("description", ""))
        yield f"`{path}{name}`", f"{kind}{optional}", meaning
        if nested:
            inner = f"{path}{name}[]." if is_list else f"{path}{name}."
            yield from _list_fields(nested["properties"], set(nested.get("required", ())), inner)


def _describe_field(schema: Schema) -> tuple[str, Schema | None]:
    """Return the type in a word, and the schema of the object in it, if that has fields."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    schema = options[0]
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"]), None
    match schema.get("type"):
        case "array":
            kind, nested = _describe_field(schema["items"])
            return f"list of {kind}s" if kind in ("text", "object", "number") else "list", nested
        case "object":
            return "object", schema if schema.get("properties") else None
        case "string" if schema.get("format") == "date-time":
            return "time", None
        case kind:
            return JSON_TYPES.get(str(kind), str(kind or "any")), None


def _write_prompts() -> Iterator[str]:
    yield "## Prompts"
    yield ""
    for prompt in PROMPTS.values():
        yield f"### Prompt {prompt.name}"
        yield ""
        yield prompt.description
        yield ""
        rows = []
        for argument in prompt.arguments(None):
            need = "required" if argument.required else "optional"
            rows.append((f"`{argument.name}`", need, argument.description or ""))
        yield from _format_table(("argument", "", "meaning"), rows)


def _write_resources() -> Iterator[str]:
    yield "## Resources"
    yield ""
    yield "`fromTurn` is the number of the first turn, counted from 1; `turns` is how many turns."
    yield ""
    rows = [
        (f"`{template}`", KINDS[kind].mime_type, KINDS[kind].description)
        for kind, template in TEMPLATES.items()
    ]
    yield from _format_table(("URI", "type", "holds"), rows)
    yield from _format_table(
        ("guide", "about"),
        [(f"`sigmamind://guide/{topic}`", title) for topic, title in GUIDES.items()],
    )
    skills = [(f"`{uri_of_skill(name)}`", _describe_skill(name)) for name in SKILLS]
    yield from _format_table(("skill", "for"), skills)


def _describe_skill(name: str) -> str:
    return read_frontmatter(write_skill(name))["description"]


def _write_settings() -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield "The server reads them once, at the start. An empty value, or one that begins with `${`, means unset."
    yield ""
    rows = []
    for name, meaning in re.findall(r"^  (SIGMAMIND_\w+) +(.+)$", ENVIRONMENT, re.M):
        default = Settings._field_defaults[name.removeprefix("SIGMAMIND_").lower()]
        rows.append((f"`{name}`", "" if default is None else f"`{str(default).lower()}`", meaning))
    yield from _format_table(("variable", "default", "meaning"), rows)


def _write_commands() -> Iterator[str]:
    yield "## Command line"
    yield ""
    parser = build_parser()
    [commands] = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    summaries = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    yield "### sigmamind-mcp"
    yield ""
    yield _join_lines(parser.description or "")
    yield ""
    yield from _format_table(("option", "meaning"), _list_options(parser))
    every = [(name, command) for name, command in commands.choices.items()]
    [nested] = [
        action
        for action in commands.choices["suite"]._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    summaries |= {f"suite {choice.dest}": choice.help or "" for choice in nested._choices_actions}
    every += [(f"suite {name}", command) for name, command in nested.choices.items()]
    for name, command in every:
        yield f"### sigmamind-mcp {name}"
        yield ""
        yield f"{_join_lines(command.description or summaries[name]).rstrip('.')}."
        yield ""
        yield from _format_table(("option", "meaning"), _list_options(command))
    yield "### Exit status"
    yield ""
    rows = [
        (
            "0",
            "success; a server: stopped by a signal or by its client; `doctor`: no problem found",
        ),
        ("1", "failed while running; `doctor`: a problem to fix"),
        ("2", "could not start: an unknown option, an invalid setting, a port in use"),
    ]
    yield from _format_table(("status", "meaning"), rows)


def _list_options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, ...]]:
    formatter = argparse.HelpFormatter(parser.prog)
    for action in parser._actions:
        is_hidden = action.help == argparse.SUPPRESS
        if not action.option_strings or is_hidden or action.dest in ("help", "version"):
            continue
        words = [action.option_strings[0], _format_value(action)]
        yield f"`{' '.join(words).rstrip()}`", formatter._expand_help(action)


def _format_value(action: argparse.Action) -> str:
    if action.choices:
        return "|".join(action.choices)
    if action.nargs == 0:
        return ""
    return str(action.metavar or action.dest.upper())


def _write_limits() -> Iterator[str]:
    yield "## Limits"
    yield ""
    rows = [
        ("a concise answer", f"{CONCISE_CHARACTERS:,} characters, in the text and in the structured content"),
        (
            "an answer with `detail: \"full\"`",
            f"{FULL_CHARACTERS:,} characters and {FULL_BYTES:,} bytes, in each of the two",
        ),
        ("a request to the API", f"{transport.DEADLINE_SECONDS:.0f} s with all retries, {transport.CONNECT_SECONDS:.0f} s to connect"),
        ("a response of the API", f"{transport.MAX_ANSWER_BYTES // 2**20} MiB"),
        ("concurrent requests to the API", f"{pool.MAX_CONCURRENT_REQUESTS}, for all callers of a process"),
        ("a list that is read completely", f"{walks.MAX_WALKED_ITEMS:,} entries, {walks.MAX_WALKED_PAGES} pages, {walks.MAX_WALKED_BYTES // 2**20} MiB, {walks.WALK_SECONDS:.0f} s"),
        ("the body of a request to `serve`", f"{traffic.MAX_BODY_BYTES // 1024:,} KiB (413), received within {traffic.BODY_SECONDS:.0f} s (408)"),
        ("concurrent calls to `serve`", f"{traffic.MAX_CALLS} (503)"),
        ("concurrent SSE calls to `serve`", f"{sse.MAX_SSE_CALLS} per key (429), unread answers included"),
        ("an answer of `serve`", f"read by the client within {traffic.TAKE_SECONDS:.0f} s, or the connection is closed"),
        ("open SSE streams of `serve`", f"{sse.MAX_STREAMS} (503)"),
        ("remembered writes", f"writes of the last {idempotency.REMEMBERED_SECONDS / 60:.0f} minutes, at most {idempotency.MOST_REMEMBERED:,}"),
        ("shutdown of `serve`", f"{traffic.DRAIN_SECONDS:.0f} s for running calls, {uvicorn_server.HARD_SECONDS:.0f} s at most"),
        ("shutdown of the stdio server", f"{opening.END_SECONDS:.0f} s for a running write"),
        ("paths of `serve`", f"`/mcp`, `/sse`, `{sse.MESSAGES}`, `/healthz`, `/readyz`"),
    ]  # fmt: skip
    yield from _format_table(("what", "limit"), rows)


def _format_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        return
    for row in (head, ("---",) * len(head), *rows):
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")
    yield ""


def _join_lines(text: str) -> str:
    return " ".join(text.split())


def main() -> int:
    """Write the page; with `--check`, return 1 if it differs from the code."""
    page = build_page()
    if "--check" in sys.argv[1:]:
        is_current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        if not is_current:
            sys.stderr.write("docs/reference.md differs from the code: run scripts/reference.\n")
        return 0 if is_current else 1
    PAGE.write_text(page, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
