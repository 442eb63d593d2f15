"""The audit log: who changed what."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from churnguard import audit_log
from churnguard.api import page_limit
from churnguard.auth import org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest


@require_safe
@org_view(role="admin")
def audit(request: PageRequest) -> HttpResponse:
    """Newest first, filtered, in keyset pages."""
    chosen = audit_log.AuditFilter.from_query(request.GET)
    problem = None
    try:
        rows, after = audit_log.list_entries(
            request.organization,
            chosen,
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, rows, after = exc, [], None
    context = {
        "rows": [(row, audit_log.changes_of(row)) for row in rows],
        "after": after,
        "chosen": chosen,
        "is_filtered": chosen != audit_log.AuditFilter(),
        "actions": audit_log.list_actions(request.organization),
        "problem": problem,
    }
    status = 400 if problem else 200
    return render(request, "kernel/audit.html", context, status=status)
