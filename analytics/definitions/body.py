"""What the API answers and the pages show: definitions, versions, checks."""

from __future__ import annotations

from typing import Any

from analytics.definition import COMPONENTS, completed
from analytics.definitions.models import DefinitionCheck
from analytics.definitions.store import Standing
from analytics.definitions.validation import differences
from analytics.models import ScoreDefinition
from churnguard.api import keyset_by_id
from churnguard.models import Organization


def standing_body(organization: Organization, standing: Standing) -> dict[str, Any]:
    """What holds for a segment, the draft beside it, and how far scores have come."""
    active, draft = standing.active, standing.draft
    return {
        "segment": standing.segment,
        "version": active.version,
        "is_own": standing.is_own,
        "spec": completed(active.spec),
        "shares": shares(active.spec),
        "note": active.note,
        "created_by": active.created_by,
        "created_at": active.created_at,
        "active_from": active.active_from,
        "own_segments": own_segments(organization),
        "recomputing": {
            "pending": standing.progress.pending,
            "total": standing.progress.total,
        },
        "draft": None
        if draft is None
        else {
            "spec": completed(draft.spec),
            "origin": draft.origin,
            "updated_by": draft.updated_by,
            "updated_at": draft.updated_at,
        },
    }


def own_segments(organization: Organization) -> list[str]:
    """The segments with a definition of their own."""
    return list(
        ScoreDefinition.objects.filter(organization=organization, is_active=True)
        .exclude(segment="")
        .order_by("segment")
        .values_list("segment", flat=True)
    )


def shares(spec: dict[str, Any]) -> dict[str, float]:
    """Component weights as percent of their sum, to a tenth."""
    total = sum(spec["components"].values()) or 1
    return {
        name: round(100 * spec["components"][name] / total, 1) for name in COMPONENTS
    }


def list_versions(
    organization: Organization, segment: str, *, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """(versions newest first, next cursor), each with what it changed. A segment's
    first version is compared with the organisation's definition of that time."""
    rows, after = keyset_by_id(
        ScoreDefinition.objects.filter(organization=organization, segment=segment),
        cursor=cursor,
        limit=limit,
    )
    older: list[ScoreDefinition | None] = [*rows[1:]]
    if rows:
        older.append(_before(organization, rows[-1]))
    return [
        _version_body(row, before) for row, before in zip(rows, older, strict=True)
    ], after


def _version_body(
    version: ScoreDefinition, before: ScoreDefinition | None
) -> dict[str, Any]:
    return {
        "segment": version.segment,
        "version": version.version,
        "is_active": version.is_active,
        "active_from": version.active_from,
        "active_until": version.active_until,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "note": version.note,
        "spec": completed(version.spec),
        "changes": [
            {"path": path, "before": old, "after": new}
            for path, old, new in (
                differences(before.spec, version.spec) if before else []
            )
        ],
    }


def check_body(check: DefinitionCheck) -> dict[str, Any]:
    """One check; result is null until it has succeeded."""
    return {
        "check_id": check.public_id,
        "kind": check.kind,
        "segment": check.segment,
        "state": check.state,
        "message": check.message,
        "requested_by": check.requested_by,
        "requested_at": check.requested_at,
        "finished_at": check.finished_at,
        "result": check.result,
    }


def _before(
    organization: Organization, version: ScoreDefinition
) -> ScoreDefinition | None:
    rows = ScoreDefinition.objects.filter(organization=organization)
    found = rows.filter(segment=version.segment, version__lt=version.version)
    if not found.exists() and version.segment:
        found = rows.filter(segment="", active_from__lte=version.active_from)
    return found.order_by("-version").first()
