"""Credentials inside an agent's settings, masked at every depth before anybody reads them."""

import re
from typing import Any

MASK = "(masked)"

_SECRET_NAME = re.compile(
    r"secret|token|passw|credential|authorization|api[_-]?key|private[_-]?key|signature|bearer",
    re.IGNORECASE,
)
_COUNT_OF_TOKENS = re.compile(r"^(?:max|min|num|total|used)\w*tokens?$|tokens?_?(?:limit|count|izer)", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\b(?:Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}"
    r"|\b(?:sk|pk|rk|whsec|ghp|gho|xox[abp]|glpat)[_-][A-Za-z0-9_.-]{8,}"
    r"|\bkey_[A-Za-z0-9]+\.[A-Za-z0-9]+"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=[?&])(?:key|token|secret|signature|sig|apikey|api_key|access_token)=[^&\s]+",
)


def mask(data: Any) -> Any:
    """Return decoded JSON with values of secret names, and texts that look like credentials, masked."""
    if isinstance(data, list):
        return [mask(item) for item in data]
    if isinstance(data, dict):
        return {name: MASK if _is_secret(name) and value else mask(value) for name, value in data.items()}
    return _SECRET_VALUE.sub(MASK, data) if isinstance(data, str) else data


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _COUNT_OF_TOKENS.search(name)
