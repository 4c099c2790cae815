"""docs/reference.md, written from the code: what the server advertises, what its settings and commands are."""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sigmamind_mcp.api import client
from sigmamind_mcp.api import idempotency as recent_writes
from sigmamind_mcp.api import pool as connections
from sigmamind_mcp.api import transport as upstream
from sigmamind_mcp.cli import ENVIRONMENT, build_parser
from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.protocol.catalogue import TOOLS, Tool
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.protocol.resources import GUIDES, KINDS
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.tools.answers import CONCISE_CHARACTERS, FULL_BYTES
from sigmamind_mcp.transports import sse, stdio
from sigmamind_mcp.transports import traffic as guard
from sigmamind_mcp.transports import uvicorn_server as serving
from sigmamind_mcp.uris import TEMPLATES

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
COMMON = ("nextCalls", "hint", "cut", "notice")
EFFECTS = {"reads": "Only reads.", "creates": "Creates.", "changes": "Changes."}

Schema = dict[str, Any]


def reference() -> str:
    """The whole page."""
    return "\n".join(
        [*_head(), *_tools(), *_prompts(), *_resources(), *_settings(), *_commands(), *_limits()]
    )


def _head() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Written from the code by `scripts/reference`; a test holds it to that. Do not edit it by hand."
    yield ""
    yield "[Tools](#tools) · [Prompts](#prompts) · [Resources](#resources) · [Settings](#settings)"
    yield "· [Command line](#command-line) · [Limits](#limits)"
    yield ""


def _tools() -> Iterator[str]:
    yield "## Tools"
    yield ""
    yield "Arguments are closed: an unknown one is refused, and the refusal names those that there are. `null` counts as"
    yield "not given. An id has letters, digits, `_` and `-`, at most 128; that of an agent goes with or without"
    yield "`agent_`. With `SIGMAMIND_AGENT_ID` set, `agentId` may be left out."
    yield ""
    yield "Every answer has a text and structured content that hold the same facts. Fields that are absent have no"
    yield "value. These fields may be in any answer:"
    yield ""
    first = TOOLS[0].output_schema["properties"]
    yield from _table(
        ("field", "type", "meaning"), _fields({name: first[name] for name in COMMON}, set(COMMON))
    )
    for tool in TOOLS:
        yield from _tool(tool)


def _tool(tool: Tool) -> Iterator[str]:
    advertised = tool.advertise(None)
    arguments, answer = advertised.input_schema, tool.output_schema
    yield f"### {tool.name}"
    yield ""
    yield _one_line(advertised.description or "")
    yield EFFECTS[tool.effect]
    yield ""
    yield from _table(("argument", "takes", "default", "meaning"), _arguments(arguments))
    yield "The answer:"
    yield ""
    own = {name: told for name, told in answer["properties"].items() if name not in COMMON}
    yield from _table(("field", "type", "meaning"), _fields(own, set(answer.get("required", ()))))


def _arguments(schema: Schema) -> Iterator[tuple[str, ...]]:
    for name, told in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(told)
        yield f"`{name}`", _takes(told), default, _one_line(told.get("description", ""))
        if told.get("type") == "array" and told["items"].get("type") == "object":
            for inner, inside in told["items"]["properties"].items():
                of = "required" if inner in told["items"].get("required", ()) else _default(inside)
                yield (
                    f"`{name}[].{inner}`",
                    _takes(inside),
                    of,
                    _one_line(inside.get("description", "")),
                )


def _default(told: Schema) -> str:
    return f"`{str(told['default']).lower()}`" if told.get("default") not in (None, "") else ""


