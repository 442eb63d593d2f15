"""What pages and API show of integrations, one function per view of it."""

from integrations.queries.dashboard import dashboard, overview
from integrations.queries.integrations import (
    count_by_status,
    get_integration,
    integration_body,
    list_integrations,
    list_streams,
    provider_labels,
)
from integrations.queries.quarantine import (
    count_quarantine,
    get_quarantined,
    list_quarantine,
)
from integrations.queries.runs import (
    estimated_duration,
    ledger_lines,
    list_runs,
    run_body,
    run_detail,
    sync_status,
)

__all__ = [
    "count_by_status",
    "count_quarantine",
    "dashboard",
    "estimated_duration",
    "get_integration",
    "get_quarantined",
    "integration_body",
    "ledger_lines",
    "list_integrations",
    "list_quarantine",
    "list_runs",
    "list_streams",
    "overview",
    "provider_labels",
    "run_body",
    "run_detail",
    "sync_status",
]
