"""Scores, kept once a day for each source and entity, and the notices they open."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from churnguard.models import Organization, Source
from churnguard.notices import open_notice, resolve_notice
from monitoring.models import QualityDay, QualitySetting
from monitoring.quality.check import CRITICAL_CAP, DIMENSIONS, Result
from monitoring.quality.measure import measure

log = logging.getLogger(__name__)

AGAIN_AFTER = timedelta(hours=6)
"""A day is measured again this long after, when data has arrived since."""
SOON = timedelta(minutes=2)
"""The same where it is the first data of a source."""

_DUE = """
SELECT o.id FROM cg_organization o
LEFT JOIN mon_quality_setting w ON w.organization_id = o.id
LEFT JOIN LATERAL (
    SELECT max(measured_at) AS at FROM mon_quality_day d
    WHERE d.organization_id = o.id AND d.day = %(today)s
) done ON true
WHERE EXISTS (SELECT 1 FROM cg_source s WHERE s.organization_id = o.id) AND (
    done.at IS NULL OR w.asked_at IS NOT NULL
    OR done.at < %(again)s AND EXISTS (
        SELECT 1 FROM cg_source s JOIN cg_batch b ON b.source_id = s.id
        WHERE s.organization_id = o.id AND b.received_at > done.at)
    OR done.at < %(soon)s AND EXISTS (
        SELECT 1 FROM cg_source s JOIN cg_batch b ON b.source_id = s.id
        WHERE s.organization_id = o.id AND b.received_at > done.at AND NOT EXISTS (
            SELECT 1 FROM mon_quality_day d WHERE d.source_id = s.id
            AND d.day = %(today)s AND d.entity = '' AND d.score IS NOT NULL))
)
ORDER BY w.asked_at NULLS LAST, o.id LIMIT 1 FOR NO KEY UPDATE OF o SKIP LOCKED
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """score: 0-100, None when nothing was measured. coverage_pct: of six dimensions."""

    score: float | None
    is_capped: bool
    coverage_pct: float
    dimensions: dict[str, float | None]


def tick(now: datetime | None = None) -> int:
    """Loop: measure one organisation that is due; 1 when there was one, else 0.

    Due: not measured today (UTC), asked for, new data since six hours, or the first
    data of a source since two minutes. The row of
    the organisation is the claim; a kill rolls the measurement back.
    """
    at = now or datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as cur:
        ages = {"again": at - AGAIN_AFTER, "soon": at - SOON}
        cur.execute(_DUE, {"today": at.date(), **ages})
        due = cur.fetchone()
        if due is None:
            return 0
        QualitySetting.objects.filter(organization_id=due[0]).update(asked_at=None)
        measure_now(Organization.objects.get(pk=due[0]), at)
    return 1


def measure_now(organization: Organization, now: datetime) -> int:
    """Measure and keep today's scores; returns the sources measured."""
    found, looked_at = measure(organization.pk, now)
    weights = weights_of(
        QualitySetting.objects.filter(organization=organization).first()
    )
    by_source: dict[int, list[tuple[Score, str]]] = defaultdict(list)
    days = []
    for source_id, entity in found.keys() | looked_at.keys():
        results = found.get((source_id, entity), [])
        score = score_of(results, weights)
        by_source[source_id].append((score, entity))
        days.append(
            _day(
                organization,
                source_id,
                entity,
                now,
                score,
                looked_at.get((source_id, entity), 0),
                results,
            )
        )
    sources = list(Source.objects.filter(organization=organization))
    for source in sources:
        total = total_of([score for score, _entity in by_source.get(source.pk, [])])
        rows = sum(n for (owner, _e), n in looked_at.items() if owner == source.pk)
        days.append(_day(organization, source.pk, "", now, total, rows, []))
    with transaction.atomic():
        QualityDay.objects.filter(organization=organization, day=now.date()).delete()
        QualityDay.objects.bulk_create(days)
        _tell(organization, sources, days, now)
    log.info(
        "quality.measured",
        extra={"tenantId": organization.public_id, "recordCount": len(days)},
    )
    return len(sources)


