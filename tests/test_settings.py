"""Settings are read once from a mapping and frozen; each error names its variable."""

import string
from random import Random
from time import monotonic

import pytest

from sigmamind_mcp.errors import ConfigurationError
from sigmamind_mcp.settings import HOSTED_API, Settings, check_key, is_placeholder


def test_defaults_are_the_hosted_api_without_a_key() -> None:
    settings = Settings.from_env({})

    assert settings == Settings(
        base_url=HOSTED_API, api_key=None, agent_id=None, read_only=False, sandbox=False
    )


@pytest.mark.parametrize("value", ["", "  "])
def test_blank_key_is_unset(value: str) -> None:
    assert Settings.from_env({"SIGMAMIND_API_KEY": value}) == Settings()


@pytest.mark.parametrize(
    "value", ["", "  ", "${user_config.api_key}", "${SIGMAMIND_API_KEY}", "null", "undefined"]
)
def test_blank_or_unfilled_value_is_unset(value: str) -> None:
    names = (
        "BASE_URL",
        "AGENT_ID",
        "READ_ONLY",
        "CONFIRM_ATTEMPTS",
        "LOG_LEVEL",
        "SANDBOX",
        "VIEWER",
    )

    assert Settings.from_env({f"SIGMAMIND_{name}": value for name in names}) == Settings()


PLACEHOLDERS = [
    "$SIGMAMIND_API_KEY", "${SIGMAMIND_API_KEY}", "${env:SIGMAMIND_API_KEY}", "${input:key}", "${user_config.api_key}", "${KEY",
    "$env:SIGMAMIND_API_KEY", "$(cat key)", "$((KEY))", "%SIGMAMIND_API_KEY%", "!KEY!", "@KEY@", "__KEY__", "#{KEY}#", "@{key}",
    "{{SIGMAMIND_API_KEY}}", "{{ secrets.KEY }}", "${{ secrets.KEY }}", "{KEY}", "<your-key>", "<key>", "<API KEY>", "[your key]",
    "[object Object]", "<%= key %>", "process.env.SIGMAMIND_API_KEY", "os.environ['KEY']", "ENV[KEY]", "env.KEY", "env:KEY", "secrets.KEY",
    "op://vault/item/field", "vault://x", "aws-sm://x", "https://app.example/keys", "keyring:x", "file:/run/secrets/key",
    "your-key", "your_key", "yourkey", "YOUR_KEY", "yourApiKey", "your_api_key", "your-api-key-here", "YOUR_SIGMAMIND_API_KEY",
    "your-sigmamind-workspace-key", "sk-your-key-1234", "paste-your-key-here", "INSERT_KEY_HERE", "enter-key", "replace-me",
    "REPLACE_WITH_KEY", "changeme", "change-me", "my-api-key", "my_sigmamind_key", "key-goes-here", "fill-me-in", "placeholder",
    "API_KEY", "apikey", "SIGMAMIND_API_KEY", "X-API-Key", "api-token", "xxx", "XXXXXXXX", "xxxx-xxxx-xxxx", "sk-xxxxxxxx", "key_XXXX",
    "***", "********", "sk-...", "key_abc...", "abc\u2026", "key_ab****yz", "\u2022\u2022\u2022\u2022", "None", "none", "null", "NULL", "nil",
    "undefined", "NaN", "n/a", "TODO", "tbd", "true", "false", "unset", "empty", '"your-key"', "'your-key'", "`your-key`",
    "\u201cyour-key\u201d", '"${KEY}"', "Bearer your-key", "Bearer ${KEY}",
    "example", "EXAMPLE", "test", "key", "Key", "secret", "dummy", "sample", "<KEY", "<your key", "#KEY#", "$KEY$", "#your-key#", "'test'",
]  # fmt: skip
REAL_KEYS = [
    "key1", "one", "a", "first", "sandbox-key", "canary-key", "another-1", "invented-1", "key-1-end", "key_canary.4f1d2c", "test-key", "tests", "secret1", "keys",
    "example1", "#4f1d2c", "4f<1d>2c", "key$", "my$key$x",
    'key_Zq7/w+"x\\Y%41.Vn5kTb0RmLc3hQe9', "sk_live_51Hx9abc", "$2b$10$N9qo8uLOickgx2ZMRZoMye", "eyJhbGciOi.J9.abc_-", "abc=", "+/+/", "a" * 512,
    "%41abc", "key$abc", "api-key-1", "arnold-key", "enterprise-key-77", "k_heretic2", "7-Xd3V_xXX_jAsVp", "variable", "key(1)",
]  # fmt: skip


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_placeholder_is_reported_without_its_text(value: str) -> None:
    settings = Settings.from_env({"SIGMAMIND_API_KEY": value})

    for check in (settings.key, lambda: check_key(value)):
        with pytest.raises(ConfigurationError, match=r"only a placeholder\. .*SIGMAMIND_API_KEY"):
            check()
    assert settings._replace(sandbox=True).key()


@pytest.mark.parametrize("value", REAL_KEYS)
def test_key_that_only_resembles_a_placeholder_is_used(value: str) -> None:
    assert Settings.from_env({"SIGMAMIND_API_KEY": value}).key().get_secret_value() == value


def test_random_keys_are_no_placeholders() -> None:
    random = Random(13)
    alphabet = string.ascii_letters + string.digits + "-_"

    for length in (16, 32, 64) * 2_000:
        key = "".join(random.choices(alphabet, k=length))
        assert not is_placeholder(key), key


@pytest.mark.parametrize(
    "value", ['"4f1d2c"', "'4f1d2c'", "`4f1d2c`", '"4f1d2c', "\u201c4f1d2c\u201d"]
)
def test_quotation_marks_around_a_key_are_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match="quotation marks around it") as refused:
        Settings.from_env({"SIGMAMIND_API_KEY": value}).key()

    assert "4f1d2c" not in str(refused.value)


@pytest.mark.parametrize("piece", ["in", "my", "x", "x-", "test", "[_-]", "${", "%a", "a b"])
def test_long_text_is_checked_quickly(piece: str) -> None:
    start = monotonic()
    is_placeholder(f"{piece * 512}!"[:512])

    assert monotonic() - start < 0.1


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
        "https://a\udcff.example",
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
        ("VIEWER", "off?"),
        ("AGENT_ID", "agent_\udcff"),
    ],
)
def test_error_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SIGMAMIND_{name} "):
        Settings.from_env({f"SIGMAMIND_{name}": value})


def test_settings_are_frozen_and_hide_the_key() -> None:
    settings = Settings.from_env({"SIGMAMIND_API_KEY": "key_canary"})

    assert "canary" not in repr(settings) + str(settings)
    with pytest.raises(AttributeError):
        settings.read_only = True  # type: ignore[misc]


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
