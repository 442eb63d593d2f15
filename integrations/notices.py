"""Notices about integrations: opened once per trouble, closed when it is over."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from churnguard.notices import open_notice, resolve_notice
from integrations.models import Integration

KINDS = ("sync_failed", "credential_failed", "delete_brake")


def trouble(
    integration: Integration, *, kind: str, title: str, detail: str, severity: str
) -> None:
    """Open the notice of `kind`, unless it is open; inside the cause's transaction."""
    open_notice(
        connection,
        integration.organization_id,
        kind,
        severity,
        f"{kind}:{integration.pk}",
        title,
        detail,
        f"/integrations/{integration.public_id}/",
        {"integration_id": integration.public_id},
    )


def over(integration: Integration, kinds: Iterable[str] = KINDS) -> None:
    """Close the open notices of the integration, or those of some kinds."""
    for kind in kinds:
        resolve_notice(
            connection, integration.organization_id, f"{kind}:{integration.pk}"
        )
