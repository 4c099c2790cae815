"""Settings are read once from a mapping and frozen; each error names its variable."""

import pytest
from pydantic import ValidationError

from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.settings import HOSTED_API, Settings


def test_defaults_are_the_hosted_api_without_a_key() -> None:
    settings = Settings.from_env({})

    assert settings == Settings(
        base_url=HOSTED_API, api_key=None, agent_id=None, read_only=False, sandbox=False
    )


@pytest.mark.parametrize(
    "value", ["", "  ", "${user_config.api_key}", "${SIGMAMIND_API_KEY}", "null", "undefined"]
)
def test_blank_or_unfilled_value_is_unset(value: str) -> None:
    names = (
        "API_KEY",
        "BASE_URL",
        "AGENT_ID",
        "READ_ONLY",
        "CONFIRM_ATTEMPTS",
        "LOG_LEVEL",
        "SANDBOX",
    )

    assert Settings.from_env({f"SIGMAMIND_{name}": value for name in names}) == Settings()


def test_sandbox_can_be_chosen_by_the_environment() -> None:
    settings = Settings.from_env({"SIGMAMIND_SANDBOX": "true"})

    assert settings.sandbox and settings.key().get_secret_value() == "sandbox-key"


def test_options_win_over_the_environment() -> None:
    environ = {"SIGMAMIND_LOG_LEVEL": "debug", "SIGMAMIND_READ_ONLY": "true"}

    assert Settings.from_env(environ, log_level="error", read_only=None) == Settings(
        log_level="error", read_only=True
    )


@pytest.mark.parametrize(
    "url",
    ["https://api.sigmamind.ai/", "http://localhost:8766", "http://127.0.0.1:1", "http://[::1]:1"],
)
def test_usable_base_url_is_accepted(url: str) -> None:
    assert Settings.from_env({"SIGMAMIND_BASE_URL": url}).base_url == url.rstrip("/")
    assert Settings.from_env(
        {"SIGMAMIND_BASE_URL": f"{url.rstrip('/')}/v1/"}
    ).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://api.sigmamind.ai",
        "http://127.0.0.1.evil.example",
        "http://2130706433",
        "http://0x7f000001",
        "http://[::ffff:7f00:1]:1",
        "https://user:secret@api.sigmamind.ai",
        "https://api.sigmamind.ai?x=1",
        "https://api.sigmamind.ai#x",
        "ftp://api.sigmamind.ai",
        "api.sigmamind.ai",
        "https://",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
def test_base_url_that_would_expose_the_key_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SIGMAMIND_BASE_URL") as refused:
        Settings.from_env({"SIGMAMIND_BASE_URL": url})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READ_ONLY", "maybe"),
        ("CONFIRM_ATTEMPTS", "-1"),
        ("CONFIRM_ATTEMPTS", "few"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_error_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SIGMAMIND_{name} "):
        Settings.from_env({f"SIGMAMIND_{name}": value})


def test_settings_are_frozen_and_hide_the_key() -> None:
    settings = Settings.from_env({"SIGMAMIND_API_KEY": "key_canary"})

    assert "canary" not in repr(settings) + str(settings)
    with pytest.raises(ValidationError):
        settings.read_only = True


HOSTILE_URLS = [
    "http://api.sigmamind.ai", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://localhost@evil.example",
    "http://2130706433", "http://0x7f000001", "http://0177.0.0.1", "http://127.1", "http://0.0.0.0", "http://[::]", "http://[::ffff:7f00:1]:1",
    "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]", "https://user:secret@api.sigmamind.ai", "https://secret@api.sigmamind.ai",
    "https://api.sigmamind.ai?key=secret", "https://api.sigmamind.ai#x", "ftp://api.sigmamind.ai", "file:///etc/passwd", "javascript:alert(1)",
    "//api.sigmamind.ai", "api.sigmamind.ai", "https://", "https://[::1", "https://:443", "https:/api.sigmamind.ai", "http://localhost:1@evil.example",
]  # fmt: skip


def test_no_strange_base_url_is_taken(figures: list[str]) -> None:
    """R5: https alone, http for loopback, and nothing that hides where it goes; the refusal repeats none of it."""
    for url in HOSTILE_URLS:
        with pytest.raises(ConfigurationError, match="SIGMAMIND_BASE_URL") as refused:
            Settings.from_env({"SIGMAMIND_BASE_URL": url})
        assert "secret" not in str(refused.value) and "evil" not in str(refused.value), url
    figures.append(f"R5 {len(HOSTILE_URLS)} of {len(HOSTILE_URLS)} hostile base URLs refused")
