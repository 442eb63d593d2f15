"""Revenue by use: what metered lines brought, which MRR leaves out.

The mean of whole calendar months, since what is used varies from one to the next. A
line belongs to the month in which its invoice was issued and is converted at the rate
of that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.db import connection

from analytics.revenue import pieces
from analytics.revenue.periods import Question, months_before
from analytics.revenue.rates import RateTable
from analytics.segments.members import read_members
from churnguard.models import Organization

_LINES = """
SELECT coalesce(nullif(upper(i.currency), ''), %(base)s),
    (coalesce(i.issued_at, i.due_at, i.paid_at) AT TIME ZONE %(zone)s)::date,
    sum((l.value->>'amount_minor')::bigint)::bigint
FROM (SELECT x.*, CASE WHEN jsonb_typeof(x.lines) = 'array' THEN x.lines ELSE '[]' END
        AS ls
    FROM cg_invoice x WHERE x.organization_id = %(org)s AND x.deleted_at IS NULL
    AND x.status IN ('open', 'paid', 'uncollectible') {members}) i,
    jsonb_array_elements(i.ls) l
WHERE l.value->'usage' = 'true'::jsonb AND l.value->>'amount_minor' ~ '^-?[0-9]{1,17}$'
AND (coalesce(i.issued_at, i.due_at, i.paid_at) AT TIME ZONE %(zone)s)::date
    >= %(first)s
AND (coalesce(i.issued_at, i.due_at, i.paid_at) AT TIME ZONE %(zone)s)::date < %(end)s
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class UsageRevenue:
    """mean_minor: a month, in minor units of the base, over [first, end); None where
    no source says which lines are metered. unconverted: currency -> minor units that
    no rate converts, in the whole span."""

    months: int
    first: date
    end: date
    mean_minor: int | None
    unconverted: dict[str, int]


def usage_revenue(
    organization: Organization, question: Question, now: datetime, months: int
) -> UsageRevenue:
    """The mean of the last `months` whole months before the end of the range, none of
    them later than the running one."""
    today = now.astimezone(ZoneInfo(organization.timezone)).date()
    end = min(question.end, today).replace(day=1)
    first = months_before(end, months)
    members = read_members(organization, question.segment_id, now)
    values = {
        **(members.values if members else {}),
        "org": organization.pk,
        "base": organization.base_currency.upper(),
        "zone": organization.timezone,
        "first": first,
        "end": end,
    }
    with connection.cursor() as cur:
        cur.execute(pieces.invoices_of(_LINES, members), values)
        rows = cur.fetchall()
    rates = RateTable.load(organization)
    total = 0
    unconverted: dict[str, int] = {}
    for currency, day, minor in rows:
        worth = rates.convert(minor, currency, day)
        if worth is None:
            unconverted[currency] = unconverted.get(currency, 0) + minor
        else:
            total += worth
    mean = round(total / months) if rows else None
    return UsageRevenue(months, first, end, mean, dict(sorted(unconverted.items())))