def _takes(told: Schema) -> str:
    """What an argument takes, with its limits, in words."""
    if "enum" in told:
        return " or ".join(f"`{choice}`" for choice in told["enum"])
    most = told.get("maxLength") or told.get("maxItems")
    match told.get("type"):
        case "string" if told.get("pattern") == ID_PATTERN:
            return "id"
        case "string":
            least = "" if told.get("minLength") is None and "pattern" not in told else ", not empty"
            return f"text{f', at most {most:,} characters' if most else ''}{least}"
        case "integer":
            return (
                f"whole number, {told.get('minimum', 0):,} to {told['maximum']:,}"
                if "maximum" in told
                else _from(told)
            )
        case "array":
            of = {"id": "ids", "object": "objects"}.get(_takes(told["items"]), "texts")
            return f"list of {of}{f', at most {most:,}' if most else ''}"
        case "boolean":
            return "`true` or `false`"
        case "object":
            return "object"
    return " or ".join(_takes(option) for option in told["anyOf"] if option.get("type") != "null")


def _from(told: Schema) -> str:
    return f"whole number, {told['minimum']:,} or more" if "minimum" in told else "whole number"


def _fields(properties: Schema, required: set[str], within: str = "") -> Iterator[tuple[str, ...]]:
    """Each field of an answer, with those of the objects inside it."""
    for name, told in properties.items():
        kind, inside = _kind(told)
        sure = "" if name in required or kind.startswith("list") else ", or absent"
        yield f"`{within}{name}`", f"{kind}{sure}", _one_line(told.get("description", ""))
        if inside:
            path = f"{within}{name}{'[]' if kind.startswith('list') else ''}."
            yield from _fields(inside["properties"], set(inside.get("required", ())), path)


def _kind(told: Schema) -> tuple[str, Schema | None]:
    """The type of a field in a word, and the object that it holds where that has fields of its own."""
    options = [option for option in told.get("anyOf", [told]) if option.get("type") != "null"]
    told = options[0]
    if "enum" in told:
        return " or ".join(f"`{choice}`" for choice in told["enum"]), None
    match told.get("type"):
        case "array":
            kind, inside = _kind(told["items"])
            return f"list of {kind}s" if kind in ("text", "object", "number") else "list", inside
        case "object":
            return "object", told if told.get("properties") else None
        case "integer":
            return "whole number", None
        case "string" if told.get("format") == "date-time":
            return "time", None
        case other:
            return {"string": "text", "boolean": "`true` or `false`"}.get(
                str(other), str(other or "any")
            ), None


def _prompts() -> Iterator[str]:
    yield "## Prompts"
    yield ""
    for prompt in PROMPTS.values():
        yield f"### Prompt {prompt.name}"
        yield ""
        yield prompt.description
        yield ""
        rows = [
            (f"`{name}`", "required" if required else "optional", description)
            for name, description, required in prompt.arguments(None)
        ]
        yield from _table(("argument", "", "meaning"), rows)


def _resources() -> Iterator[str]:
    yield "## Resources"
    yield ""
    yield "`fromTurn` counts from 1; `turns` is how many of them."
    yield ""
    rows = [
        (f"`{template}`", KINDS[kind].mime_type, KINDS[kind].description)
        for kind, template in TEMPLATES.items()
    ]
    yield from _table(("URI", "type", "holds"), rows)
    yield from _table(
        ("guide", "about"),
        [(f"`sigmamind://guide/{topic}`", title) for topic, title in GUIDES.items()],
    )


def _settings() -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield "Read from the environment at the start. An empty value, or one that begins with `${`, counts as unset."
    yield ""
    rows = []
    for name, meaning in re.findall(r"^  (SIGMAMIND_\w+) +(.+)$", ENVIRONMENT, re.M):
        default = Settings.model_fields[name.removeprefix("SIGMAMIND_").lower()].default
        rows.append((f"`{name}`", "" if default is None else f"`{str(default).lower()}`", meaning))
    yield from _table(("variable", "default", "meaning"), rows)


