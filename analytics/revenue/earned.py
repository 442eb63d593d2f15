"""Revenue earned and still deferred, by period, from the lines of final invoices.

The straight line of `recognition` as one statement: a line counts day by day over the
calendar days it states, an invoice without lines on its day of issue. Each line is
converted once, at the rate of the day of issue. A refund is dated by the invoice's
last change at its source: what was earned by then is taken back, the rest leaves
deferred revenue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db import connection

from analytics.revenue import pieces
from analytics.revenue.periods import Period, Question
from analytics.segments.members import read_members
from churnguard.models import Organization


def _day(name: str) -> str:
    """SQL: the calendar day of a line's field, ISO text or epoch seconds; else null.
    Never fails: the field is whatever a source sent."""
    text = f"l.value->>'{name}'"
    return (
        f"CASE WHEN {text} ~ '^[12][0-9]{{3}}-(0[1-9]|1[0-2])-[0-3][0-9]' "
        f"THEN make_date(left({text}, 4)::int, substr({text}, 6, 2)::int, 1) "
        f"  + substr({text}, 9, 2)::int - 1 "
        f"WHEN {text} ~ '^[0-9]{{9,10}}$' "
        f"THEN (to_timestamp(({text})::bigint) AT TIME ZONE 'UTC')::date END"
    )


_HAS_AMOUNT = "l.value->>'amount_minor' ~ '^-?[0-9]{1,17}$'"

_STATEMENT = f"""
WITH invoices AS (
    SELECT i.*, CASE WHEN i.code = %(base)s THEN 1 ELSE (
            SELECT r.rate * power(10::numeric,
                {pieces.scale("%(base)s::text")} - {pieces.scale("i.code")})
            FROM cg_exchange_rate r WHERE r.organization_id = %(org)s
            AND r.currency = i.code AND r.day <= i.issued
            ORDER BY r.day DESC LIMIT 1) END AS factor
    FROM (SELECT x.id, coalesce(nullif(upper(x.currency), ''), %(base)s) AS code,
            (coalesce(x.issued_at, x.due_at, x.paid_at) AT TIME ZONE %(zone)s)::date
                AS issued, x.total_minor,
            CASE WHEN jsonb_typeof(x.lines) = 'array' THEN x.lines ELSE '[]' END AS ls,
            least(1, coalesce(x.refunded_minor::numeric / nullif(x.total_minor, 0), 0))
                AS refunded,
            (coalesce(x.source_updated_at, x.paid_at, x.issued_at)
                AT TIME ZONE %(zone)s)::date AS refund_day
        FROM cg_invoice x WHERE x.organization_id = %(org)s AND x.deleted_at IS NULL
        {{members}}
        AND x.status IN ('open', 'paid', 'uncollectible')
        AND coalesce(x.issued_at, x.due_at, x.paid_at) <= %(now)s) i
), lines AS (
    SELECT i.id, i.code, i.factor, i.issued, i.refunded, i.refund_day,
        (l.value->>'amount_minor')::bigint AS minor,
        coalesce({_day("period_start")}, i.issued) AS first_day,
        coalesce({_day("period_end")}, {_day("period_start")}, i.issued) AS end_day
    FROM invoices i, jsonb_array_elements(i.ls) l WHERE {_HAS_AMOUNT}
    UNION ALL
    SELECT i.id, i.code, i.factor, i.issued, i.refunded, i.refund_day, i.total_minor,
        i.issued, i.issued FROM invoices i
    WHERE i.total_minor IS NOT NULL AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(i.ls) l WHERE {_HAS_AMOUNT})
), worth AS (
    SELECT *, round(minor * factor) AS amount, greatest(1, end_day - first_day) AS n
    FROM lines WHERE greatest(end_day, first_day + 1, issued,
        CASE WHEN refunded > 0 THEN refund_day END) >= %(start)s
), at_edge AS (
    SELECT e.edge, w.*,
        round(amount * least(greatest(edge - first_day, 0), n) / n) AS earned,
        round(amount * least(greatest(refund_day - first_day, 0), n) / n) AS earned_rd,
        refunded > 0 AND edge > refund_day AS is_refunded
    FROM worth w CROSS JOIN unnest(%(edges)s::date[]) e (edge)
)
SELECT edge, code, factor IS NULL AS is_unknown,
    sum(CASE WHEN issued < edge THEN coalesce(amount, minor) ELSE 0 END)::bigint,
    sum(CASE WHEN is_refunded THEN least(earned, earned_rd) + (earned - earned_rd)
        - round((earned - earned_rd) * refunded) ELSE earned END)::bigint,
    sum(CASE WHEN is_refunded THEN round(earned_rd * refunded) ELSE 0 END)::bigint,
    sum(CASE WHEN is_refunded THEN round((amount - earned_rd) * refunded)
        ELSE 0 END)::bigint
FROM at_edge GROUP BY 1, 2, 3 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Earned:
    """Minor units of the base. contra_minor: earned revenue given back; cleared_minor:
    deferred revenue given back. Always: deferred at the end = deferred at the start +
    billed - recognised - cleared; below 0 means earned before billed."""

    period: Period
    deferred_start_minor: int
    billed_minor: int
    recognised_minor: int
    contra_minor: int
    cleared_minor: int
    deferred_end_minor: int

    def __post_init__(self) -> None:
        left = self.deferred_start_minor + self.billed_minor - self.recognised_minor
        if left - self.cleared_minor != self.deferred_end_minor:
            raise ValueError(f"Deferred revenue does not add up: {self}.")

    @property
    def net_minor(self) -> int:
        """Recognised less what was given back."""
        return self.recognised_minor - self.contra_minor


def recognition(
    organization: Organization, question: Question, now: datetime
) -> tuple[list[Earned], dict[str, int]]:
    """(one per period, oldest first; currency -> minor units billed in the range that
    no rate converts). now: aware; invoices issued later are left out."""
    periods = question.periods()
    edges = [period.start for period in periods] + [question.end]
    members = read_members(organization, question.segment_id, now)
    values = {
        **(members.values if members else {}),
        **pieces.parameters(organization, now),
        "zone": organization.timezone,
        "start": question.start,
        "edges": edges,
    }
    with connection.cursor() as cur:
        cur.execute(pieces.invoices_of(_STATEMENT, members), values)
        rows = cur.fetchall()
    sums = {edge: [0, 0, 0, 0] for edge in edges}
    unknown: dict[str, list[int]] = {}
    for edge, currency, is_unknown, *amounts in rows:
        if is_unknown:
            unknown.setdefault(currency, []).append(amounts[0])
            continue
        sums[edge] = [a + b for a, b in zip(sums[edge], amounts, strict=True)]
    earned = [
        _between(period, sums[start], sums[end])
        for period, (start, end) in zip(periods, pairwise(edges), strict=True)
    ]
    return earned, {
        currency: found[-1] - found[0]
        for currency, found in sorted(unknown.items())
        if found[-1] != found[0]
    }


def _between(period: Period, start: list[int], end: list[int]) -> Earned:
    billed, recognised, contra, cleared = (
        after - before for before, after in zip(start, end, strict=True)
    )
    return Earned(
        period,
        deferred_start_minor=start[0] - start[1] - start[3],
        billed_minor=billed,
        recognised_minor=recognised,
        contra_minor=contra,
        cleared_minor=cleared,
        deferred_end_minor=end[0] - end[1] - end[3],
    )
