"""Who is in a segment: found by id or slug, for every list and report that filters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import Http404
from django.utils import timezone

from analytics.segments.models import Segment, SegmentDay
from analytics.segments.predicate import Predicate, compile_node
from analytics.segments.tree import Node, parse
from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a saved segment at one time. sql: SELECT of customer ids with
    the named `values`; ids: the same for the ORM."""

    segment: Segment
    sql: str
    values: dict[str, Any]
    ids: RawSQL

    @property
    def key(self) -> str:
        """What an answer about these members may be cached under."""
        return f"{self.segment.pk}.{self.segment.version}"


@dataclass(frozen=True, slots=True)
class Totals:
    """average_score: over members with a score, None without. mrr_minor: in the base
    currency."""

    members: int
    average_score: float | None
    at_risk: int
    mrr_minor: int


def segments_of(organization: Organization) -> QuerySet[Segment]:
    """The segments of an organisation that are not archived."""
    return Segment.objects.filter(organization=organization, archived_at__isnull=True)


def find_segment(organization: Organization, ref: str) -> Segment:
    """By id (archived ones too) or slug. Raises Http404."""
    if "\x00" in ref:
        raise Http404("No such segment.")
    found = Segment.objects.filter(organization=organization, public_id=ref).first()
    if found is None:
        found = segments_of(organization).filter(slug=ref).first()
    if found is None:
        raise Http404("No such segment.")
    return found


def read_members(
    organization: Organization,
    ref: str | None,
    now: datetime | None = None,
    *,
    field: str = "segment_id",
) -> Members | None:
    """Members of the segment that a parameter names by id or slug; None for "". Raises
    ConfigError naming `field` when there is no such segment."""
    if not ref:
        return None
    try:
        segment = find_segment(organization, ref)
    except Http404:
        segment = None
    if segment is None or segment.archived_at is not None:
        raise ConfigError(
            f"There is no saved segment “{ref[:80]}”.",
            code="unknown_segment",
            fields={field: "the id or slug of a saved segment"},
        )
    return members_of(segment, organization, now or timezone.now())


def members_of(segment: Segment, organization: Organization, now: datetime) -> Members:
    """The members of a segment of the organisation at `now`."""
    predicate = compile_node(parse(segment.definition), organization, now)
    return Members(segment, predicate.sql, predicate.values, predicate.ids)


def count_totals(organization: Organization, predicate: Predicate | Members) -> Totals:
    """Members, health and money of all that the predicate holds for, in one query."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT count(*), avg(x.score)::float8, "
            "count(*) FILTER (WHERE x.band = 'at_risk'), "
            "coalesce(sum(x.mrr_minor), 0)::bigint FROM cg_customer x "
            "WHERE x.organization_id = %(organization)s "
            f"AND x.id IN ({predicate.sql})",
            {**predicate.values, "organization": organization.pk},
        )
        return Totals(*cur.fetchone())


def preview(
    organization: Organization, node: Node, now: datetime, *, limit: int = 20
) -> tuple[Totals, list[Customer]]:
    """What a definition finds: (totals, the first customers by name)."""
    predicate = compile_node(node, organization, now)
    rows = Customer.objects.filter(organization=organization, pk__in=predicate.ids)
    return (
        count_totals(organization, predicate),
        list(rows.order_by("name", "pk")[:limit]),
    )


def list_segments(
    organization: Organization,
    *,
    cursor: str | None = None,
    limit: int = 50,
    is_archived: bool = False,
) -> tuple[list[Segment], str | None]:
    """A keyset page by name: (segments, next cursor or None). Raises ConfigError for
    a foreign cursor."""
    rows = Segment.objects.filter(
        organization=organization, archived_at__isnull=not is_archived
    )
    if cursor:
        name, last = decode_cursor(cursor, 2)
        if not isinstance(name, str) or not isinstance(last, int) or "\x00" in name:
            raise ConfigError("This cursor is not valid.", code="invalid_cursor")
        rows = rows.filter(name__gt=name) | rows.filter(name=name, pk__gt=last)
    found = list(rows.order_by("name", "pk")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    return found, encode_cursor([found[-1].name, found[-1].pk]) if more else None


def newest_days(segments: list[Segment], count: int = 30) -> dict[int, list[Any]]:
    """Segment pk -> its last `count` counted days, oldest first."""
    out: dict[int, list[Any]] = {segment.pk: [] for segment in segments}
    rows = SegmentDay.objects.raw(
        "SELECT d.* FROM unnest(%s::bigint[]) s (id) CROSS JOIN LATERAL ("
        "SELECT * FROM an_segment_day WHERE segment_id = s.id "
        "ORDER BY day DESC LIMIT %s) d ORDER BY d.day",
        [list(out), count],
    )
    for row in rows:
        out[row.segment_id].append(row)
    return out


def choices(organization: Organization, most: int = 200) -> list[tuple[str, str]]:
    """(slug, name) of the saved segments, for filters."""
    rows = segments_of(organization).order_by("name", "pk")
    return list(rows.values_list("slug", "name")[:most])
