"""Show text of others in a terminal or a CI log, where it can neither command nor deceive."""

import re
from collections.abc import Iterator, Sequence

from sigmamind_mcp.insight.case_definitions import DefinitionEdit
from sigmamind_mcp.untrusted_text import clean

LONGEST_SHOWN = 400
_COMMAND = re.compile(r"^(\s*)::|##\[", re.MULTILINE)


def disarm(line: str) -> str:
    """Return a line that no CI system takes for a command.

    GitHub reads `::` at the start of a line, blanks before it included, and `##[` anywhere.
    """
    return _COMMAND.sub(_separate, line)


def _separate(match: re.Match[str]) -> str:
    return "## [" if match.group() == "##[" else f"{match[1]}: :"


def show_text(text: str) -> str:
    """Return text of others on one line, in quotation marks and shortened."""
    return disarm(f'"{shorten_text(text, LONGEST_SHOWN)}"')


def shorten_text(text: str, longest: int) -> str:
    """Return the start of a text on one line, without invisible characters."""
    line = " ".join(clean(text).split())
    if len(line) > longest:
        line = f"{line[:longest]}…"
    return clean(line)


def name_for_file(field: str) -> str:
    """Return the name of the API's field in the file of a suite."""
    return "attempts" if field == "attempt" else field


def list_edit_lines(edits: Sequence[DefinitionEdit]) -> Iterator[str]:
    """Yield the lines that show edits of a test case, before and after."""
    for edit in edits:
        name = name_for_file(edit.field)
        if edit.variable is not None:
            name = f"{name} {show_text(edit.variable)}"
        if not edit.is_visible:
            yield f"{name}: only spaces or invisible characters"
            continue
        yield f"{name}:"
        yield f"  before {_show_words(edit, edit.before)}"
        yield f"  after  {_show_words(edit, edit.after)}"


def _show_words(edit: DefinitionEdit, words: str | None) -> str:
    if words is None:
        return "(not there)"
    around = [part for part in (edit.left, words, edit.right) if part]
    return show_text(" ".join(around))
