"""Repeat every command and call of docs/tutorial.md in order, and compare the results.

A `console` block holds a command after `$ ` and its output. A `call` block holds a tool and its arguments, and the
`text` block after it the answer. Parts that differ between runs (times, fences, seconds, versions, paths) are ignored.
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
"""Commands that are not run: they make the environment that this runs in."""
INSTALLED = ".venv/bin/sigmamind-mcp "
COMMAND_PATH = "/absolute/path/to/sigmamind-mcp/.venv/bin/sigmamind-mcp"

VARYING = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b[0-9a-f]{16}\b", "BOUNDARY"),
    (r"\d+\.\d s\b", "SECONDS"),
    (r"\b(mcp|httpx2|pydantic|Python) \d+(\.\d+)+", r"\1 VERSION"),
    (r'"command": "[^"]+"(, "args": \[.*\])?', "COMMAND"),
)


@dataclass(frozen=True)
class Step:
    """One command or call on the page, with its result and the place of that."""

    kind: str
    action: str
    result: str
    start: int
    end: int

    def __str__(self) -> str:
        return " ".join(self.action.split())[:100]


BLOCKS = re.compile(
    r"```console\n(?P<command>(?:\$ [^\n]+\n)+)(?P<output>.*?)```"
    r"|```call\n(?P<call>.+?)\n```\n+```text\n(?P<answer>.*?)```",
    re.S,
)


def list_steps(page: str) -> list[Step]:
    """Return the commands and calls of the page in order."""
    steps = []
    for block in BLOCKS.finditer(page):
        kind, action, result = "call", "call", "answer"
        if block["command"]:
            kind, action, result = "console", "command", "output"
        steps.append(Step(kind, block[action], block[result], *block.span(result)))
    return steps


async def repeat_steps(page: str) -> list[str]:
    """Return what each step gives now."""
    results = []
    server = StdioServerParameters(
        command=COMMAND[0],
        args=[*COMMAND[1:], "--sandbox", "--log-level", "error"],
        env=environment(),
    )
    async with Client(server, cache=None) as client:
        for step in list_steps(page):
            if step.kind == "console":
                results.append(_run_command(step))
            else:
                results.append(await _call_tool(client, step))
    return results


def _run_command(step: Step) -> str:
    lines = [line.removeprefix("$ ") for line in step.action.splitlines()]
    if all(line.startswith(SET_UP) for line in lines):
        return ""
    [line] = lines
    env = {name: value for name, value in environment().items() if "proxy" not in name.lower()}
    output = run(*line.removeprefix(INSTALLED).split(), env=env).stdout
    return re.sub(r'("command":\s+)"[^"]+"', rf'\1"{COMMAND_PATH}"', output)


async def _call_tool(client: Client, step: Step) -> str:
    tool, arguments = step.action.split(maxsplit=1)
    result = await client.call_tool(tool, json.loads(arguments))
    text = text_of(result)
    if result.is_error:
        sys.exit(
            f"docs/tutorial.md: this call now fails, perhaps because an id has changed: {step}\n{text}"
        )
    return f"{text}\n"


def is_same_result(expected: str, actual: str) -> bool:
    """Compare two results, ignoring what differs between runs."""
    return _replace_varying(expected) == _replace_varying(actual)


def _replace_varying(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def main() -> int:
    """Write the results to the page if one has changed; with `--check`, name the first and return 1."""
    page = PAGE.read_text(encoding="utf-8")
    outcomes = list(zip(list_steps(page), anyio.run(repeat_steps, page), strict=True))
    changed = [step for step, text in outcomes if not is_same_result(step.result, text)]
    if "--check" in sys.argv[1:]:
        if changed:
            step = changed[0]
            sys.stderr.write(
                f"docs/tutorial.md: the result has changed, run scripts/tutorial: {step}\n"
            )
        return 1 if changed else 0
    if changed:
        PAGE.write_text(write_results(page, outcomes), encoding="utf-8", newline="\n")
    return 0


def write_results(page: str, outcomes: list[tuple[Step, str]]) -> str:
    """Return the page with all results of one run, so that its times agree."""
    for step, text in reversed(outcomes):
        page = page[: step.start] + text + page[step.end :]
    return page


if __name__ == "__main__":
    sys.exit(main())
