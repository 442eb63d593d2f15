"""Ledger lines as sentences a person can check: the fact, its number, its date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from analytics import health
from analytics.definition import COMPONENTS, METRIC_BY_NAME

Facts = tuple[float | None, float | None]

COMPONENT_LABELS = {
    "usage": "Usage",
    "billing": "Billing",
    "support": "Support",
    "engagement": "Engagement",
    "sentiment": "Sentiment",
    "knowledge": "Age of the data",
    "rules": "Rules",
}

_CAP_SENTENCES = (
    "The subscription is cancelled or its cancellation is scheduled.",
    "An invoice is more than 30 days past due.",
    "An urgent ticket has been open for more than 5 days.",
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the ledger. points_lost may be negative (a staleness gain)."""

    metric: str
    label: str
    component: str
    points_lost: int
    sentence: str
    fact: dict[str, float]
    fact_at: datetime | None
    score: float | None
    weight_points: float


def _n(value: float | None, unit: str, *, digits: int = 0) -> str:
    if value is None:
        return f"unknown {unit}s"
    number = round(value, digits) if digits else round(value)
    text = f"{number:g}" if digits else f"{int(number)}"
    return f"{text} {unit}{'' if number == 1 else 's'}"


def _some(value: float | None, unit: str) -> str:
    """As `_n`, but "No ticket" for none; for the beginning of a sentence."""
    return f"No {unit}" if value == 0 else _n(value, unit)


def _ago(days: float | None) -> str:
    """Whole days, as the date beside it is told: 55.6 are 55."""
    if days is None:
        return "on an unknown day"
    return f"{_n(int(days), 'day')} ago" if days >= 1 else "today"


_GONE_DAYS = 27
"""Silent for so long scores 0, habit or not."""


def _no_habit(is_median: bool) -> str:
    median = ", so the segment's median counts" if is_median else ""
    return f"no own habit known yet{median}"


def _active_days(a: float | None, b: float | None) -> str:
    if b is None:
        return f"Active on {_n(a, 'day')} of the last 28; {_no_habit(bool(a))}."
    return (
        f"Active on {_n(a, 'day')} of the last 28; usual are {_n(b, 'day', digits=1)}."
    )


def _recency(a: float | None, b: float | None) -> str:
    if a is None:
        return "No use on record."
    if b is None:
        return f"Last used {_ago(a)}; {_no_habit(a < _GONE_DAYS)}."
    return f"Last used {_ago(a)}; the usual gap is {_n(b, 'day', digits=1)}."


def _plan(a: float | None, b: float | None) -> str:
    if not b:
        return "The plan changed."
    change = ((a or 0) / b - 1) * 100
    if abs(change) < 0.5:
        return "Recurring revenue is the same as 90 days ago."
    way = "above" if change > 0 else "below"
    return f"Recurring revenue is {abs(change):.0f} % {way} that of 90 days ago."


def _renewal(a: float | None, b: float | None) -> str:
    if b == 1:
        return "The subscription has ended."
    return f"The term ends in {_n(a, 'day')} and nothing says it will renew."


def _tickets(a: float | None, b: float | None) -> str:
    return f"{_some(a, 'ticket')} in 28 days; usual are {_n(b, 'ticket', digits=1)}."


def _champion(a: float | None, b: float | None) -> str:
    if not b:
        return f"The last champion was removed from its source {_ago(a)}."
    who = "The champion" if b == 1 else f"The more active of {int(b)} champions"
    return f"{who} was last active {_ago(a)}."


