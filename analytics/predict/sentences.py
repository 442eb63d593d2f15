"""Reasons in words: each names the fact, since when, and what is usual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, TypedDict

import numpy as np

from churnguard import formats
from churnguard.currencies import minor_places

_Say = Callable[[float, float, date], str]


class Reason(TypedDict):
    """effect: share of the log-odds; above 0 it raises the risk."""

    feature: str
    group: str
    effect: float
    sentence: str


def _n(value: float) -> str:
    return formats.figure(round(value, 1 if abs(value) < 10 else 0))


def _usual(text: Callable[[float], str], usual: float) -> str:
    return "" if np.isnan(usual) else f" (usual: {text(usual)})"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def _since(noun: str, days: int, one: str = "") -> _Say:
    """noun: plural; one: singular where it is not just without the last letter."""

    def say(value: float, usual: float, cutoff: date) -> str:
        begin = _day(cutoff - timedelta(days=days))
        count = _n(value) if value else "No"
        what = (one or noun[:-1]) if value == 1 else noun
        return f"{count} {what} since {begin}{_usual(_n, usual)}."

    return say


def _days(value: float) -> str:
    return "1 day" if _n(value) == "1" else f"{_n(value)} days"


def _last(noun: str, none: str) -> _Say:
    def say(value: float, usual: float, cutoff: date) -> str:
        if np.isnan(value):
            return f"{none} on record by {_day(cutoff)}."
        at = _day(cutoff - timedelta(days=int(value)))
        return f"Last {noun} on {at}, {_days(value)} ago{_usual(_days, usual)}."

    return say


def _move(noun: str, days: int) -> _Say:
    def change(value: float) -> str:
        moved = float(np.expm1(np.clip(value, -5, 5)))
        if abs(moved) < 0.005:
            return "unchanged"
        return f"{'up' if moved > 0 else 'down'} {formats.percent(abs(moved), 0)}"

    def say(value: float, usual: float, cutoff: date) -> str:
        begin = _day(cutoff - timedelta(days=days))
        return f"{noun} {change(value)} since {begin}{_usual(change, usual)}."

    return say


def _now(noun: str, unit: str = "") -> _Say:
    def say(value: float, usual: float, cutoff: date) -> str:
        def text(x: float) -> str:
            return f"{_n(x)}{unit}"

        return f"{noun} {text(value)} as of {_day(cutoff)}{_usual(text, usual)}."

    return say


def _renewal(value: float, usual: float, cutoff: date) -> str:
    del usual
    return f"Next renewal about {_day(cutoff + timedelta(days=int(value)))}."


def _tenure(value: float, usual: float, cutoff: date) -> str:
    months = value / 30.4375
    began = _day(cutoff - timedelta(days=int(value)))
    return (
        f"Customer since {began}, {_n(months)} months"
        f"{_usual(lambda x: f'{_n(x / 30.4375)} months', usual)}."
    )


def _gap(value: float, usual: float, cutoff: date) -> str:
    return (
        f"The pause before {_day(cutoff)} is {_n(value)} times its own usual gap"
        f"{_usual(lambda x: f'{_n(x)} times', usual)}."
    )


def _season(value: float, usual: float, cutoff: date) -> str:
    del value, usual
    return f"The time of year ({cutoff:%B})."


def _amount(noun: str, currency: str) -> _Say:
    def text(value: float) -> str:
        minor = round(value * 10 ** minor_places(currency))
        return formats.money(minor, currency)

    def say(value: float, usual: float, cutoff: date) -> str:
        return f"{noun} {text(value)} as of {_day(cutoff)}{_usual(text, usual)}."

    return say


MONEY = {"mrr": "MRR", "billed_last": "Last invoice:"}
TEXTS: dict[str, _Say] = {
    "days_since_use": _last("use", "No use"),
    "active_days_7": _since("active days", 7),
    "active_days_28": _since("active days", 28),
    "active_days_90": _since("active days", 90),
    "usage_trend": _move("Use a day", 28),
    "users_28": _since("active users", 28),
    "users_trend": _move("Active users", 28),
    "features_28": _since("kinds of events used", 28, "kind of event used"),
    "features_trend": _move("Kinds of events used", 28),
    "usual_gap_days": _now("Days between uses", ""),
    "gap_ratio": _gap,
    "mrr_change_90": _move("MRR", 90),
    "seats": _now("Seats"),
    "days_to_renewal": _renewal,
    "failed_payments_90": _since("failed payments", 90),
    "overdue_invoices": _now("Overdue invoices:"),
    "late_payments_180": _since("invoices paid late", 180, "invoice paid late"),
    "billed_change": _move("Invoice amount", 90),
    "tickets_28": _since("support tickets", 28),
    "tickets_90": _since("support tickets", 90),
    "urgent_90": _since("urgent tickets", 90),
    "reopened_90": _since("reopened tickets", 90),
    "open_tickets": _now("Open tickets:"),
    "ticket_rating_180": _now("Ticket rating", " %"),
    "conversations_90": _since("conversations", 90),
    "days_since_conversation": _last("conversation", "No conversation"),
    "mails_answered_90": _since(
        "mails opened or clicked", 90, "mail opened or clicked"
    ),
    "days_since_mail": _last("mail opened", "No mail opened"),
    "survey_last": _now("Newest survey answer", " %"),
    "survey_mean_365": _now("Mean survey answer", " %"),
    "days_since_survey": _last("survey answer", "No survey answer"),
    "tenure_days": _tenure,
    "season_sin": _season,
    "season_cos": _season,
}

FEATURES = {
    "score": "Churn risk",
    "days_since_use": "Days since last use",
    "active_days_7": "Active days in 7",
    "active_days_28": "Active days in 28",
    "active_days_90": "Active days in 90",
    "usage_trend": "Change of use",
    "users_28": "Active users in 28 days",
    "users_trend": "Change of active users",
    "features_28": "Kinds of events in 28 days",
    "features_trend": "Change of kinds of events",
    "usual_gap_days": "Usual days between uses",
    "gap_ratio": "Pause against the usual gap",
    "mrr": "MRR",
    "mrr_change_90": "Change of MRR in 90 days",
    "seats": "Seats",
    "days_to_renewal": "Days to renewal",
    "failed_payments_90": "Failed payments in 90 days",
    "overdue_invoices": "Overdue invoices",
    "late_payments_180": "Late payments in 180 days",
    "billed_last": "Last invoice",
    "billed_change": "Change of invoice amount",
    "tickets_28": "Tickets in 28 days",
    "tickets_90": "Tickets in 90 days",
    "urgent_90": "Urgent tickets in 90 days",
    "reopened_90": "Reopened tickets in 90 days",
    "open_tickets": "Open tickets",
    "ticket_rating_180": "Ticket rating of 180 days",
    "conversations_90": "Conversations in 90 days",
    "days_since_conversation": "Days since last conversation",
    "mails_answered_90": "Mails opened or clicked in 90 days",
    "days_since_mail": "Days since a mail was opened",
    "survey_last": "Newest survey answer",
    "survey_mean_365": "Mean survey answer of 365 days",
    "days_since_survey": "Days since a survey answer",
    "tenure_days": "Days as a customer",
    "season_sin": "Time of year, spring or autumn",
    "season_cos": "Time of year, winter or summer",
}
"""What a feature is called where it stands alone."""

LABELS = {
    "usage": "Usage",
    "billing": "Billing",
    "support": "Support",
    "engagement": "Engagement",
    "sentiment": "Sentiment",
    "tenure": "Tenure and season",
}


def tell(stored: Sequence[Sequence[Any]], cutoff: date, currency: str) -> list[Reason]:
    """The stored reasons of a prediction in words, in their order. currency: the
    organisation's, in which money was converted."""
    return [
        {
            "feature": feature,
            "group": group,
            "effect": effect,
            "sentence": _sentence(feature, value, usual, cutoff, currency),
        }
        for feature, group, effect, value, usual in stored
    ]


def _sentence(
    feature: str,
    value: float | None,
    usual: float | None,
    cutoff: date,
    currency: str,
) -> str:
    known = np.nan if usual is None else float(usual)
    text = _amount(MONEY[feature], currency) if feature in MONEY else TEXTS[feature]
    if value is None:
        if feature.startswith("days_since"):
            return text(np.nan, known, cutoff)
        return f"{FEATURES[feature]}: not known on {_day(cutoff)}."
    return text(float(value), known, cutoff)
