"""The form of the API's ids."""

import re

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"


def valid_id(value: str | None) -> str | None:
    """The id, if it is one: what the API sends as an id stands outside the fence."""
    return value if value and re.fullmatch(ID_PATTERN, value) else None
