"""Tell callers apart without storing their keys."""

import hashlib
import secrets

from pydantic import SecretStr

CALLER_KEY = "sigmamind_mcp.caller_key"
"""The ASGI scope holds the key of a request under this name."""

_SALT = secrets.token_bytes(16)


def fingerprint(key: SecretStr, size: int = 16) -> str:
    """Return a hash of the key, `size` bytes in hexadecimal; it changes with each process."""
    return hashlib.blake2b(key.get_secret_value().encode(), key=_SALT, digest_size=size).hexdigest()
