"""Usage metrics: own habit, own gap, seats, features."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
from psycopg import Cursor

from analytics.facts.base import DAY_S, OF, CustomerFacts, Links, M, literal
from analytics.facts.reading import read, read_days
from analytics.health import Floats
from analytics.rollups import WINDOW_DAYS

HABIT_DAYS = 28
"""History that a habit needs, before the days that are compared with it."""
_WINDOWS = f"""
SELECT s.row, w.base_day - %(start)s::date AS shift,
    date_part('epoch', w.first_event_at) AS first,
    date_part('epoch', w.last_event_at) AS last, w.days
FROM cg_usage_window w {OF} w.customer_source_id
"""
# Grouped twice by hashing, which costs a third of distinct counts per customer.
_SEEN = f"""
WITH groups AS (
    SELECT s.row, grouping(u.name) = 1 AS is_user, u.user_key <> '' AS has_key,
        bool_or(u.last_at > %(recent)s) AS recent,
        bool_or(u.last_at > %(recent)s AND u.first_at <= %(recent)s) AS used,
        bool_or(u.first_at <= %(recent)s AND u.last_at > %(adopted)s) AS adopted,
        max(u.last_at) AS at
    FROM an_usage_seen u {OF} u.customer_source_id
    GROUP BY GROUPING SETS ((s.row, u.user_key), (s.row, u.name))
)
SELECT row, count(*) FILTER (WHERE is_user AND has_key AND recent) AS users,
    count(*) FILTER (WHERE NOT is_user AND used) AS used,
    count(*) FILTER (WHERE NOT is_user AND adopted) AS adopted,
    date_part('epoch', max(at)) AS at,
    bool_or(is_user AND has_key)::int AS has_users
FROM groups GROUP BY 1
"""


def fill_usage(
    cur: Cursor,
    links: Links,
    today: date,
    now: datetime,
    facts: CustomerFacts,
    age: Floats,
) -> None:
    """Active days against own habit, gap against usual gap, seats, breadth.

    Habit: active days per 28 in the 90 days before the last 28; both it and the usual
    gap need 28 days of history, else the segment's median stands in. A connected
    customer without any event for 28 days or more scores 0.
    """
    n = links.n
    start = today - timedelta(days=WINDOW_DAYS - 1)
    found, days = read_days(
        cur,
        _WINDOWS,
        links.parameters(start=start),
        ("row", "shift", "first", "last"),
        WINDOW_DAYS,
    )
    owner = found["row"].astype(np.int64)
    first, last = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(first, owner, found["first"])
    np.maximum.at(last, owner, found["last"])
    first[np.isinf(first)] = last[np.isinf(last)] = np.nan
    active = _active(n, owner, found["shift"].astype(np.int64), days > 0)
    now_s = now.timestamp()
    recent = active[:, -28:].sum(axis=1).astype(float)
    before = active[:, -118:-28].sum(axis=1) * 28.0 / 90.0
    history_days = np.where(np.isnan(first), 0.0, (now_s - first) / DAY_S)
    span = np.clip(history_days - 28.0, HABIT_DAYS, 90.0)
    habit = np.where(history_days >= 28 + HABIT_DAYS, before * 90.0 / span, np.nan)
    connected = ~np.isnan(age)
    gone = connected & ~np.isnan(first) & (recent == 0)
    came = connected & ~np.isnan(first) & ~gone
    facts.ordinary[:, M["active_days"]] = came & np.isnan(habit)
    facts.ordinary[:, M["recency_gap"]] = came & (history_days < HABIT_DAYS)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(gone, 0.0, np.where(habit > 0, recent / habit, np.nan))
    rows = np.flatnonzero(connected)
    facts.put(
        rows, "active_days", ratio[rows], a=recent[rows], b=habit[rows], at=last[rows]
    )
    gap_days = (now_s - last) / DAY_S
    active_before = active[:, -118:].sum(axis=1)
    seen_days = np.clip(history_days, 1.0, 118.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_usual = (active_before >= 3) & (history_days >= HABIT_DAYS)
        usual = np.where(is_usual, seen_days / active_before, np.nan)
        gap_ratio = np.where(
            gone & np.isnan(usual), 4.0, gap_days / np.fmax(usual, 1.0)
        )
    gap_ratio = np.where(gone | is_usual, gap_ratio, np.nan)
    facts.put(
        rows,
        "recency_gap",
        gap_ratio[rows],
        a=gap_days[rows],
        b=usual[rows],
        at=last[rows],
    )
    _seats_and_breadth(cur, links, now, facts, connected)


def _active(
    n: int,
    owner: npt.NDArray[np.int64],
    shift: npt.NDArray[np.int64],
    active: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """(n, window) days on which any of a customer's identities was active, the last
    column today. shift: days from the first column to an identity's first day."""
    moved = np.zeros((len(owner), WINDOW_DAYS), dtype=bool)
    for by in np.unique(shift).tolist():
        some = shift == by
        if 0 <= by < WINDOW_DAYS:
            moved[some, by:] = active[some, : WINDOW_DAYS - by]
        elif -WINDOW_DAYS < by < 0:
            moved[some, :by] = active[some, -by:]
    out = np.zeros((n, WINDOW_DAYS), dtype=bool)
    order = np.argsort(owner, kind="stable")
    owners, starts = np.unique(owner[order], return_index=True)
    if len(owners):
        out[owners] = np.logical_or.reduceat(moved[order], starts, axis=0)
    return out


def _seats_and_breadth(
    cur: Cursor,
    links: Links,
    now: datetime,
    facts: CustomerFacts,
    connected: npt.NDArray[np.bool_],
) -> None:
    found = read(
        cur,
        _SEEN,
        links.parameters(
            recent=now - timedelta(days=28), adopted=now - timedelta(days=118)
        ),
        ("row", "users", "used", "adopted", "at", "has_users"),
    )
    rows = found["row"].astype(np.int64)
    paid = _seats(cur, links)[rows]
    users, used, adopted, at = (
        found[name] for name in ("users", "used", "adopted", "at")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        seat_share = np.where(
            (found["has_users"] == 1) & (paid > 0), users / paid, np.nan
        )
        breadth = np.where(adopted > 0, used / adopted, np.nan)
    keep = connected[rows]
    facts.put(
        rows[keep],
        "seats_used",
        seat_share[keep],
        a=users[keep],
        b=paid[keep],
        at=at[keep],
    )
    facts.put(
        rows[keep],
        "feature_breadth",
        breadth[keep],
        a=used[keep],
        b=adopted[keep],
        at=at[keep],
    )


def _seats(cur: Cursor, links: Links) -> Floats:
    """(n,) seats paid for; NaN = not known."""
    found = read(
        cur,
        "SELECT c.seats, o.row FROM unnest(%(ids)s::bigint[]) "
        "WITH ORDINALITY AS o (id, row) JOIN cg_customer c ON c.id = o.id",
        {"ids": literal(links.customers.tolist())},
        ("seats", "row"),
    )
    out = np.full(links.n, np.nan)
    out[found["row"].astype(np.int64) - 1] = found["seats"]
    return np.where(out == 0, np.nan, out)
