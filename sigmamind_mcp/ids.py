"""The format of the API's ids, and short numbers that stand for them."""

import re
from zlib import crc32

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"


def valid_id(value: str | None) -> str | None:
    """Return the id if its format is valid, otherwise None."""
    # Ids from the API are shown outside the fence, so their format must be checked.
    return value if value and re.fullmatch(ID_PATTERN, value) else None


def same_id(left: str, right: str) -> bool:
    """Return whether two ids name the same object; the API may omit the prefix `agent_`."""
    return strip_agent_prefix(left) == strip_agent_prefix(right)


def strip_agent_prefix(agent_id: str) -> str:
    """Return the agent's id without `agent_`: the API takes both forms."""
    return agent_id.removeprefix("agent_")


def mark_text(text: str) -> int:
    """Return a number from 1 to 99,999 that stands for a text in a cursor.

    It is short, since a model that copies a longer one gets a digit wrong now and then.
    """
    return 1 + crc32(text.encode()) % 99_999
