"""The operator's settings: read once from the environment and the options, then frozen."""

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from sigmamind_mcp.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

HOSTED_API = "https://api.sigmamind.ai"

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)


def check_base_url(url: str) -> str:
    """Return the URL without a trailing slash or `/v1`.

    Raises:
        ValueError: the key must not be sent to this URL.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"must be an https URL such as {HOSTED_API}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must contain only scheme, host, port and path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            "must be https, because every request carries the key (http only for loopback)"
        )
    return url.rstrip("/").removesuffix("/v1")  # every path starts with /v1


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_key(key: str) -> SecretStr:
    """Return the key without line breaks at its ends, such as a file's last newline.

    Raises:
        ConfigurationError: the key is malformed; the text does not contain it.
    """
    trimmed = key.strip("\r\n")
    # The HTTP library's own error would quote the whole malformed key.
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", trimmed):
        raise ConfigurationError(
            "The SigmaMind API key is malformed. A key has 1 to 512 visible ASCII characters and"
            " no spaces. Copy it again from the dashboard (Deploy, API Keys) into"
            " SIGMAMIND_API_KEY or the X-API-Key header."
        )
    return SecretStr(trimmed)


class Settings(BaseModel):
    """Hold the frozen settings; the repr hides the key."""

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
        """Read the SIGMAMIND_ variables; options that are not None replace them.

        Raises:
            ConfigurationError: a value is invalid; the text names its variable.
        """
        values: dict[str, object] = {}
        for name in cls.model_fields:
            value = environ.get(f"SIGMAMIND_{name.upper()}", "").strip()
            if _is_set(value):
                values[name] = value.lower() if name == "log_level" else value
        values.update({name: value for name, value in options.items() if value is not None})
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            error = exc.errors(include_input=False, include_url=False)[0]
            raise ConfigurationError(_describe_error(error)) from None

    def key(self) -> SecretStr:
        """Return the configured key, checked.

        Raises:
            ConfigurationError: no key is set, or it is malformed.
        """
        if self.sandbox:
            return SecretStr("sandbox-key")  # the embedded sandbox accepts any key
        if self.api_key is None:
            raise ConfigurationError(
                "No SigmaMind API key is set. Put the key from the dashboard (Deploy, API Keys)"
                " into SIGMAMIND_API_KEY and start the server again. To try it without a key,"
                " start it with --sandbox or with SIGMAMIND_SANDBOX set to true."
            )
        return check_key(self.api_key.get_secret_value())


def _is_set(value: str) -> bool:
    # A bundle may leave `${…}`, null or undefined for a field that the user did not fill in.
    return value not in ("", "null", "undefined") and not value.startswith("${")


def _describe_error(error: "ErrorDetails") -> str:
    name = str(error["loc"][0])
    if name == "confirm_attempts":
        reason = "must be a whole number, 0 or more"
    elif error["type"].startswith("bool"):
        reason = "must be true or false"
    else:
        reason = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"SIGMAMIND_{name.upper()} {reason}."
