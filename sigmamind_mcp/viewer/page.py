"""The page that shows a batch run: in the chat of a client, or filled with a report."""

import json
from importlib.resources import files
from typing import Any

_EMPTY_DATA = '<script type="application/json" id="data"></script>'


def read_page() -> str:
    """Return the page without data, as a client with MCP Apps shows it."""
    return files("sigmamind_mcp").joinpath("viewer", "page.html").read_text(encoding="utf-8")


def embed_report(data: dict[str, Any]) -> str:
    """Return the page with a report's data, as one file that works offline."""
    # ASCII survives every shell and mail gateway. Without `<` nothing in it can end the element.
    encoded = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    head, tail = read_page().split(_EMPTY_DATA)
    return f"{head}{_EMPTY_DATA.replace('></', f'>{encoded}</')}{tail}"
