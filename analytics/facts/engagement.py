"""Engagement metrics: two-way contact, replies, campaign response, champions."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, OF, CustomerFacts, Links, literal
from analytics.facts.reading import read
from analytics.health import Floats

_CONTACT = f"""
SELECT row, date_part('epoch', max(at)) AS at FROM (
    SELECT s.row, coalesce(c.last_message_at, c.started_at) AS at
    FROM cg_conversation c {OF} c.customer_source_id
    WHERE c.direction IN ('both', 'in') AND c.deleted_at IS NULL
    UNION ALL
    SELECT s.row, c.last_contacted_at FROM cg_contact c {OF} c.customer_source_id
    WHERE c.deleted_at IS NULL
) x WHERE at IS NOT NULL AND at <= %(now)s GROUP BY 1
"""
_CAMPAIGNS = f"""
SELECT s.row, count(*) FILTER (WHERE e.kind IN ('sent', 'delivered')) AS sent,
    count(*) FILTER (WHERE e.kind IN ('opened', 'clicked', 'attended', 'submitted'))
        AS answered,
    date_part('epoch', max(e.occurred_at)) AS at
FROM cg_campaign_engagement e {OF} e.customer_source_id
WHERE e.occurred_at > %(since)s AND e.deleted_at IS NULL GROUP BY 1
"""


def replies_sql(owner: str, mails: str) -> str:
    """(owner, sent, answered, at): of the newest 10 mails to a customer in the year
    before %(now)s, how many were answered; at least 3. A mail is answered by its own
    thread, or by one that comes in within 14 days; it may wait 3 days for that.

    mails: what follows `FROM cg_conversation x`, up to a condition.
    """
    return f"""
SELECT owner, count(*) AS sent, count(*) FILTER (WHERE is_answered) AS answered,
    date_part('epoch', max(at)) AS at
