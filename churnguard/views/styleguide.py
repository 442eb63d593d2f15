"""`/styleguide/`: every component in every state, for staff, or for all in DEBUG.

The figures are fixed samples of this page alone; they are stored nowhere.
`?live=health-scores` connects the live dot to a real channel.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from churnguard.icons import ICONS
from churnguard.statuses import STATUSES

MIDNIGHT_S = 1_795_132_800
"""2026-11-20 00:00 UTC: the charts start here, so that screenshots compare."""


class SampleForm(forms.Form):
    """One field of each kind, two of them wrong."""

    name = forms.CharField(help_text="Shown in lists and alerts.")
    email = forms.EmailField(label="Notify", help_text="Gets a mail on failure.")
    schedule = forms.ChoiceField(
        choices=[("5", "every 5 min"), ("60", "hourly"), ("1440", "daily")]
    )
    notes = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    window = forms.IntegerField(label="Look-back, days", min_value=1)
    full = forms.BooleanField(label="Read everything again", required=False)
    token = forms.CharField(label="Access token", help_text="Scope: read only.")


def styleguide(request: HttpRequest) -> HttpResponse:
    """The page; 404 for everybody else, so that its existence is not a question."""
    user = getattr(request, "user", None)
    if not (settings.DEBUG or (user is not None and user.is_staff)):
        raise Http404("There is no style guide for this user.")
    now = datetime.now(UTC)
    form = SampleForm(
        {"name": "Salesforce production", "email": "ops@", "schedule": "60"}
    )
    context = {
        "form": form,
        "statuses": STATUSES,
        "icon_names": sorted(ICONS),
        "now": now,
        "two_minutes": now - timedelta(minutes=2),
        "six_hours": now - timedelta(hours=6),
        "in_four": now + timedelta(minutes=4),
        "breadcrumbs": [
            {"label": "Integrations", "url": "/integrations/"},
            {"label": "Style guide", "url": ""},
        ],
        "as_of": now - timedelta(seconds=3),
        "live": request.GET.get("live", ""),
        "rows": _rows(now),
        "wave": [round(50 + 28 * math.sin(i / 5), 1) for i in range(24)],
        "falling": [81, 80, 80, 78, 74, None, None, 66, 61, 58, 52, 47],
        "chart": _chart(),
        "two_lines": _two_lines(),
        "no_points": {"x": [], "series": [{"label": "Events", "values": []}]},
        "split": [
            ("completed", 404, "404 completed"),
            ("running", 6, "6 running"),
            ("retrying", 9, "9 retrying"),
            ("failed", 8, "8 failed"),
        ],
        "ledger": _ledger(now),
        "timeline": _timeline(now),
        "curl": (
            "curl -X POST https://churnguard.example/api/v1/data/ingest/web \\\n"
            '  -H "Authorization: Bearer $CHURNGUARD_KEY" \\\n'
            "  -H 'Content-Type: application/json' \\\n"
            """  -d '{"event":"report.opened","customer_id":"a-1042"}'"""
        ),
    }
    return render(request, "styleguide.html", context)


def _rows(now: datetime) -> list[dict[str, Any]]:
    names = (
        ("Salesforce production", "salesforce", "healthy", "", 2, "every 5 min", 10214),
        ("HubSpot CRM", "hubspot", "action_required", "", 361, "hourly", 0),
        ("Stripe payments", "stripe", "syncing", "64 %", 62, "hourly", 3120),
        ("Zendesk support", "zendesk", "rate_limited", "4 min", 12, "webhook", 988),
        ("Mixpanel product", "mixpanel", "healthy", "", 4, "every 15 min", 5031),
        ("Warehouse export", "file", "paused", "", 2890, "daily", 0),
    )
    return [
        {
            "name": name,
            "kind": kind,
            "status": status,
            "detail": detail,
            "at": now - timedelta(minutes=minutes),
            "schedule": schedule,
            "records": records,
            "bars": _bars(seed, status),
        }
        for seed, (name, kind, status, detail, minutes, schedule, records) in enumerate(
            names
        )
    ]


def _bars(seed: int, status: str) -> list[dict[str, object]]:
    bars: list[dict[str, object]] = []
    for index in range(12):
        size = 4 + (seed * 7 + index * index * 5) % 13
        is_bad = status == "action_required" and index > 7
        word = "failed" if is_bad else "completed"
        if status == "rate_limited" and index > 9:
            word = "incomplete"
        bars.append(
            {
                "value": size * 90,
                "status": word,
                "title": f"{word}, {size * 90} records",
            }
        )
    return bars


def _chart() -> dict[str, Any]:
    minutes = range(0, 1440, 5)
    values = [
        round(48 + 26 * math.sin(m / 115) + 5 * math.sin(m * 1.7), 1) for m in minutes
    ]
    return {
        "x": [MIDNIGHT_S + m * 60 for m in minutes],
        "series": [{"label": "Records per minute", "values": values}],
        "unit": "records",
    }


def _two_lines() -> dict[str, Any]:
    days = range(90)
    logins = [round(900 + 6 * d + 120 * math.sin(d * 0.9)) for d in days]
    reports: list[float | None] = [
        None if 40 <= d < 45 else round(520 - 2 * d + 60 * math.sin(d * 0.9))
        for d in days
    ]
    return {
        "x": [MIDNIGHT_S - (89 - d) * 86400 for d in days],
        "series": [
            {"label": "Logins", "values": logins},
            {"label": "Reports opened", "values": reports},
        ],
        "unit": "events",
    }


def _ledger(now: datetime) -> list[dict[str, Any]]:
    def reason(lost: float, sentence: str, label: str, hours: int) -> dict[str, Any]:
        return {
            "points_lost": lost,
            "sentence": sentence,
            "label": label,
            "fact_at": now - timedelta(hours=hours),
        }

    return [
        {
            "label": "Usage",
            "score": 46,
            "weight": 40.0,
            "points_lost": 21.6,
            "reasons": [
                reason(
                    14.1, "Active days fell from 19 to 8 in 28 days.", "Active days", 5
                ),
                reason(7.5, "Nobody opened a report for 16 days.", "Reports", 30),
            ],
        },
        {
            "label": "Support",
            "score": 70,
            "weight": 25.0,
            "points_lost": 7.5,
            "reasons": [
                reason(
                    7.5,
                    "Two urgent tickets are open over 5 days.",
                    "Urgent tickets",
                    52,
                )
            ],
        },
        {
            "label": "Billing",
            "score": 100,
            "weight": 20.0,
            "points_lost": 0,
            "reasons": [],
        },
        {
            "label": "Engagement",
            "score": None,
            "weight": 0.0,
            "points_lost": 0,
            "reasons": [],
        },
    ]


def _timeline(now: datetime) -> list[dict[str, Any]]:
    rows = (
        ("danger", "danger", "Urgent ticket opened", "zendesk", "Export fails", 3),
        ("usage", "info", "First report in 16 days", "web", "", 9),
        ("revenue", "ok", "Invoice paid", "stripe", "€1 290.00, 4 days late", 30),
        ("risk", "warn", "Band changed", "score", "Healthy to At risk, 72 to 64", 54),
        ("mail", "", "Survey answered", "intercom", "NPS 6", 200),
    )
    return [
        {
            "icon": icon,
            "tone": tone,
            "title": title,
            "source": source,
            "text": text,
            "url": "#timeline" if icon == "danger" else "",
            "at": now - timedelta(hours=hours),
        }
        for icon, tone, title, source, text, hours in rows
    ]
