"""Icons drawn for ChurnGuard: strokes on a 24 x 24 grid, in the text colour."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

ICONS: dict[str, str] = {
    "overview": '<path d="M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z"/>',
    "accounts": '<path d="M5 21V4h9v17M14 10h5v11M3 21h18M8 8h3M8 12h3M8 16h3"/>',
    "risk": '<path d="M3 6l6 6 4-4 8 9M21 11v6h-6"/>',
    "usage": '<path d="M3 13h4l3-8 4 14 3-6h4"/>',
    "revenue": '<path d="M12 3v18M16.5 7.5C16 6 14.3 5.2 12 5.2c-2.6 0-4.5'
    ' 1.2-4.5 3.2 0 4.7 9.5 2 9.5 6.8 0 2.2-2.2 3.6-5 3.6-2.7'
    ' 0-4.6-1.1-5-3"/>',
    "segments": '<path d="M12 3a9 9 0 1 0 9 9h-9zM16 3.5A8.5 8.5 0 0 1 20.5 8H16z"/>',
    "integrations": '<path d="M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4"/>',
    "sync": '<path d="M20 11a8 8 0 0 0-14.5-4L3 9.5M3 4v5.5h5.5M4 13a8 8 0 0 0'
    ' 14.5 4l2.5-2.5M21 20v-5.5h-5.5"/>',
    "quarantine": '<path d="M12 3l8 3v6c0 4.5-3.2 7.7-8 9-4.8-1.3-8-4.5-8-9V6z'
    'M12 8v5M12 16.2v.1"/>',
    "quality": '<path d="M4 12l5 5L20 6"/>',
    "pipeline": '<path d="M3 8h5v8H3zM16 4h5v6h-5zM16 14h5v6h-5zM8 12h4M12 7v10M12'
    ' 7h4M12 17h4"/>',
    "alerts": '<path d="M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4"/>',
    "key": '<circle cx="8" cy="15" r="4.5"/><path d="M11.2 11.8L20 3M16 7l3 3"/>',
    "members": '<circle cx="9" cy="8" r="3.5"/><path d="M2.5 20c0-3.6 2.9-6'
    ' 6.5-6s6.5 2.4 6.5 6M16 5a3.5 3.5 0 0 1 0 6.5M18 14.5c2.2.8 3.5'
    ' 2.8 3.5 5.5"/>',
    "audit": '<path d="M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h7"/>',
    "settings": '<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7"'
    ' r="2"/><circle cx="9" cy="17" r="2"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="M16 16l5 5"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "copy": '<path d="M9 9h11v11H9zM5 15H4V4h11v1"/>',
    "check": '<path d="M5 12.5l4.5 4.5L19 7.5"/>',
    "up": '<path d="M12 19V5M6 11l6-6 6 6"/>',
    "down": '<path d="M12 5v14M6 13l6 6 6-6"/>',
    "flat": '<path d="M5 12h14M13 6l6 6-6 6"/>',
    "previous": '<path d="M15 5l-7 7 7 7"/>',
    "next": '<path d="M9 5l7 7-7 7"/>',
    "external": '<path d="M14 4h6v6M20 4l-9 9M18 14v6H4V6h6"/>',
    "download": '<path d="M12 4v11M7 11l5 5 5-5M4 20h16"/>',
    "upload": '<path d="M12 16V4M7 9l5-5 5 5M4 20h16"/>',
    "filter": '<path d="M4 5h16l-6 8v6l-4-2v-4z"/>',
    "clock": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.5 2"/>',
    "info": '<circle cx="12" cy="12" r="8.5"/><path d="M12 11v5M12 7.8v.1"/>',
    "warn": '<path d="M12 4l9.5 16h-19zM12 10v4.5M12 17.3v.1"/>',
    "danger": '<path d="M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 7.5v5.5M12 16.3v.1"/>',
    "ok": '<circle cx="12" cy="12" r="8.5"/><path d="M8 12.5l2.7 2.7L16 9.5"/>',
    "lock": '<path d="M5 11h14v9H5zM8 11V8a4 4 0 0 1 8 0v3"/>',
    "theme": '<circle cx="12" cy="12" r="8.5"/><path d="M12 3.5v17a8.5 8.5 0 0'
    ' 0 0-17z" fill="currentColor"/>',
    "signout": '<path d="M14 4H5v16h9M10 12h11M17 8l4 4-4 4"/>',
    "play": '<path d="M7 4.5v15L19 12z"/>',
    "pause": '<path d="M8 5v14M16 5v14"/>',
    "trash": '<path d="M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13"/>',
    "file": '<path d="M6 3h8l4 4v14H6zM14 3v4h4"/>',
    "chart": '<path d="M4 4v16h16M8 16v-4M12 16V8M16 16v-6"/>',
    "mail": '<path d="M3 6h18v12H3zM3 7l9 7 9-7"/>',
    "ticket": '<path d="M3 7h18v3.5a1.5 1.5 0 0 0 0 3V17H3v-3.5a1.5 1.5 0 0'
    ' 0 0-3zM14 7v10"/>',
    "dot": '<circle cx="12" cy="12" r="4" fill="currentColor"/>',
}  # fmt: skip

NAV_ICONS: dict[str, str] = {
    "Overview": "overview",
    "Accounts": "accounts",
    "Customers": "accounts",
    "Churn risk": "risk",
    "Usage trends": "usage",
    "Revenue": "revenue",
    "Segments": "segments",
    "Support": "ticket",
    "Analyses": "chart",
    "Identity": "members",
    "Integrations": "integrations",
    "Sync activity": "sync",
    "Quarantine": "quarantine",
    "Data quality": "quality",
    "Pipeline health": "pipeline",
    "Alerts": "alerts",
    "Health definition": "settings",
    "Organisation": "accounts",
    "API keys": "key",
    "Members": "members",
    "Audit": "audit",
    "API": "file",
    "Import": "upload",
}
"""The icon of each place in the navigation, by the label people read."""


def icon(name: str, size: int = 18) -> SafeString:
    """The icon as inline SVG, hidden from readers; an unknown name draws a dot."""
    return format_html(
        '<svg class="icon" viewBox="0 0 24 24" width="{}" height="{}" fill="none"'
        ' stroke="currentColor" stroke-width="1.8" stroke-linecap="round"'
        ' stroke-linejoin="round" aria-hidden="true">{}</svg>',
        size,
        size,
        mark_safe(ICONS.get(name, ICONS["dot"])),  # noqa: S308 - our own constants
    )
