"""Everything about one integration on one page."""

from __future__ import annotations

from typing import Any

from integrations.models import Integration
from integrations.queries.integrations import (
    integration_body,
    list_integrations,
    list_streams,
)
from integrations.queries.runs import list_runs, sync_status


def dashboard(integration: Integration) -> dict[str, Any]:
    """`integration_body` with `streams`, the newest `sync`, the last 12 `runs`,
    `records_today`, `quarantined`, `last_success_at` and `next_run_at`."""
    (row,) = [
        row
        for row in list_integrations(
            integration.organization, search=integration.public_id
        )
        if row["integration_id"] == integration.public_id
    ]
    runs, _following = list_runs(
        integration.organization, integration=integration, limit=12
    )
    return {
        **integration_body(integration),
        "streams": list_streams(integration),
        "sync": sync_status(integration),
        "runs": runs,
        "records_today": row["records_today"],
        "quarantined": row["quarantined"],
        "last_success_at": row["last_success_at"],
        "next_run_at": row["next_run_at"],
    }
