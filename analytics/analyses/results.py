"""What a scheduled analysis finds of one organisation, as plain values to keep.

Daily: health, usage, support, reconciliation of finance. Weekly: accounts, teams,
process, satisfaction. Monthly: the review, revenue, churn, market. Days are those of
the organisation's calendar with the dates of the period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Avg, Count, Sum

from analytics import queries
from analytics.models import HealthScore
from analytics.predict import queries as risk
from analytics.revenue import body as revenue
from analytics.revenue.periods import Question
from analytics.support.report import support
from analytics.usage.active import active
from analytics.usage.qualifying import qualifying_of
from analytics.usage.scope import Scope
from churnguard.models import (
    Batch,
    Customer,
    Deal,
    Organization,
    OrgDay,
    Subscription,
    SurveyResponse,
    Ticket,
)

MOST_MOVES = 10
MOST_NAMES = 20

_MOVED = """
WITH newest AS (
    SELECT DISTINCT ON (customer_id) customer_id, score, band FROM an_health_score
    WHERE organization_id = %(org)s AND at >= %(start)s AND at < %(end)s
    ORDER BY customer_id, at DESC
), moved AS (
    SELECT c.public_id, c.name, p.score AS score_before, p.band AS band_before,
        n.score, n.band
    FROM newest n JOIN cg_customer c ON c.id = n.customer_id
    CROSS JOIN LATERAL (
        SELECT score, band FROM an_health_score
        WHERE customer_id = n.customer_id AND at < %(start)s
        ORDER BY at DESC LIMIT 1
    ) p
    WHERE c.merged_into_id IS NULL AND p.score <> n.score
)
"""
_MOVE_KEYS = ("customer_id", "name", "score_before", "band_before", "score", "band")


@dataclass(frozen=True, slots=True)
class Span:
    """The period [start, end) of one organisation, and when it is looked at."""

    organization: Organization
    start: datetime
    end: datetime
    now: datetime

    @property
    def first(self) -> date:
        """First day."""
        return self.start.date()

    @property
    def last(self) -> date:
        """Last day."""
        return (self.end - timedelta(days=1)).date()

    def before(self, days: int | None = None) -> Span:
        """The period `days` earlier; by default the one of equal length before it."""
        back = timedelta(days=days) if days else self.end - self.start
        return Span(self.organization, self.start - back, self.end - back, self.now)

    def scope(self) -> Scope:
        """The same days as a question about customers' usage or tickets."""
        return Scope(
            self.organization,
            "customer",
            self.first,
            self.last,
            self.now,
            qualifying=qualifying_of(self.organization),
        )


def summarize(kind: str, span: Span) -> dict[str, Any]:
    """The figures every analysis has, and under "sections" those of its kind."""
    return {
        **_overall(span),
        "sections": {name: find(span) for name, find in SECTIONS[kind].items()},
    }


def _overall(span: Span) -> dict[str, Any]:
    organization = span.organization
    tickets = Ticket.objects.filter(organization=organization, deleted_at__isnull=True)
    taken = Batch.objects.filter(
        organization=organization, received_at__gte=span.start, received_at__lt=span.end
    ).aggregate(
        fetched=Sum("fetched"), inserted=Sum("inserted"), quarantined=Sum("quarantined")
    )
    customers = Customer.objects.filter(
        organization=organization, merged_into__isnull=True
    )
    return {
        "customers": customers.count(),
        "bands": queries.band_counts(organization),
        "mrr_minor": customers.aggregate(total=Sum("mrr_minor"))["total"] or 0,
        "mean_score": customers.aggregate(mean=Avg("score"))["mean"],
        "scores_computed": HealthScore.objects.filter(
            organization=organization, at__gte=span.start, at__lt=span.end
        ).count(),
        "events": _events(span),
        "tickets_opened": tickets.filter(
            opened_at__gte=span.start, opened_at__lt=span.end
        ).count(),
        "tickets_solved": tickets.filter(
            solved_at__gte=span.start, solved_at__lt=span.end
        ).count(),
        "records": {key: value or 0 for key, value in taken.items()},
    }


def _health(span: Span) -> dict[str, Any]:
    """Moves against the score before the period: counts by band, largest first."""
    values: dict[str, Any] = {
        "org": span.organization.pk,
        "start": span.start,
        "end": span.end,
    }
    with connection.cursor() as cur:
        lists = {}
        for name, sign, order in (("falls", "<", "ASC"), ("rises", ">", "DESC")):
            cur.execute(
                f"{_MOVED} SELECT * FROM moved WHERE score {sign} score_before "
                f"ORDER BY score - score_before {order}, public_id LIMIT {MOST_MOVES}",
                values,
            )
            lists[name] = [
                dict(zip(_MOVE_KEYS, row, strict=True)) for row in cur.fetchall()
            ]
        cur.execute(
            f"{_MOVED} SELECT count(*) FILTER (WHERE score < score_before), "
            "count(*) FILTER (WHERE score > score_before), "
            "count(*) FILTER (WHERE band = 'at_risk' AND band_before <> 'at_risk'), "
            "count(*) FILTER (WHERE band <> 'at_risk' AND band_before = 'at_risk') "
            "FROM moved",
            values,
        )
        fell, rose, entered, left = cur.fetchone()
    return {
        "fell": fell,
        "rose": rose,
        "entered_at_risk": entered,
        "left_at_risk": left,
        **lists,
    }


