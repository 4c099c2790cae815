"""Writing YAML: everything reads back the same, for our reader and for any other."""

from random import Random

import pytest
import yaml

from sigmamind_mcp.suites.yaml_text import Writable, write_member, write_scalar
from sigmamind_mcp.suites.yaml_tree import parse_yaml

PIECES = (
    *"ab#-'\"\\[{|>&*!%@`~:?,",
    *(" ", "  ", "\n", "\n\n", "\t", "\r", ": ", " #", "- ", "---", "..."),
    *("é", "日本", "😀", "\x07", "\x85", "\u2028", "\ufeff", "\u200b", "\ud800", "\U000e0041"),
    *("no", "y", "0x1", "1", "1_0", "1e3", ".inf", "12:30", "null", "{{x}}", "word word"),
)


def build_text(random: Random) -> str:
    text = "".join(random.choices(PIECES, k=random.randint(0, 25)))
    return text * 3 if random.random() < 0.2 else text


def test_every_text_reads_back_the_same() -> None:
    random = Random(2)
    for _ in range(3_000):
        text = build_text(random)
        case: dict[str, Writable] = {
            "text": text,
            "variables": {text or "x": text},
            "list": [{"x": text}, text],
        }
        written = write_member("cases", {"key": case, "next": "end"}, indent=0)

        assert parse_yaml(written, "f").to_data()["cases"]["key"] == case, ascii(text)
        assert yaml.safe_load(written)["cases"]["key"] == case, ascii(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Broken kettle", "Broken kettle"),
        ("no", '"no"'),
        ("4411", '"4411"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("a\u202eb", '"a\\u202eb"'),
    ],
)
def test_texts_are_quoted_only_where_they_must_be(text: str, written: str) -> None:
    assert write_scalar(text) == written


def test_long_and_many_lines_become_a_block() -> None:
    assert write_member("p", "one\ntwo\n", indent=2) == "  p: |\n    one\n    two\n"
    assert write_member("p", "one\n\ntwo", indent=0) == "p: |-\n  one\n\n  two\n"
    assert write_member("p", "w " * 50 + "w", indent=0).startswith("p: |-\n  w w")
