"""Metric values of many customers at once: one SQL statement per kind of fact.

Everything here reads what is known at `now`; the arrays follow
`definition.METRICS`. Facts a and b are the numbers a sentence quotes.
"""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
from psycopg import Cursor

from analytics.definition import METRICS
from analytics.facts.base import DAY_S, CustomerFacts, M
from analytics.facts.billing import fill_billing
from analytics.facts.service import fill_engagement, fill_sentiment, fill_support
from analytics.facts.usage import fill_usage
from analytics.health import Floats

FEEDS: dict[str, str] = {
    "events": "SELECT 1 FROM cg_batch b WHERE b.source_id = s.id AND b.events > 0",
    "invoices": "SELECT 1 FROM cg_invoice x WHERE x.source_id = s.id",
    "subscriptions": "SELECT 1 FROM cg_subscription x WHERE x.source_id = s.id",
    "tickets": "SELECT 1 FROM cg_ticket x WHERE x.source_id = s.id",
    "contact": "SELECT 1 FROM cg_conversation x WHERE x.source_id = s.id",
    "campaigns": "SELECT 1 FROM cg_campaign_engagement x WHERE x.source_id = s.id",
}
"""Kind of fact -> whether source s has ever delivered it."""


def gather(
    cur: Cursor, org_id: int, customer_ids: list[int], now: datetime, timezone: str
) -> CustomerFacts:
    """All metric values of these customers of one organisation."""
    cur.execute("SELECT (%s::timestamptz AT TIME ZONE %s)::date", [now, timezone])
    today: date = cur.fetchone()[0]
    facts = CustomerFacts.empty(len(customer_ids))
    index = {customer_id: row for row, customer_id in enumerate(customer_ids)}
    # As one literal: adapting thousands of numbers for each statement costs more than
    # some of the statements.
    ids = f"{{{','.join(map(str, customer_ids))}}}"
    feeds = _feed_ages(cur, org_id, now)
    sources = _customer_sources(cur, ids, index)
    ages = _ages(feeds, sources, len(customer_ids))
    fill_usage(cur, ids, index, today, now, facts, ages["events"])
    fill_billing(cur, ids, index, now, facts, ages)
    fill_support(cur, ids, index, now, facts, ages["tickets"])
    fill_engagement(cur, ids, index, now, facts)
    fill_sentiment(cur, ids, index, now, facts)
    for metric in METRICS:
        if metric.source in ages:
            facts.age_days[:, M[metric.name]] = ages[metric.source]
    return facts


def _feed_ages(cur: Cursor, org_id: int, now: datetime) -> dict[str, dict[int, float]]:
    """Kind of fact -> source id -> days since that source was last heard of."""
    columns = ", ".join(f"EXISTS ({sql})" for sql in FEEDS.values())
    cur.execute(
        f"SELECT s.id, (SELECT max(b.received_at) FROM cg_batch b "
        f"WHERE b.source_id = s.id), {columns} FROM cg_source s "
        "WHERE s.organization_id = %s",
        [org_id],
    )
    out: dict[str, dict[int, float]] = {kind: {} for kind in FEEDS}
    for source_id, heard_at, *has in cur.fetchall():
        if heard_at is None:
            continue
        age = max(0.0, (now - heard_at).total_seconds() / DAY_S)
        for kind, feeds in zip(FEEDS, has, strict=True):
            if feeds:
                out[kind][source_id] = age
    return out


def _customer_sources(
    cur: Cursor, ids: str, index: dict[int, int]
) -> list[tuple[int, int]]:
    cur.execute(
        "SELECT DISTINCT customer_id, source_id FROM cg_customer_source "
        "WHERE customer_id = ANY(%s::bigint[])",
        [ids],
    )
    return [(index[customer], source) for customer, source in cur.fetchall()]


def _ages(
    feeds: dict[str, dict[int, float]], sources: list[tuple[int, int]], n: int
) -> dict[str, Floats]:
    """Per kind: (n,) age of the freshest source of that kind; NaN = not connected."""
    out = {}
    for kind, by_source in feeds.items():
        age = np.full(n, np.inf)
        for row, source in sources:
            if source in by_source and by_source[source] < age[row]:
                age[row] = by_source[source]
        out[kind] = np.where(np.isinf(age), np.nan, age)
    return out


__all__ = ["FEEDS", "CustomerFacts", "M", "gather"]
