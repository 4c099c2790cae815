"""The viewer's page: a report fills it, and nothing in the data can leave its place."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from sigmamind_mcp.viewer.page import embed_report, read_page

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "-->",
    "]]>",
    "</SCRIPT\n>",
    "\u2028\u2029",
    "\\u003c/script>",
    '"}',
    "\ud83d",
    "🙂" * 256,
    "\u202eevil\u202c",
    "\0\x1b[2J",
    "&lt;/script&gt;",
]


class PageParser(HTMLParser):
    """Collects the elements of a page, and the text of its data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, str | None]] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs).get("id")))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == ("script", "data"):
            self.data += data


def parse(page: str) -> PageParser:
    parser = PageParser()
    parser.feed(page)
    parser.close()
    return parser


def test_page_has_one_empty_place_for_data() -> None:
    parser = parse(read_page())

    assert parser.tags.count(("script", "data")) == 1
    assert parser.data.strip() == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_data_of_any_content_stays_data(text: str) -> None:
    data: dict[str, Any] = {"label": text, text: [text, 1, None, True]}

    parser = parse(embed_report(data))

    assert json.loads(parser.data) == data
    assert parser.tags == parse(read_page()).tags
    assert parser.data.isascii()
