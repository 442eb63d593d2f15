"""Long computations as rows that workers claim: one process at a time per kind of work.

A session advisory lock keeps others out, so a row found running while the lock is held
was left by a process that died: it is taken up again, at most three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

MOST_ATTEMPTS = 3


@contextmanager
def alone(lock: int) -> Iterator[bool]:
    """Whether this process is the only one that works under the lock."""
    with connection.cursor() as cur:
        cur.execute("SELECT pg_try_advisory_lock(%s)", [lock])
        (is_mine,) = cur.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cur:
                cur.execute("SELECT pg_advisory_unlock(%s)", [lock])


def claim_oldest(kind: type[Any], given_up: str) -> Any:
    """The oldest open row with its organisation, running now; or failed, with this
    message, when it was begun too often. None where nothing is open.

    kind: has `OPEN`, state, attempts, started_at, finished_at and message.
    """
    with transaction.atomic():
        row = (
            kind.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("organization")
            .filter(state__in=kind.OPEN)
            .order_by("pk")
            .first()
        )
        if row is None:
            return None
        row.attempts += 1
        row.state, row.started_at = "running", timezone.now()
        if row.attempts > MOST_ATTEMPTS:
            row.state, row.finished_at = "failed", row.started_at
            row.message = given_up
        row.save()
    return row


@contextmanager
def failing_loudly(row: models.Model, message: str) -> Iterator[None]:
    """A fault of ours is stored with the row, which must not stay "running" for ever,
    and raised."""
    try:
        yield
    except Exception:
        # The outermost border of a job.
        type(row)._default_manager.filter(pk=row.pk).update(
            state="failed", finished_at=timezone.now(), message=message
        )
        raise
