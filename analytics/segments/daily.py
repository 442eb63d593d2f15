"""Counting segments every quarter of an hour; the last count of a local day is kept.

Who is a member is kept as spells of days, so that entered and left are the same
however often a day is counted.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from analytics.revenue import pieces
from analytics.segments.members import Members, count_totals, members_of
from analytics.segments.models import Segment, SegmentDay, SegmentSpell
from churnguard.errors import ConfigError
from churnguard.models import Organization

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)
KEPT_DAYS = 800

_CLOSE = (
    "UPDATE an_segment_spell p SET left_on = %(day)s WHERE p.segment_id = %(segment)s "
    "AND p.left_on IS NULL AND p.customer_id NOT IN (SELECT id FROM segment_now)"
)
_REOPEN = (
    "UPDATE an_segment_spell p SET left_on = NULL WHERE p.segment_id = %(segment)s "
    "AND p.left_on = %(day)s AND p.customer_id IN (SELECT id FROM segment_now)"
)
_OPEN = (
    "INSERT INTO an_segment_spell (segment_id, customer_id, entered_on) "
    "SELECT %(segment)s, n.id, %(day)s FROM segment_now n WHERE NOT EXISTS ("
    "SELECT FROM an_segment_spell p WHERE p.segment_id = %(segment)s "
    "AND p.customer_id = n.id AND p.left_on IS NULL)"
)
_SAME_DAY = (
    "DELETE FROM an_segment_spell WHERE segment_id = %(segment)s "
    "AND entered_on = %(day)s AND left_on = %(day)s"
)
_MOVED = (
    "SELECT count(*) FILTER (WHERE entered_on = %(day)s), "
    "count(*) FILTER (WHERE left_on = %(day)s) FROM an_segment_spell "
    "WHERE segment_id = %(segment)s AND (entered_on = %(day)s OR left_on = %(day)s)"
)
_MONEY = (
    f"WITH {pieces.PIECES} SELECT currency, sum(mrr_minor)::bigint FROM pieces "
    f"WHERE state IN {pieces.COUNTED!r} AND starts_at <= %(now)s "
    "AND ends_at > %(now)s AND mrr_minor IS NOT NULL GROUP BY 1"
).replace("{narrow}", "AND cs.customer_id IN (SELECT id FROM segment_now)")


def tick(now: datetime | None = None) -> int:
    """Loop: count one segment that is due; 1 when there was one, else 0. Its row is
    the claim; a kill rolls the count back."""
    at = now or datetime.now(UTC)
    with transaction.atomic():
        segment = (
            Segment.objects.filter(archived_at__isnull=True, due_at__lte=at)
            .select_for_update(skip_locked=True, of=("self",), no_key=True)
            .select_related("organization")
            .order_by("due_at")
            .first()
        )
        if segment is None:
            return 0
        try:
            count_now(segment, segment.organization, at)
        except ConfigError:
            # A definition of before an update; people see it on the segment's page.
            log.warning("segment.not_counted", extra={"segment": segment.public_id})
            Segment.objects.filter(pk=segment.pk).update(due_at=at + EVERY)
    return 1


def count_now(
    segment: Segment, organization: Organization, now: datetime, *, is_new: bool = False
) -> SegmentDay:
    """Count a segment and keep it as the state of the local day of `now`.

    is_new: its definition has just changed, so its spells begin anew. To be called
    in a transaction that holds the segment's row.
    """
    day = now.astimezone(ZoneInfo(organization.timezone)).date()
    members = members_of(segment, organization, now)
    totals = count_totals(organization, members)
    with connection.cursor() as cur:
        _gather(cur, members)
        moved = _move(cur, segment, day, is_new=is_new)
        cur.execute(_MONEY, pieces.parameters(organization, now))
        money = dict(cur.fetchall())
        cur.execute("DROP TABLE segment_now")
    row, _ = SegmentDay.objects.update_or_create(
        segment=segment,
        day=day,
        defaults={
            "organization": organization,
            "version": segment.version,
            "counted_at": now,
            "members": totals.members,
            "average_score": totals.average_score,
            "at_risk": totals.at_risk,
            "mrr_minor": totals.mrr_minor,
            "mrr_by_currency": dict(sorted(money.items())),
            "entered": moved[0] if moved else None,
            "left": moved[1] if moved else None,
        },
    )
    Segment.objects.filter(pk=segment.pk).update(due_at=now + EVERY)
    log.info(
        "segment.counted",
        extra={"tenantId": organization.public_id, "recordCount": totals.members},
    )
    return row


def _gather(cur: Any, members: Members) -> None:
    cur.execute("CREATE TEMP TABLE segment_now (id bigint PRIMARY KEY) ON COMMIT DROP")
    cur.execute(f"INSERT INTO segment_now {members.sql}", members.values)
    cur.execute("ANALYZE segment_now")


def _move(
    cur: Any, segment: Segment, day: date, *, is_new: bool
) -> tuple[int, int] | None:
    """Bring the spells up to this day: (entered, left), None where the definition is
    of this day."""
    if is_new:
        SegmentSpell.objects.filter(segment=segment).delete()
    values = {"segment": segment.pk, "day": day}
    for statement in (_CLOSE, _REOPEN, _OPEN, _SAME_DAY):
        cur.execute(statement, values)
    SegmentSpell.objects.filter(
        segment=segment, left_on__lt=day - timedelta(days=KEPT_DAYS)
    ).delete()
    before = SegmentDay.objects.filter(
        segment=segment, day__lt=day, version=segment.version
    )
    if not before.exists():
        return None
    cur.execute(_MOVED, values)
    entered, left = cur.fetchone()
    return entered, left
