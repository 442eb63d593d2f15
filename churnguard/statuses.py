"""Every status word the product shows, with its tone, shape and label.

Colour never stands alone: the shape tells "fine" (circle) from "will heal by
itself" (diamond) from "needs a person" (square) from "not running" (ring).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["ok", "info", "warn", "danger", "neutral"]
Shape = Literal["circle", "diamond", "square", "ring"]


@dataclass(frozen=True, slots=True)
class Status:
    """How one status word looks."""

    tone: Tone
    shape: Shape
    label: str


STATUSES: dict[str, Status] = {
    # health bands
    "healthy": Status("ok", "circle", "Healthy"),
    "good": Status("ok", "circle", "Good"),
    "watch": Status("warn", "diamond", "Watch"),
    "concerning": Status("warn", "diamond", "Concerning"),
    "at_risk": Status("danger", "square", "At risk"),
    "critical": Status("danger", "square", "Critical"),
    "low": Status("ok", "circle", "Low"),
    "medium": Status("warn", "diamond", "Medium"),
    "high": Status("danger", "square", "High"),
    "unknown": Status("neutral", "ring", "Too little data"),
    "left": Status("neutral", "ring", "Left"),
    "unscored": Status("neutral", "ring", "Not scored yet"),
    # integrations and runs
    "active": Status("ok", "circle", "Active"),
    "connected": Status("ok", "circle", "Connected"),
    "completed": Status("ok", "circle", "Completed"),
    "succeeded": Status("ok", "circle", "Succeeded"),
    "success": Status("ok", "circle", "Succeeded"),
    "synced": Status("ok", "circle", "Synced"),
    "running": Status("info", "circle", "Running"),
    "syncing": Status("info", "circle", "Syncing"),
    "processing": Status("info", "circle", "Processing"),
    "in_progress": Status("info", "circle", "In progress"),
    "retrying": Status("warn", "diamond", "Retrying"),
    "rate_limited": Status("warn", "diamond", "Rate limited"),
    "incomplete": Status("warn", "diamond", "Incomplete"),
    "partial": Status("warn", "diamond", "Partial"),
    "stale": Status("warn", "diamond", "Stale"),
    "degraded": Status("warn", "diamond", "Degraded"),
    "late": Status("warn", "diamond", "Late"),
    "warning": Status("warn", "diamond", "Warning"),
    "warn": Status("warn", "diamond", "Warning"),
    "failed": Status("danger", "square", "Failed"),
    "failing": Status("danger", "square", "Failing"),
    "error": Status("danger", "square", "Error"),
    "dead": Status("danger", "square", "Gave up"),
    "down": Status("danger", "square", "Down"),
    "action_required": Status("danger", "square", "Action required"),
    "brake": Status("danger", "square", "Confirm deletes"),
    "authentication_failed": Status("danger", "square", "Reconnect needed"),
    "rejected": Status("danger", "square", "Rejected"),
    "quarantined": Status("warn", "diamond", "Quarantined"),
    "replayed": Status("ok", "circle", "Replayed"),
    "discarded": Status("neutral", "ring", "Discarded"),
    "queued": Status("neutral", "circle", "Queued"),
    "pending": Status("neutral", "circle", "Pending"),
    "new": Status("neutral", "circle", "New"),
    "never": Status("neutral", "ring", "Never synced"),
    "paused": Status("neutral", "ring", "Paused"),
    "inactive": Status("neutral", "ring", "Inactive"),
    "disabled": Status("neutral", "ring", "Disabled"),
    "cancelled": Status("neutral", "ring", "Cancelled"),
    "cancelling": Status("neutral", "ring", "Cancelling"),
    "deleted": Status("neutral", "ring", "Deleted"),
    "skipped": Status("neutral", "ring", "Skipped"),
    # alerts and checks
    "up": Status("ok", "circle", "Up"),
    "ok": Status("ok", "circle", "OK"),
    "info": Status("info", "circle", "Info"),
    "firing": Status("danger", "square", "Firing"),
    "open": Status("danger", "square", "Open"),
    "recovering": Status("warn", "diamond", "Recovering"),
    "half_open": Status("warn", "diamond", "Half open"),
    "acknowledged": Status("info", "circle", "Acknowledged"),
    "resolved": Status("ok", "circle", "Resolved"),
    "silenced": Status("neutral", "ring", "Silenced"),
    # keys, invitations, subscriptions, invoices
    "expired": Status("danger", "square", "Expired"),
    "expiring": Status("warn", "diamond", "Expires soon"),
    "revoked": Status("neutral", "ring", "Revoked"),
    "invited": Status("info", "circle", "Invited"),
    "trialing": Status("info", "circle", "Trial"),
    "past_due": Status("danger", "square", "Past due"),
    "churned": Status("danger", "square", "Churned"),
    "paid": Status("ok", "circle", "Paid"),
    "overdue": Status("danger", "square", "Overdue"),
    "void": Status("neutral", "ring", "Void"),
    "closed": Status("neutral", "ring", "Closed"),
    "solved": Status("ok", "circle", "Solved"),
}


def get_status(word: str | None) -> Status:
    """The look of a status word; an unknown word is neutral and keeps its name."""
    key = str(word or "").strip().lower().replace("-", "_").replace(" ", "_")
    known = STATUSES.get(key)
    if known is not None:
        return known
    label = key.replace("_", " ").capitalize() or "Unknown"
    return Status("neutral", "ring", label)


def get_band(score_0_100: float | None) -> str:
    """The band of a score when the caller has none: for drawing only."""
    if score_0_100 is None:
        return "unscored"
    if score_0_100 >= 70:
        return "healthy"
    if score_0_100 >= 40:
        return "watch"
    return "at_risk"
