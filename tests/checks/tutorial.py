"""docs/tutorial.md, made again: its commands are run and its calls made, in order, and what comes back is compared.

A `console` block holds a command after `$ ` and what it prints; a `call` block a tool and its arguments, and the `text`
block after it the answer. What differs from one time to the next (moments, fences, seconds, versions, paths) is left
as it stands on the page.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.conftest import text_of
from tests.support.processes import COMMAND, environment, run

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
SET_UP = ("git clone ", "python3 -m venv ", ".venv/bin/pip install ")
"""Commands that are shown without being run: the tests run in what they make."""
FROM_HERE = ".venv/bin/sigmamind-mcp "
COMMAND_PATH = "/absolute/path/to/sigmamind-mcp/.venv/bin/sigmamind-mcp"

VARYING = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b[0-9a-f]{32}\b", "BOUNDARY"),
    (r"\d+\.\d s\b", "SECONDS"),
    (r"\b(mcp|httpx2|pydantic|Python) \d+(\.\d+)+", r"\1 VERSION"),
    (r'"command": "[^"]+"(, "args": \[.*\])?', "COMMAND"),
)


@dataclass(frozen=True)
class Step:
    """One thing done on the page, and where on it the outcome stands."""

    kind: str
    does: str
    printed: str
    start: int
    end: int

    def __str__(self) -> str:
        return " ".join(self.does.split())[:100]


def steps(page: str) -> list[Step]:
    """Everything that the page does, in its order."""
    found = []
    pattern = r"```console\n((?:\$ [^\n]+\n)+)(.*?)```|```call\n(.+?)\n```\n+```text\n(.*?)```"
    for block in re.finditer(pattern, page, re.S):
        group = 2 if block.group(1) else 4
        kind, does = ("console", block.group(1)) if block.group(1) else ("call", block.group(3))
        found.append(Step(kind, does, block.group(group), block.start(group), block.end(group)))
    return found


async def made_again(page: str) -> list[str]:
    """What comes of each step now."""
    came = []
    server = StdioServerParameters(
        command=COMMAND[0],
        args=[*COMMAND[1:], "--sandbox", "--log-level", "error"],
        env=environment(),
    )
    async with Client(server, cache=None) as client:
        for step in steps(page):
            came.append(_printed(step) if step.kind == "console" else await _answered(client, step))
    return came


def _printed(step: Step) -> str:
    lines = [line.removeprefix("$ ") for line in step.does.splitlines()]
    if all(line.startswith(SET_UP) for line in lines):
        return ""
    [line] = lines
    env = {name: value for name, value in environment().items() if "proxy" not in name.lower()}
    shown = run(*line.removeprefix(FROM_HERE).split(), env=env).stdout
    return re.sub(r'("command":\s+)"[^"]+"', rf'\1"{COMMAND_PATH}"', shown)


async def _answered(client: Client, step: Step) -> str:
    tool, arguments = step.does.split(maxsplit=1)
    result = await client.call_tool(tool, json.loads(arguments))
    text = text_of(result)
    if result.is_error:
        sys.exit(
            f"docs/tutorial.md: this call fails now, perhaps for an id that is another: {step}\n{text}"
        )
    return f"{text}\n"


def alike(one: str, other: str) -> bool:
    return _settled(one) == _settled(other)


def _settled(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def main() -> int:
    """Write what came back where it differs, or with `--check` name the first step whose outcome does."""
    page = PAGE.read_text(encoding="utf-8")
    outcomes = list(zip(steps(page), anyio.run(made_again, page), strict=True))
    changed = [(step, came) for step, came in outcomes if not alike(step.printed, came)]
    if "--check" in sys.argv[1:]:
        for step, _ in changed[:1]:
            sys.stderr.write(
                f"docs/tutorial.md: this has another outcome now, run scripts/tutorial: {step}\n"
            )
        return 1 if changed else 0
    for step, came in reversed(changed):
        page = page[: step.start] + came + page[step.end :]
    PAGE.write_text(page, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
