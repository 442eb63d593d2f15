"""Live and ready: what this process can say about itself and what it leans on.

Live means that the process answers; it names no dependency, because restarting a web
process repairs no database. Ready means that a request can be served in full. Each
check opens its own short connection with a time limit, so a hanging server shows as a
failure instead of hanging the probe. Answers are kept for a second, so that probing
costs little however often it is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import psycopg
import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from redis.exceptions import RedisError

from integrations.ingest.committer import writer_state

log = logging.getLogger(__name__)

HEARTBEAT_MOST_S = 30
CHECK_TIMEOUT_S = 2
KEEP_S = 1.0


@dataclass(slots=True, frozen=True)
class Check:
    """One answer. `status` is ok, degraded (works, less well) or failed."""

    name: str
    status: str
    reason: str = ""


@dataclass(slots=True, frozen=True)
class Health:
    """All checks; ready unless one failed."""

    checks: tuple[Check, ...]

    @property
    def is_ready(self) -> bool:
        return all(check.status != "failed" for check in self.checks)

    @property
    def status(self) -> str:
        statuses = {check.status for check in self.checks}
        return next((s for s in ("failed", "degraded") if s in statuses), "ok")

    def as_json(self) -> dict[str, object]:
        """{"status", "ready", "checks": {name: status}, "reasons": [sentence]}."""
        return {
            "status": self.status,
            "ready": self.is_ready,
            "checks": {check.name: check.status for check in self.checks},
            "reasons": [check.reason for check in self.checks if check.reason],
        }


_kept: tuple[float, Health] | None = None
_lock = threading.Lock()


def check_ready() -> Health:
    """The readiness of this process, at most KEEP_S old."""
    global _kept
    with _lock:
        if _kept is None or time.monotonic() - _kept[0] > KEEP_S:
            _kept = (time.monotonic(), Health(tuple(_run_all())))
        return _kept[1]


def forget() -> None:
    """Drop the kept answer; the next call looks again."""
    global _kept
    _kept = None


def _run_all() -> list[Check]:
    checks = _database_checks()
    checks.append(_redis_check("bus", settings.REDIS_URL, "failed"))
    checks.append(_redis_check("cache", settings.CACHE_URL, "degraded"))
    checks.append(_ingest_check())
    for check in checks:
        if check.status != "ok":
            log.warning(
                "health.check_not_ok",
                extra={"check": check.name, "status": check.status},
            )
    return checks


def _database_checks() -> list[Check]:
    steps: dict[str, Callable[[psycopg.Connection], Check]] = {
        "migrations": _migration_check,
        "worker": _worker_check,
    }
    try:
        with _connect() as conn:
            conn.execute("SELECT 1")
            return [
                Check("database", "ok"),
                *(step(conn) for step in steps.values()),
            ]
    except psycopg.Error as exc:
        return [
            Check("database", "failed", _sentence("The database", exc)),
            *(Check(name, "failed") for name in steps),
        ]


def _connect() -> psycopg.Connection:
    given = connections["default"].get_connection_params()
    params = {
        name: value
        for name, value in given.items()
        if name not in ("cursor_factory", "context", "prepare_threshold")
    }
    params["connect_timeout"] = CHECK_TIMEOUT_S
    limit = f"-c statement_timeout={CHECK_TIMEOUT_S * 1000}"
    params["options"] = f"{params.get('options') or ''} {limit}".strip()
    return psycopg.connect(
        **params, autocommit=True, application_name="churnguard-health"
    )


def _migration_check(conn: psycopg.Connection) -> Check:
    exists = conn.execute("SELECT to_regclass('django_migrations')").fetchone()
    if exists is None or exists[0] is None:
        return Check("migrations", "failed", "The database has no tables yet.")
    rows = conn.execute("SELECT app, name FROM django_migrations").fetchall()
    missing = len(_known_migrations() - {(app, name) for app, name in rows})
    if not missing:
        return Check("migrations", "ok")
    return Check(
        "migrations",
        "failed",
        f"{missing} migration(s) are not applied. Run `manage.py migrate`.",
    )


@lru_cache(maxsize=1)
def _known_migrations() -> frozenset[tuple[str, str]]:
    """What this code expects; the files do not change under a running process."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return frozenset(loader.disk_migrations)


def _worker_check(conn: psycopg.Connection) -> Check:
    if conn.execute("SELECT to_regclass('cg_heartbeat')").fetchone() == (None,):
        return Check("worker", "failed", "No worker has ever run.")
    row = conn.execute(
        "SELECT extract(epoch FROM now() - max(at)) FROM cg_heartbeat "
        "WHERE role = 'worker'"
    ).fetchone()
    age_s = row[0] if row else None
    if age_s is None:
        return Check("worker", "failed", "No worker has ever run.")
    if age_s > HEARTBEAT_MOST_S:
        return Check(
            "worker", "failed", f"The last sign of a worker is {age_s:.0f} s old."
        )
    return Check("worker", "ok")


def _redis_check(name: str, url: str, otherwise: str) -> Check:
    client = redis.Redis.from_url(
        url,
        socket_timeout=CHECK_TIMEOUT_S,
        socket_connect_timeout=CHECK_TIMEOUT_S,
        max_connections=1,
    )
    try:
        client.ping()
    except (RedisError, OSError) as exc:
        return Check(name, otherwise, _sentence(f"The {name}", exc))
    finally:
        client.close()
    return Check(name, "ok")


def _ingest_check() -> Check:
    """The writer of this process; one that never wrote counts as fine."""
    if writer_state()["database"] == "up":
        return Check("ingest", "ok")
    return Check("ingest", "failed", "The ingest writer cannot reach the database.")


def _sentence(what: str, exc: Exception) -> str:
    """Names the kind of failure only: driver messages carry hosts and users."""
    return f"{what} is not reachable ({type(exc).__name__})."
