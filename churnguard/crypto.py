"""Secrets at rest: encrypted JSON under a key ring, and how to mask what is shown.

INTEGRATION_ENCRYPTION_KEY holds one or more Fernet keys (URL-safe base64, 32 bytes),
comma-separated: the first encrypts, all decrypt. To rotate, put a new key first and
run `manage.py rotate_encryption`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from churnguard.errors import ConfigError

MASK = "••••••"
_SECRET_NAME = re.compile(
    r"(secret|password|passwd|token|api_?key|private_?key|authorization|credential"
    r"|cookie|dsn)",
    re.IGNORECASE,
)


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys])
    except ValueError as exc:
        raise ConfigError(
            "INTEGRATION_ENCRYPTION_KEY must be one or more comma-separated Fernet "
            "keys (32 bytes, URL-safe base64)."
        ) from exc


def _current() -> MultiFernet:
    return _ring(tuple(settings.INTEGRATION_ENCRYPTION_KEY))


def encrypt(value: Any) -> str:
    """JSON-encode and encrypt `value` with the first key."""
    return _current().encrypt(json.dumps(value).encode()).decode()


def decrypt(blob: str) -> Any:
    """The value given to `encrypt`. Raises ConfigError when no key of the ring fits."""
    try:
        return json.loads(_current().decrypt(blob.encode()))
    except InvalidToken as exc:
        raise ConfigError(
            "A stored secret cannot be decrypted with INTEGRATION_ENCRYPTION_KEY. "
            "Put the key it was encrypted with back into the key ring.",
            code="encryption_key_missing",
        ) from exc


def rotate(blob: str) -> str:
    """The same secret, encrypted anew with the first key."""
    try:
        return _current().rotate(blob.encode()).decode()
    except InvalidToken as exc:
        raise ConfigError(
            "A stored secret cannot be decrypted with INTEGRATION_ENCRYPTION_KEY.",
            code="encryption_key_missing",
        ) from exc


def is_secret_name(name: str) -> bool:
    """Whether a field or header of this name must never be shown."""
    return bool(_SECRET_NAME.search(name))


def mask(value: Any) -> Any:
    """A copy of JSON data with every secret-looking value masked."""
    if isinstance(value, dict):
        return {
            key: MASK if is_secret_name(str(key)) and item else mask(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask(item) for item in value]
    return value


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of `secrets` (4 characters or longer) replaced by a mask."""
    for secret in sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
