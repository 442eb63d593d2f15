"""Why a customer's revenue was lost or fell: unpaid, paused, or what was said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from django.db import connection

from analytics.revenue import pieces
from analytics.revenue.report import Moved
from churnguard.models import Organization

DELINQUENT = "delinquent"
"""Still unpaid when the days of grace were over, or given up by billing."""
PAUSED = "paused"
CANCELED = "canceled"

_STATES = (
    "WITH {pieces} SELECT customer_id, (starts_at AT TIME ZONE %(zone)s)::date, "
    "bool_or(state IN ('past_due_over', 'unpaid')), bool_or(state = 'paused') "
    "FROM pieces WHERE state IN ('past_due_over', 'unpaid', 'paused') GROUP BY 1, 2"
)
_SAID = """
SELECT cs.customer_id, d.day, max(nullif(b.cancel_reason, ''))
FROM cg_subscription b JOIN cg_customer_source cs ON cs.id = b.customer_source_id
CROSS JOIN LATERAL (VALUES
    ((b.ended_at AT TIME ZONE %(zone)s)::date),
    ((b.canceled_at AT TIME ZONE %(zone)s)::date)) d (day)
WHERE b.organization_id = %(org)s AND cs.customer_id = ANY(%(ids)s::bigint[])
AND d.day IS NOT NULL GROUP BY 1, 2
"""


def reasons(
    organization: Organization, moved: Sequence[Moved], now: datetime
) -> dict[tuple[int, date], str]:
    """(customer pk, day) -> why revenue fell that day: delinquent, paused, canceled or
    "canceled: <what the source says>". Movements of other kinds are left out."""
    ids = sorted({row.customer_id for row in moved if row.kind in _LOSSES})
    if not ids:
        return {}
    values = {
        **pieces.parameters(organization, now),
        "ids": ids,
        "zone": organization.timezone,
    }
    states = pieces.of_customers(_STATES.replace("{pieces}", pieces.PIECES))
    found: dict[tuple[int, date], str] = {}
    with connection.cursor() as cur:
        cur.execute(_SAID, values)
        for customer_id, day, said in cur.fetchall():
            found[customer_id, day] = f"{CANCELED}: {said}" if said else CANCELED
        cur.execute(states, values)
        for customer_id, day, is_unpaid, is_paused in cur.fetchall():
            if is_unpaid:
                found[customer_id, day] = DELINQUENT
            elif is_paused:
                found[customer_id, day] = PAUSED
    wanted = {(row.customer_id, row.day) for row in moved if row.kind in _LOSSES}
    return {place: why for place, why in found.items() if place in wanted}


_LOSSES = ("churn", "contraction")
