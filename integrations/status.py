"""How a source is doing, and how good its data is: numbers from the ledger and tables.

What was not measured is None, never a perfect score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import connection

from churnguard.models import Batch
from integrations.load.statements import TABLES

FRESH_WITHIN = timedelta(hours=24)
"""A batch is timely when its newest record is at most this old on arrival."""
KEY_FIELDS: dict[str, tuple[str, ...]] = {
    "customer": ("name", "coalesce(domain, email)"),
    "contact": ("email", "name", "customer_source_id"),
    "subscription": (
        "customer_source_id",
        "status",
        "plan",
        "mrr_minor",
        "currency",
        "started_at",
    ),
    "invoice": ("customer_source_id", "status", "total_minor", "currency", "issued_at"),
    "deal": ("customer_source_id", "status", "amount_minor", "currency", "opened_at"),
    "ticket": ("customer_source_id", "status", "priority", "opened_at"),
    "conversation": ("customer_source_id", "started_at"),
    "survey_response": ("customer_source_id", "score", "answered_at"),
    "campaign_engagement": ("customer_source_id", "kind", "occurred_at"),
}
"""Fields a record of each type should have; completeness is the share that is filled.
Of an event it is the customer, on a sample of the day's newest batches."""

_SAMPLED_BATCHES = 3
_WINDOWS = {"last_minute": 60, "last_hour": 3600, "last_24h": 86_400}

_LEDGER = f"""
SELECT max(received_at), max(newest_at), coalesce(sum(lines), 0),
    coalesce(sum(events), 0),
    {", ".join(f"coalesce(sum({name}), 0)" for name in Batch.TOTALS)},
    {
    ", ".join(
        f"coalesce(sum(fetched) FILTER (WHERE received_at > %(now)s - "
        f"interval '{seconds} seconds'), 0)"
        for seconds in _WINDOWS.values()
    )
}
FROM cg_batch WHERE source_id = %(source)s
"""
_BY_DAY = """
SELECT s.id, s.name, (b.received_at AT TIME ZONE 'UTC')::date,
    sum(b.fetched), sum(b.duplicate), sum(b.quarantined), sum(b.filtered),
    sum(b.fetched) FILTER (WHERE b.newest_at IS NOT NULL),
    sum(b.fetched) FILTER (WHERE b.received_at - b.newest_at <= %(fresh)s),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(
        extract(epoch FROM b.received_at - b.newest_at), 0))
        FILTER (WHERE b.newest_at IS NOT NULL)
FROM cg_batch b JOIN cg_source s ON s.id = b.source_id
WHERE s.organization_id = %(org)s AND b.received_at >= %(start)s
    AND b.received_at < %(end)s AND (%(name)s = '' OR s.name = %(name)s)
GROUP BY 1, 2, 3 ORDER BY 3 DESC, 2
"""
_REASONS = """
SELECT q.source_id, (q.first_seen_at AT TIME ZONE 'UTC')::date, q.code, count(*)
FROM cg_quarantine q WHERE q.organization_id = %(org)s
    AND q.first_seen_at >= %(start)s AND q.first_seen_at < %(end)s
GROUP BY 1, 2, 3
"""
_EVENTS = f"""
WITH picked AS (
    SELECT id, source_id, day FROM (
        SELECT b.id, b.source_id, (b.received_at AT TIME ZONE 'UTC')::date AS day,
            row_number() OVER (PARTITION BY b.source_id,
                (b.received_at AT TIME ZONE 'UTC')::date ORDER BY b.id DESC) AS nr
        FROM cg_batch b WHERE b.organization_id = %(org)s AND b.events > 0
            AND b.source_id = ANY(%(sources)s)
            AND b.received_at >= %(start)s AND b.received_at < %(end)s
    ) ranked WHERE nr <= {_SAMPLED_BATCHES}
)
SELECT p.source_id, p.day, count(*), count(e.customer_source_id)
FROM picked p JOIN cg_usage_event e ON e.batch_id = p.id
WHERE e.batch_id = ANY(ARRAY(SELECT id FROM picked))
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source now. Times are aware; lag_s is since its newest record."""

    source_system: str
    kind: str
    state: str
    first_seen_at: datetime
    last_received_at: datetime | None
    newest_record_at: datetime | None
    lag_s: float | None
    records: dict[str, dict[str, float]]
    totals: dict[str, int]
    stored: dict[str, int]
    quarantine: dict[str, int]


@dataclass(frozen=True, slots=True)
class QualityDay:
    """One source on one UTC day; percentages 0-100, None where not measured."""

    source_system: str
    day: date
    records: int
    completeness_pct: float | None
    validity_pct: float | None
    uniqueness_pct: float | None
    timeliness_pct: float | None
    lag_p50_s: float | None
    quarantined: dict[str, int]


