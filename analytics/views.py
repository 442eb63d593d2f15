"""The customer pages. Every number comes from the functions the API uses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics import queries, scoring, timeline, trends
from analytics.identity import people, sayings
from analytics.identity import queries as identity_queries
from analytics.models import HealthScore
from analytics.segments import members as saved
from churnguard import audit, formats
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.stream.positions import newest

_ICONS = {
    "event": ("usage", ""),
    "ticket": ("ticket", "warn"),
    "invoice": ("file", ""),
    "subscription": ("revenue", "info"),
    "conversation": ("mail", ""),
    "survey_response": ("check", "ok"),
    "deal": ("chart", "info"),
    "campaign_engagement": ("mail", ""),
}


@require_safe
@org_view
def customers(request: PageRequest) -> HttpResponse:
    """The list: search, filters, ordering, keyset pages."""
    organization, now = request.organization, timezone.now()
    problem = None
    try:
        chosen = queries.CustomerFilter.from_query(request.GET)
        rows, after = queries.list_customers(
            organization,
            chosen,
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, chosen = exc, queries.CustomerFilter()
        rows, after = queries.list_customers(
            organization, chosen, cursor=None, limit=50
        )
    counts = queries.band_counts(organization)
    history = _sparklines([row.pk for row in rows])
    return render(
        request,
        "analytics/customers.html",
        {
            "rows": [(row, history.get(row.pk, [])) for row in rows],
            "counts": counts,
            "total": sum(counts.values()),
            "chosen": chosen,
            "is_filtered": any(
                request.GET.get(name)
                for name in (
                    *("q", "band", "segment", "plan", "min_score", "max_score"),
                    "segment_id",
                )
            ),
            "saved_segments": saved.choices(organization),
            "segment_id": chosen.segment_id,
            "can_write": has_role(request, "analyst"),
            "segments": queries.choices(organization, "segment"),
            "plans": queries.choices(organization, "plan"),
            "bands": queries.STANDINGS,
            "after": after,
            "default_order": chosen.order,
            "problem": problem,
            "at_risk_tone": "danger" if counts["at_risk"] else None,
            "now": now,
            "live_seq": newest(request.organization.pk, "health-scores"),
            "api_path": reverse("api-customers"),
        },
        status=400 if problem else 200,
    )


@require_safe
@org_view
def customer(request: PageRequest, customer_id: str) -> HttpResponse:
    """One customer: score, ledger, what changed, history, sources, timeline."""
    organization = request.organization
    found = queries.find_customer(organization, customer_id)
    if found.public_id != customer_id:
        return redirect("customer", customer_id=found.public_id)
    now = timezone.now()
    since = "28" if request.GET.get("since") == "28" else "7"
    health = queries.get_health(found, now, since_days=int(since))
    before = _before(request.GET.get("before"), now)
    kinds = tuple(k for k in request.GET.getlist("kind") if k in timeline.KINDS)
    moments = timeline.list_moments(
        found, before=before, kinds=kinds or timeline.KINDS, limit=41
    )
    more = len(moments) > 40
    moments = moments[:40]
    trend = trends.usage_trend(
        organization, trends.Question("90d", customer=found), now
    )
    return render(
        request,
        "analytics/customer.html",
        {
            "customer": found,
            "health": health,
            "components": health.components,
            "since": since,
            "identities": identity_queries.of_entity(found),
            "people": people.of_customer(found),
            "fields": sayings.fields_of(health.sources),
            "voices": sayings.voices(health.sources),
            "changes": [
                {"points": -change.points_lost, "sentence": change.sentence}
                for change in health.changes
            ],
            "history_chart": {
                "x": [int(at.timestamp()) for at, _ in health.history],
                "series": [
                    {
                        "label": "Health",
                        "values": [score for _, score in health.history],
                    }
                ],
                "unit": "points",
            },
            "usage_chart": _trend_chart(trend),
            "moments": [_moment(moment) for moment in moments],
            "older": moments[-1].at.isoformat() if more else None,
            "kinds": timeline.KINDS,
            "kind": kinds[0] if len(kinds) == 1 else "",
            "can_write": has_role(request, "analyst"),
            "live_seq": newest(request.organization.pk, "health-scores"),
            "breadcrumbs": [{"label": "Accounts", "url": reverse("customers")}],
            "as_of": health.as_of,
            "api_path": reverse("api-customer-health", args=[found.public_id]),
        },
    )


@require_POST
@org_view(role="analyst")
def recompute(request: PageRequest, customer_id: str) -> HttpResponse:
    """Score this customer now."""
    found = queries.find_customer(request.organization, customer_id)
    scoring.score_now(request.organization.pk, [found.pk], timezone.now())
    audit.record(
        request,
        "customer.rescored",
        organization=request.organization,
        target_type="customer",
        target_id=found.public_id,
    )
    messages.success(request, "The score was computed from the newest facts.")
    return redirect("customer", customer_id=found.public_id)


@require_safe
@org_view
def usage(request: PageRequest) -> HttpResponse:
    """Usage over time with filters by event and segment."""
    timeframe = request.GET.get("timeframe") or "30d"
    if timeframe not in trends.FRAMES:
        timeframe = "30d"
    problem, members = None, None
    try:
        members = saved.read_members(
            request.organization, request.GET.get("segment_id")
        )
    except ConfigError as exc:
        problem = exc
    question = trends.Question(
        timeframe=timeframe,
        event=request.GET.get("event", "").replace("\x00", ""),
        segment=request.GET.get("segment", "").replace("\x00", ""),
        members=members,
    )
    trend = trends.usage_trend(request.organization, question, timezone.now())
    return render(
        request,
        "analytics/usage.html",
        {
            "trend": trend,
            "change_ratio": (
                None if trend["change_pct"] is None else trend["change_pct"] / 100
            ),
            "chart": _trend_chart(trend),
            "frames": list(trends.FRAMES),
            "question": question,
            "events": _event_names(request, trend),
            "segments": queries.choices(request.organization, "segment"),
            "saved_segments": saved.choices(request.organization),
            "segment_id": members.segment.slug if members else "",
            "problem": problem,
            "live_seq": newest(request.organization.pk, "live-metrics"),
            "as_of": datetime.fromisoformat(trend["as_of"]),
            "api_path": reverse("api-usage-trends", args=[timeframe]),
        },
        status=400 if problem else 200,
    )


def _sparklines(customer_ids: list[int]) -> dict[int, list[int]]:
    """customer pk -> its last 12 scores, oldest first."""
    out: dict[int, list[int]] = {}
    rows = HealthScore.objects.raw(
        "SELECT h.id, h.customer_id, h.score FROM unnest(%s::bigint[]) c (id) "
        "CROSS JOIN LATERAL (SELECT id, customer_id, score, at FROM an_health_score "
        "WHERE customer_id = c.id ORDER BY at DESC LIMIT 12) h ORDER BY h.at",
        [customer_ids],
    )
    for row in rows:
        out.setdefault(row.customer_id, []).append(row.score)
    return out


def _trend_chart(trend: dict[str, Any]) -> dict[str, Any]:
    at = [int(datetime.fromisoformat(p["at"]).timestamp()) for p in trend["points"]]
    lines = [{"label": "All events", "values": [p["events"] for p in trend["points"]]}]
    if len(trend["series"]) > 1:
        lines += [
            {"label": item["event"], "values": item["values"]}
            for item in trend["series"][:3]
        ]
    return {"x": at if trend["total"] else [], "series": lines, "unit": "events"}


def _event_names(request: PageRequest, trend: dict[str, Any]) -> list[str]:
    everything = trends.usage_trend(
        request.organization, trends.Question(trend["timeframe"]), timezone.now()
    )
    return [item["event"] for item in everything["series"]]


def _before(text: str | None, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text) if text else now
    except ValueError:
        return now
    return at if at.tzinfo else now


def _moment(moment: timeline.Moment) -> dict[str, Any]:
    icon, tone = _ICONS[moment.kind]
    facts = {k: v for k, v in moment.facts.items() if v not in (None, "", {}, [])}
    if moment.kind == "event":
        facts.update(facts.pop("properties", {}))
    currency = str(facts.pop("currency", "") or "USD")
    text = " · ".join(
        f"{key.removesuffix('_minor').removesuffix('_pct').replace('_', ' ')} "
        f"{_value(key, value, currency)}"
        for key, value in list(facts.items())[:5]
        if not isinstance(value, (dict, list))
    )
    return {
        "icon": icon,
        "tone": tone,
        "title": (
            moment.title
            if moment.kind == "event"
            else f"{moment.kind.replace('_', ' ').capitalize()} {moment.title}"
        ),
        "url": "",
        "source": moment.source,
        "text": text,
        "at": moment.at,
    }


def _value(key: str, value: Any, currency: str) -> str:
    """A fact as people read it: money with its currency, shares in percent."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_minor") and isinstance(value, int):
        return formats.money(value, currency)
    if key.endswith("_pct") and isinstance(value, int | float):
        return formats.percent(value / 100, 0)
    if isinstance(value, int | float):
        return formats.figure(value)
    return str(value)
