"""Who calls, told apart without the key: a hash that only this process can make."""

import hashlib
import secrets

from pydantic import SecretStr

_SALT = secrets.token_bytes(16)


def fingerprint(key: SecretStr, size: int = 16) -> str:
    """The same for the same key as long as this process lives, in hexadecimal; `size` is in bytes."""
    return hashlib.blake2b(key.get_secret_value().encode(), key=_SALT, digest_size=size).hexdigest()


CALLER_KEY = "sigmamind_mcp.caller_key"
"""Where http.py leaves the key of a request, in its ASGI scope."""
