"""What a client sees of the server, with its cost in tokens; `python -m tests.checks.surface NODE [--check]`.

It is kept in tests/data/surface.json, and the bundle's manifest lists the same tools and prompts; `--check` shows the
difference and exits 1. Tokens are those of o200k_base, of compact JSON; for a tool, of what reaches a model: name,
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
from sigmamind_mcp.protocol.prompts import PROMPTS
from sigmamind_mcp.protocol.server import open_server
from sigmamind_mcp.settings import Settings

ROOT = Path(__file__).parents[2]
SURFACE = ROOT / "tests" / "data" / "surface.json"
MANIFEST = ROOT / "manifest.json"
COUNTER = ROOT / "interop" / "tokens.mjs"

MOST_IN_ALL = 3000
MOST_PER_TOOL = 350
LINE = 110
BESIDE_TOOLS = ("prompts", "resourceTemplates", "resources")

JSON = dict[str, Any]


async def offered() -> JSON:
    """Instructions, tools, prompts, resource templates and guides, as a client gets them from a server without settings."""
    async with (
        open_server(Settings(), select_api(Settings())) as server,
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


def pluralize(surface: JSON, node: Path) -> JSON:
    """The surface with the tokens of each thing in it and, of the tools, in all."""
    reaching = [reaching_a_model(tool) for tool in surface["tools"]]
    told = [
        reaching,
        surface["instructions"],
        *reaching,
        *(tool["outputSchema"] for tool in surface["tools"]),
    ]
    told += [item for name in BESIDE_TOOLS for item in surface[name]]
    in_all, instructions, *rest = _tokens(told, node)
    inputs, outputs, others = (
        rest[: len(reaching)],
        rest[len(reaching) :],
        iter(rest[2 * len(reaching) :]),
    )
    return {
        "tokens": {"tools": in_all, "instructions": instructions},
        "instructions": surface["instructions"],
        "tools": [
            {"tokens": tokens, "outputTokens": output, **tool}
            for tokens, output, tool in zip(inputs, outputs, surface["tools"], strict=False)
        ],
        **{
            name: [{"tokens": next(others), **item} for item in surface[name]]
            for name in BESIDE_TOOLS
        },
    }


def reaching_a_model(tool: JSON) -> JSON:
    return {name: tool[name] for name in ("name", "description", "inputSchema")}


def _tokens(values: Sequence[object], node: Path) -> list[int]:
    texts = [json.dumps(value, separators=(",", ":"), ensure_ascii=False) for value in values]
    command = [str(node), str(COUNTER)]
    done = subprocess.run(
        command, input=json.dumps(texts), capture_output=True, check=True, encoding="utf-8"
    )
    tokens: list[int] = json.loads(done.stdout)
    return tokens


def without_tokens(surface: JSON) -> JSON:
    """What `offered` gave."""
    lists = {name: items for name, items in surface.items() if isinstance(items, list)}
    bare = {
        name: [
            {key: value for key, value in item.items() if key not in ("tokens", "outputTokens")}
            for item in items
        ]
        for name, items in lists.items()
    }
    return {"instructions": surface["instructions"], **bare}


def manifest_of(surface: JSON, manifest: str) -> str:
    """The manifest with the tools and prompts on offer; a prompt's text has blanks where a host fills in."""
    given: JSON = json.loads(manifest)
    given["tools"] = [
        {"name": tool["name"], "description": tool["title"]} for tool in surface["tools"]
    ]
    given["prompts"] = [
        {
            "name": prompt["name"],
            "description": prompt["description"],
            "arguments": [argument["name"] for argument in prompt["arguments"]],
            "text": _text(prompt),
        }
        for prompt in surface["prompts"]
    ]
    return format_time(given)


def _text(listed: JSON) -> str:
    prompt = PROMPTS[listed["name"]]
    names = [argument["name"] for argument in listed["arguments"]]
    blanks = {to_snake(name): f"${{arguments.{name}}}" for name in names}
    return prompt.function(prompt.model.model_construct(None, **blanks), read_only=False)


def format_time(value: JSON) -> str:
    return _format_time(value, "") + "\n"


def _format_time(value: object, margin: str) -> str:
    """JSON in which what fits stands on one line, so that a difference shows whole things."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(margin) + len(line) <= LINE:
        return line
    inner = f"{margin}  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {_format_time(item, inner)}" for name, item in value.items()]
    else:
        parts = [_format_time(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{margin}{closing}"


def difference(file: Path, wanted: str) -> Iterator[str]:
    there = file.read_text(encoding="utf-8") if file.exists() else ""
    name = file.relative_to(ROOT).as_posix()
    return difflib.unified_diff(
        there.splitlines(),
        wanted.splitlines(),
        f"{name} as committed",
        f"{name} as served",
        lineterm="",
    )


def main(node: Path, *, check: bool) -> int:
    surface = pluralize(anyio.run(offered), node)
    wanted = {
        SURFACE: format_time(surface),
        MANIFEST: manifest_of(surface, MANIFEST.read_text(encoding="utf-8")),
    }
    status = 0
    for file, text in wanted.items():
        changed = list(difference(file, text))
        print("\n".join(changed) if changed else f"{file.name}: as served", flush=True)
        if changed and not check:
            file.write_text(text, encoding="utf-8", newline="\n")
        status |= bool(changed) and check
    dearest = max(surface["tools"], key=lambda tool: tool["tokens"])
    told = f"{surface['tokens']['tools']} tokens for {len(surface['tools'])} tools (at most {MOST_IN_ALL})"
    print(
        f"{told}; the dearest is {dearest['name']} with {dearest['tokens']} (at most {MOST_PER_TOOL})."
    )
    if status:
        print(
            "What clients see has changed. If it is meant, run scripts/surface and commit what it writes."
        )
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), check="--check" in sys.argv[2:]))
