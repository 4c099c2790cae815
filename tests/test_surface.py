"""The surface that clients see is as committed and within its budget.

`scripts/surface --check` counts the tokens again.
"""

import json
import re

import pytest

from tests.checks.surface import (
    MANIFEST,
    MOST_IN_ALL,
    MOST_PER_TOOL,
    ROOT,
    SURFACE,
    compare_file,
    read_surface,
    remove_tokens,
    update_manifest,
)

pytestmark = pytest.mark.anyio

WEIGHTS = (25, 20, 20, 15, 10, 10)
COMMITTED = json.loads(SURFACE.read_text(encoding="utf-8"))


async def test_surface_is_as_committed() -> None:
    served = json.loads(json.dumps(await read_surface()))

    assert served == remove_tokens(COMMITTED), "scripts/surface writes it anew"


async def test_manifest_lists_the_tools_and_prompts_of_the_running_server() -> None:
    written = update_manifest(await read_surface(), MANIFEST.read_text(encoding="utf-8"))

    assert list(compare_file(MANIFEST, written)) == [], "scripts/surface writes it anew"


@pytest.mark.parametrize("tool", COMMITTED["tools"], ids=lambda tool: tool["name"])
def test_every_description_says_what_the_tool_costs_or_changes(tool: dict[str, str]) -> None:
    assert re.search(r"\b([Rr]eads|[Cc]osts|Overwrites)\b", tool["description"])


def test_every_tool_is_scored_an_a() -> None:
    table = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| (\d) \| (\d) \| (\d) \| (\d) \| (\d) \| (\d) \| ([\d.]+) \|$", table, re.M
    )

    assert [name for name, *_ in rows] == [tool["name"] for tool in COMMITTED["tools"]]
    for name, *scores, total in rows:
        pairs = zip(scores, WEIGHTS, strict=True)
        weighted = sum(int(score) * weight for score, weight in pairs) / 100
        assert total == f"{weighted:.2f}" and weighted >= 3.5, name


def test_tools_cost_a_model_no_more_than_their_budget() -> None:
    assert COMMITTED["tokens"]["tools"] <= MOST_IN_ALL
    assert {
        tool["name"]: tool["tokens"]
        for tool in COMMITTED["tools"]
        if tool["tokens"] > MOST_PER_TOOL
    } == {}