FROM (
    SELECT *, row_number() OVER (PARTITION BY owner ORDER BY at DESC, id DESC) AS place
    FROM (
        SELECT {owner} AS owner, x.id, x.started_at AS at, x.direction,
            x.direction = 'both' OR coalesce(
                min(x.started_at) FILTER (WHERE x.direction = 'in') OVER (
                    PARTITION BY {owner} ORDER BY x.started_at, x.id
                    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
                <= x.started_at + interval '14 days', false) AS is_answered
        FROM cg_conversation x {mails} AND x.kind = 'email'
        AND x.started_at > %(now)s - interval '365 days' AND x.started_at < %(now)s
    ) mail
    WHERE direction IN ('out', 'both')
    AND (is_answered OR at <= %(now)s - interval '3 days')
) newest WHERE place <= 10 GROUP BY 1 HAVING count(*) >= 3
"""


_REPLIES = replies_sql(
    "s.row", f"{OF} x.customer_source_id WHERE x.deleted_at IS NULL"
).replace("SELECT owner,", "SELECT owner AS row,", 1)

_FEEDS = ("events", "contact", "campaigns")
"""Where a champion can be seen; `feed` in the statement is the place here."""
_CHAMPIONS = f"""
WITH champion AS MATERIALIZED (
    SELECT s.row, c.id, c.person_id, c.source_id, c.external_id, c.user_id, c.email,
        c.last_contacted_at, c.deleted_at
    FROM cg_contact c {OF} c.customer_source_id WHERE c.is_champion
), member AS MATERIALIZED (
    SELECT row, id, source_id, external_id, user_id, email, last_contacted_at
    FROM champion WHERE deleted_at IS NULL
    UNION
    SELECT h.row, c.id, c.source_id, c.external_id, c.user_id, c.email,
        c.last_contacted_at
    FROM champion h JOIN cg_contact c ON c.person_id = h.person_id
    WHERE h.deleted_at IS NULL AND c.deleted_at IS NULL
), sign AS MATERIALIZED (
    SELECT row, source_id, external_id AS key FROM member
    UNION SELECT row, NULL, btrim(user_id) FROM member WHERE btrim(user_id) <> ''
    UNION SELECT row, NULL, lower(btrim(email)) FROM member WHERE btrim(email) <> ''
), identity AS MATERIALIZED (
    SELECT * FROM unnest(%(refs)s::bigint[], %(rows)s::int[], %(sources)s::bigint[])
        AS s (id, row, source_id)
    WHERE s.row IN (SELECT row FROM member)
), seen AS (
    SELECT i.row, 0 AS feed, max(u.last_at) AS at
    FROM identity i JOIN an_usage_seen u ON u.customer_source_id = i.id
    JOIN sign ON sign.row = i.row AND coalesce(sign.source_id, i.source_id)
        = i.source_id AND sign.key = CASE WHEN strpos(u.user_key, '@') > 0
        THEN lower(u.user_key) ELSE u.user_key END
    GROUP BY 1
    UNION ALL
    SELECT i.row, 1, max(coalesce(c.last_message_at, c.started_at))
    FROM identity i JOIN cg_conversation c ON c.customer_source_id = i.id
    JOIN member m ON m.row = i.row AND m.source_id = c.source_id
        AND m.external_id = c.contact_id
    WHERE c.direction IN ('both', 'in') AND c.deleted_at IS NULL GROUP BY 1
    UNION ALL
    SELECT row, 1, max(last_contacted_at) FROM member GROUP BY 1
    UNION ALL
    SELECT i.row, 2, max(e.occurred_at)
    FROM identity i JOIN cg_campaign_engagement e ON e.customer_source_id = i.id
    JOIN member m ON m.row = i.row AND m.source_id = e.source_id
        AND m.external_id = e.contact_id
    WHERE e.kind IN ('opened', 'clicked', 'attended', 'submitted')
        AND e.deleted_at IS NULL GROUP BY 1
)
SELECT c.row, c.living, date_part('epoch', c.gone_at) AS gone_at,
    date_part('epoch', s.at) AS at, s.events, s.contact, s.campaigns
FROM (
    SELECT row, count(DISTINCT coalesce(-person_id, id))
        FILTER (WHERE deleted_at IS NULL) AS living, max(deleted_at) AS gone_at
    FROM champion GROUP BY 1
) c LEFT JOIN (
    SELECT row, max(at) AS at, bool_or(feed = 0)::int AS events,
        bool_or(feed = 1)::int AS contact, bool_or(feed = 2)::int AS campaigns
    FROM seen WHERE at <= %(now)s GROUP BY 1
) s ON s.row = c.row
"""


def fill_engagement(
    cur: Cursor,
    links: Links,
    now: datetime,
    facts: CustomerFacts,
    ages: dict[str, Floats],
) -> None:
    """Days since two-way contact, answered share of the last mails, opened or clicked
    per campaign mail of 90 days, days since a champion was last active."""
    found = read(cur, _CONTACT, links.parameters(now=now), ("row", "at"))
    at = found["at"]
    days = (now.timestamp() - at) / DAY_S
    facts.put(found["row"].astype(np.int64), "last_contact", days, a=days, at=at)
    since = now - timedelta(days=90)
    for sql, metric in ((_REPLIES, "replies"), (_CAMPAIGNS, "campaigns")):
        found = read(
            cur,
            sql,
            links.parameters(now=now, since=since),
            ("row", "sent", "answered", "at"),
        )
        was_sent = found["sent"] > 0
        rows, sent, answered, at = (column[was_sent] for column in found.values())
        facts.put(
            rows.astype(np.int64), metric, answered / sent, a=answered, b=sent, at=at
        )
    _champions(cur, links, now, facts, ages)


def _champions(
    cur: Cursor,
    links: Links,
    now: datetime,
    facts: CustomerFacts,
    ages: dict[str, Floats],
) -> None:
    """Days since any champion used the product, talked or answered a campaign; those
    never seen anywhere are unknown, and without end where all champions are deleted.

    The age of this knowledge is that of the feed, among those a champion was ever seen
    in, which was heard of longest ago: its silence may be the feed's. It is no older
    than the fact itself.
    """
    found = read(
        cur,
        _CHAMPIONS,
        links.parameters(now=now, sources=literal(links.source.tolist())),
        ("row", "living", "gone_at", "at", *_FEEDS),
    )
    rows = found["row"].astype(np.int64)
    living, is_left = found["living"], found["living"] == 0
    at = np.where(is_left, found["gone_at"], found["at"])
    days = (now.timestamp() - at) / DAY_S
    age = np.zeros(len(rows))
    for feed in _FEEDS:
        was_seen = ~is_left & (found[feed] == 1)
        heard = np.nan_to_num(ages[feed][rows], nan=np.inf)
        age = np.where(was_seen, np.fmax(age, heard), age)
    known = ~np.isnan(days)
    facts.put(
        rows[known],
        "champion",
        np.where(is_left, np.inf, days)[known],
        a=days[known],
        b=living[known],
        at=at[known],
        age=np.fmin(age, days)[known],
    )
