"""Forgets what only had to be kept for a while, in small steps."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import connection

from monitoring import compaction

log = logging.getLogger(__name__)

STEP = 5000
"""Rows deleted per statement, so that no lock is held for long."""

RULES: tuple[tuple[str, str, timedelta], ...] = (
    ("cg_stream_note", "created_at < %s", timedelta(days=7)),
    ("cg_heartbeat", "at < %s", timedelta(days=1)),
    (
        "cg_invitation",
        "least(expires_at, accepted_at, revoked_at) < %s",
        timedelta(days=30),
    ),
    ("cg_notice", "resolved_at < %s", timedelta(days=90)),
    ("int_tried_token", "updated_at < %s", timedelta(days=7)),
    ("mon_quality_day", "measured_at < %s", timedelta(days=400)),
    ("django_session", "expire_date < %s", timedelta(0)),
)
"""Table, condition on a moment, how long rows are kept after it."""


def tick(now: datetime | None = None) -> int:
    """Loop: delete one step of each table and merge old ledger lines. Returns the rows
    that went, so that it is called again at once while there are more. Idempotent;
    several may run."""
    at = now or datetime.now(UTC)
    total = compaction.tick(at)
    for table, condition, kept in RULES:
        with connection.cursor() as cur:
            cur.execute(
                f"DELETE FROM {table} WHERE ctid = ANY(ARRAY("
                f"SELECT ctid FROM {table} WHERE {condition} LIMIT %s "
                "FOR UPDATE SKIP LOCKED))",
                [at - kept, STEP],
            )
            deleted = cur.rowcount
        if deleted:
            log.info("prune.deleted", extra={"entity": table, "recordCount": deleted})
        total += deleted
    return total
