"""The definition as a form: fields named by their path, errors beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from analytics.definition import COMPONENTS, METRICS
from analytics.definitions.body import shares
from analytics.sentences import COMPONENT_LABELS

HINTS: dict[str, str] = {
    "active_days": "active days of 28 by own habit",
    "recency_gap": "days since last use by the usual gap",
    "seats_used": "active users per paid seat",
    "feature_breadth": "features in use of those adopted",
    "past_due": "days the oldest open invoice is past due",
    "failed_payments": "failed payments in 90 days",
    "plan_change": "recurring revenue by that of 90 days ago",
    "renewal": "days to the end of a term that will not renew",
    "urgent_open": "open urgent tickets",
    "reopen_rate": "share of tickets reopened in 90 days",
    "first_reply": "hours, median of 90 days",
    "resolution": "hours, median of 90 days",
    "ticket_volume": "tickets in 28 days by own habit (a surge)",
    "ticket_silence": "the same, of those who usually write often",
    "last_contact": "days since a two-way contact",
    "replies": "answered share of the last 10 e-mails",
    "campaigns": "responses per campaign e-mail in 90 days",
    "champion": "days since a champion was active",
    "csat": "percent, mean of 180 days",
    "nps": "0 to 10, newest answer of each contact",
    "pulse": "percent, as the team sees it",
}
CAPS = {
    "cancellation_scheduled": "Cancelled or cancellation scheduled",
    "past_due_30": "More than 30 days past due",
    "urgent_overdue": "Urgent ticket open for over 5 days",
}
BANDS = {
    "healthy": "Healthy from",
    "watch": "Watch from",
    "hysteresis": "Points beyond a border before the band changes",
    "least_coverage_pct": "Percent of the weight that must be known",
}
ANCHORS = ("0 points", "60 points", "100 points")
_LABELS = {
    "enabled": "counts",
    "weight": "weight",
    "anchors": "anchors",
    "grace_days": "grace, days",
    "half_life_days": "half-life, days",
}
_METRIC_LABELS = {metric.name: metric.label for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Entry:
    """One input: name = id of the path, label for readers, text shown, error."""

    name: str
    label: str
    text: str
    error: str = ""


def read_form(post: QueryDict) -> dict[str, Any]:
    """The posted definition. What is no number stays text, for the check to name."""
    return {
        "components": {
            name: _number(post.get(f"components.{name}", "")) for name in COMPONENTS
        },
        "metrics": {
            metric.name: {
                "enabled": f"metrics.{metric.name}.enabled" in post,
                "anchors": [
                    _number(post.get(f"metrics.{metric.name}.anchors.{place}", ""))
                    for place in range(3)
                ],
                **{
                    key: _number(post.get(f"metrics.{metric.name}.{key}", ""))
                    for key in ("weight", "grace_days", "half_life_days")
                },
            }
            for metric in METRICS
        },
        "caps": {
            name: _number(post.get(f"caps.{name}", ""))
            if post.get(f"caps.{name}")
            else None
            for name in CAPS
        },
        "bands": {name: _number(post.get(f"bands.{name}", "")) for name in BANDS},
    }


def show_form(spec: dict[str, Any], faults: dict[str, str]) -> dict[str, Any]:
    """What the page draws: components with their metrics, caps, bands, and the faults
    in words with the field each leads to."""
    is_whole = all(
        isinstance(value, (int, float)) for value in spec["components"].values()
    )
    percent = shares(spec) if is_whole else {}
    return {
        "components": [
            {
                "label": COMPONENT_LABELS[name],
                "weight": _entry(
                    f"components.{name}",
                    f"{COMPONENT_LABELS[name]} weight",
                    spec["components"][name],
                    faults,
                ),
                "share": percent.get(name),
                "metrics": [
                    _metric(metric.name, spec["metrics"][metric.name], faults)
                    for metric in METRICS
                    if metric.component == name
                ],
            }
            for name in COMPONENTS
        ],
        "caps": [
            _entry(f"caps.{name}", label, spec["caps"][name], faults)
            for name, label in CAPS.items()
        ],
        "bands": [
            _entry(f"bands.{name}", label, spec["bands"][name], faults)
            for name, label in BANDS.items()
        ],
        "anchor_heads": ANCHORS,
        "faults": [
            {"field": _field_of(path), "label": label_of(path), "text": text}
            for path, text in faults.items()
        ],
    }


def label_of(path: str) -> str:
    """A path in words: "metrics.past_due.anchors" -> "Past due: anchors"."""
    part, _, rest = path.partition(".")
    if part == "components":
        return (
            f"{COMPONENT_LABELS.get(rest, 'Component')} weight" if rest else "Weights"
        )
    if part == "caps":
        return f"Cap: {CAPS.get(rest, rest).lower()}"
    if part == "bands":
        return f"Bands: {BANDS.get(rest, rest).lower()}"
    name, _, key = rest.partition(".")
    return f"{_METRIC_LABELS.get(name, name)}: {_LABELS.get(key, key)}"


def words_of(value: Any) -> str:
    """A setting's value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, list):
        return " / ".join(_text(item) for item in value)
    return _text(value)


def _metric(
    name: str, settings: dict[str, Any], faults: dict[str, str]
) -> dict[str, Any]:
    path, label = f"metrics.{name}", _METRIC_LABELS[name]
    anchors = settings["anchors"]
    return {
        "label": label,
        "hint": HINTS[name],
        "enabled": _entry(f"{path}.enabled", f"{label} counts", "", faults),
        "is_enabled": settings["enabled"],
        "weight": _entry(
            f"{path}.weight", f"{label} weight", settings["weight"], faults
        ),
        "anchors": [
            Entry(
                f"{path}.anchors.{place}",
                f"{label}, {ANCHORS[place]}",
                _text(anchors[place]),
                faults.get(f"{path}.anchors", ""),
            )
            for place in range(3)
        ],
        "days": [
            _entry(f"{path}.{key}", f"{label}, {_LABELS[key]}", settings[key], faults)
            for key in ("grace_days", "half_life_days")
        ],
        "errors": [
            text
            for key in ("enabled", "weight", "anchors", "grace_days", "half_life_days")
            if (text := faults.get(f"{path}.{key}"))
        ],
    }


def _entry(path: str, label: str, value: Any, faults: dict[str, str]) -> Entry:
    return Entry(path, label, _text(value), faults.get(path, ""))


def _field_of(path: str) -> str:
    """The input a fault leads to."""
    if path == "components":
        return f"components.{COMPONENTS[0]}"
    return f"{path}.0" if path.endswith(".anchors") else path


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _number(text: str) -> Any:
    """The number people typed; anything else as it is."""
    cleaned = text.strip().replace(",", ".")[:40]
    try:
        return int(cleaned)
    except ValueError:
        pass
    try:
        return float(cleaned)
    except ValueError:
        return cleaned
