"""Identities that may be the same company or person, for someone to accept or reject.

Pairs are found in the database inside small blocks, weighed in `alike_customers` and
`alike_people`, and kept for a day. Weights add up like evidence: a word for, a word
against. Nothing is ever linked by them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction

from analytics.identity import alike_customers, alike_people
from analytics.identity.levels import CUSTOMERS, LEVELS, PEOPLE, Level
from churnguard.models import Customer, Organization

log = logging.getLogger(__name__)

THRESHOLD = 4.0
MOST = 200
_PAIRS = 5_000
_CROWD = 20
"""What more identities than this carry names nobody in particular."""
_KEEP_S = 86_400
_OUTGROWN = 1.1
_TIMEOUT_MS = 60_000

_STILL_OPEN = """
SELECT p.first, p.second
FROM unnest(%(first)s::bigint[], %(second)s::bigint[]) p (first, second)
JOIN {member} x ON x.id = p.first AND x.organization_id = %(org)s
JOIN {member} y ON y.id = p.second AND y.organization_id = %(org)s
WHERE x.{pointer} <> y.{pointer} AND NOT EXISTS (
    SELECT 1 FROM {decisions} d
    JOIN {member} a ON a.id = d.first_id
    JOIN {member} b ON b.id = d.second_id
    WHERE d.organization_id = %(org)s AND d.revoked_at IS NULL
      AND d.verdict = 'cannot'
      AND ((a.{pointer} = x.{pointer} AND b.{pointer} = y.{pointer})
        OR (a.{pointer} = y.{pointer} AND b.{pointer} = x.{pointer})))
"""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """first, second: identity ids; evidence: (sentence, weight); they add up."""

    first: int
    second: int
    weight: float
    evidence: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The suggestions of an organisation, when they were computed (UTC), and over how
    many identities."""

    at: datetime
    items: list[Suggestion]
    members: int

    def first(self, count: int) -> Found:
        """The likeliest."""
        return replace(self, items=self.items[:count])


@dataclass(frozen=True, slots=True)
class _Likeness:
    """pairs: SQL of rows that begin with both identities and both entities; `weigh`
    gives the reasons of a row."""

    pairs: str
    parameters: Callable[[], dict[str, Any]]
    weigh: Callable[[tuple[Any, ...]], list[tuple[str, float]]]


_LIKENESS = {
    level.name: _Likeness(module.PAIRS, module.parameters, module.weigh_row)
    for level, module in ((CUSTOMERS, alike_customers), (PEOPLE, alike_people))
}


def compute(
    organization: Organization, now: datetime, level: Level = CUSTOMERS
) -> Found:
    """Find them now and keep them for a day. Bounded: blocks of at most 20
    identities, 5,000 pairs weighed, 200 kept, a minute of the database."""
    likeness = _LIKENESS[level.name]
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}")
        cur.execute(
            likeness.pairs,
            {
                "org": organization.pk,
                "crowd": _CROWD,
                "pairs": _PAIRS,
                **likeness.parameters(),
            },
        )
        rows = cur.fetchall()
    best: dict[tuple[int, int], Suggestion] = {}
    for row in rows:
        reasons = likeness.weigh(row)
        weight = sum(points for _, points in reasons)
        if weight < THRESHOLD:
            continue
        between = (min(row[2:4]), max(row[2:4]))
        known = best.get(between)
        if known is None or weight > known.weight:
            best[between] = Suggestion(row[0], row[1], weight, tuple(reasons))
    # Among equals the rows' own order stays, which is no order of arrival.
    items = sorted(best.values(), key=lambda s: -s.weight)
    # What was decided is dropped before the limit, or it could fill it.
    found = Found(
        at=now,
        items=_still_open(organization, items, level)[:MOST],
        members=_count(organization, level),
    )
    cache.set(_key(organization.pk, level), found, _KEEP_S)
    return found


def current(
    organization: Organization, now: datetime, level: Level = CUSTOMERS
) -> Found:
    """Those of the last day, computed now when there are none or much arrived since;
    without what has been decided or linked since."""
    found = cache.get(_key(organization.pk, level))
    if not isinstance(found, Found) or _is_outgrown(organization, found, level):
        return compute(organization, now, level)
    return replace(found, items=_still_open(organization, found.items, level))


def tick(now: datetime | None = None) -> int:
    """Loop: compute for one organisation that has had none for a day; returns 1, or 0
    when there is none. The mark is set first, so two workers do not both do it."""
    at = now or datetime.now(UTC)
    with_customers = Customer.objects.values("organization_id").distinct()
    for organization in Organization.objects.filter(pk__in=with_customers):
        mark = f"identity:suggested:{organization.pk}"
        if cache.add(mark, at.isoformat(), _KEEP_S - 60):
            for level in LEVELS:
                found = compute(organization, at, level)
                log.info(
                    "identity.suggested",
                    extra={"level": level.name, "record_count": len(found.items)},
                )
            return 1
    return 0


def _is_outgrown(organization: Organization, found: Found, level: Level) -> bool:
    """As after a first import, which goes on while suggestions are looked for."""
    return _count(organization, level) > found.members * _OUTGROWN


def _count(organization: Organization, level: Level) -> int:
    return level.Member.objects.filter(organization=organization).count()


def _still_open(
    organization: Organization, items: list[Suggestion], level: Level
) -> list[Suggestion]:
    if not items:
        return []
    values: dict[str, Any] = {
        "org": organization.pk,
        "first": [item.first for item in items],
        "second": [item.second for item in items],
    }
    with connection.cursor() as cur:
        cur.execute(level.sql(_STILL_OPEN), values)
        left = set(cur.fetchall())
    return [item for item in items if (item.first, item.second) in left]


def _key(organization_pk: int, level: Level) -> str:
    return f"identity:suggestions:{level.name}:{organization_pk}"
