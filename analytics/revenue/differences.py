"""Why MRR is not what the billing tool shows: each reason with its amount."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import connection

from analytics.revenue import pieces
from analytics.revenue.periods import Question
from analytics.revenue.policy import Policy, get_policy
from analytics.revenue.rates import RateTable
from analytics.segments.members import Members, read_members
from churnguard.models import Organization

_STATES = (
    "WITH {pieces} SELECT p.state, p.currency, p.customer_id IS NULL, "
    "  p.mrr_minor IS NULL, count(*), coalesce(sum(p.mrr_minor), 0)::bigint, "
    "  count(*) FILTER (WHERE is_leaving), "
    "  coalesce(sum(p.mrr_minor) FILTER (WHERE is_leaving), 0)::bigint "
    "FROM pieces p JOIN cg_subscription b ON b.id = p.subscription_id "
    "CROSS JOIN LATERAL (SELECT p.state IN ('active', 'past_due') "
    "  AND b.deleted_at IS NULL "
    "  AND (b.canceled_at <= %(at)s OR b.cancel_at > %(at)s) AS is_leaving) l "
    "WHERE p.starts_at <= %(at)s AND p.ends_at > %(at)s AND p.state <> 'over' "
    "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2"
)
_INVOICES = (
    "SELECT coalesce(nullif(upper(currency), ''), %(base)s), "
    "count(*) FILTER (WHERE is_open), "
    "coalesce(sum(total_minor - coalesce(paid_minor, 0)) FILTER (WHERE is_open), 0)"
    "::bigint, count(*) FILTER (WHERE refunded_minor > 0), "
    "coalesce(sum(refunded_minor), 0)::bigint FROM cg_invoice CROSS JOIN LATERAL "
    "(SELECT status IN ('open', 'uncollectible') AS is_open) o "
    "WHERE organization_id = %(org)s AND deleted_at IS NULL AND issued_at <= %(at)s "
    "AND issued_at >= %(since)s AND status IN ('open', 'paid', 'uncollectible') "
    "{members} GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """count: subscriptions or invoices; amount_minor: in `currency`, monthly where it
    is about subscriptions; base_minor: converted, None without a rate or an amount."""

    code: str
    text: str
    count: int | None = None
    amount_minor: int | None = None
    currency: str = ""
    base_minor: int | None = None


def list_differences(
    organization: Organization, question: Question, now: datetime
) -> list[Difference]:
    """The reasons at the end of the range, those with amounts first."""
    zone = ZoneInfo(organization.timezone)
    at = min(datetime.combine(question.end, time(), zone).astimezone(UTC), now)
    at = at if at == now else at - timedelta(microseconds=1)
    day = at.astimezone(zone).date()
    policy = get_policy(organization)
    members = read_members(organization, question.segment_id, now)
    values = {
        **(members.values if members else {}),
        **pieces.parameters(organization, now, policy),
        "at": at,
        "since": datetime.combine(question.start, time(), zone),
    }
    rates = RateTable.load(organization)
    found: list[Difference] = []
    leaving: dict[str, list[list[int]]] = defaultdict(list)

    def add(code: str, text: str, count: int, minor: int, currency: str) -> None:
        worth = rates.convert(minor, currency, day)
        found.append(Difference(code, text, count, minor, currency, worth))

    with connection.cursor() as cur:
        cur.execute(_narrowed(_STATES, members), values)
        for state, currency, is_stray, is_unpriced, *sums in cur.fetchall():
            count, minor, *leaves = sums
            leaving[currency].append(leaves)
            code = _code(state, is_stray=is_stray, is_unpriced=is_unpriced)
            if code:
                text = _TEXTS[code].format(days=policy.past_due_grace_days)
                add(code, text, count, minor, currency)
            elif rates.factor(currency, day) is None:
                add("missing_rate", _TEXTS["missing_rate"], count, minor, currency)
        for currency, parts in sorted(leaving.items()):
            count, minor = map(sum, zip(*parts, strict=True))
            if count:
                add("leaving", _TEXTS["leaving"], count, minor, currency)
        cur.execute(pieces.invoices_of(_INVOICES, members), values)
        for currency, unpaid, unpaid_minor, refunds, refunded in cur.fetchall():
            if unpaid:
                text = _TEXTS["unpaid_invoices"]
                add("unpaid_invoices", text, unpaid, unpaid_minor, currency)
            if refunds:
                add("refunds", _TEXTS["refunds"], refunds, refunded, currency)
    return found + _rates_used(rates, day) + _rules(policy)


def _narrowed(sql: str, members: Members | None) -> str:
    return pieces.of_members(sql.replace("{pieces}", pieces.PIECES), members)


def _code(state: str, *, is_stray: bool, is_unpriced: bool) -> str:
    """Why a piece is apart; "" = it counts like any other."""
    if state not in pieces.COUNTED:
        return state
    if is_unpriced:
        return "unpriced"
    if is_stray:
        return "no_customer"
    return "past_due" if state == "past_due" else ""


def _rates_used(rates: RateTable, day: date) -> list[Difference]:
    lines = []
    for currency in sorted(rates.days):
        used = rates.used(currency, day)
        if used is not None:
            text = (
                f"1 {currency} = {used[1].normalize():f} {rates.base}, "
                f"the rate of {used[0].isoformat()}. Billing may use another."
            )
            lines.append(Difference("converted", text, currency=currency))
    return lines


def _rules(policy: Policy) -> list[Difference]:
    ends = {
        "ended_at": "Revenue is lost on the day the service ends.",
        "canceled_at": "Revenue is lost on the day the cancellation is asked for.",
    }
    return [
        Difference("churn_date", ends[policy.churn_date]),
        Difference("discounts", _TEXTS["discounts"]),
        Difference("not_recurring", _TEXTS["not_recurring"]),
    ]


_TEXTS = {
    "trial": "In trial: not counted until the trial is over.",
    "past_due": "Past due for up to {days} days: still counted.",
    "past_due_over": "Past due for more than {days} days: no longer counted.",
    "paused": "Paused: not counted.",
    "unpaid": "Never started, or given up for missing payment: not counted.",
    "unpaid_invoices": "Billed in this range, not paid yet: MRR does not wait for it.",
    "unknown": "In a status we do not know: not counted.",
    "unpriced": "Active without a price: counted as nothing.",
    "no_customer": "Belongs to no customer we know: not counted.",
    "missing_rate": "No exchange rate on or before this day: not counted.",
    "leaving": "Cancelled to a later date: counted until then.",
    "refunds": "Refunded of what was billed in this range: MRR does not change.",
    "discounts": "Discounts are taken off while they last, as each billing "
    "connection's settings say; one-time discounts never count.",
    "not_recurring": "Taxes, fees, one-off and metered lines are not recurring; what "
    "metered lines bring is shown as revenue by use.",
}