def _commands() -> Iterator[str]:
    yield "## Command line"
    yield ""
    parser = build_parser()
    [commands] = [
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    told = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    yield "### sigmamind-mcp"
    yield ""
    yield _one_line(parser.description or "")
    yield ""
    yield from _table(("option", "meaning"), _options(parser))
    for name, command in commands.choices.items():
        yield f"### sigmamind-mcp {name}"
        yield ""
        yield f"{_one_line(command.description or told[name]).rstrip('.')}."
        yield ""
        yield from _table(("option", "meaning"), _options(command))
    yield "### Exit status"
    yield ""
    rows = [
        ("0", "done; for a server: ended by a signal or by its client; for `doctor`: no problems"),
        ("1", "failed on the way; for `doctor`: it found problems"),
        ("2", "could not start: an unknown option, an unusable setting, a port that is taken"),
    ]
    yield from _table(("status", "meaning"), rows)


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, ...]]:
    formatter = argparse.HelpFormatter(parser.prog)
    for action in parser._actions:
        if not action.option_strings or action.dest in ("help", "version"):
            continue
        if action.help is argparse.SUPPRESS:  # for tests alone
            continue
        takes = (
            "|".join(action.choices)
            if action.choices
            else ""
            if action.nargs == 0
            else action.metavar or action.dest.upper()
        )
        yield (
            f"`{' '.join([action.option_strings[0], str(takes)]).rstrip()}`",
            formatter._expand_help(action),
        )


def _limits() -> Iterator[str]:
    yield "## Limits"
    yield ""
    rows = [
        ("a concise answer", f"{CONCISE_CHARACTERS:,} characters, in each of its two forms"),
        ("an answer with `detail: \"full\"`", f"{FULL_BYTES:,} bytes, the same"),
        ("a request to the API", f"{upstream.DEADLINE_SECONDS:.0f} s with all its retries, {upstream.CONNECT_SECONDS:.0f} s to connect"),
        ("an answer of the API", f"{upstream.MAX_BODY_BYTES // 2**20} MiB"),
        ("requests to the API at once", f"{connections.MAX_CONCURRENT_REQUESTS}, for all callers of a process"),
        ("a list that is read to its end", f"{client.MAX_WALKED_PAGES} pages of {client.WALK_SIZE}, {client.WALK_SECONDS:.0f} s"),
        ("the body of a request to `serve`", f"{guard.MAX_BODY_BYTES // 1024:,} KiB (413), whole within {guard.BODY_SECONDS:.0f} s (408)"),
        ("calls in flight in `serve`", f"{guard.MAX_CALLS} (503)"),
        ("calls in flight by SSE in `serve`", f"{sse.MAX_SSE_CALLS} for a key (429), answers that nobody takes among them"),
        ("an answer of `serve`", f"taken within {guard.TAKE_SECONDS:.0f} s, or its client is let go"),
        ("open SSE streams in `serve`", f"{sse.MAX_STREAMS} (503)"),
        ("writes that are remembered", f"those of {recent_writes.REMEMBERED_SECONDS / 60:.0f} minutes, {recent_writes.MOST_REMEMBERED:,} at most"),
        ("the end of `serve`", f"{guard.DRAIN_SECONDS:.0f} s for calls in flight, {serving.HARD_SECONDS:.0f} s at most"),
        ("the end of the stdio server", f"{stdio.END_SECONDS:.0f} s for a write under way"),
        ("paths of `serve`", f"`/mcp`, `/sse`, `{sse.MESSAGES}`, `/healthz`, `/readyz`"),
    ]  # fmt: skip
    yield from _table(("what", "limit"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    if not rows:
        return
    for row in (head, tuple("---" for _ in head), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |".replace(
            "|  |", "| |"
        )
    yield ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main() -> int:
    """Write the page, or with `--check` say whether it is as it would be written."""
    page = reference().rstrip("\n") + "\n"
    if "--check" in sys.argv[1:]:
        is_current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        if not is_current:
            sys.stderr.write(
                "docs/reference.md is not what the code says: run scripts/reference.\n"
            )
        return 0 if is_current else 1
    PAGE.write_text(page, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
