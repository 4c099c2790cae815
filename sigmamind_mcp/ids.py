"""The format of the API's ids."""

import re

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
