"""What every page's frame shows: navigation, the organisation, the open notices."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from churnguard.models import Notice

_APPS = ("monitoring", "analytics", "integrations", "churnguard")
_GROUPS = ("", "Customers", "Data", "Operations", "Settings")


@lru_cache(maxsize=1)
def _entries() -> tuple[tuple[str, str, str, int], ...]:
    found: list[tuple[str, str, str, int]] = []
    for app in _APPS:
        try:
            module = importlib.import_module(f"{app}.nav")
        except ModuleNotFoundError as exc:
            if exc.name != f"{app}.nav":
                raise
            continue
        found.extend(module.NAV)
    return tuple(sorted(found, key=lambda entry: entry[3]))


def _navigation(path: str) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in _GROUPS}
    for group, label, url_name, _order in _entries():
        url = reverse(url_name)
        active = path == url or (url != "/" and path.startswith(url))
        groups[group].append({"label": label, "url": url, "active": active})
    return [
        {"label": group, "items": items} for group, items in groups.items() if items
    ]


def shell(request: HttpRequest) -> dict[str, Any]:
    """Template context of base.html; empty for pages without an organisation."""
    organization = getattr(request, "organization", None)
    if organization is None or not request.user.is_authenticated:
        return {}
    return {
        "nav": _navigation(request.path),
        "organization": organization,
        "membership": request.membership,
        "memberships": request.memberships,
        "open_notices": Notice.objects.filter(
            organization=organization,
            resolved_at__isnull=True,
            severity__in=("warning", "critical"),
        ).count(),
    }
