"""What every page's frame shows: navigation, the organisation, the open notices."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, NamedTuple

from django.urls import reverse

from churnguard.auth import has_role
from churnguard.middleware import PageRequest
from churnguard.models import Notice

_APPS = ("monitoring", "analytics", "integrations", "churnguard")
_GROUPS = ("", "Customers", "Data", "Operations", "Settings")


class Entry(NamedTuple):
    """A line of an app's NAV."""

    group: str
    label: str
    url_name: str
    order: int
    role: str = "viewer"


@lru_cache(maxsize=1)
def _entries() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for app in _APPS:
        try:
            module = importlib.import_module(f"{app}.nav")
        except ModuleNotFoundError as exc:
            if exc.name != f"{app}.nav":
                raise
            continue
        found.extend(Entry(*line) for line in module.NAV)
    return tuple(sorted(found, key=lambda entry: entry.order))


def _navigation(request: PageRequest) -> list[dict[str, Any]]:
    """The pages that this member may open, by group."""
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in _GROUPS}
    for entry in _entries():
        if not has_role(request, entry.role):
            continue
        url = reverse(entry.url_name)
        active = request.path == url or (url != "/" and request.path.startswith(url))
        groups[entry.group].append({"label": entry.label, "url": url, "active": active})
    return [
        {"label": group, "items": items} for group, items in groups.items() if items
    ]


def shell(request: PageRequest) -> dict[str, Any]:
    """Template context of base.html; empty for pages without an organisation."""
    organization = getattr(request, "organization", None)
    if organization is None or not request.user.is_authenticated:
        return {}
    return {
        "nav": _navigation(request),
        "organization": organization,
        "membership": request.membership,
        "memberships": request.memberships,
        "open_notices": Notice.objects.filter(
            organization=organization,
            resolved_at__isnull=True,
            severity__in=("warning", "critical"),
        ).count(),
    }
