"""Background loops: every worker runs each of CHURNGUARD_LOOPS in its own thread.

A loop is a function that claims what is due by SKIP LOCKED, does it, and returns how
much it did; while it returns something it is called again at once. So any number of
workers may run, Celery's queue may be lost, and killing a worker costs what its open
transaction held.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from django.conf import settings
from django.db import OperationalError, close_old_connections, connection
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)
stopping = threading.Event()
_RETRY_MOST_S = 15.0


def process_name() -> str:
    """Unique per process: host and pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def heartbeat() -> int:
    """Loop: say that this worker lives."""
    with connection.cursor() as cur:
        cur.execute(
            "INSERT INTO cg_heartbeat (name, role, at, facts) "
            "VALUES (%s, 'worker', %s, '{}') "
            "ON CONFLICT (name) DO UPDATE SET at = excluded.at",
            [f"worker:{process_name()}", datetime.now(UTC)],
        )
    return 0


def _run(name: str, function: Callable[[], int | None], every_s: float) -> None:
    failures = 0
    while not stopping.is_set():
        wait_s = every_s
        try:
            if function():
                wait_s = 0.0
            failures = 0
        except (OperationalError, psycopg.OperationalError) as exc:
            # Also a deadlock: the round was rolled back and comes again.
            failures += 1
            wait_s = min(_RETRY_MOST_S, every_s * 2 ** min(failures, 8))
            log.warning(
                "loop.database_unavailable",
                extra={"loop": name, "error": type(exc).__name__},
            )
        except Exception:
            # The outermost loop: one bad round must not stop the rounds after it.
            failures += 1
            wait_s = min(_RETRY_MOST_S, max(1.0, every_s) * 2 ** min(failures, 6))
            log.exception("loop.failed", extra={"loop": name})
        finally:
            close_old_connections()
        if wait_s:
            stopping.wait(wait_s * random.uniform(0.8, 1.2))  # noqa: S311
    connection.close()


def start() -> list[threading.Thread]:
    """Start one daemon thread per loop of settings.CHURNGUARD_LOOPS."""
    threads = []
    for path, every_s in settings.CHURNGUARD_LOOPS.items():
        thread = threading.Thread(
            target=_run,
            args=(path, import_string(path), every_s),
            name=path,
            daemon=True,
        )
        thread.start()
        threads.append(thread)
    log.info("loops.started", extra={"recordCount": len(threads)})
    return threads


def stop(threads: list[threading.Thread], wait_s: float = 20.0) -> None:
    """Ask the loops to end at their next border and wait for them."""
    stopping.set()
    for thread in threads:
        thread.join(wait_s)