def weights_of(setting: QualitySetting | None) -> dict[str, int]:
    """Dimension -> weight of an organisation, in the order of the dimensions."""
    chosen = setting.weights if setting else {}
    return {name: int(chosen.get(name, usual)) for name, usual in DIMENSIONS.items()}


def score_of(results: list[Result], weights: dict[str, int] | None = None) -> Score:
    """The score of an entity: each field counts the same, then each dimension by its
    weight; what was not measured is left out."""
    parts: dict[str, float | None] = {}
    for name in DIMENSIONS:
        known = [
            (result.score_pct, result.weight if name == "completeness" else 1)
            for result in results
            if result.dimension == name and result.score_pct is not None
        ]
        weight = sum(w for _value, w in known)
        parts[name] = (
            round(sum(value * w for value, w in known) / weight, 2) if known else None
        )
    is_capped = any(result.is_failing_critically for result in results)
    return _weighted(parts, weights or DIMENSIONS, is_capped=is_capped)


def total_of(scores: list[Score]) -> Score:
    """The score of a source: the mean of its entities, in each dimension too."""
    measured = [score for score in scores if score.score is not None]
    parts = {
        name: _mean([score.dimensions[name] for score in measured])
        for name in DIMENSIONS
    }
    known = sum(value is not None for value in parts.values())
    return Score(
        score=_mean([score.score for score in measured]),
        is_capped=any(score.is_capped for score in measured),
        coverage_pct=round(100 * known / len(DIMENSIONS), 1),
        dimensions=parts,
    )


def _weighted(
    parts: dict[str, float | None], weights: dict[str, int], *, is_capped: bool
) -> Score:
    known = {name: value for name, value in parts.items() if value is not None}
    weight = sum(weights[name] for name in known)
    score = None
    if weight:
        total = sum(weights[name] * value for name, value in known.items())
        score = round(total / weight, 1)
        score = min(score, float(CRITICAL_CAP)) if is_capped else score
    return Score(
        score=score,
        is_capped=is_capped,
        coverage_pct=round(100 * len(known) / len(DIMENSIONS), 1),
        dimensions=parts,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None


def _day(
    organization: Organization,
    source_id: int,
    entity: str,
    now: datetime,
    score: Score,
    rows: int,
    results: list[Result],
) -> QualityDay:
    return QualityDay(
        organization=organization,
        source_id=source_id,
        entity=entity,
        day=now.date(),
        score=score.score,
        is_capped=score.is_capped,
        coverage_pct=score.coverage_pct,
        dimensions=score.dimensions,
        checks=[dataclasses.asdict(result) for result in results],
        rows=rows,
        measured_at=now,
    )


def _tell(
    organization: Organization,
    sources: list[Source],
    days: list[QualityDay],
    now: datetime,
) -> None:
    """Open a notice for a source that is below the threshold or has fallen since the
    day before it; resolve it when that is over."""
    wanted = QualitySetting.objects.filter(organization=organization).first()
    limits = wanted or QualitySetting(organization=organization)
    before = dict(
        QualityDay.objects.filter(
            organization=organization,
            entity="",
            day__lt=now.date(),
            score__isnull=False,
        )
        .order_by("day")
        .values_list("source_id", "score")
    )
    scores = {day.source_id: day.score for day in days if day.entity == ""}
    for source in sources:
        score, last = scores[source.pk], before.get(source.pk)
        is_low = score is not None and score < limits.least_score
        has_fallen = (
            score is not None and last is not None and last - score >= limits.most_fall
        )
        said: dict[str, Any] = {
            "quality_low": is_low
            and f"It scores {score:.0f} of 100; the threshold is {limits.least_score}.",
            "quality_fall": has_fallen
            and f"It fell from {last:.0f} to {score:.0f} points.",
        }
        for kind, detail in said.items():
            key = f"{kind}:{source.pk}"
            if not detail:
                resolve_notice(connection, organization.pk, key)
                continue
            title = "is below its threshold" if kind == "quality_low" else "has fallen"
            open_notice(
                connection,
                organization.pk,
                kind,
                "warning",
                key,
                f"Data quality of {source.name} {title}",
                detail,
                f"/quality/?source={source.name}",
                {"source": source.name},
            )