def _usage(span: Span) -> dict[str, Any]:
    """Events and active customers, beside the same weekdays before."""
    found = active(span.scope())["points"][-1]
    before = span.before(7) if span.end - span.start <= timedelta(days=7) else None
    earlier = before or span.before()
    names = (
        OrgDay.objects.filter(
            organization=span.organization, day__gte=span.first, day__lte=span.last
        )
        .values_list("name")
        .annotate(n=Sum("n"))
        .order_by("-n", "name")[:MOST_NAMES]
    )
    return {
        "events": _events(span),
        "events_before": _events(earlier),
        **{name: found[name] for name in ("dau", "wau", "mau", "stickiness")},
        "by_name": [{"name": name, "events": n} for name, n in names],
    }


def _support(span: Span) -> dict[str, Any]:
    earlier = span.before(7 if span.end - span.start <= timedelta(days=7) else None)
    return {
        "total": support(span.scope())["total"],
        "before": support(earlier.scope())["total"],
    }


def _finance(span: Span) -> dict[str, Any]:
    """What the books say at the end, and why billing shows another sum."""
    report = _revenue_report(span)
    return {
        "currency": report["currency"],
        "mrr_end_minor": report["totals"]["mrr_end_minor"],
        "mrr_start_minor": report["totals"]["mrr_start_minor"],
        "missing_rates": report["missing_rates"],
        "differences": report["differences"],
    }


def _teams(span: Span) -> dict[str, Any]:
    return {"teams": support(span.scope())["teams"][:MOST_NAMES]}


def _process(span: Span) -> dict[str, Any]:
    """How fast and how cleanly: tickets against the period before, records taken in."""
    batches = (
        Batch.objects.filter(
            organization=span.organization,
            received_at__gte=span.start,
            received_at__lt=span.end,
        )
        .values_list("source__name")
        .annotate(fetched=Sum("fetched"), quarantined=Sum("quarantined"))
        .order_by("source__name")[:MOST_NAMES]
    )
    return {
        **_support(span),
        "sources": [
            {"source": name, "fetched": fetched, "quarantined": quarantined}
            for name, fetched, quarantined in batches
        ],
    }


def _satisfaction(span: Span) -> dict[str, Any]:
    """Ratings and answers of this and the four periods before, oldest first."""
    spans = [span]
    for _ in range(4):
        spans.append(spans[-1].before())
    trend = []
    for one in reversed(spans):
        total = support(one.scope())["total"]
        answers = SurveyResponse.objects.filter(
            organization=span.organization,
            deleted_at__isnull=True,
            answered_at__gte=one.start,
            answered_at__lt=one.end,
        )
        nps = answers.filter(kind="nps")
        counted = nps.count()
        net = nps.filter(score__gte=9).count() - nps.filter(score__lte=6).count()
        trend.append(
            {
                "from": one.first.isoformat(),
                "to": one.last.isoformat(),
                "rated": total["rated"],
                "csat_pct": total["csat_pct"],
                "answers": answers.count(),
                "nps_answers": counted,
                "nps": round(100 * net / counted, 1) if counted else None,
            }
        )
    return {"trend": trend}


def _revenue(span: Span) -> dict[str, Any]:
    """Movements of the period, whole and by segment and plan."""
    whole = _revenue_report(span)
    return {
        "currency": whole["currency"],
        "totals": whole["totals"],
        **{
            group: _revenue_report(span, group)["groups"][:MOST_NAMES]
            for group in ("segment", "plan")
        },
    }


def _churn(span: Span) -> dict[str, Any]:
    """What the model in use expects of the coming months."""
    state = risk.get_state(span.organization)
    scored = risk.scored_customers(span.organization, "all")
    money = risk.revenue_at_risk(span.organization, "all", state.model)
    return {
        "state": state.name,
        "model_version": state.model.version if state.model else None,
        "horizon_days": state.model.label.horizon_days if state.model else None,
        "scored": scored.count(),
        "expected_departures": scored.aggregate(n=Sum("churn_probability"))["n"],
        "revenue_at_risk_minor": money.sum,
        "p5_minor": money.p5,
        "p95_minor": money.p95,
    }


def _market(span: Span) -> dict[str, Any]:
    """Why customers said they left, and how deals ended: what the period tells of the
    market and of competitors."""
    cancelled = Subscription.objects.filter(
        organization=span.organization,
        deleted_at__isnull=True,
        canceled_at__gte=span.start,
        canceled_at__lt=span.end,
    )
    reasons = (
        cancelled.values_list("cancel_reason")
        .annotate(n=Count("pk"))
        .order_by("-n", "cancel_reason")[:MOST_NAMES]
    )
    deals = (
        Deal.objects.filter(
            organization=span.organization,
            deleted_at__isnull=True,
            close_at__gte=span.start,
            close_at__lt=span.end,
        )
        .values_list("status")
        .annotate(n=Count("pk"))
        .order_by("-n", "status")[:MOST_NAMES]
    )
    return {
        "cancellations": [
            {"reason": reason or "", "count": n} for reason, n in reasons
        ],
        "deals": [{"status": status or "", "count": n} for status, n in deals],
    }


SECTIONS: dict[str, dict[str, Callable[[Span], dict[str, Any]]]] = {
    "daily": {
        "health": _health,
        "usage": _usage,
        "support": _support,
        "finance": _finance,
    },
    "weekly": {
        "health": _health,
        "teams": _teams,
        "process": _process,
        "satisfaction": _satisfaction,
    },
    "monthly": {
        "health": _health,
        "usage": _usage,
        "support": _support,
        "revenue": _revenue,
        "churn": _churn,
        "market": _market,
    },
}


def _events(span: Span) -> int:
    found = OrgDay.objects.filter(
        organization=span.organization, day__gte=span.first, day__lte=span.last
    ).aggregate(n=Sum("n"))
    return found["n"] or 0


def _revenue_report(span: Span, group: str = "") -> dict[str, Any]:
    question = Question(
        span.first, span.last + timedelta(days=1), interval="month", group=group
    )
    return revenue.report_body(span.organization, question, span.now)
