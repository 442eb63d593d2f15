"""What a customer looks like, resolved from all the sources that know it.

Rule: per field the newest non-null value over the customer's source identities, where
newest is the source's own time, else when we stored it. Identity work (merge, split)
calls this after re-pointing identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Cursor

_TEXT = {
    "domain": 253,
    "email": 320,
    "country": 80,
    "industry": 120,
    "segment": 80,
    "plan": 120,
    "owner": 200,
    "lifecycle_stage": 80,
}
"""Text fields and the longest value `cg_customer` takes."""
_TIMES = ("signup_at", "churned_at")
_NEWEST = (
    "ORDER BY r.deleted_at IS NOT NULL, "
    "coalesce(r.source_updated_at, r.updated_at) DESC, r.id DESC"
)
_COLUMNS = ("name", *_TEXT, *_TIMES, "seats", "custom")


def resolve_customers(
    cur: Cursor, customer_ids: Sequence[int], now: datetime
) -> list[int]:
    """Write the resolved values; returns the ids of the customers that changed.

    A customer whom no source names is called by the external id of its oldest
    identity. Idempotent; runs in the caller's transaction.
    """
    if not customer_ids:
        return []
    cur.execute(
        _STATEMENT, {"ids": sorted(set(customer_ids)), "now": now}, prepare=False
    )
    return [row[0] for row in cur.fetchall()]


def _newest(column: str, value: str | None = None) -> str:
    return (
        f"(array_agg({value or f'r.{column}'} {_NEWEST}) "
        f"FILTER (WHERE r.{column} IS NOT NULL))[1]"
    )


def _build() -> str:
    picks = [
        f"left(coalesce((array_agg(r.name {_NEWEST}) FILTER (WHERE r.name <> ''))[1], "
        "(array_agg(r.external_id ORDER BY r.id))[1]), 300) AS name"
    ]
    picks += [
        f"left(coalesce({_newest(name)}, ''), {most}) AS {name}"
        for name, most in _TEXT.items()
    ]
    picks += [f"{_newest(name)} AS {name}" for name in _TIMES]
    picks.append(
        f"{_newest('seats', 'least(greatest(r.seats, 0), 2147483647)::int')} AS seats"
    )
    picks.append(
        f"coalesce((array_agg(r.custom {_NEWEST}) FILTER "
        "(WHERE r.custom <> '{}'))[1], '{}') AS custom"
    )
    columns = ", ".join(_COLUMNS)
    new = ", ".join(f"n.{name}" for name in _COLUMNS)
    old = ", ".join(f"c.{name}" for name in _COLUMNS)
    return (
        f"WITH n AS (SELECT r.customer_id, {', '.join(picks)} "
        "FROM cg_customer_source r WHERE r.customer_id = ANY(%(ids)s) "
        "GROUP BY r.customer_id) "
        f"UPDATE cg_customer c SET ({columns}) = ROW({new}), updated_at = %(now)s "
        f"FROM n WHERE c.id = n.customer_id AND ({old}) IS DISTINCT FROM ({new}) "
        "RETURNING c.id"
    )


_STATEMENT = _build()
