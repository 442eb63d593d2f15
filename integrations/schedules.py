"""When integrations run by themselves: rows of `Schedule`, turned into sync runs.

One row per integration (stream "") and one per stream with a clock of its own. Any
number of clocks may tick: a due row is claimed by SKIP LOCKED, and a run is unique
per schedule and due time.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import transaction

from churnguard.errors import ConfigError
from churnguard.models import Schedule
from integrations import runs
from integrations.models import Integration, StreamState

log = logging.getLogger(__name__)

KIND = "sync"
LEAST_S = 60
BUSY_WAIT = timedelta(seconds=60)
REFUSED_WAIT = timedelta(hours=1)
"""Between two tries with credentials that were refused: many a server locks an account
after some of them."""
_BATCH = 50
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def keep(integration: Integration) -> None:
    """Make the schedule rows of an integration say what its settings say. A changed
    interval counts from now; an unchanged row keeps its due time, unless that is later
    than one interval. Idempotent."""
    wanted = {"": integration.sync_frequency}
    for state in StreamState.objects.filter(integration=integration, is_gone=False):
        if state.sync_frequency is not None and state.is_enabled:
            wanted[state.name] = state.sync_frequency
    is_on = integration.status not in ("paused", "inactive")
    with transaction.atomic():
        rows = {
            row.stream: row
            for row in Schedule.objects.select_for_update().filter(
                organization_id=integration.organization_id,
                kind=KIND,
                target_id=integration.pk,
            )
        }
        for stream, every_s in wanted.items():
            _keep_row(integration, rows.pop(stream, None), stream, every_s, is_on)
        for row in rows.values():
            row.delete()


def remove(integration: Integration) -> None:
    """Delete every schedule of an integration."""
    Schedule.objects.filter(
        organization_id=integration.organization_id, kind=KIND, target_id=integration.pk
    ).delete()


def tick() -> int:
    """Loop: start what is due. Returns how many runs were started.

    While the integration is busy its schedule waits a minute, so nothing piles up and
    no stream starves.
    """
    started = 0
    for _ in range(_BATCH):
        with transaction.atomic():
            row = (
                Schedule.objects.select_for_update(skip_locked=True)
                .filter(kind=KIND, is_enabled=True, next_run_at__lte=datetime.now(UTC))
                .order_by("next_run_at", "pk")
                .first()
            )
            if row is None:
                break
            started += int(_fire(row))
    return started


def as_text(every_s: int) -> str:
    """The schedule for people: "every hour", "every 15 minutes", "by hand"."""
    if every_s <= 0:
        return "by hand"
    for size, unit in _UNITS:
        if every_s % size == 0:
            count = every_s // size
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return f"every {every_s} seconds"


def check_frequency(every_s: int) -> int:
    """The interval if it is legal: 0 (by hand) or 60 s to 366 days. Raises ConfigError
    otherwise."""
    if every_s != 0 and not LEAST_S <= every_s <= 366 * 86_400:
        raise ConfigError(
            f"sync_frequency must be 0 (by hand) or {LEAST_S} s to 366 days.",
            code="invalid_schedule",
            fields={"sync_frequency": f"0 or {LEAST_S} and more"},
        )
    return every_s


def _keep_row(
    integration: Integration,
    row: Schedule | None,
    stream: str,
    every_s: int,
    is_on: bool,
) -> None:
    is_enabled = is_on and every_s > 0
    if row is None:
        if every_s > 0:
            Schedule.objects.create(
                organization_id=integration.organization_id,
                kind=KIND,
                target_id=integration.pk,
                stream=stream,
                every_s=every_s,
                next_run_at=datetime.now(UTC) + timedelta(seconds=every_s),
                is_enabled=is_enabled,
            )
        return
    latest = datetime.now(UTC) + timedelta(seconds=every_s)
    if every_s > 0 and (row.every_s != every_s or row.next_run_at > latest):
        row.every_s, row.next_run_at = every_s, latest
    row.is_enabled = is_enabled
    row.save()


def _fire(row: Schedule) -> bool:
    due, now = row.next_run_at, datetime.now(UTC)
    integration = (
        Integration.objects.select_related("organization")
        .filter(pk=row.target_id, organization=row.organization)
        .first()
    )
    if integration is None or not row.every_s:
        row.delete()
        return False
    if integration.status == "authentication_failed" and row.last_run_at:
        rested = row.last_run_at + REFUSED_WAIT
        if now < rested:
            row.next_run_at = rested
            row.save(update_fields=["next_run_at"])
            return False
    # Missed times (everything was down) are not made up for one by one.
    missed = int((now - due).total_seconds() // row.every_s) + 1
    following = due + timedelta(seconds=row.every_s * missed)
    started = False
    try:
        runs.start(
            integration,
            trigger="schedule",
            by="schedule",
            streams=[row.stream] if row.stream else None,
            schedule=row,
            scheduled_for=due,
        )
        started = True
        row.last_run_at = now
    except runs.AlreadyRunningError as exc:
        if exc.run is not None and exc.run.scheduled_for != due:
            following = min(following, now + BUSY_WAIT)
        log.info("schedule.busy", extra={"schedule": row.pk})
    except ConfigError as exc:
        log.warning("schedule.refused", extra={"schedule": row.pk, "code": exc.code})
    row.next_run_at = following
    row.save(update_fields=["next_run_at", "last_run_at"])
    return started
