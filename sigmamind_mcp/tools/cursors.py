"""Cursors: the place where an answer's list continues, as one argument."""

import re
from typing import Annotated

from pydantic import Field

from sigmamind_mcp.errors import InvalidArguments

Cursor = Annotated[str, Field(max_length=200, description="From nextCalls.")]

_FORM = re.compile(r"[a-zA-Z]{1,20}:\d{1,18}(?:,[a-zA-Z]{1,20}:\d{1,18}){0,5}", re.ASCII)


def encode_cursor(**position: int) -> str:
    """Return the cursor of a position, for example "page:2,skip:7"."""
    return ",".join(f"{name}:{number}" for name, number in position.items())


def decode_cursor(cursor: str, *names: str) -> dict[str, int]:
    """Return the numbers of a cursor; each of the names is 0 if the cursor is empty.

    Raises:
        InvalidArguments: this is not a cursor with these names.
    """
    if not cursor:
        return dict.fromkeys(names, 0)
    if _FORM.fullmatch(cursor):
        pairs = (pair.split(":") for pair in cursor.split(","))
        position = {name: int(number) for name, number in pairs}
        if set(position) == set(names):
            return position
    raise InvalidArguments(
        "cursor is not one that this tool has returned. Copy it from nextCalls, or leave it out to"
        " begin again."
    )
