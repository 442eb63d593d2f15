"""Figures of checks as the pages draw them: bar widths, rows, words."""

from __future__ import annotations

from typing import Any

from analytics.definition import COMPONENTS
from analytics.sentences import COMPONENT_LABELS

BAND_LABELS = {
    "healthy": "Healthy",
    "watch": "Watch",
    "at_risk": "At risk",
    "unknown": "Too little data",
}
NAMES = {"active": "In use", "draft": "Draft", "suggested": "Suggested"}


def distribution(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Per ten points the accounts before and after, with bar widths of 0 to 100."""
    if not result:
        return []
    rows = result["distribution"]
    most = max((max(row["before"], row["after"]) for row in rows), default=0) or 1
    return [
        {
            **row,
            "before_width": round(100 * row["before"] / most, 1),
            "after_width": round(100 * row["after"] / most, 1),
        }
        for row in reversed(rows)
    ]


def moves(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Changes of band in words, the most frequent first."""
    if not result:
        return []
    return [
        {
            "text": f"{BAND_LABELS[one['from']]} to {BAND_LABELS[one['to']].lower()}",
            "to": one["to"],
            "count": one["count"],
        }
        for one in result["moves"]
    ]


def columns(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Per definition of a back-test its column."""
    if not result:
        return []
    return [
        {
            **figures,
            "name": label,
            "bands": [
                {**row, "label": BAND_LABELS[row["band"]]} for row in figures["bands"]
            ],
        }
        for name, label in NAMES.items()
        if (figures := result["definitions"].get(name)) is not None
    ]


def weights(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Present and suggested weight of each component."""
    if not result:
        return []
    return [
        {
            "label": COMPONENT_LABELS[name],
            "present": result["present"][name],
            "suggested": result["weights"][name],
            "change": round(result["weights"][name] - result["present"][name], 1),
        }
        for name in COMPONENTS
    ]