def get_status(org_id: int, name: str, *, now: datetime) -> SourceStatus | None:
    """The status of a source of the organisation; None if there is no such source."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT id, kind, first_seen_at FROM cg_source "
            "WHERE organization_id = %s AND name = %s",
            [org_id, name],
        )
        source = cur.fetchone()
        if source is None:
            return None
        cur.execute(_LEDGER, {"source": source[0], "now": now})
        last, newest, batches, events, *numbers = cur.fetchone()
        totals = dict(zip(Batch.TOTALS, map(int, numbers), strict=False))
        rates = numbers[len(Batch.TOTALS) :]
        stored = _count_stored(cur, source[0])
        cur.execute(
            "SELECT code, count(*) FROM cg_quarantine "
            "WHERE source_id = %s AND state = 'open' GROUP BY 1 ORDER BY 2 DESC, 1",
            [source[0]],
        )
        quarantine = dict(cur.fetchall())
    if events:
        stored["event"] = int(events)
    return SourceStatus(
        source_system=name,
        kind=source[1],
        state=_state(last, now),
        first_seen_at=source[2],
        last_received_at=last,
        newest_record_at=newest,
        lag_s=None if newest is None else max(0.0, (now - newest).total_seconds()),
        records={
            window: {"records": int(count), "per_second": round(count / seconds, 3)}
            for (window, seconds), count in zip(_WINDOWS.items(), rates, strict=True)
        },
        totals={"batches": batches, **totals},
        stored=stored,
        quarantine=quarantine,
    )


def list_quality(
    org_id: int, *, first: date, last: date, name: str = ""
) -> list[QualityDay]:
    """Newest day first, then by source; days on which a source sent nothing are left
    out. first, last: UTC days, both included. name: one source only."""
    scope: dict[str, Any] = {
        "org": org_id,
        "start": datetime.combine(first, time(), UTC),
        "end": datetime.combine(last + timedelta(days=1), time(), UTC),
        "name": name,
        "fresh": FRESH_WITHIN,
    }
    with connection.cursor() as cur:
        cur.execute(_BY_DAY, scope)
        rows = cur.fetchall()
        sources = sorted({row[0] for row in rows})
        cur.execute(_REASONS, scope)
        reasons: dict[tuple[int, date], dict[str, int]] = {}
        for source_id, day, code, count in cur.fetchall():
            reasons.setdefault((source_id, day), {})[code] = count
        filled = _measure_completeness(cur, {**scope, "sources": sources})
    return [
        QualityDay(
            source_system=source_name,
            day=day,
            records=int(fetched),
            completeness_pct=_share(*filled.get((source_id, day), (0, 0))),
            validity_pct=_share(fetched - filtered - refused, fetched - filtered),
            uniqueness_pct=_share(fetched - filtered - repeated, fetched - filtered),
            timeliness_pct=_share(fresh or 0, dated or 0),
            lag_p50_s=None if lag is None else round(float(lag), 3),
            quarantined=reasons.get((source_id, day), {}),
        )
        for (
            source_id,
            source_name,
            day,
            fetched,
            repeated,
            refused,
            filtered,
            dated,
            fresh,
            lag,
        ) in rows
    ]


def _count_stored(cur: Any, source_id: int) -> dict[str, int]:
    counts = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE source_id = %(id)s "
        f"AND deleted_at IS NULL {_real_only(kind)})"
        for kind, table in TABLES.items()
    )
    cur.execute(f"SELECT {counts}", {"id": source_id})
    found = dict(zip(TABLES, cur.fetchone(), strict=True))
    return {kind: count for kind, count in found.items() if count}


def _real_only(kind: str) -> str:
    return "AND NOT is_stub" if kind == "customer" else ""


def _measure_completeness(
    cur: Any, scope: Mapping[str, Any]
) -> dict[tuple[int, date], tuple[float, float]]:
    """(source, day) -> (fields filled, fields that should be) of what was stored."""
    out: dict[tuple[int, date], tuple[float, float]] = {}
    queries = [_entity_query(kind, fields) for kind, fields in KEY_FIELDS.items()]
    for query in (" UNION ALL ".join(queries), _EVENTS):
        cur.execute(query, scope)
        for source_id, day, expected, found in cur.fetchall():
            have, wanted = out.get((source_id, day), (0, 0))
            out[source_id, day] = (have + float(found), wanted + float(expected))
    return out


def _entity_query(kind: str, fields: Sequence[str]) -> str:
    filled = " + ".join(f"count({field})" for field in fields)
    return f"""
    SELECT source_id, (updated_at AT TIME ZONE 'UTC')::date, count(*) * {len(fields)},
        {filled}
    FROM {TABLES[kind]} WHERE organization_id = %(org)s
        AND source_id = ANY(%(sources)s) AND content_hash IS NOT NULL
        AND updated_at >= %(start)s AND updated_at < %(end)s GROUP BY 1, 2"""


def _share(part: float, whole: float) -> float | None:
    return round(100 * float(part) / float(whole), 2) if whole else None


def _state(last: datetime | None, now: datetime) -> str:
    if last is None:
        return "never"
    return "active" if now - last <= timedelta(hours=1) else "idle"
