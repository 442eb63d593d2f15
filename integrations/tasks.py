"""Celery tasks: nudges with ids only. Losing one costs a second, because the loops of
every worker look for due work anyway."""

from __future__ import annotations

import logging
import threading

from django.db import OperationalError as DatabaseError
from kombu.exceptions import OperationalError as BrokerError

# Also makes our app the current one in processes that only send, such as web.
from churnguard.celery import app
from integrations import runs, schedules

log = logging.getLogger(__name__)


@app.task(name="integrations.run", ignore_result=True)
def run_nudge(run_id: int) -> bool:
    """Work on one run now, unless somebody else has it."""
    try:
        return runs.run_now(run_id)
    except DatabaseError as exc:
        # A deadlock or a restart: the run was given back and a loop takes it up.
        log.warning("sync.given_back", extra={"error": type(exc).__name__})
        return False


@app.task(name="integrations.tick", ignore_result=True)
def tick() -> int:
    """Start what is due."""
    return schedules.tick()


def nudge(run_id: int) -> None:
    """Send `run_nudge` without making the caller wait for a broker that is down."""
    if app.conf.task_always_eager:
        # There is no broker and so nobody to nudge; the loops find the run.
        return
    threading.Thread(target=_send, args=(run_id,), daemon=True).start()


def _send(run_id: int) -> None:
    try:
        run_nudge.apply_async([run_id], expires=60, retry=False)
    except (BrokerError, OSError) as exc:
        log.warning("nudge.failed", extra={"error": type(exc).__name__})
