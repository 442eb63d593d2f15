"""Celery tasks: nudges with ids only. Losing one costs a second, because the loops of
every worker look for due work anyway."""

from __future__ import annotations

import logging

from celery import shared_task
from kombu.exceptions import OperationalError as BrokerError

from integrations import runs, schedules

log = logging.getLogger(__name__)


@shared_task(name="integrations.run", ignore_result=True)
def run_nudge(run_id: int) -> bool:
    """Work on one run now, unless somebody else has it."""
    return runs.run_now(run_id)


@shared_task(name="integrations.tick", ignore_result=True)
def tick() -> int:
    """Start what is due."""
    return schedules.tick()


def nudge(run_id: int) -> None:
    """Send `run_nudge`; a broker that is down is no trouble."""
    try:
        run_nudge.apply_async([run_id], expires=60, retry=False)
    except (BrokerError, OSError) as exc:
        log.warning("nudge.failed", extra={"error": type(exc).__name__})
