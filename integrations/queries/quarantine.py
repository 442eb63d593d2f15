"""What could not be used, with the reasons."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.http import Http404

from churnguard.api import keyset_by_id
from churnguard.models import Organization, Quarantine
from integrations.models import Integration


def list_quarantine(
    organization: Organization,
    *,
    state: str = "open",
    code: str = "",
    source: str = "",
    stream: str = "",
    record_type: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Refused records, newest first, and the cursor of the next page. state: open,
    replayed, discarded or "" for all."""
    rows = _filtered(
        organization,
        state=state,
        code=code,
        source__name=source,
        stream=stream,
        record_type=record_type,
    )
    found, following = keyset_by_id(
        rows.select_related("source"), cursor=cursor, limit=limit
    )
    names = _integrations(found)
    return [_row(row, names) for row in found], following


def count_quarantine(
    organization: Organization, *, state: str = "open", source: str = ""
) -> list[dict[str, Any]]:
    """How many by source, stream and reason, most first: [{source, stream, code,
    count}]."""
    rows = _filtered(organization, state=state, source__name=source)
    return [
        {
            "source": row["source__name"],
            "stream": row["stream"],
            "code": row["code"],
            "count": row["n"],
        }
        for row in rows.values("source__name", "stream", "code")
        .annotate(n=Count("pk"))
        .order_by("-n", "source__name", "code")[:200]
    ]


def get_quarantined(organization: Organization, row_id: int) -> dict[str, Any]:
    """One refused record with what came. Raises Http404."""
    row = (
        Quarantine.objects.select_related("source")
        .filter(organization=organization, pk=row_id)
        .first()
    )
    if row is None:
        raise Http404("No such record.")
    return {**_row(row, _integrations([row])), "raw": row.raw}


def _filtered(organization: Organization, **wanted: str) -> QuerySet[Quarantine]:
    given = {name: value for name, value in wanted.items() if value}
    return Quarantine.objects.filter(organization=organization, **given)


def _integrations(rows: list[Quarantine]) -> dict[int, str]:
    return dict(
        Integration.objects.filter(
            source_id__in={row.source_id for row in rows}
        ).values_list("source_id", "public_id")
    )


def _row(row: Quarantine, integrations: dict[int, str]) -> dict[str, Any]:
    return {
        "id": row.pk,
        "source": row.source.name,
        "integration_id": integrations.get(row.source_id),
        "stream": row.stream,
        "record_type": row.record_type,
        "external_id": row.external_id,
        "code": row.code,
        "field": row.field,
        "detail": row.detail,
        "state": row.state,
        "first_seen_at": row.first_seen_at,
        "resolved_at": row.resolved_at,
        "resolved_by": row.resolved_by,
    }
