"""Mask credentials: those in an agent's settings, and the caller's own key."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

MASK = "(masked)"
OWN_KEY = "[key]"
SHORTEST_KEY = 8
"""A shorter key is not masked, since it can be part of any word."""
PIECE_CHARACTERS = 16_384
"""A pattern holds the interpreter until its search ends, so a long text is searched in pieces."""
RUN = 12
"""A part of the key with this many characters is masked too: a text may be cut inside it."""

_SECRET_NAME = re.compile(
    r"secret|token|pass(?:w|phrase|code)|pwd$|credential|authorization"
    r"|(?:api|access|private)[_-]?key|signature|bearer|^(?:set[_-])?cookie$"
    r"|(?:app(?:lication)?|auth|client|consumer|(?:de|en)cryption|functions?|hmac|master"
    r"|sign(?:ing)?|subscription|webhook)[_-]?key$",
    re.IGNORECASE,
)
# As the last word of a name. Others end alike: a boarding pass, OAuth.
_SECRET_TEXT_NAME = re.compile(
    r"(?:^|[_-]|(?-i:(?<=[a-z])(?=A)))auth$"
    r"|(?:^|(?:admin|app|auth|db|ftp|login|mail|proxy|smtp|sql|ssh|user)[_-]?)pass$"
    r"|^jwt$|(?:account|service|storage)[_-]?key$",
    re.IGNORECASE,
)
"""Names of secrets if they hold a text; a count, a flag or an object with this name is none."""
_AUTH_METHOD = re.compile(
    r"api[ _-]?key|basic|bearer|digest|hmac|jwt|no|none|oauth ?[12]?(?:\.0)?|optional|required"
    r"|true|false|yes",
    re.IGNORECASE,
)
_PAIR_NAMES = ("name", "key", "header")
"""A pair, such as an HTTP header, names its `value` under one of these."""
_COUNT_OF_TOKENS = re.compile(
    r"^(?:max|min|num|total|used)\w*tokens?$|tokens?_?(?:limit|count|izer)", re.IGNORECASE
)
# Words, not a credential: prompts also say "basic information" or "BASIC SUPPORT".
_WORDS = r"(?:[A-Z]++|[A-Za-z][a-z]*+)(?:/[A-Za-z][a-z]*+)*+(?![A-Za-z0-9+/=])"
_SECRET_VALUE = re.compile(
    rf"\bBearer\s+[A-Za-z0-9+/=._~-]{{8,}}|\b(?i:bearer\s+)(?!{_WORDS})[A-Za-z0-9+/=._~-]{{8,}}"
    rf"|\b(?i:basic\s+)(?!{_WORDS})[A-Za-z0-9+/]{{8,}}={{0,2}}"
    r"|\b(?:sk|pk|rk|whsec|gh[oprsu]|xapp|xox[abeprs]|glpat)[_-][A-Za-z0-9_.-]{8,}"
    r"|\b(?:github_pat|hf|npm|shpat)_[A-Za-z0-9_]{20,}|\bGOCSPX-[\w-]{20,}"
    r"|\bAIza[\w-]{35}(?![\w-])|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\bkey_[A-Za-z0-9]+\.[A-Za-z0-9]+"
    # The lookbehind keeps this one linear.
    r"|(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\bA[KS]IA[0-9A-Z]{16}\b"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    # Whoever knows these URLs can post. Their ids are the secret.
    r"|(?<=//hooks\.slack\.com/services/)[^\s?#]+|(?<=/api/webhooks/)[0-9]+/[\w-]+"
    r"|(?<=\.webhook\.office\.com/)[^\s?#]+|(?<=//api\.telegram\.org/bot)[0-9]+:[\w-]+"
    r"|(?<=;)\s?(?i:(?:account|shared ?access)key|password|pwd)=[^;\s]+"
    r"|(?<=[?&])(?i:key|token|secret|pass(?:wor|w)?d?|pwd|auth|jwt|sig|(?:x-amz-)?signature"
    r"|(?:api|app|client|functions?|subscription)[_-]?key|client[_-]secret"
    r"|(?:access|auth|id|refresh|x-amz-security)[_-]?token)=[^&\s]+"
    # A shorter one can be that of a country or a discount.
    r"|(?<=[?&])(?i:code)=[^&\s]{16,}",
)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*+(?:-(?!-{4})[^-]*+)*+"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
# No other secret has a blank, except one after these words.
_BLANK = re.compile(r"(?<=\S)\s")
_BEFORE_A_SECRET = ("bearer", "basic")
_RARE_IN_A_SECRET = re.compile(r"[^A-Za-z0-9+/=._~:@&?%-]")


def mask(data: Any) -> Any:
    """Return decoded JSON with secrets masked, found by their names or by their form."""
    if isinstance(data, str):
        without_blocks = _PRIVATE_KEY.sub(MASK, data)
        return "".join(_SECRET_VALUE.sub(MASK, piece) for piece in cut_text(without_blocks))
    if isinstance(data, list):
        return [mask(item) for item in data]
    if isinstance(data, dict):
        is_pair = _is_secret_pair(data)
        return {name: _mask_member(name, value, is_pair=is_pair) for name, value in data.items()}
    return data


def cut_text(text: str) -> Iterator[str]:
    """Yield a text in pieces that are cut between secrets; one over 16,000 letters may be cut."""
    start = 0
    while len(text) - start > 2 * PIECE_CHARACTERS:
        end = _find_cut(text, start + PIECE_CHARACTERS)
        yield text[start:end]
        start = end
    yield text[start:]


def _find_cut(text: str, start: int) -> int:
    """Return where a secret hardly goes on, at most PIECE_CHARACTERS after `start`."""
    end = start + PIECE_CHARACTERS
    for blank in _BLANK.finditer(text, start, end):
        word = text[max(0, blank.start() - 6) : blank.start()]
        if not word.lower().endswith(_BEFORE_A_SECRET):
            return blank.start()
    other = _RARE_IN_A_SECRET.search(text, start, end)
    return other.start() if other else end


def _mask_member(name: str, value: Any, *, is_pair: bool) -> Any:
    is_secret = _is_secret(name, value) or (is_pair and name == "value")
    return MASK if value and is_secret else mask(value)


def _is_secret_pair(data: dict[str, Any]) -> bool:
    names = [data.get(key) for key in _PAIR_NAMES]
    value = data.get("value")
    return any(isinstance(name, str) and _is_secret(name, value) for name in names)


def _is_secret(name: str, value: Any) -> bool:
    if _SECRET_NAME.search(name):
        return not _COUNT_OF_TOKENS.search(name)
    if not isinstance(value, str) or _AUTH_METHOD.fullmatch(value):
        return False
    return bool(_SECRET_TEXT_NAME.search(name))


class OwnKey:
    """Masks the caller's own key in each form that programs write it.

    Any RUN characters of it in a row are masked, since a text may be cut inside the key.
    """

    def __init__(self, key: str) -> None:
        forms = _list_forms(key) if len(key) >= SHORTEST_KEY else set()
        self._size = min(RUN, len(key))
        self._runs: set[str] = set()
        self._seeds: set[str] = set()
        for form in forms:
            self._runs.update(_cut_pieces(form, self._size, step=1))
            # Each run contains a seed. Few texts do, so most need no further search.
            half = self._size // 2
            self._seeds.update(_cut_pieces(form, half, step=half))

    def mask(self, data: Any) -> Any:
        """Return decoded JSON with the key replaced in every text and every name."""
        if isinstance(data, str):
            return self._mask_in_text(data)
        if isinstance(data, list):
            return [self.mask(item) for item in data]
        if isinstance(data, dict):
            return {self.mask(name): self.mask(value) for name, value in data.items()}
        return data

    def _mask_in_text(self, text: str) -> str:
        if len(text) < self._size or not any(seed in text for seed in self._seeds):
            return text
        masked, end = "", 0
        for start in range(len(text) - self._size + 1):
            if text[start : start + self._size] in self._runs:
                if start > end or not masked:
                    masked += text[end:start] + OWN_KEY
                end = start + self._size
        return masked + text[end:]


def _cut_pieces(text: str, size: int, *, step: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text) - size + 1, step)]


def _list_forms(key: str) -> set[str]:
    """Return the key as it is, and as URLs, JSON, Python and base64 write it."""
    forms = {key, quote(key, safe=""), json.dumps(key)[1:-1], repr(key)[1:-1]}
    # In base64 the characters depend on where in a group of three bytes the key begins.
    for offset in range(3):
        encoded = base64.b64encode(b" " * offset + key.encode()).decode()
        # Without the characters that also hold bits of the neighbours.
        start, end = -(-offset * 8 // 6), (offset + len(key)) * 8 // 6
        form = encoded[start:end]
        forms |= {form, form.replace("+", "-").replace("/", "_")}
    return forms
