"""Month partitions of the event table: made ahead, made on demand, dropped by age."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime

from django.conf import settings
from django.db import connection
from psycopg import Cursor, sql

log = logging.getLogger(__name__)

_LOCK = 7_220_001
_PREFIX = "cg_usage_event_"


def month_of(day: date) -> date:
    """First day of the month of `day`."""
    return day.replace(day=1)


def next_month(day: date, months: int = 1) -> date:
    """First day of the month `months` after the month of `day`."""
    index = day.year * 12 + day.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def list_months(cur: Cursor) -> set[date]:
    """The months that have a partition."""
    cur.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'cg_usage_event'::regclass"
    )
    return {
        datetime.strptime(row[0].removeprefix(_PREFIX), "%Y%m").date()  # noqa: DTZ007
        for row in cur.fetchall()
    }


def create_months(cur: Cursor, months: Iterable[date]) -> list[date]:
    """Make the missing partitions; returns those made. One creator at a time.

    A table is built beside the parent and attached, so writers of other months are
    not held up.
    """
    wanted = sorted(set(months) - list_months(cur))
    if not wanted:
        return []
    cur.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    made = sorted(set(wanted) - list_months(cur))
    for month in made:
        name = sql.Identifier(f"{_PREFIX}{month:%Y%m}")
        start = sql.Literal(f"{month:%Y-%m-%d} 00:00:00+00")
        end = sql.Literal(f"{next_month(month):%Y-%m-%d} 00:00:00+00")
        cur.execute(
            sql.SQL(
                "CREATE TABLE {} (LIKE cg_usage_event INCLUDING DEFAULTS INCLUDING "
                "CONSTRAINTS)"
            ).format(name)
        )
        cur.execute(
            sql.SQL(
                "ALTER TABLE cg_usage_event ATTACH PARTITION {} FOR VALUES FROM ({}) "
                "TO ({})"
            ).format(name, start, end)
        )
    return made


def ensure(now: datetime | None = None) -> int:
    """Loop: make last month's to three months ahead, drop what is past retention.

    Returns the number of partitions made or dropped.
    """
    today = (now or datetime.now(UTC)).date()
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        made = create_months(cur, (next_month(today, n) for n in range(-1, 4)))
        dropped = []
        if settings.EVENT_RETENTION_MONTHS:
            oldest = next_month(today, -settings.EVENT_RETENTION_MONTHS)
            dropped = [month for month in list_months(cur) if month < oldest]
            for month in dropped:
                cur.execute(
                    sql.SQL("DROP TABLE {}").format(
                        sql.Identifier(f"{_PREFIX}{month:%Y%m}")
                    )
                )
    if made or dropped:
        log.info(
            "partitions.changed",
            extra={"made": len(made), "dropped": len(dropped)},
        )
    return len(made) + len(dropped)