_SENTENCES: dict[str, Callable[[float | None, float | None], str]] = {
    "active_days": _active_days,
    "recency_gap": _recency,
    "seats_used": lambda a, b: (
        f"{_some(a, 'user')} active in 28 days on {_n(b, 'seat')}."
    ),
    "feature_breadth": lambda a, b: (
        f"Uses {int(a or 0)} of the {_n(b, 'feature')} it had adopted."
    ),
    "past_due": lambda a, b: (
        f"The oldest open invoice is {_n(int(a), 'day')} past due."
        if a
        else "No invoice is past due."
    ),
    "failed_payments": lambda a, b: f"{_some(a, 'failed payment')} in 90 days.",
    "plan_change": _plan,
    "renewal": _renewal,
    "urgent_open": lambda a, b: f"{_some(a, 'open urgent ticket')}.",
    "reopen_rate": lambda a, b: (
        f"{int(a or 0)} of {_n(b, 'ticket')} in 90 days reopened."
    ),
    "first_reply": lambda a, b: (
        f"The median first reply took {_n(a, 'hour', digits=1)} over 90 days."
    ),
    "resolution": lambda a, b: (
        f"The median resolution took {_n(a, 'hour', digits=1)} over 90 days."
    ),
    "ticket_volume": _tickets,
    "ticket_silence": _tickets,
    "last_contact": lambda a, b: f"The last two-way contact was {_ago(a)}.",
    "replies": lambda a, b: (
        f"{int(a or 0)} of the last {_n(b, 'e-mail')} to it got an answer."
    ),
    "campaigns": lambda a, b: (
        f"{_some(a, 'response')} to {_n(b, 'campaign e-mail')} in 90 days."
    ),
    "champion": _champion,
    "csat": lambda a, b: f"CSAT is {a or 0:.0f} % over {_n(b, 'answer')} in 180 days.",
    "nps": lambda a, b: (
        f"Latest NPS answers average {a or 0:.1f} of 10 ({_n(b, 'contact')})."
    ),
    "pulse": lambda a, b: f"The team's own pulse is {a or 0:.0f} %.",
}


def reasons(parts: list[list[Any]]) -> list[Reason]:
    """The ledger lines of `HealthScore.parts`, most points lost first; lines that
    neither lose nor gain are included, so that every metric can be checked."""
    out = []
    for name, raw, _decayed, weight, lost, a, b, at in parts:
        if name == health.STALE_LINE:
            out.append(_stale(lost, a))
        elif name == health.CAP_LINE:
            out.append(_cap(lost, int(a)))
        else:
            metric = METRIC_BY_NAME[name]
            out.append(
                Reason(
                    metric=name,
                    label=metric.label,
                    component=metric.component,
                    points_lost=lost,
                    sentence=_SENTENCES[name](a, b),
                    fact={
                        key: value
                        for key, value in (("value", a), ("reference", b))
                        if value is not None
                    },
                    fact_at=None if at is None else datetime.fromtimestamp(at, UTC),
                    score=raw,
                    weight_points=weight,
                )
            )
    return sorted(out, key=lambda reason: -reason.points_lost)


def _stale(lost: int, age_days: float) -> Reason:
    what = "lose" if lost > 0 else "regain"
    return Reason(
        metric=health.STALE_LINE,
        label="Stale facts",
        component="knowledge",
        points_lost=lost,
        sentence=(
            f"Some facts are up to {_n(age_days, 'day')} old and count less: they "
            f"{what} {_n(abs(lost), 'point')} toward the ordinary customer."
        ),
        fact={"value": age_days},
        fact_at=None,
        score=None,
        weight_points=0.0,
    )


def _cap(lost: int, which: int) -> Reason:
    return Reason(
        metric=health.CAP_LINE,
        label="Cap",
        component="rules",
        points_lost=lost,
        sentence=f"{_CAP_SENTENCES[which]} That caps the score.",
        fact={},
        fact_at=None,
        score=None,
        weight_points=0.0,
    )


def components(parts: list[list[Any]]) -> list[dict[str, Any]]:
    """Per component: {name, label, score, weight, points_lost, reasons}.

    weight in points of 100; score 0-100 before ageing, weighted over its metrics; the
    staleness and cap lines are components of their own with weight 0.
    """
    found = reasons(parts)
    out = []
    for name in (*COMPONENTS, "knowledge", "rules"):
        own = [reason for reason in found if reason.component == name]
        if not own:
            continue
        weight = sum(reason.weight_points for reason in own)
        score = (
            sum((r.score or 0.0) * r.weight_points for r in own) / weight
            if weight
            else None
        )
        out.append(
            {
                "name": name,
                "label": COMPONENT_LABELS[name],
                "score": None if score is None else round(score, 1),
                "weight": round(weight, 2),
                "points_lost": sum(reason.points_lost for reason in own),
                "reasons": own,
            }
        )
    return out


def changes(before: list[list[Any]] | None, after: list[list[Any]]) -> list[Reason]:
    """What moved the score between two ledgers: the lines of `after` with
    points_lost = the difference, biggest first; lines gone since are included."""
    old = {line[0]: line for line in before or []}
    new = {line[0]: line for line in after}
    merged = []
    for name in old.keys() | new.keys():
        line = list(new.get(name) or old[name])
        difference = (new[name][4] if name in new else 0) - (
            old[name][4] if name in old else 0
        )
        if difference:
            line[4] = difference
            merged.append(line)
    return sorted(reasons(merged), key=lambda reason: -abs(reason.points_lost))
