"""Looks for trouble that no single event announces, and opens or closes notices.

Runs and credentials that fail open their notice where they fail (in the transaction
of the cause). What is left is what does not happen: a sync that is late, a credential
that is about to end, a worker that has gone.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from churnguard.notices import open_notice, resolve_notice
from monitoring.operations import LATE_FACTOR, is_late

log = logging.getLogger(__name__)

EXPIRY_WARNING = timedelta(days=7)
_LOCK = 7_220_020

_INTEGRATIONS = """
SELECT i.id, i.organization_id, i.public_id, i.name, i.status,
       i.sync_frequency AS sync_frequency_s, i.created_at,
       (SELECT max(finished_at) FROM int_sync_run r WHERE r.integration_id = i.id
        AND r.status = 'completed') AS last_successful_sync,
       c.expires_at, c.credential_type = 'oauth2' OR c.refreshed_at IS NOT NULL
           AS renews
FROM int_integration i LEFT JOIN int_credential c ON c.integration_id = i.id
ORDER BY i.organization_id, i.id
"""
_OPEN = """
SELECT organization_id, key FROM cg_notice
WHERE resolved_at IS NULL AND kind = ANY(%s)
"""
KINDS = ("sync_late", "credential_expiring", "credential_expired")


def tick(now: datetime | None = None) -> int:
    """Loop: one look at every integration. Returns 0: the next look is due in time.

    Only one process looks at a time; opening twice would be harmless.
    """
    at = now or datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as cur:
        cur.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cur.fetchone()[0]:
            return 0
        wanted = _find(cur, at)
        cur.execute(_OPEN, [list(KINDS)])
        known = set(cur.fetchall())
    opened = [key for key in wanted if key not in known]
    resolved = sorted(known - wanted.keys())
    # One transaction each: the counter of a channel stays locked until the commit.
    for org_id, key in opened:
        with transaction.atomic():
            open_notice(connection, org_id, key=key, **wanted[org_id, key])
    for org_id, key in resolved:
        with transaction.atomic():
            resolve_notice(connection, org_id, key)
    if opened or resolved:
        log.info(
            "watch.changed",
            extra={"opened": len(opened), "resolved": len(resolved)},
        )
    return 0


def _find(cur: Any, now: datetime) -> dict[tuple[int, str], dict[str, Any]]:
    cur.execute(_INTEGRATIONS)
    names = [column.name for column in cur.description]
    wanted = {}
    for values in cur.fetchall():
        row = dict(zip(names, values, strict=True))
        for notice in (_late(row, now), _expiring(row, now)):
            if notice is not None:
                notice["url"] = f"/integrations/{row['public_id']}/"
                notice["data"] = {"integration_id": row["public_id"]}
                wanted[row["organization_id"], f"{notice['kind']}:{row['id']}"] = notice
    return wanted


def _late(row: dict[str, Any], now: datetime) -> dict[str, Any] | None:
    # Who has to reconnect knows already why nothing arrives.
    if row["status"] == "authentication_failed" or not is_late(row, now):
        return None
    last = row["last_successful_sync"]
    since = (
        f"The last success was {last:%Y-%m-%d %H:%M} UTC" if last else "No success yet"
    )
    return {
        "kind": "sync_late",
        "severity": "warning",
        "title": f"{row['name']} is late",
        "detail": f"{since}; it is to run every {_span(row['sync_frequency_s'])}. "
        f"Late means {LATE_FACTOR} intervals without success.",
    }


def _expiring(row: dict[str, Any], now: datetime) -> dict[str, Any] | None:
    # Access tokens end all the time and renew themselves.
    ends = row["expires_at"]
    if ends is None or row["renews"] or ends - now > EXPIRY_WARNING:
        return None
    is_over = ends <= now
    return {
        "kind": "credential_expired" if is_over else "credential_expiring",
        "severity": "critical" if is_over else "warning",
        "title": f"The credential of {row['name']} "
        f"{'has expired' if is_over else 'expires soon'}",
        "detail": f"It {'ended' if is_over else 'ends'} {ends:%Y-%m-%d %H:%M} UTC. "
        "Set a new one before syncs fail.",
    }


def _span(seconds: int) -> str:
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}s" if count > 1 else word
    return f"{seconds} seconds"
