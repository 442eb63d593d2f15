"""The health definition as data: components, metrics, anchors, freshness, caps, bands.

Design after the vendors' practice and the project's own back-tests (docs/health.md).
A definition is versioned per organisation; this module holds the default and the
checks an edited one must pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from churnguard.errors import ConfigError

COMPONENTS = ("usage", "billing", "support", "engagement", "sentiment")


@dataclass(frozen=True, slots=True)
class Metric:
    """anchors: the values that score 0, 60 and 100, linear between, flat outside.

    weight: share inside its component. grace_days, half_life_days: how knowledge of
    this metric ages. source: which kind of fact feeds it (see features.FEEDS).
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
        0.20,
        (3.0, 1.8, 1.2),
        2,
        14,
        "tickets",
    ),
    Metric(
        "last_contact",
        "engagement",
        "Last contact",
        0.60,
        (90, 30, 14),
        0,
        45,
        "contact",
    ),
    Metric(
        "campaigns",
        "engagement",
        "E-mail response",
        0.40,
        (0, 0.15, 0.4),
        0,
        45,
        "campaigns",
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


def check_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec, complete and checked. Raises ConfigError with the fields at fault.

    Weights may be any non-negative numbers (they are normalised); anchors must be
    strictly monotone; bands ordered; caps between 0 and 100.
    """
    fields: dict[str, str] = {}
    out: dict[str, Any] = {"components": {}, "metrics": {}, "caps": {}, "bands": {}}
    for name in COMPONENTS:
        value = spec.get("components", {}).get(name, 0)
        if not _is_number(value) or value < 0:
            fields[f"components.{name}"] = "a number of 0 or more"
        out["components"][name] = value
    if not fields and sum(out["components"].values()) <= 0:
        fields["components"] = "at least one weight above 0"
    for metric in METRICS:
        default = DEFAULT_SPEC["metrics"][metric.name]
        given = {**default, **spec.get("metrics", {}).get(metric.name, {})}
        anchors = given["anchors"]
        if not _is_number(given["weight"]) or given["weight"] < 0:
            fields[f"metrics.{metric.name}.weight"] = "a number of 0 or more"
        if (
            not isinstance(anchors, list)
            or len(anchors) != 3
            or not all(_is_number(item) for item in anchors)
            or not (
                anchors[0] < anchors[1] < anchors[2]
                or anchors[0] > anchors[1] > anchors[2]
            )
        ):
            fields[f"metrics.{metric.name}.anchors"] = (
                "three numbers, rising or falling"
            )
        for key in ("grace_days", "half_life_days"):
            least = 0 if key == "grace_days" else 0.5
            if not _is_number(given[key]) or not least <= given[key] <= 3650:
                fields[f"metrics.{metric.name}.{key}"] = f"{least} to 3650 days"
        out["metrics"][metric.name] = {key: given[key] for key in default}
    for name, default in DEFAULT_SPEC["caps"].items():
        value = spec.get("caps", {}).get(name, default)
        if value is not None and (not _is_number(value) or not 0 <= value <= 100):
            fields[f"caps.{name}"] = "0 to 100, or null for none"
        out["caps"][name] = value
    bands = {**DEFAULT_SPEC["bands"], **spec.get("bands", {})}
    if not all(_is_number(value) for value in bands.values()) or not (
        0 < bands["watch"] < bands["healthy"] < 100 and 0 <= bands["hysteresis"] <= 10
    ):
        fields["bands"] = "0 < watch < healthy < 100, hysteresis 0 to 10"
    out["bands"] = {key: bands[key] for key in DEFAULT_SPEC["bands"]}
    unknown = set(spec.get("metrics", {})) - set(METRIC_BY_NAME)
    for name in sorted(unknown):
        fields[f"metrics.{name}"] = "no such metric"
    if fields:
        raise ConfigError(
            "This health definition is not valid.",
            code="invalid_definition",
            fields=fields,
        )
    return out


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
