"""The revenue page. Every number comes from the functions the API uses."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics.revenue import body, changes, policy, rates
from analytics.revenue.periods import GROUPS, INTERVALS, Question
from analytics.segments import members as saved
from churnguard import formats
from churnguard.auth import has_role, org_view
from churnguard.currencies import minor_places
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import ExchangeRate, Subscription

KIND_LABELS = {
    "new": "New",
    "reactivation": "Reactivation",
    "expansion": "Expansion",
    "contraction": "Contraction",
    "churn": "Churn",
}


@require_safe
@org_view
def revenue(request: PageRequest) -> HttpResponse:
    """Tiles, chart, movements with the customers behind them, recognition, reasons,
    settings."""
    return _page(request)


@require_POST
@org_view(role="admin")
def change_settings(request: PageRequest) -> HttpResponse:
    """Keep the settings; every customer's MRR follows."""
    try:
        chosen = policy.parse(
            {
                name: request.POST.get(name, "")
                for name in policy.Policy.__dataclass_fields__
                if name in request.POST
            }
        )
    except ConfigError as exc:
        return _page(request, settings_problem=exc)
    changed = changes.change_policy(request, request.organization, chosen)
    messages.success(request, f"Settings kept. The MRR of {changed} accounts changed.")
    return redirect("revenue")


@require_POST
@org_view(role="admin")
def change_rates(request: PageRequest) -> HttpResponse:
    """Keep or remove one rate; every customer's MRR follows."""
    line = {
        "currency": request.POST.get("currency", "").strip(),
        "day": request.POST.get("day", "").strip(),
        "rate": None if "remove" in request.POST else request.POST.get("rate", ""),
    }
    try:
        given = rates.parse_rates([line], request.organization.base_currency)
    except ConfigError as exc:
        return _page(request, rates_problem=exc)
    changed = changes.change_rates(
        request, request.organization, given, origin="manual"
    )
    word = "removed" if line["rate"] is None else "kept"
    messages.success(request, f"Rate {word}. The MRR of {changed} accounts changed.")
    return redirect("revenue")


def _page(
    request: PageRequest,
    *,
    settings_problem: ConfigError | None = None,
    rates_problem: ConfigError | None = None,
) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    today = body.today_of(organization, now)
    problem = None
    try:
        question = Question.from_query(request.GET, today)
        saved.read_members(organization, question.segment_id, now)
        behind = _behind(request, question, now)
    except ConfigError as exc:
        problem, question = exc, Question.from_query({}, today)
        behind = None
    answer = body.report_body(organization, question, now)
    recognition = body.recognition_body(organization, question, now)
    return render(
        request,
        "analytics/revenue.html",
        {
            "answer": answer,
            "totals": answer["totals"],
            "table": [_row(request, row) for row in answer["periods"][::-1]],
            "group_table": [
                {**_row(request, item["totals"], item["group"]), "group": item["group"]}
                for item in answer["groups"]
            ],
            "recognition": recognition,
            "earned_rows": recognition["periods"][::-1],
            "has_earned": any(
                value
                for row in recognition["periods"]
                for name, value in row.items()
                if name.endswith("_minor")
            ),
            "behind": behind,
            "behind_summary": _summary(behind),
            "chart": _chart(answer),
            "question": question,
            "first_day": answer["from"],
            "last_day": date.fromordinal(question.end.toordinal() - 1).isoformat(),
            "intervals": INTERVALS,
            "groups": GROUPS,
            "kinds": KIND_LABELS,
            "saved_segments": saved.choices(organization),
            "segment_id": question.segment_id,
            "is_empty": not Subscription.objects.filter(
                organization=organization
            ).exists(),
            "can_admin": has_role(request, "admin"),
            "policy": policy.get_policy(organization),
            "grace_most": policy.GRACE_MOST,
            "rates": ExchangeRate.objects.filter(organization=organization).order_by(
                "-day", "currency"
            )[:24],
            "rates_now": body.rates_body(organization, now),
            "today": today.isoformat(),
            "problem": problem,
            "settings_problem": settings_problem,
            "rates_problem": rates_problem,
            "posted": request.POST,
            "as_of": now,
            "api_path": reverse("api-revenue"),
        },
        status=400 if problem or settings_problem or rates_problem else 200,
    )


def _behind(
    request: PageRequest, question: Question, now: datetime
) -> dict[str, Any] | None:
    """The customers of one cell of the table: ?kind=, ?since= to ?until= (its last
    day), ?value= of the group. Raises ConfigError for what is not valid."""
    kind = request.GET.get("kind", "")
    value = request.GET.get("value", "")
    since, until = request.GET.get("since", ""), request.GET.get("until", "")
    if not (kind or value or since):
        return None
    days = {"from": since or question.start.isoformat(), "interval": "month"}
    days["to"] = until or date.fromordinal(question.end.toordinal() - 1).isoformat()
    same = {"group": question.group, "segment_id": question.segment_id}
    cell = Question.from_query({**days, **same}, question.end)
    found = body.movements_body(
        request.organization,
        cell,
        now,
        kind=kind,
        value=value,
        cursor=request.GET.get("after"),
    )
    return {
        **found,
        "label": KIND_LABELS.get(kind, "All movements"),
        "first": days["from"],
        "last": days["to"],
    }


def _row(request: PageRequest, row: dict[str, Any], value: str = "") -> dict[str, Any]:
    """A row of a table whose movements lead to the customers behind them."""
    last = date.fromordinal(date.fromisoformat(row["end"]).toordinal() - 1)
    cells = []
    for kind, label in KIND_LABELS.items():
        query = request.GET.copy()
        query.pop("after", None)
        query["kind"], query["value"] = kind, value
        query["since"], query["until"] = row["start"], last.isoformat()
        minor = row[f"{kind}_minor"]
        is_loss = kind in ("contraction", "churn")
        cells.append(
            {
                "label": label,
                "minor": minor,
                "signed": -minor if is_loss else minor,
                "url": f"{reverse('revenue')}?{query.urlencode()}",
            }
        )
    return {**row, "cells": cells}


def _summary(behind: dict[str, Any] | None) -> str:
    if behind is None:
        return ""
    amount = formats.money(behind["amount_minor"], behind["currency"])
    return f"{behind['count']} movements, {amount}"


def _chart(answer: dict[str, Any]) -> dict[str, Any]:
    """MRR at the end of each period, in whole units of the currency."""
    unit = 10 ** minor_places(answer["currency"])
    rows = answer["periods"]
    is_known = any(row["mrr_start_minor"] or row["mrr_end_minor"] for row in rows)
    return {
        "x": [_epoch(row["end"]) for row in rows] if is_known else [],
        "series": [
            {"label": "MRR", "values": [row["mrr_end_minor"] / unit for row in rows]}
        ],
        "unit": answer["currency"],
    }


def _epoch(day: str) -> int:
    """Just before midnight UTC, so that a month's end is drawn in its month."""
    at = datetime.combine(date.fromisoformat(day), time(), UTC)
    return int(at.timestamp()) - 1
