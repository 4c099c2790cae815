"""What each tool's function takes, as the catalogue declares it."""

import inspect

import pytest

from sigmamind_mcp.protocol.catalogue import TOOLS, Tool


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_tool_takes_a_context_only_where_the_catalogue_says_so(tool: Tool) -> None:
    expected = ["args", "api", "context"] if tool.takes_context else ["args", "api"]

    assert list(inspect.signature(tool.function).parameters) == expected
