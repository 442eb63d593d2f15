"""Everything about the integrations, or about one of them, on one page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from churnguard.models import Organization
from integrations import activity
from integrations.models import Integration
from integrations.queries.integrations import (
    count_by_status,
    integration_body,
    list_integrations,
    list_streams,
)
from integrations.queries.runs import list_runs, sync_status


def overview(organization: Organization, now: datetime) -> dict[str, Any]:
    """`as_of`, `by_status`, `last_24h` (`activity.Day`), `per_minute` (`first_at`,
    `records`: one number a minute for 24 hours) and the rows as `results`."""
    day = activity.last_day(organization, now)
    minutes = activity.per_minute(organization, now)
    first_at = datetime.fromtimestamp(minutes[0][0], UTC) if minutes else None
    return {
        "as_of": now,
        "by_status": count_by_status(organization),
        "last_24h": {
            "ended": day.ended,
            "completed": day.completed,
            "incomplete": day.incomplete,
            "failed": day.failed,
            "cancelled": day.cancelled,
            "failure_ratio": day.failure_ratio,
            "records_today": day.records_today,
            "scheduled": day.scheduled,
            "late": day.late,
            "freshness_p95_s": day.freshness_p95_s,
        },
        "per_minute": {
            "first_at": first_at,
            "records": [count for _at, count in minutes],
        },
        "results": list_integrations(organization),
    }


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
