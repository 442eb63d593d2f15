"""The answers about revenue as API and page show them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from analytics.revenue import differences, earned, reasons, report
from analytics.revenue.movements import lifetime_value
from analytics.revenue.periods import Question
from analytics.revenue.policy import Policy, get_policy
from analytics.revenue.rates import RateTable
from analytics.revenue.usage import usage_revenue
from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization

NO_GROUP = "(none)"


def today_of(organization: Organization, now: datetime) -> date:
    """The calendar day at `now` in the organisation's time zone."""
    return now.astimezone(ZoneInfo(organization.timezone)).date()


def report_body(
    organization: Organization, question: Question, now: datetime
) -> dict[str, Any]:
    """MRR, movements and ratios by period, group and for the whole range."""
    found = report.revenue_report(organization, question, now)
    policy = get_policy(organization)
    return {
        **_head(organization, question, now),
        "group": question.group or None,
        "totals": _period(found.totals, policy),
        "periods": [_period(row, policy) for row in found.periods],
        "groups": [
            {
                "group": group or NO_GROUP,
                "totals": _period(rows[-1], policy),
                "periods": [_period(row, policy) for row in rows[:-1]],
            }
            for group, rows in sorted(
                found.groups.items(), key=lambda item: (-item[1][-1].flow.end, item[0])
            )
        ],
        "missing_rates": [
            {"currency": currency, "mrr_minor": minor, "customers": customers}
            for currency, (minor, customers) in found.unconverted.items()
        ],
        "differences": [
            asdict(line)
            for line in differences.list_differences(organization, question, now)
        ],
        "usage": _usage(organization, question, now, policy),
        "settings": asdict(policy),
    }


def movements_body(
    organization: Organization,
    question: Question,
    now: datetime,
    *,
    kind: str = "",
    value: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """The customers behind the movements, newest first, a keyset page. value: only
    this plan or segment (question.group). Raises ConfigError for an unknown kind or a
    foreign cursor."""
    if kind and kind not in report.KINDS:
        raise ConfigError(
            f"“{kind}” is not a movement.",
            code="invalid",
            fields={"kind": f"one of {', '.join(report.KINDS)}"},
        )
    moved = report.revenue_report(organization, question, now).moved
    rows = [
        row
        for row in moved
        if (not kind or row.kind == kind)
        and (not value or (row.group or NO_GROUP) == value)
    ]
    rows.sort(key=lambda row: (row.day, row.customer_id), reverse=True)
    total = sum(row.amount for row in rows)
    count = len(rows)
    if cursor:
        day, last = decode_cursor(cursor, 2)
        if not isinstance(day, str) or not isinstance(last, int):
            raise ConfigError("This cursor is not valid.", code="invalid_cursor")
        rows = [r for r in rows if (r.day.isoformat(), r.customer_id) < (day, last)]
    page, more = rows[:limit], len(rows) > limit
    names = {
        one.pk: one
        for one in Customer.objects.filter(
            organization=organization, pk__in={row.customer_id for row in page}
        )
    }
    why = reasons.reasons(organization, page, now)
    return {
        **_head(organization, question, now),
        "kind": kind or None,
        "group": question.group or None,
        "value": value or None,
        "count": count,
        "amount_minor": total,
        "results": [
            {
                **_moved(row, names[row.customer_id]),
                "reason": why.get((row.customer_id, row.day), ""),
            }
            for row in page
        ],
        "next": encode_cursor([page[-1].day.isoformat(), page[-1].customer_id])
        if more
        else None,
    }


def recognition_body(
    organization: Organization, question: Question, now: datetime
) -> dict[str, Any]:
    """Recognised and deferred revenue by period."""
    rows, unknown = earned.recognition(organization, question, now)
    return {
        **_head(organization, question, now),
        "periods": [
            {
                "start": row.period.start.isoformat(),
                "end": row.period.end.isoformat(),
                "deferred_start_minor": row.deferred_start_minor,
                "billed_minor": row.billed_minor,
                "recognised_minor": row.recognised_minor,
                "contra_minor": row.contra_minor,
                "net_recognised_minor": row.net_minor,
                "cleared_minor": row.cleared_minor,
                "deferred_end_minor": row.deferred_end_minor,
            }
            for row in rows
        ],
        "missing_rates": [
            {"currency": currency, "billed_minor": minor}
            for currency, minor in unknown.items()
        ],
    }


def rates_body(organization: Organization, now: datetime) -> list[dict[str, Any]]:
    """Each currency's rate that holds today."""
    table = RateTable.load(organization)
    today = today_of(organization, now)
    rows = []
    for currency in sorted(table.days):
        used = table.used(currency, today)
        if used is not None:
            rows.append({"currency": currency, "day": used[0], "rate": used[1]})
    return rows


def _head(
    organization: Organization, question: Question, now: datetime
) -> dict[str, Any]:
    return {
        "currency": organization.base_currency.upper(),
        "timezone": organization.timezone,
        "interval": question.interval,
        "from": question.start.isoformat(),
        "to": question.end.isoformat(),
        "as_of": now.isoformat(),
    }


def _usage(
    organization: Organization, question: Question, now: datetime, policy: Policy
) -> dict[str, Any]:
    found = usage_revenue(organization, question, now, policy.usage_mean_months)
    return {
        "months": found.months,
        "from": found.first.isoformat(),
        "to": found.end.isoformat(),
        "mean_minor": found.mean_minor,
        "missing_rates": [
            {"currency": currency, "billed_minor": minor}
            for currency, minor in found.unconverted.items()
        ],
    }


def _period(row: report.PeriodSummary, policy: Policy) -> dict[str, Any]:
    flow = row.flow
    logo_churn = flow.logo_churn
    if policy.logo_churn == "start_and_joined":
        logo_churn = flow.logo_churn_with_joined
    value = lifetime_value(
        flow.arpa,
        logo_churn,
        months=row.period.months,
        margin_pct=policy.gross_margin_pct,
    )
    return {
        "start": row.period.start.isoformat(),
        "end": row.period.end.isoformat(),
        "mrr_start_minor": flow.start,
        "new_minor": flow.new,
        "reactivation_minor": flow.reactivation,
        "expansion_minor": flow.expansion,
        "contraction_minor": flow.contraction,
        "churn_minor": flow.churn,
        "fx_minor": flow.fx,
        "mrr_end_minor": flow.end,
        "customers_start": flow.customers_start,
        "customers_joined": flow.customers_joined,
        "customers_lost": flow.customers_lost,
        "customers_end": flow.customers_end,
        "nrr": _share(row.kept_minor, flow.start),
        "grr": _share(row.kept_at_most_minor, flow.start),
        "gross_churn": _float(flow.gross_churn),
        "net_churn": _float(flow.net_churn),
        "net_churn_without_reactivation": _float(flow.net_churn_without_reactivation),
        "logo_churn": _float(logo_churn),
        "quick_ratio": _float(flow.quick_ratio),
        "quick_ratio_with_reactivation": _float(flow.quick_ratio_with_reactivation),
        "arpa_minor": None if flow.arpa is None else round(flow.arpa),
        "ltv_minor": None if value is None else round(value),
        "arr_minor": flow.arr,
    }


def _moved(row: report.Moved, customer: Customer) -> dict[str, Any]:
    return {
        "day": row.day.isoformat(),
        "customer_id": customer.public_id,
        "name": customer.name,
        "kind": row.kind,
        "amount_minor": row.amount,
        "before_minor": row.before,
        "after_minor": row.after,
        "segment": customer.segment,
        "plan": customer.plan,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
