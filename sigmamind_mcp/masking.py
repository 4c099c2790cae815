"""Credentials masked before anybody reads them: those inside an agent's settings, and the caller's own key."""

import base64
import json
import re
from typing import Any
from urllib.parse import quote

MASK = "(masked)"
OWN_KEY = "[key]"
SHORTEST_KEY = 8
"""A shorter one is no secret, and may be part of any word."""
RUN = 12

_SECRET_NAME = re.compile(
    r"secret|token|pass(?:w|phrase)|credential|authorization|(?:api|access|private)[_-]?key|signature|bearer|^cookie$",
    re.IGNORECASE,
)
_NAMED_BY = ("name", "key", "header")
"""Where a pair such as that of an HTTP header says what its `value` is."""
_COUNT_OF_TOKENS = re.compile(
    r"^(?:max|min|num|total|used)\w*tokens?$|tokens?_?(?:limit|count|izer)", re.IGNORECASE
)
# Prompts speak of basic information and BASIC SUPPORT, too.
_WORDS = r"(?:[A-Z]++|[A-Za-z][a-z]*+)(?:/[A-Za-z][a-z]*+)*+(?![A-Za-z0-9+/=])"
_SECRET_VALUE = re.compile(
    rf"\bBearer\s+[A-Za-z0-9+/=._~-]{{8,}}|\b(?i:bearer\s+)(?!{_WORDS})[A-Za-z0-9+/=._~-]{{8,}}"
    rf"|\b(?i:basic\s+)(?!{_WORDS})[A-Za-z0-9+/]{{8,}}={{0,2}}"
    r"|\b(?:sk|pk|rk|whsec|ghp|gho|xox[abp]|glpat)[_-][A-Za-z0-9_.-]{8,}"
    r"|\bkey_[A-Za-z0-9]+\.[A-Za-z0-9]+"
    r"|(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # one look at each run of such characters
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!-{4}))*+(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=[?&])(?i:key|token|secret|password|(?:x-amz-)?signature|sig|api[_-]?key|access_token)=[^&\s]+",
)


def mask(data: Any) -> Any:
    """Return decoded JSON with values of secret names, and texts that look like credentials, masked."""
    if isinstance(data, list):
        return [mask(item) for item in data]
    if isinstance(data, dict):
        pair = any(isinstance(name := data.get(by), str) and _is_secret(name) for by in _NAMED_BY)
        return {
            name: MASK
            if value and (_is_secret(name) or (pair and name == "value"))
            else mask(value)
            for name, value in data.items()
        }
    return _SECRET_VALUE.sub(MASK, data) if isinstance(data, str) else data


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _COUNT_OF_TOKENS.search(name)


class OwnKey:
    """Hides the caller's own key where the API says it, in each form that programs write it in.

    A text may have been cut in the middle of the key, so that any RUN characters of it in a row are hidden.
    """

    def __init__(self, key: str) -> None:
        forms = _spellings(key) if len(key) >= SHORTEST_KEY else set()
        self._size = min(RUN, len(key))
        half = self._size // 2
        self._runs = {
            form[at : at + self._size] for form in forms for at in range(len(form) - self._size + 1)
        }
        # Each run has one of these in it, and a text without any, as nearly all are, is searched in no time.
        self._seeds = {
            form[at : at + half] for form in forms for at in range(0, len(form) - half + 1, half)
        }

    def hide(self, data: Any) -> Any:
        """Return decoded JSON with the key replaced in every text, the keys of objects too."""
        if isinstance(data, str):
            return self._hide(data)
        if isinstance(data, list):
            return [self.hide(item) for item in data]
        if isinstance(data, dict):
            return {self.hide(name): self.hide(value) for name, value in data.items()}
        return data

    def _hide(self, text: str) -> str:
        if len(text) < self._size or not any(seed in text for seed in self._seeds):
            return text
        hidden, end = "", 0
        for at in range(len(text) - self._size + 1):
            if text[at : at + self._size] in self._runs:
                if at > end or not hidden:
                    hidden += text[end:at] + OWN_KEY
                end = at + self._size
        return hidden + text[end:]


def _spellings(key: str) -> set[str]:
    """The key as it is, URL-encoded, in JSON, as Python shows it, and in base64 wherever in it the key begins."""
    spellings = {key, quote(key, safe=""), json.dumps(key)[1:-1], repr(key)[1:-1]}
    for before in range(3):
        encoded = base64.b64encode(b" " * before + key.encode()).decode()
        own = encoded[
            -(-before * 8 // 6) : (before + len(key)) * 8 // 6
        ]  # without what its neighbours decide
        spellings |= {own, own.replace("+", "-").replace("/", "_")}
    return spellings
