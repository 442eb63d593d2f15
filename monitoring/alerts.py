"""The list of notices, for its page and for GET /api/dashboard/alerts."""

from __future__ import annotations

from churnguard.api import keyset_by_id
from churnguard.errors import ConfigError
from churnguard.models import Notice, Organization
from churnguard.notices import SEVERITIES

STATES = ("open", "resolved", "all")


def list_notices(
    organization: Organization,
    *,
    state: str = "open",
    severity: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[Notice], str | None]:
    """Newest first, and the cursor of the next page. severity: "" = each. Raises
    ConfigError for a word or cursor that is not known."""
    for name, value, known in (
        ("state", state, STATES),
        ("severity", severity, ("", *SEVERITIES)),
    ):
        if value not in known:
            raise ConfigError(
                f"{name} must be one of {', '.join(filter(None, known))}.",
                code="invalid",
                fields={name: "unknown"},
            )
    rows = Notice.objects.filter(organization=organization)
    if state != "all":
        rows = rows.filter(resolved_at__isnull=state == "open")
    if severity:
        rows = rows.filter(severity=severity)
    return keyset_by_id(rows, cursor=cursor, limit=limit)
