"""Usage metrics: own habit, own gap, seats, features."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
from psycopg import Cursor

from analytics.facts.base import DAY_S, CustomerFacts, column_of, row_numbers
from analytics.health import Floats
from analytics.rollups import WINDOW_DAYS


def fill_usage(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    today: date,
    now: datetime,
    facts: CustomerFacts,
    age: Floats,
) -> None:
    """Active days against own habit, gap against usual gap, seats, breadth.

    Habit: active days per 28 in the 90 days before the last 28; needs 28 days of
    history. A connected customer without any event for 28 days or more scores 0.
    """
    n = len(index)
    counts = np.zeros((n, WINDOW_DAYS), dtype=np.int64)
    first = np.full(n, np.nan)
    last = np.full(n, np.nan)
    cur.execute(
        "SELECT s.customer_id, w.base_day, w.days, "
        "extract(epoch FROM w.first_event_at), extract(epoch FROM w.last_event_at) "
        "FROM cg_usage_window w JOIN cg_customer_source s "
        "ON s.id = w.customer_source_id WHERE s.customer_id = ANY(%s::bigint[])",
        [ids],
    )
    start = today - timedelta(days=WINDOW_DAYS - 1)
    for customer_id, base_day, days, first_s, last_s in cur.fetchall():
        row = index[customer_id]
        shift = (base_day - start).days
        if -WINDOW_DAYS < shift < WINDOW_DAYS:
            source = np.asarray(days, dtype=np.int64)
            if shift >= 0:
                counts[row, shift:] += source[: WINDOW_DAYS - shift]
            else:
                counts[row, :shift] += source[-shift:]
        first[row] = np.fmin(first[row], float(first_s))
        last[row] = np.fmax(last[row], float(last_s))
    now_s = now.timestamp()
    active = counts > 0
    recent = active[:, -28:].sum(axis=1).astype(float)
    before = active[:, -118:-28].sum(axis=1) * 28.0 / 90.0
    history_days = np.where(np.isnan(first), 0.0, (now_s - first) / DAY_S)
    span = np.clip(history_days - 28.0, 1.0, 90.0)
    habit = np.where(history_days > 28, before * 90.0 / span, np.nan)
    connected = ~np.isnan(age)
    gone = connected & ~np.isnan(first) & (recent == 0)
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
        usual = np.where(active_before >= 3, seen_days / active_before, np.nan)
        gap_ratio = np.where(
            gone & np.isnan(usual), 4.0, gap_days / np.fmax(usual, 1.0)
        )
    gap_ratio = np.where(gone | (active_before >= 3), gap_ratio, np.nan)
    facts.put(
        rows,
        "recency_gap",
        gap_ratio[rows],
        a=gap_days[rows],
        b=usual[rows],
        at=last[rows],
    )
    _seats_and_breadth(cur, ids, index, now, facts, connected)


def _seats_and_breadth(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    facts: CustomerFacts,
    connected: npt.NDArray[np.bool_],
) -> None:
    recent_from, adopted_from = now - timedelta(days=28), now - timedelta(days=118)
    cur.execute(
        "SELECT s.customer_id, "
        "count(DISTINCT u.user_key) FILTER (WHERE u.last_at > %(recent)s "
        "  AND u.user_key <> ''), "
        "count(DISTINCT u.name) FILTER (WHERE u.last_at > %(recent)s "
        "  AND u.first_at <= %(recent)s), "
        "count(DISTINCT u.name) FILTER (WHERE u.first_at <= %(recent)s "
        "  AND u.last_at > %(adopted)s), "
        "extract(epoch FROM max(u.last_at)), bool_or(u.user_key <> '') "
        "FROM an_usage_seen u JOIN cg_customer_source s "
        "ON s.id = u.customer_source_id "
        "WHERE s.customer_id = ANY(%(ids)s::bigint[]) GROUP BY 1",
        {"ids": ids, "recent": recent_from, "adopted": adopted_from},
    )
    found = cur.fetchall()
    if not found:
        return
    cur.execute("SELECT id, seats FROM cg_customer WHERE id = ANY(%s::bigint[])", [ids])
    seats = dict(cur.fetchall())
    rows = row_numbers(found, index)
    users, used, adopted = (column_of(found, i) for i in (1, 2, 3))
    at = column_of(found, 4)
    paid = np.array([float(seats.get(row[0]) or np.nan) for row in found])
    has_users = np.array([bool(row[5]) for row in found])
    with np.errstate(divide="ignore", invalid="ignore"):
        seat_share = np.where(has_users & (paid > 0), users / paid, np.nan)
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
