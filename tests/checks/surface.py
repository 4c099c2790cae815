"""Record what clients see of the server, with its cost in tokens; `python -m tests.checks.surface NODE [--check]`.

The record is tests/data/surface.json; the bundle's manifest lists the same tools and prompts, and the package's
listings.json has what the server says before the first call. `--check` prints the
difference and exits 1. Tokens are o200k_base tokens of compact JSON. For a tool they count what reaches a model: name,
description and input schema.
"""

import difflib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from pydantic import BaseModel
from pydantic.alias_generators import to_snake

from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.protocol.catalogue import advertise_tools
from sigmamind_mcp.protocol.prompts import PROMPTS, Prompt
from sigmamind_mcp.protocol.recorded_listings import RECORD
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings
from tests.checks.listings import record_listings

ROOT = Path(__file__).parents[2]
SURFACE = ROOT / "tests" / "data" / "surface.json"
MANIFEST = ROOT / "manifest.json"
LISTINGS = Path(RECORD)
COUNTER = ROOT / "interop" / "tokens.mjs"

MOST_IN_ALL = 4500
MOST_PER_TOOL = 450
LINE = 110
OTHER_LISTS = ("prompts", "resourceTemplates", "resources")

JSON = dict[str, Any]


async def read_surface() -> JSON:
    """List everything that a client sees of a server with default settings."""
    async with (
        open_server(Settings(), select_api(Settings()), advertise_tools(Settings())) as server,
        Client(server, cache=None) as client,
    ):
        lists: dict[str, Sequence[BaseModel]] = {
            "tools": (await client.list_tools()).tools,
            "prompts": (await client.list_prompts()).prompts,
            "resourceTemplates": (await client.list_resource_templates()).resource_templates,
            "resources": (await client.list_resources()).resources,
        }
        dumped = {
            name: [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in items]
            for name, items in lists.items()
        }
        return {"instructions": client.instructions, **dumped}


def add_tokens(surface: JSON, node: Path) -> JSON:
    """Return the surface with the tokens of each item, and of all tools together."""
    tools = surface["tools"]
    inputs = [select_model_input(tool) for tool in tools]
    others = [item for name in OTHER_LISTS for item in surface[name]]
    outputs = [tool["outputSchema"] for tool in tools]
    counts = iter(
        _count_tokens([inputs, surface["instructions"], *inputs, *outputs, *others], node)
    )
    tokens = {"tools": next(counts), "instructions": next(counts)}
    input_tokens = [next(counts) for _ in inputs]
    output_tokens = [next(counts) for _ in outputs]
    return {
        "tokens": tokens,
        "instructions": surface["instructions"],
        "tools": [
            {"tokens": in_input, "outputTokens": in_output, **tool}
            for in_input, in_output, tool in zip(input_tokens, output_tokens, tools, strict=True)
        ],
        **{
            name: [{"tokens": next(counts), **item} for item in surface[name]]
            for name in OTHER_LISTS
        },
    }


def select_model_input(tool: JSON) -> JSON:
    """Return what a model gets of a tool."""
    return {name: tool[name] for name in ("name", "description", "inputSchema")}


def _count_tokens(values: Sequence[object], node: Path) -> list[int]:
    texts = [json.dumps(value, separators=(",", ":"), ensure_ascii=False) for value in values]
    command = [str(node), str(COUNTER)]
    process = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, check=True, encoding="utf-8"
    )
    tokens: list[int] = json.loads(process.stdout)
    return tokens


def remove_tokens(surface: JSON) -> JSON:
    """Return what `read_surface` returned."""
    lists = {name: items for name, items in surface.items() if isinstance(items, list)}
    bare = {name: [_remove_counts(item) for item in items] for name, items in lists.items()}
    return {"instructions": surface["instructions"], **bare}


def _remove_counts(item: JSON) -> JSON:
    return {name: value for name, value in item.items() if name not in ("tokens", "outputTokens")}


def update_manifest(surface: JSON, manifest: str) -> str:
    """Return the manifest with the current tools and prompts."""
    updated: JSON = json.loads(manifest)
    updated["tools"] = [
        {"name": tool["name"], "description": tool["title"]} for tool in surface["tools"]
    ]
    updated["prompts"] = [
        {
            "name": prompt["name"],
            "description": prompt["description"],
            "arguments": [argument["name"] for argument in prompt["arguments"]],
            "text": fill_prompt(PROMPTS[prompt["name"]]),
        }
        for prompt in surface["prompts"]
    ]
    return format_json(updated)


def fill_prompt(prompt: Prompt) -> str:
    """Return the text of a prompt, with a placeholder for each argument."""
    names = [field.name for field in prompt.arguments(None)]
    placeholders = {to_snake(name): f"${{arguments.{name}}}" for name in names}
    return prompt.function(prompt.model.model_construct(None, **placeholders), read_only=False)


def format_json(value: JSON) -> str:
    return _format_value(value, "") + "\n"


def _format_value(value: object, margin: str) -> str:
    """Write JSON with each value on one line if it fits, for readable differences."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(margin) + len(line) <= LINE:
        return line
    inner = f"{margin}  "
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(name)}: {_format_value(item, inner)}" for name, item in value.items()
        ]
    else:
        parts = [_format_value(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{margin}{closing}"


def compare_file(file: Path, current: str) -> Iterator[str]:
    """Yield the lines of a unified diff from the committed file."""
    committed = file.read_text(encoding="utf-8") if file.exists() else ""
    name = file.relative_to(ROOT).as_posix()
    return difflib.unified_diff(
        committed.splitlines(),
        current.splitlines(),
        f"{name} as committed",
        f"{name} as served",
        lineterm="",
    )


def main(node: Path, *, check: bool) -> int:
    """Write the files and return 0; with `check`, print differences and return 1 if any."""
    surface = add_tokens(anyio.run(read_surface), node)
    current = {
        SURFACE: format_json(surface),
        LISTINGS: format_json(anyio.run(record_listings)),
        MANIFEST: update_manifest(surface, MANIFEST.read_text(encoding="utf-8")),
    }
    status = 0
    for file, text in current.items():
        changes = list(compare_file(file, text))
        print("\n".join(changes) if changes else f"{file.name}: unchanged", flush=True)
        if changes and not check:
            file.write_text(text, encoding="utf-8", newline="\n")
        status |= bool(changes) and check
    _print_costs(surface)
    if status:
        print(
            "What clients see has changed. If you mean it, run scripts/surface and commit the files."
        )
    return status


def _print_costs(surface: JSON) -> None:
    tools = surface["tools"]
    costliest = max(tools, key=lambda tool: tool["tokens"])
    total = surface["tokens"]["tools"]
    print(f"{len(tools)} tools cost {total} tokens (at most {MOST_IN_ALL}).")
    print(f"{costliest['name']} costs most: {costliest['tokens']} (at most {MOST_PER_TOOL}).")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), check="--check" in sys.argv[2:]))
