"""What pages and API show about quality; both read from these functions alone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from churnguard.errors import ConfigError
from churnguard.models import Organization
from monitoring.models import QualityDay, QualitySetting
from monitoring.quality.catalog import has_rows

TREND_DAYS = (30, 90)
_STALE = timedelta(days=92)


def limits_of(organization: Organization) -> QualitySetting:
    """The thresholds of an organisation; the defaults where none are kept."""
    found = QualitySetting.objects.filter(organization=organization).first()
    return found or QualitySetting(organization=organization)


def latest(
    organization: Organization, upto: date, source: str = ""
) -> list[dict[str, Any]]:
    """The newest measurement of each source up to a UTC day, sources by name and each
    before its entities: {source_system, entity, day, score, .., checks}. A source is
    left out when it was not measured in 92 days."""
    rows = QualityDay.objects.filter(
        organization=organization, day__lte=upto, day__gt=upto - _STALE
    )
    if source:
        rows = rows.filter(source__name=source)
    newest = dict(
        rows.filter(entity="").order_by("day").values_list("source_id", "day")
    )
    found = rows.filter(
        source_id__in=newest, day__in=set(newest.values())
    ).select_related("source")
    return [
        _as_dict(row)
        for row in sorted(found, key=lambda row: (row.source.name, row.entity))
        if row.day == newest[row.source_id]
    ]


def trend(
    organization: Organization, first: date, last: date, source: str = ""
) -> list[dict[str, Any]]:
    """Scores of whole sources by UTC day, oldest first."""
    rows = QualityDay.objects.filter(
        organization=organization, entity="", day__gte=first, day__lte=last
    )
    if source:
        rows = rows.filter(source__name=source)
    return [
        {
            "source_system": name,
            "day": day,
            "score": score,
            "coverage_pct": coverage_pct,
            "dimensions": dimensions,
        }
        for name, day, score, coverage_pct, dimensions in rows.order_by(
            "day", "source__name"
        ).values_list("source__name", "day", "score", "coverage_pct", "dimensions")
    ]


def failing(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The checks that fail, the worst first, each with its source_system."""
    found = [
        {**check, "source_system": row["source_system"]}
        for row in scores
        for check in row["checks"]
        if check["failed"]
    ]
    return sorted(
        found,
        key=lambda check: (not check["is_critical"], check["score_pct"], check["code"]),
    )


def read_limits(data: Any) -> dict[str, int]:
    """least_score and most_fall from a form or body. Raises ConfigError naming both."""
    out: dict[str, int] = {}
    fields: dict[str, str] = {}
    for name, least in (("least_score", 0), ("most_fall", 1)):
        text = str(data.get(name, "")).strip()
        if text.isascii() and text.isdigit() and least <= int(text) <= 100:
            out[name] = int(text)
        else:
            fields[name] = f"a whole number from {least} to 100"
    if fields:
        raise ConfigError(
            "Thresholds are whole numbers of points, at most 100.",
            code="invalid",
            fields=fields,
        )
    return out


def _as_dict(row: QualityDay) -> dict[str, Any]:
    return {
        "source_system": row.source.name,
        "entity": row.entity,
        "day": row.day,
        "score": row.score,
        "is_capped": row.is_capped,
        "coverage_pct": row.coverage_pct,
        "dimensions": row.dimensions,
        "rows": row.rows,
        "measured_at": row.measured_at,
        "checks": [
            {**check, "has_rows": has_rows(check["code"])} for check in row.checks
        ],
    }
