"""What can be known to be wrong before anything starts, said in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg
import redis
from cryptography.fernet import Fernet

from churnguard.errors import ConfigError

TIMEOUT_S = 5
_SCHEMES = ("postgres", "postgresql", "psql", "pgsql")


def check_keys(text: str) -> None:
    """Raises ConfigError unless `text` is a key ring of INTEGRATION_ENCRYPTION_KEY."""
    try:
        for key in text.split(","):
            Fernet(key.strip())
    except ValueError as exc:
        raise ConfigError(
            "INTEGRATION_ENCRYPTION_KEY must be one or more comma-separated Fernet "
            "keys (32 bytes, URL-safe base64). Make one with: python3 -c 'import os, "
            "base64; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        ) from exc


def check_postgres(url: str) -> None:
    """Raises ConfigError where no PostgreSQL lets us in at `url`."""
    is_ours = urlsplit(url).scheme in _SCHEMES
    parts = environ.Env.db_url_config(url) if is_ours else {}
    if not parts.get("NAME"):
        raise ConfigError(
            "DATABASE_URL must look like postgresql://user:password@host:5432/name."
        )
    known: dict[str, Any] = {
        "host": parts.get("HOST") or None,
        "port": parts.get("PORT") or None,
        "user": parts.get("USER") or None,
        "password": parts.get("PASSWORD") or None,
        "dbname": parts["NAME"],
    }
    known |= {"connect_timeout": TIMEOUT_S, **parts.get("OPTIONS", {})}
    try:
        psycopg.connect(**known).close()
    except psycopg.Error as exc:
        raise ConfigError(
            f"PostgreSQL at DATABASE_URL cannot be used: {_first_line(exc)}. Correct "
            "the address, or unset DATABASE_URL to use the embedded server."
        ) from exc


def check_redis(url: str) -> None:
    """Raises ConfigError where no Redis or Valkey answers at `url`."""
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S
        ) as client:
            client.ping()
    except ValueError as exc:
        raise ConfigError(
            "REDIS_URL must look like redis://host:6379/0, rediss://… or unix://…."
        ) from exc
    except redis.RedisError as exc:
        raise ConfigError(
            f"Redis at REDIS_URL cannot be used: {_first_line(exc)}. Correct the "
            "address, or unset REDIS_URL to use the embedded server."
        ) from exc


def check_servers(values: Mapping[str, str]) -> None:
    """All of the above for the variables that are set. Raises ConfigError."""
    for name, check in _CHECKS.items():
        if text := _value_of(values, name):
            check(text)


_CHECKS = {
    "INTEGRATION_ENCRYPTION_KEY": check_keys,
    "DATABASE_URL": check_postgres,
    "REDIS_URL": check_redis,
}


def _value_of(values: Mapping[str, str], name: str) -> str:
    """The variable, or what the file of its `_FILE` form holds."""
    if values.get(name):
        return values[name]
    path = values.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text().strip()
    except OSError as exc:
        raise ConfigError(
            f"{name}_FILE names {path}, which cannot be read: {exc.strerror}."
        ) from exc


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
