"""What the person who starts the server decides, read once and frozen."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sigmamind_mcp.errors import ConfigurationError

HOSTED_API = "https://api.sigmamind.ai"

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)


def check_base_url(url: str) -> str:
    """Return `url` without a trailing slash, or raise ValueError for one that the key may not be sent to."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"must be an https URL such as {HOSTED_API}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be only scheme, host, port and path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            "must be https, because the key travels with every request (http only for loopback)"
        )
    return url.rstrip("/").removesuffix("/v1")  # each path brings its own


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_key(key: str) -> SecretStr:
    """Return the key, trimmed of the newline that a file leaves, or raise ConfigurationError.

    A key with a space, a control character or a letter outside ASCII would be quoted whole by the HTTP
    library's own error, so it is refused here, without being repeated.
    """
    trimmed = key.strip("\r\n")
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", trimmed):
        raise ConfigurationError(
            "The SigmaMind API key is malformed: 1 to 512 visible ASCII characters, no spaces. Copy it again"
            " from the dashboard (Deploy, API Keys) into SIGMAMIND_API_KEY or the X-API-Key header."
        )
    return SecretStr(trimmed)


class Settings(BaseModel):
    """Frozen settings; the raw key is hidden in the repr and checked where it is used."""

    model_config = ConfigDict(frozen=True)

    api_key: SecretStr | None = None
    base_url: Annotated[str, AfterValidator(check_base_url)] = HOSTED_API
    agent_id: str | None = None
    read_only: bool = False
    confirm_attempts: Annotated[int, Field(ge=0)] = 50
    log_level: LogLevel = "info"
    sandbox: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **options: object) -> Self:
        """Read the SIGMAMIND_ variables; `options` that are not None win over them.

        An empty value counts as unset, and so does what a bundle's unfilled field leaves: `${…}`, null, undefined.

        Raises:
            ConfigurationError: a value is not usable; the text names the variable.
        """
        found: dict[str, object] = {}
        for name in cls.model_fields:
            value = environ.get(f"SIGMAMIND_{name.upper()}", "").strip()
            if value not in ("", "null", "undefined") and not value.startswith("${"):
                found[name] = value.lower() if name == "log_level" else value
        found.update({name: value for name, value in options.items() if value is not None})
        try:
            return cls.model_validate(found)
        except ValidationError as exc:
            problem = exc.errors(include_input=False, include_url=False)[0]
            variable = f"SIGMAMIND_{str(problem['loc'][0]).upper()}"
            reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
            reason = "must be true or false" if problem["type"].startswith("bool") else reason
            reason = (
                "must be a whole number, 0 or more"
                if problem["loc"][0] == "confirm_attempts"
                else reason
            )
            raise ConfigurationError(f"{variable} {reason}.") from None

    def key(self) -> SecretStr:
        """The configured key, checked; the embedded sandbox is never shown it and takes any other.

        Raises:
            ConfigurationError: no key is set, or it is malformed.
        """
        if self.sandbox:
            return SecretStr("sandbox-key")
        if self.api_key is None:
            raise ConfigurationError(
                "No SigmaMind API key is set. Put the key from the dashboard (Deploy, API Keys) into"
                " SIGMAMIND_API_KEY and start the server again. To try it without one, start it with --sandbox or with"
                " SIGMAMIND_SANDBOX set to true."
            )
        return check_key(self.api_key.get_secret_value())
