"""Metric values of many customers at once: one SQL statement per kind of fact.

Everything here reads what is known at `now`; the arrays follow
`definition.METRICS`. Facts a and b are the numbers a sentence quotes.
"""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
from psycopg import Cursor

from analytics.definition import METRICS
from analytics.facts.base import DAY_S, CustomerFacts, Links, M, get_links
from analytics.facts.billing import fill_billing
from analytics.facts.engagement import fill_engagement
from analytics.facts.service import fill_sentiment, fill_support
from analytics.facts.usage import fill_usage
from analytics.health import Floats

FEEDS: dict[str, str] = {
    "events": "SELECT 1 FROM cg_batch b WHERE b.source_id = s.id AND b.events > 0",
    "invoices": "SELECT 1 FROM cg_invoice x WHERE x.source_id = s.id",
    "subscriptions": "SELECT 1 FROM cg_subscription x WHERE x.source_id = s.id",
    "tickets": "SELECT 1 FROM cg_ticket x WHERE x.source_id = s.id",
    "contact": "SELECT 1 FROM cg_conversation x WHERE x.source_id = s.id UNION ALL "
    "SELECT 1 FROM cg_contact x WHERE x.source_id = s.id "
    "AND x.last_contacted_at IS NOT NULL",
    "campaigns": "SELECT 1 FROM cg_campaign_engagement x WHERE x.source_id = s.id",
}
"""Kind of fact -> whether source s has ever delivered it."""


def gather(
    cur: Cursor, org_id: int, customer_ids: list[int], now: datetime, timezone: str
) -> CustomerFacts:
    """All metric values of these customers of one organisation."""
    cur.execute(
        "SELECT (%s::timestamptz AT TIME ZONE %s)::date, upper(base_currency) "
        "FROM cg_organization WHERE id = %s",
        [now, timezone, org_id],
    )
    row = cur.fetchone()
    assert row is not None
    today: date = row[0]
    money = {"org": org_id, "base": row[1], "day": today}
    facts = CustomerFacts.empty(len(customer_ids))
    links = get_links(cur, np.array(customer_ids, dtype=np.int64))
    ages = _ages(_feed_ages(cur, org_id, now), links)
    fill_usage(cur, links, today, now, facts, ages["events"])
    fill_billing(cur, links, now, facts, ages, money)
    fill_support(cur, links, now, facts, ages["tickets"])
    fill_engagement(cur, links, now, facts, ages)
    fill_sentiment(cur, links, now, facts)
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


def _ages(feeds: dict[str, dict[int, float]], links: Links) -> dict[str, Floats]:
    """Per kind: (n,) age of the freshest source of that kind; NaN = not connected."""
    out = {}
    sources, source = np.unique(links.source, return_inverse=True)
    for kind, by_source in feeds.items():
        known = np.array([by_source.get(one, np.inf) for one in sources.tolist()])
        age = np.full(links.n, np.inf)
        if len(known):
            np.minimum.at(age, links.row, known[source])
        out[kind] = np.where(np.isinf(age), np.nan, age)
    return out


__all__ = ["FEEDS", "CustomerFacts", "M", "gather"]
