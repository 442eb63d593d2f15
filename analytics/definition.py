"""The health definition as data: components, metrics, anchors, freshness, caps, bands.

Design after the vendors' practice and the project's own back-tests (docs/health.md).
A definition is versioned per organisation; this module holds the default, and
`analytics.definitions` what it takes to edit one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COMPONENTS = ("usage", "billing", "support", "engagement", "sentiment")


@dataclass(frozen=True, slots=True)
class Metric:
    """anchors: the values that score 0, 60 and 100, linear between, flat outside.

    weight: share inside its component. grace_days, half_life_days: how knowledge of
    this metric ages. source: which kind of fact feeds it (see facts.FEEDS).
    """

    name: str
    component: str
    label: str
    weight: float
    anchors: tuple[float, float, float]
    grace_days: float
    half_life_days: float
    source: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "active_days", "usage", "Active days", 0.40, (0.3, 0.7, 1.0), 2, 7, "events"
    ),
    Metric(
        "recency_gap", "usage", "Since last use", 0.25, (4.0, 2.0, 1.0), 2, 7, "events"
    ),
    Metric(
        "seats_used", "usage", "Seats in use", 0.20, (0.2, 0.5, 0.8), 2, 7, "events"
    ),
    Metric(
        "feature_breadth",
        "usage",
        "Features in use",
        0.15,
        (0.2, 0.5, 0.8),
        2,
        7,
        "events",
    ),
    Metric("past_due", "billing", "Past due", 0.35, (30, 7, 0), 2, 14, "invoices"),
    Metric(
        "failed_payments",
        "billing",
        "Failed payments",
        0.25,
        (3, 1, 0),
        2,
        14,
        "invoices",
    ),
    Metric(
        "plan_change",
        "billing",
        "Plan change",
        0.20,
        (0.8, 1.0, 1.1),
        2,
        14,
        "subscriptions",
    ),
    Metric("renewal", "billing", "Renewal", 0.20, (0, 30, 60), 2, 14, "subscriptions"),
    Metric(
        "urgent_open", "support", "Urgent tickets", 0.30, (3, 1, 0), 2, 14, "tickets"
    ),
    Metric(
        "reopen_rate",
        "support",
        "Reopened tickets",
        0.15,
        (0.5, 0.2, 0),
        2,
        14,
        "tickets",
    ),
    Metric("first_reply", "support", "First reply", 0.20, (24, 8, 2), 2, 14, "tickets"),
    Metric(
        "resolution", "support", "Resolution", 0.15, (120, 48, 24), 2, 14, "tickets"
    ),
    Metric(
        "ticket_volume",
        "support",
        "Ticket volume",
        0.12,
        (3.0, 1.8, 1.2),
        2,
        14,
        "tickets",
    ),
    Metric(
        "ticket_silence",
        "support",
        "Sudden silence",
        0.08,
        (0, 0.25, 0.5),
        2,
        14,
        "tickets",
    ),
    Metric(
        "last_contact",
        "engagement",
        "Last contact",
        0.40,
        (90, 30, 14),
        0,
        45,
        "contact",
    ),
    Metric("replies", "engagement", "Replies", 0.20, (0, 0.25, 0.6), 0, 45, "contact"),
    Metric(
        "campaigns",
        "engagement",
        "Campaign response",
        0.20,
        (0, 0.15, 0.4),
        0,
        45,
        "campaigns",
    ),
    Metric(
        "champion",
        "engagement",
        "Champion active",
        0.20,
        (90, 30, 14),
        0,
        45,
        "champion",
    ),
    Metric("csat", "sentiment", "CSAT", 0.40, (25, 62.5, 87.5), 30, 60, "answers"),
    Metric("nps", "sentiment", "NPS", 0.40, (0, 7, 9), 90, 180, "answers"),
    Metric("pulse", "sentiment", "Team pulse", 0.20, (25, 60, 90), 14, 45, "answers"),
)
METRIC_BY_NAME = {metric.name: metric for metric in METRICS}

DEFAULT_SPEC: dict[str, Any] = {
    "components": {
        "usage": 35,
        "billing": 20,
        "support": 15,
        "engagement": 15,
        "sentiment": 15,
    },
    "metrics": {
        metric.name: {
            "enabled": True,
            "weight": metric.weight,
            "anchors": list(metric.anchors),
            "grace_days": metric.grace_days,
            "half_life_days": metric.half_life_days,
        }
        for metric in METRICS
    },
    "caps": {"cancellation_scheduled": 20, "past_due_30": 40, "urgent_overdue": 60},
    "bands": {"healthy": 70, "watch": 40, "hysteresis": 3, "least_coverage_pct": 50},
}


def completed(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored definition with the settings that were unknown when it was made. A
    metric it does not know does not count, so that it scores as it always did."""
    metrics = {
        metric.name: {
            **DEFAULT_SPEC["metrics"][metric.name],
            "enabled": metric.name in stored["metrics"],
            **stored["metrics"].get(metric.name, {}),
        }
        for metric in METRICS
    }
    parts = {
        name: {**DEFAULT_SPEC[name], **stored[name]}
        for name in ("components", "caps", "bands")
    }
    return {"components": parts.pop("components"), "metrics": metrics, **parts}
