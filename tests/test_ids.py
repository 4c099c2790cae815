"""Which ids may be sent and shown."""

import pytest

from sigmamind_mcp.ids import same_id, valid_id


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


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("batch_1", "batch_1", True),
        ("agent_D5D0", "D5D0", True),
        ("D5D0", "agent_D5D0", True),
        ("batch_1", "batch_2", False),
        ("agent_D5D0", "agent_D5D1", False),
        ("D5D0", "d5d0", False),
        ("agent_", "", True),
        ("batch_1", "1", False),
    ],
)
def test_prefix_of_an_agent_id_makes_no_difference(left: str, right: str, same: bool) -> None:
    assert same_id(left, right) is same
