"""The pages of churn risk. Every number comes from the functions the API uses."""

from __future__ import annotations

import math
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics import queries as customers
from analytics.predict import jobs, labelling, monitor, queries, sentences, table, truth
from analytics.predict.models import ModelVersion
from analytics.predict.narrowing import read_narrow
from analytics.segments import members as saved
from churnguard import audit
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Organization

PROBABILITIES = (0.05, 0.1, 0.2, 0.5)
SIZE = 300
"""Side of the reliability diagram in SVG units."""


@require_safe
@org_view
def risk(request: PageRequest) -> HttpResponse:
    """The accounts by risk, or by money at risk."""
    organization = request.organization
    segment = request.GET.get("segment") or "all"
    order = request.GET.get("order") or "risk"
    problem, narrow = None, queries.ANYBODY
    try:
        narrow = read_narrow(request.GET)
        rows, after = queries.list_predictions(
            organization,
            segment,
            narrow=narrow,
            order=order,
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, segment, order, narrow = exc, "all", "risk", queries.ANYBODY
        rows, after = queries.list_predictions(organization, segment)
    state = queries.get_state(organization)
    scored = queries.scored_customers(organization, segment, narrow).count()
    return render(
        request,
        "analytics/risk.html",
        {
            "rows": rows,
            "after": after,
            "segment": segment,
            "order": order,
            "narrow": narrow,
            "bands": customers.BANDS,
            "steps": PROBABILITIES,
            "problem": problem,
            "state": state,
            "money": queries.revenue_at_risk(
                organization, segment, state.model, narrow
            ),
            "scored": scored,
            "high": queries.scored_customers(organization, "high_risk").count(),
            "choices": _choices(request),
            "can_train": has_role(request, "admin"),
            "as_of": state.model.scored_at if state.model else None,
            "api_path": reverse("api-predictions", args=[segment]),
        },
        status=400 if problem else 200,
    )


@require_safe
@org_view
def export(request: PageRequest) -> HttpResponse:
    """The list with the same filters as CSV, at most 50,000 accounts."""
    organization = request.organization
    try:
        text = table.write_csv(
            organization,
            request.GET.get("segment") or "all",
            narrow=read_narrow(request.GET),
            order=request.GET.get("order") or "risk",
        )
    except ConfigError:
        # The page of these parameters says what is wrong with them.
        return redirect(f"{reverse('risk')}?{request.GET.urlencode()}")
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="churn-risk.csv"'
    return answer


@require_safe
@org_view
def model(request: PageRequest) -> HttpResponse:
    """The model card: what was learned from what, and how well it would have done."""
    organization = request.organization
    state = queries.get_state(organization)
    card = queries.model_card(state.model) if state.model else None
    return render(
        request,
        "analytics/model.html",
        {
            "state": state,
            "card": card,
            "bars": _importance(card["importance"]) if card else [],
            "diagram": _diagram(card["reliability"]) if card else [],
            "size": SIZE,
            "drift": [
                {**shift, "name": sentences.FEATURES[shift["name"]]}
                for shift in (card["drift"] if card else [])
            ],
            "alarms": monitor.alarms(state.model) if state.model else [],
            "matured": monitor.list_matured(organization.pk),
            "next_due": _next_due(organization, state.model),
            "recovery": truth.get_recovery(organization, state.model),
            "definition": labelling.get_label(organization),
            "versions": ModelVersion.objects.filter(organization=organization)
            .select_related("label")
            .defer("blob", "hazard", "bins", "tested")
            .order_by("-version")[:24],
            "can_train": has_role(request, "admin"),
            "breadcrumbs": [{"label": "Churn risk", "url": reverse("risk")}],
            "as_of": state.model.trained_at if state.model else None,
            "api_path": reverse("api-models"),
        },
    )


@require_POST
@org_view(role="admin")
def train(request: PageRequest) -> HttpResponse:
    """Ask for a training."""
    organization = request.organization
    job, made = jobs.request(organization, reason="requested", by=request.user.email)
    if made:
        audit.record(
            request,
            "model.training_requested",
            organization=organization,
            target_type="training_job",
            target_id=str(job.pk),
        )
    messages.success(
        request,
        "A training has been asked for; a worker begins within seconds."
        if made
        else "A training is already on its way.",
    )
    return redirect("model")


@require_safe
@org_view
def drivers(request: PageRequest, customer_id: str) -> HttpResponse:
    """The panel of one customer's drivers, fetched into the customer page; who opens it
    alone is led to that page."""
    organization = request.organization
    found = customers.find_customer(organization, customer_id)
    if not request.htmx:
        return redirect("customer", found.public_id)
    body = queries.get_prediction(organization, found)
    strongest = max((abs(group["effect"]) for group in body["groups"]), default=0.0)
    return render(
        request,
        "analytics/risk_drivers.html",
        {
            "body": body,
            "state": queries.get_state(organization),
            "groups": [
                {
                    **group,
                    "size": abs(group["effect"]),
                    "raises": group["effect"] > 0,
                    "odds": math.exp(group["effect"]),
                }
                for group in body["groups"]
                if abs(group["effect"]) >= 0.005
            ],
            "strongest": strongest,
            "history": [
                round(100 * point["probability"], 1)
                for point in reversed(body["history"])
            ],
        },
    )


def _choices(request: PageRequest) -> list[tuple[str, str]]:
    organization = request.organization
    found = [
        ("all", "All accounts"),
        ("high_risk", "High risk"),
        ("at_risk", "Health at risk"),
    ]
    for kind in ("plan", "segment"):
        found += [
            (f"{kind}:{name}", f"{kind.capitalize()} {name}")
            for name in customers.choices(organization, kind)
        ]
    found += saved.choices(organization)
    return found


def _importance(importance: dict[str, float]) -> list[dict[str, Any]]:
    whole = sum(importance.values()) or 1.0
    return [
        {"label": sentences.LABELS[name], "share": value / whole}
        for name, value in sorted(importance.items(), key=lambda item: -item[1])
        if value > 0
    ]


def _next_due(organization: Organization, model: ModelVersion | None) -> date | None:
    if model is None:
        return None
    today = timezone.now().astimezone(ZoneInfo(organization.timezone)).date()
    return monitor.next_due(model, today)


def _diagram(reliability: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Per bin its place in the SVG; the axes end at the largest value shown."""
    if not reliability:
        return []
    most = max(max(b["mean_probability"], b["high"]) for b in reliability)
    scale = SIZE / max(most, 0.05)
    return [
        {
            **one,
            "x": round(one["mean_probability"] * scale, 1),
            "y": round(SIZE - one["observed_rate"] * scale, 1),
            "y_low": round(SIZE - one["low"] * scale, 1),
            "y_high": round(SIZE - one["high"] * scale, 1),
            "top": max(most, 0.05),
        }
        for one in reliability
    ]
