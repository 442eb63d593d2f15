"""Where to go from a period without data."""

from __future__ import annotations

from datetime import date
from typing import Any

from analytics.usage.scope import fetch
from churnguard.middleware import PageRequest


def newest_days(
    request: PageRequest, report: dict[str, Any], sql: str
) -> dict[str, Any]:
    """For the empty state: the last day with anything, and the address of as many days
    as were asked for, up to it; nothing where there is none. sql: gives that day."""
    organization = request.organization
    values = {"org": organization.pk, "zone": organization.timezone}
    ((last,),) = fetch(sql, values)
    if last is None:
        return {}
    first, until = (date.fromisoformat(report[key]) for key in ("from", "to"))
    query = request.GET.copy()
    query["from"], query["to"] = (last - (until - first)).isoformat(), last.isoformat()
    return {"newest_text": last.isoformat(), "newest_url": f"?{query.urlencode()}"}
