"""What pages and API show about quality; both read from these functions alone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from churnguard.errors import ConfigError
from churnguard.models import Organization
from monitoring.models import QualityDay, QualitySample, QualitySetting
from monitoring.quality.catalog import has_rows
from monitoring.quality.check import DIMENSIONS
from monitoring.quality.refetch import Comparison, wilson

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


def read_limits(data: Any) -> dict[str, Any]:
    """least_score, most_fall and, where given, weights ({dimension: points} or
    weight_<dimension>) from a form or body. Raises ConfigError naming each fault."""
    out: dict[str, Any] = {}
    fields: dict[str, str] = {}
    for name, least in (("least_score", 0), ("most_fall", 1)):
        number = _whole(data.get(name, ""), least)
        if number is None:
            fields[name] = f"a whole number from {least} to 100"
        else:
            out[name] = number
    given = data.get("weights")
    if given is None:
        given = {
            name: data[f"weight_{name}"]
            for name in DIMENSIONS
            if f"weight_{name}" in data
        }
    if not isinstance(given, dict) or set(given) - set(DIMENSIONS):
        fields["weights"] = f"an object with any of {', '.join(DIMENSIONS)}"
    elif given:
        weights = {name: _whole(value, 0) for name, value in given.items()}
        for name, value in weights.items():
            if value is None:
                fields[f"weight_{name}"] = "a whole number from 0 to 100"
        if not fields and not any({**DIMENSIONS, **weights}.values()):
            fields["weights"] = "at least one above 0"
        out["weights"] = weights
    if fields:
        raise ConfigError(
            "Thresholds and weights are whole numbers, at most 100.",
            code="invalid",
            fields=fields,
        )
    return out


def list_samples(organization: Organization, source: str = "") -> list[dict[str, Any]]:
    """What was read again from the providers, by source and kind: the counts of
    `Comparison`, agree_pct with low_pct and high_pct (95 %; None = not measured)."""
    rows = QualitySample.objects.filter(
        organization=organization, measured_at__isnull=False
    ).select_related("source")
    if source:
        rows = rows.filter(source__name=source)
    out = []
    for row in rows.order_by("source__name", "pk"):
        for kind, values in sorted(row.kinds.items()):
            one = Comparison(**values)
            good = one.checked - one.differing
            low, high = wilson(good, one.checked) if one.checked else (None, None)
            out.append(
                {
                    "source_system": row.source.name,
                    "entity": kind,
                    "measured_at": row.measured_at,
                    "sampled": one.sampled,
                    "compared": one.compared,
                    "changed": one.changed,
                    "gone": one.gone,
                    "values": one.checked,
                    "differing": one.differing,
                    "agree_pct": (
                        round(100 * good / one.checked, 2) if one.checked else None
                    ),
                    "low_pct": low,
                    "high_pct": high,
                    "fields": [
                        {"field": name, "compared": n, "differing": bad}
                        for name, (n, bad) in one.fields.items()
                    ],
                    "misses": one.misses,
                    "why": one.why,
                }
            )
    return out


def _whole(value: Any, least: int) -> int | None:
    text = str(value).strip()
    is_number = text.isascii() and text.isdigit() and len(text) < 4
    return int(text) if is_number and least <= int(text) <= 100 else None


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
