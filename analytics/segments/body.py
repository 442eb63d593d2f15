"""The answers about segments as API and pages show them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from analytics.segments import members
from analytics.segments.models import Segment, SegmentDay
from analytics.segments.tree import Node, parse
from analytics.segments.words import describe
from churnguard.errors import ConfigError
from churnguard.models import Organization


def segment_body(
    segment: Segment, organization: Organization, days: list[SegmentDay]
) -> dict[str, Any]:
    """One segment; days: its counted days, oldest first, the last one is told."""
    return {
        "segment_id": segment.public_id,
        "slug": segment.slug,
        "name": segment.name,
        "description": segment.description,
        "definition": segment.definition,
        "sentence": sentence_of(segment, organization),
        "version": segment.version,
        "is_archived": segment.archived_at is not None,
        "created_by": segment.created_by,
        "created_at": segment.created_at,
        "updated_at": segment.updated_at,
        "currency": organization.base_currency.upper(),
        "counted": day_body(days[-1]) if days else None,
    }


def day_body(row: SegmentDay) -> dict[str, Any]:
    return {
        "day": row.day.isoformat(),
        "members": row.members,
        "average_score": _tenth(row.average_score),
        "at_risk": row.at_risk,
        "mrr_minor": row.mrr_minor,
        "mrr_by_currency": row.mrr_by_currency,
        "entered": row.entered,
        "left": row.left,
        "version": row.version,
        "counted_at": row.counted_at,
    }


def totals_body(totals: members.Totals) -> dict[str, Any]:
    return {**asdict(totals), "average_score": _tenth(totals.average_score)}


def preview_body(
    node: Node, organization: Organization, now: datetime, *, limit: int = 20
) -> dict[str, Any]:
    """What a definition finds; rows: the first customers by name."""
    totals, rows = members.preview(organization, node, now, limit=limit)
    return {
        **totals_body(totals),
        "sentence": describe(node, organization.base_currency.upper()),
        "currency": organization.base_currency.upper(),
        "rows": rows,
    }


def trend_body(
    segment: Segment, organization: Organization, first: date, last: date
) -> dict[str, Any]:
    """The counted days from first to last, oldest first."""
    rows = SegmentDay.objects.filter(segment=segment, day__range=(first, last))
    return {
        "segment_id": segment.public_id,
        "name": segment.name,
        "timezone": organization.timezone,
        "currency": organization.base_currency.upper(),
        "from": first.isoformat(),
        "to": last.isoformat(),
        "points": [day_body(row) for row in rows.order_by("day")],
    }


def sentence_of(segment: Segment, organization: Organization) -> str:
    """The definition in words; what is wrong with one that no longer holds."""
    try:
        node = parse(segment.definition)
    except ConfigError as exc:
        return exc.message
    return describe(node, organization.base_currency.upper())


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
