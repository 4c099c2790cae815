"""Search for inputs that block the event loop, over every tool (R35).

hypothesis looks for the longest step of the loop's thread in CPU time. Only a step over
MOST_CPU_SECONDS fails: the figures depend on the machine.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from sigmamind_mcp.protocol.catalogue import TOOLS
from tests.conftest import KEY, WATCHDOG, RoundCount, connected
from tests.support.fake_api import Asked, FakeAPI
from tests.support.loop_watchdog import MOST_CPU_SECONDS
from tests.test_hostile_input import CALLS
from tests.test_poison import poisoned_api

MAX_ANSWER_CHARACTERS = 1_000_000
MAX_ARGUMENT_CHARACTERS = 200_000
UNITS = (
    "a", "ab", "1 ", "a. ", "a-1 ", "好。", "\u200b", "$1.50 ", "order AB1234 ", "{{v1}}", "{{", "- x: not met\n", "Yes. Confirm? ",
    '{"a": ', "<tool_call>", "“", "`a", "fourteen days ", "May 2 ", "a@b.co ", "\n", ".", "。", ".”", "not ", "Dear Mr A'a ",
)  # fmt: skip
FREE_TEXTS = (
    "userPrompt", "successCriteria", "label", "remarks", "content", "instructions", "agentName", "value", "description", "text", "labelContains",
)  # fmt: skip


class Growth(NamedTuple):
    """How the texts of a body and its lists grow."""

    unit: str
    characters: int
    entries: int

    def write_text(self, most: int) -> str:
        length = min(self.characters, most // self.entries)
        return (self.unit * length)[:length]

    def grow_body(self, body: Any) -> Any:
        """Return the body with long texts, and with lists that repeat under other ids."""
        return _grow(body, self, number=0, entries=self.entries)

    def grow_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        text = self.write_text(MAX_ARGUMENT_CHARACTERS)
        return {
            name: text if name in FREE_TEXTS and text else value
            for name, value in arguments.items()
        }


def _grow(value: Any, growth: Growth, *, number: int, entries: int) -> Any:
    if isinstance(value, list):
        # Only the outermost list has all entries; otherwise the body would be too large to be read.
        return [
            _grow(entry, growth, number=count, entries=1)
            for count in range(entries)
            for entry in value
        ]
    if not isinstance(value, dict):
        return value
    grown = {}
    for name, entry in value.items():
        grown[name] = _grow(entry, growth, number=number, entries=entries)
        if isinstance(entry, str) and name in FREE_TEXTS:
            grown[name] = growth.write_text(MAX_ANSWER_CHARACTERS)
        elif isinstance(entry, str) and number and name.endswith("Id"):
            grown[name] = f"{entry}_{number}"
    return grown


def _answer_grown(growth: Growth, body: Any, asked: Asked) -> Any:
    return growth.grow_body(body)


GROWTHS = st.builds(
    Growth,
    unit=st.sampled_from(UNITS),
    characters=st.integers(0, 100_000),
    entries=st.integers(1, 1_000),
)


async def measure_call(api: FakeAPI, tool: str, arguments: Mapping[str, Any]) -> float:
    """Return the CPU seconds of the longest step of the event loop during the call."""
    async with connected(base_url=api.url, api_key=KEY) as client:
        await client.list_tools()
        WATCHDOG.longest_step = 0.0
        with anyio.fail_after(60):
            await client.call_tool(tool, dict(arguments))
        return WATCHDOG.longest_step


@pytest.mark.parametrize("tool", [tool.name for tool in TOOLS])
def test_no_input_blocks_the_event_loop(
    tool: str, fake_api: FakeAPI, rounds: RoundCount, figures: list[str]
) -> None:
    """R35: every answer of the API and every text of the call grows at once."""
    poisoned_api(fake_api)
    small = dict(fake_api.answers)
    slowest = (0.0, "")

    @settings(
        max_examples=rounds(short=4, long=300),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(GROWTHS)
    def search(growth: Growth) -> None:
        nonlocal slowest
        for operation, (status, body) in small.items():
            fake_api.answers[operation] = (status, partial(_answer_grown, growth, body))
        arguments = growth.grow_arguments(CALLS[tool])
        seconds = anyio.run(measure_call, fake_api, tool, arguments)
        slowest = max(slowest, (seconds, str(growth)))
        target(seconds)
        assert seconds <= MOST_CPU_SECONDS

    search()
    figures.append(f"R35 {tool}: longest step {slowest[0] * 1000:.0f} ms of CPU, {slowest[1]}")
