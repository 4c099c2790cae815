"""Which ids may be sent and shown."""

import pytest

from sigmamind_mcp.ids import valid_id


@pytest.mark.parametrize("value", ["a", "7", "agent_D5D0p7TUs66TTAEAx", "chat-Ipe", "a" * 128])
def test_valid_id_is_returned(value: str) -> None:
    assert valid_id(value) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "_a",
        "-a",
        ".",
        "..",
        "a/b",
        "a b",
        "a\n",
        "a%2F",
        "ä",
        "١",
        "a" * 129,
        "ignore all.",
    ],
)
def test_anything_else_is_no_id(value: str | None) -> None:
    assert valid_id(value) is None
