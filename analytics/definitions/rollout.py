"""Bringing a definition to the scores: mark who is concerned, then say once what moved.

A version is marked when all customers it concerns wait for a new score, announced when
none of them waits any more. Both are columns of its row, so a kill repeats at most one
round of marking.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from analytics import health
from analytics.models import ScoreDefinition
from analytics.scoring import active_definitions
from churnguard import notices
from churnguard.models import Customer, Notice

log = logging.getLogger(__name__)

AT_ONCE = 5_000
"""Organisations of so many customers are marked in the transaction of the change."""
SHOWN_FOR = timedelta(days=7)
KIND = "health_definition"
_CHUNK = 10_000
_ORDER = (health.AT_RISK, health.WATCH, health.HEALTHY)

_MOVES = """
WITH first AS (
    SELECT DISTINCT ON (h.customer_id) h.customer_id, h.at, h.score, h.band
    FROM an_health_score h JOIN cg_customer c ON c.id = h.customer_id
    WHERE h.organization_id = %(org)s AND h.definition_id = %(definition)s
    AND h.at >= %(since)s AND (%(segment)s = '' OR c.segment = %(segment)s)
    ORDER BY h.customer_id, h.at
)
SELECT p.band, f.band, count(*), sum(p.score), sum(f.score)
FROM first f CROSS JOIN LATERAL (
    SELECT h.band, h.score FROM an_health_score h
    WHERE h.customer_id = f.customer_id AND h.at < f.at ORDER BY h.at DESC LIMIT 1
) p GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the customers concerned still wait for a score by the newest
    definition; 0 = done."""

    pending: int
    total: int


def work(now: datetime | None = None) -> int:
    """Loop: mark for one version, or announce those that are through.

    Returns how many versions it finished a step of.
    """
    at = now or datetime.now(UTC)
    waiting = ScoreDefinition.objects.filter(
        Q(is_active=True) | Q(active_until__isnull=False)
    )
    unmarked = waiting.filter(marked_at__isnull=True).order_by("pk").first()
    if unmarked is not None:
        mark(unmarked, at)
        return 1
    done = 0
    for version in waiting.filter(announced_at__isnull=True).order_by("pk"):
        if not _waiting(version).exists():
            done += announce(version, at)
    for notice in Notice.objects.filter(
        kind=KIND, resolved_at__isnull=True, created_at__lt=at - SHOWN_FOR
    ):
        with transaction.atomic():
            notices.resolve_notice(connection, notice.organization_id, notice.key)
    return done


def mark(version: ScoreDefinition, now: datetime) -> int:
    """Ask for a new score of every customer the version is for (or was, when it was
    dropped); returns how many. Idempotent."""
    total = last = 0
    while True:
        with transaction.atomic():
            ids = list(
                concerned(version)
                .filter(pk__gt=last)
                .order_by("pk")
                .select_for_update(no_key=True)
                .values_list("pk", flat=True)[:_CHUNK]
            )
            Customer.objects.filter(pk__in=ids, score_stale_at__isnull=True).update(
                score_stale_at=now
            )
        if not ids:
            break
        total, last = total + len(ids), ids[-1]
    ScoreDefinition.objects.filter(pk=version.pk).update(
        marked_at=max(now, datetime.now(UTC))
    )
    version.refresh_from_db(fields=["marked_at"])
    log.info("definition.marked", extra={"record_count": total})
    return total


def concerned(version: ScoreDefinition) -> QuerySet[Customer]:
    """The living customers the version is for."""
    rows = Customer.objects.filter(
        organization=version.organization_id, merged_into__isnull=True
    )
    if version.segment:
        return rows.filter(segment=version.segment)
    own = ScoreDefinition.objects.filter(
        organization=version.organization_id, is_active=True
    ).exclude(segment="")
    return rows.exclude(segment__in=own.values("segment"))


def get_progress(version: ScoreDefinition) -> Progress:
    """Who was marked and has not been scored since."""
    rows = concerned(version)
    total = rows.count()
    if version.marked_at is None:
        return Progress(total, total)
    if version.announced_at is not None:
        return Progress(0, total)
    return Progress(_waiting(version).count(), total)


def _waiting(version: ScoreDefinition) -> QuerySet[Customer]:
    """Those concerned that were marked and have not been scored since."""
    return concerned(version).filter(score_stale_at__lte=version.marked_at)


def announce(version: ScoreDefinition, now: datetime) -> int:
    """Open the one notice of the version; 0 when another process did."""
    with transaction.atomic():
        won = ScoreDefinition.objects.filter(
            pk=version.pk, announced_at__isnull=True
        ).update(announced_at=now)
        if not won:
            return 0
        key = f"{KIND}:{version.segment}"
        notices.resolve_notice(connection, version.organization_id, key)
        moves = _moves(version)
        notices.open_notice(
            connection,
            version.organization_id,
            kind=KIND,
            severity="info",
            key=key,
            title=_title(version),
            detail=_detail(moves),
            url="/health-definition/versions/",
            data={"version": version.version, "segment": version.segment, **moves},
        )
    return 1


def _moves(version: ScoreDefinition) -> dict[str, Any]:
    """How the first scores by the version differ from those before."""
    applied = version
    since = version.active_from
    if not version.is_active:
        definitions = active_definitions(version.organization_id)
        applied = definitions.get(version.segment, definitions[""])
        since = version.active_until or version.active_from
    with connection.cursor() as cur:
        cur.execute(
            _MOVES,
            {
                "org": version.organization_id,
                "definition": applied.pk,
                "since": since,
                "segment": version.segment,
            },
        )
        rows = cur.fetchall()
    found = {"scored": 0, "rose": 0, "fell": 0, "other": 0}
    before = after = 0
    for old, new, count, old_sum, new_sum in rows:
        found["scored"] += count
        before, after = before + old_sum, after + new_sum
        if old != new:
            found[way(old, new)] += count
    n = found["scored"] or 1
    return {**found, "before": round(before / n, 1), "after": round(after / n, 1)}


def way(old: str, new: str) -> str:
    """Whether a change of band is one that "rose", "fell", or neither ("other")."""
    if health.UNKNOWN in (old, new):
        return "other"
    return "rose" if _ORDER.index(new) > _ORDER.index(old) else "fell"


def _title(version: ScoreDefinition) -> str:
    whose = f" of {version.segment}" if version.segment else ""
    if not version.is_active:
        return f"Accounts{whose} follow the organisation's health definition again"
    return f"Health definition{whose}: version {version.version} is in use"


def _detail(moves: dict[str, Any]) -> str:
    changed = moves["rose"] + moves["fell"] + moves["other"]
    return (
        f"{changed} of {moves['scored']} accounts are in another band: "
        f"{moves['rose']} rose, {moves['fell']} fell. The mean score went from "
        f"{moves['before']} to {moves['after']}."
    )
