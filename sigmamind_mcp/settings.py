"""The operator's settings: read once from the environment and the options, then frozen."""

# What every start of a server needs loads the standard library only; the rest loads on first use.
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

from sigmamind_mcp.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import SecretStr

HOSTED_API = "https://api.sigmamind.ai"

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)


# Patterns are compiled when the first key is checked, not at the start.
# A reference that nobody resolved: $NAME, ${NAME}, {{NAME}}, %NAME%, <your key>, op://vault/item.
_REFERENCE = r"""(?xs)
    (?:\$[{(] | \{\{ | <%) .*
    | [$%@\#!&]? [{(\[<] .* [})\]>] [$%@\#!&]?
    | \$ [a-z_] [\w.:]*
    | ([%!@\#$]|__) [a-z_] [\w.-]* \1
    | < .*
    | [a-z] [\w+.-]* :// .*
    | (?:arn|cmd|env|file|inputs?|keychain|keyring|secrets?|ssm|vars?|vault) : .*
    | (?:env|import\.meta\.env|os\.environ|process\.env|secrets|vars) [.\[(] .*
"""
_NO_VALUE = (
    "none|null|nil|nan|undefined|unset|empty|blank|nothing|n/?a|tbd|todo|fixme|true|false|string"
    "|dummy|example|key|sample|secret|test"
)
_NAME_OF_KEY = (
    r"_*(?:x[_-]?)?(?:sigmamind[_-]?)?api[_-]?(?:key|token)_*|sigmamind[_-]?(?:key|token)"
)
_CROSSES = r"(?:[a-z]{2,9}[._-])*x{3,}(?:[._-]x+)*"
# A copy of a key that a page or a log has masked or shortened.
_MASKED = r"\*{3}|\.{3}|\u2026|\u2022{2}"
_KEY_PLACES = "SIGMAMIND_API_KEY or the header (X-API-Key, or Authorization: Bearer and the key)"
# The words of an example: between other characters, or run together.
_EXAMPLE_WORDS = {"changeme", "insert", "paste", "placeholder", "replace", "your"}
_EXAMPLE = (
    "(?=.*(?:changeme|enter|fill|goes|here|insert|my(?:api|sigmamind)|paste|placeholder|replace"
    "|your))(?:add|actual|api|change|enter|fill|goes|here|in|insert|key|live|me|my|own|paste"
    "|placeholder|put|real|replace|secret|sigmamind|test|the|this|token|value|with|your)+"
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"


def is_placeholder(value: str) -> bool:
    """Return whether this text stands for a key instead of being one."""
    text = value.strip().strip(_QUOTES).lower().removeprefix("bearer ").strip()
    forms = (_REFERENCE, _NO_VALUE, _NAME_OF_KEY, _CROSSES)
    if any(re.fullmatch(form, text) for form in forms) or re.search(_MASKED, text):
        return True
    words = re.split(r"[\W_]+", text)
    letters = re.sub("[^a-z]", "", text)
    return not _EXAMPLE_WORDS.isdisjoint(words) or bool(re.fullmatch(_EXAMPLE, letters))


def check_key(key: str) -> "SecretStr":
    """Return the key without line breaks at its ends, such as a file's last newline.

    Raises:
        ConfigurationError: it is a placeholder or malformed; the text does not contain it.
    """
    trimmed = key.strip("\r\n")
    # A longer text is no placeholder, and would take long to compare.
    if len(trimmed) <= 512 and is_placeholder(trimmed):
        raise ConfigurationError(
            "No SigmaMind API key is set, only a placeholder. Put the key itself, from the"
            f" dashboard (Deploy, API Keys), into {_KEY_PLACES}. If the placeholder names a"
            " variable, the client did not replace it."
        )
    # A client or a file took the quotation marks for part of the value.
    if re.fullmatch(r"(?s)[\"'`\u2018\u201c\u00ab].*|.*[\"'`]", trimmed):
        raise ConfigurationError(
            "The SigmaMind API key is malformed: it has quotation marks around it. Remove them from"
            f" {_KEY_PLACES}."
        )
    # The HTTP library's own error would quote the whole malformed key.
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", trimmed):
        raise ConfigurationError(
            "The SigmaMind API key is malformed. A key has 1 to 512 visible ASCII characters and"
            " no spaces. Copy it again from the dashboard (Deploy, API Keys) into"
            f" {_KEY_PLACES}."
        )
    return _hide(trimmed)


def _hide(key: str) -> "SecretStr":
    from pydantic import SecretStr

    return SecretStr(key)


def check_url(url: str, example: str) -> None:
    """Check that a key may be sent to this URL.

    Raises:
        ValueError: it is malformed, or others could read the key; the text has the `example`.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an open bracket, or a port above 65535
        is_complete = False
    if (
        not is_complete
        or parts.scheme not in ("http", "https")
        or re.search(r"[\s\\\ud800-\udfff]", url)
    ):
        raise ValueError(f"must be an address such as {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must contain only scheme, host, port and path")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(
            "must be https, because every request carries the key (http only for loopback)"
        )


def check_base_url(url: str) -> str:
    """Return the URL without a trailing slash or `/v1`.

    Raises:
        ValueError: the key must not be sent to this URL.
    """
    check_url(url, HOSTED_API)
    return url.rstrip("/").removesuffix("/v1")  # every path starts with /v1


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(NamedTuple):
    """Hold the frozen settings; the repr hides the key."""

    api_key: str | None = None
    base_url: str = HOSTED_API
    agent_id: str | None = None
    read_only: bool = False
    confirm_attempts: int = 50
    viewer: bool = True
    log_level: LogLevel = "info"
    sandbox: bool = False

    def __repr__(self) -> str:
        shown = self._replace(api_key=self.api_key and "**********")
        return f"Settings{tuple(shown)}"

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **options: object) -> Self:
        """Read the SIGMAMIND_ variables; options that are not None replace them.

        Raises:
            ConfigurationError: a value is invalid; the text names its variable.
        """
        values: dict[str, Any] = {}
        for name in cls._fields:
            variable = f"SIGMAMIND_{name.upper()}"
            value = environ.get(variable, "").strip()
            # check_key reports a placeholder at every call; other settings get their default.
            is_key = name == "api_key" and value != ""
            if is_key or _is_set(value):
                values[name] = _parse(variable, value, _PARSERS.get(name, str))
        values.update({name: value for name, value in options.items() if value is not None})
        return cls(**values)

    def key(self) -> "SecretStr":
        """Return the configured key, checked.

        Raises:
            ConfigurationError: no key is set, or it is not usable.
        """
        if self.sandbox:
            return _hide("sandbox-key")  # the embedded sandbox accepts any key
        if self.api_key is None:
            raise ConfigurationError(
                "No SigmaMind API key is set. Put the key from the dashboard (Deploy, API Keys)"
                " into SIGMAMIND_API_KEY and start the server again. To try it without a key,"
                " start it with --sandbox or with SIGMAMIND_SANDBOX set to true."
            )
        return check_key(self.api_key)


def _is_set(value: str) -> bool:
    # A bundle may leave `${…}`, null or undefined for a field that the user did not fill in.
    return value not in ("", "null", "undefined") and not value.startswith("${")


def _parse(variable: str, value: str, parse: Callable[[str], object]) -> object:
    try:
        return parse(value)
    except ValueError as exc:
        raise ConfigurationError(f"{variable} {exc}.") from None


def _parse_agent(value: str) -> str:
    # Python reads bytes of another encoding as surrogates, and no answer can contain those.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be text in UTF-8") from None
    return value


def _parse_truth(value: str) -> bool:
    word = value.lower()
    if word in ("true", "1", "yes", "on", "t", "y"):
        return True
    if word in ("false", "0", "no", "off", "f", "n"):
        return False
    raise ValueError("must be true or false")


def _parse_whole_number(value: str) -> int:
    with suppress(ValueError):
        count = int(value)
        if count >= 0:
            return count
    raise ValueError("must be a whole number, 0 or more")


def _parse_level(value: str) -> str:
    level = value.lower()
    if level in LOG_LEVELS:
        return level
    raise ValueError("should be 'debug', 'info', 'warning' or 'error'")


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "base_url": check_base_url,
    "agent_id": _parse_agent,
    "read_only": _parse_truth,
    "confirm_attempts": _parse_whole_number,
    "viewer": _parse_truth,
    "log_level": _parse_level,
    "sandbox": _parse_truth,
}
