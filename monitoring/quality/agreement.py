"""Checks of consistency: what records say about each other and about themselves.

They know no data set: fields of the unified model, and yes/no fields of a source's own
by the words that name them (churn, cancelled, trial, reactivation).
"""

from __future__ import annotations

from monitoring.quality import relations
from monitoring.quality.check import Check
from monitoring.quality.relations import CHURN_KIND, OPEN, SAYS_BACK, SAYS_LEFT

_TIMES = {
    "subscription": "started_at",
    "invoice": "issued_at",
    "ticket": "opened_at",
    "conversation": "started_at",
    "survey_response": "answered_at",
    "campaign_engagement": "occurred_at",
    "object": "occurred_at",
    "event": "ts",
}
"""Entity -> when it happened, which must be while the customer was one."""
_ORDERS = (
    ("customer", "signup_at", "churned_at", "Left before it signed up", True),
    ("subscription", "started_at", "ended_at", "Ends before it starts", True),
    ("subscription", "period_starts_at", "period_ends_at", "Period is reversed", False),
    ("invoice", "issued_at", "due_at", "Due before it was issued", False),
    ("deal", "opened_at", "close_at", "Closed before it was opened", False),
    ("ticket", "opened_at", "closed_at", "Closed before it was opened", True),
    ("ticket", "opened_at", "first_replied_at", "Answered before it was opened", False),
    ("ticket", "first_replied_at", "closed_at", "First answer after closing", False),
    ("conversation", "started_at", "closed_at", "Closed before it began", False),
)
_LINKED = (
    ("invoice", "subscription_id", "subscription"),
    ("ticket", "contact_id", "contact"),
    ("conversation", "contact_id", "contact"),
    ("survey_response", "contact_id", "contact"),
    ("campaign_engagement", "contact_id", "contact"),
)
_IS_CHURN = f"t.kind ~* {CHURN_KIND}"
_HAS_CHURN = relations.sent_by_source("object", f"kind ~* {CHURN_KIND}")

_OWN: tuple[tuple[str, str, str, str, str], ...] = (
    # (code, field, title, applies, fails)
    (
        "customer.left_without_event",
        "churn flag",
        "Marked as left, without a churn event",
        f"said.has_left AND {_HAS_CHURN}",
        "gone.n IS NULL",
    ),
    (
        "customer.event_without_flag",
        "churn flag",
        "Has a churn event, not marked as left",
        "gone.n > 0 AND said.has_left IS NOT NULL",
        "NOT said.has_left",
    ),
    (
        "customer.left_with_open_subscription",
        "churn flag",
        "Marked as left, with a running subscription",
        "said.has_left AND sub.n > 0",
        "sub.open > 0",
    ),
    (
        "customer.here_without_subscription",
        "churn flag",
        "Not marked as left, every subscription ended",
        "said.has_left = false AND sub.n > 0",
        "sub.open = 0",
    ),
    (
        "customer.trial_with_paid_subscription",
        "trial flag",
        "Marked as trial, with a paid subscription",
        "said.on_trial AND sub.n > 0",
        "sub.paying > 0",
    ),
    (
        "customer.plan_not_subscribed",
        "plan",
        "Plan is that of no running subscription",
        "t.plan <> '' AND own.plans IS NOT NULL",
        "NOT lower(t.plan) = ANY(own.plans)",
    ),
    (
        "subscription.trial_with_revenue",
        "mrr_minor",
        "Trial with revenue",
        "(t.is_trial OR t.status = 'trialing') AND t.mrr_minor IS NOT NULL",
        "t.mrr_minor > 0",
    ),
    (
        "subscription.paid_without_amount",
        "mrr_minor",
        "Paying, but its amount is not above zero",
        "t.status IN ('active', 'past_due') AND t.is_trial IS NOT TRUE "
        "AND t.mrr_minor IS NOT NULL AND coalesce(t.plan, '') !~* 'free'",
        "t.mrr_minor <= 0",
    ),
    # The newest invoice against the one before it: the cycle is the time between. An
    # invoice may carry tax (27 % at most) and small credits.
    (
        "subscription.invoices_against_mrr",
        "mrr_minor",
        "Invoices do not add up to its MRR",
        "t.status IN ('active', 'past_due') AND t.is_trial IS NOT TRUE "
        "AND coalesce(then_.mrr_minor, t.mrr_minor) > 0 AND billed.months > 0 "
        "AND upper(billed.currency) = upper(t.currency)",
        "billed.total_minor / billed.months NOT BETWEEN "
        "0.95 * coalesce(then_.mrr_minor, t.mrr_minor) AND "
        "1.27 * coalesce(then_.mrr_minor, t.mrr_minor)",
    ),
    (
        "subscription.status_against_trial",
        "is_trial",
        "Status and trial flag disagree",
        "t.is_trial IS NOT NULL AND t.status IN ('trialing', 'active')",
        "t.is_trial <> (t.status = 'trialing')",
    ),
    (
        "subscription.ended_without_date",
        "ended_at",
        "Ended, without the date",
        "t.status IN ('canceled', 'ended')",
        "coalesce(t.ended_at, t.canceled_at, t.cancel_at) IS NULL",
    ),
    (
        "subscription.open_after_end",
        "ended_at",
        "Running, although its end has passed",
        f"t.status IN {OPEN}",
        "t.ended_at <= now()",
    ),
    (
        "subscription.flag_against_end",
        "churn flag",
        "Churn flag and end date disagree",
        f"{SAYS_LEFT} IS NOT NULL",
        f"{SAYS_LEFT} <> (coalesce(t.ended_at, t.canceled_at) IS NOT NULL)",
    ),
    (
        "subscription.renews_after_end",
        "auto_renew",
        "Ended, but set to renew by itself",
        "t.ended_at <= now() AND t.auto_renew IS NOT NULL",
        "t.auto_renew",
    ),
    (
        "invoice.paid_without_date",
        "paid_at",
        "Paid, without the date",
        "t.status = 'paid'",
        "t.paid_at IS NULL",
    ),
    (
        "invoice.date_without_paid",
        "status",
        "Has a payment date, not marked as paid",
        "t.paid_at IS NOT NULL AND t.status IS NOT NULL",
        "t.status IN ('draft', 'open', 'void')",
    ),
    (
        "invoice.paid_more_than_total",
        "paid_minor",
        "More paid than charged",
        "t.paid_minor IS NOT NULL AND t.total_minor >= 0",
        "t.paid_minor > t.total_minor",
    ),
    (
        "deal.won_without_amount",
        "amount_minor",
        "Won, but its amount is not above zero",
        "t.status = 'won'",
        "coalesce(t.amount_minor, 0) <= 0",
    ),
    (
        "deal.over_without_date",
        "close_at",
        "Won or lost, without the date",
        "t.status IN ('won', 'lost')",
        "t.close_at IS NULL",
    ),
    (
        "ticket.over_without_date",
        "closed_at",
        "Solved or closed, without the date",
        "t.status IN ('solved', 'closed')",
        "coalesce(t.solved_at, t.closed_at) IS NULL",
    ),
    (
        "ticket.open_with_date",
        "status",
        "Has a closing date, not marked as closed",
        "t.closed_at IS NOT NULL AND t.status IS NOT NULL",
        "t.status IN ('open', 'pending', 'on_hold')",
    ),
    (
        "object.churn_without_ended_subscription",
        "ended_at",
        "Customer left, but no subscription has an end date",
        f"{_IS_CHURN} AND sub.n > 0",
        "sub.ended = 0",
    ),
    (
        "object.return_without_departure",
        "reactivation flag",
        "Says the customer came back, with no earlier churn event",
        f"{_IS_CHURN} AND t.occurred_at IS NOT NULL AND {SAYS_BACK}",
        "NOT EXISTS (SELECT 1 FROM cg_source_object d WHERE d.customer_source_id = "
        "t.customer_source_id AND d.kind = t.kind AND d.deleted_at IS NULL "
        "AND d.occurred_at < t.occurred_at)",
    ),
    (
        "event.unknown_subscription",
        "subscription_id",
        "Names a subscription that is not there",
        "t.properties ? 'subscription_id' AND "
        + relations.sent_by_source("subscription"),
        "s.id IS NULL",
    ),
    (
        "event.subscription_of_another",
        "subscription_id",
        "Names the subscription of another customer",
        "s.customer_source_id IS NOT NULL AND t.customer_source_id IS NOT NULL",
        "s.customer_source_id <> t.customer_source_id",
    ),
    (
        "event.before_subscription",
        "ts",
        "Before its subscription started",
        "s.started_at IS NOT NULL",
        "t.ts < s.started_at",
    ),
    (
        "event.after_subscription",
        "ts",
        "After its subscription ended",
        "s.ended_at IS NOT NULL",
        "(t.ts AT TIME ZONE 'UTC')::date > (s.ended_at AT TIME ZONE 'UTC')::date",
    ),
)


def checks() -> list[Check]:
    """Every assertion about two or more fields or records."""
    out = [
        Check(
            code=code,
            entity=code.split(".")[0],
            dimension="consistency",
            field=name,
            title=title,
            applies=applies,
            fails=fails,
        )
        for code, name, title, applies, fails in _OWN
    ]
    out += [_in_order(*row) for row in _ORDERS]
    for entity, name in _TIMES.items():
        out += _within(entity, name)
    out += [_owner(entity) for entity in ("contact", "deal", *_TIMES)]
    out += [_linked(*row) for row in _LINKED]
    out.append(
        Check(
            code="object.churn.unique",
            entity="object",
            dimension="uniqueness",
            field="customer and time",
            title="Two churn events of a customer at one time",
            unique_key=f"CASE WHEN {_IS_CHURN} THEN t.kind || '|' || "
            "t.customer_source_id || '|' || t.occurred_at END",
        )
    )
    return out


def _in_order(
    entity: str, first: str, second: str, title: str, is_critical: bool
) -> Check:
    return Check(
        code=f"{entity}.{second}_before_{first}",
        entity=entity,
        dimension="consistency",
        field=second,
        title=title,
        applies=f"t.{first} IS NOT NULL AND t.{second} IS NOT NULL",
        fails=f"t.{second} < t.{first}",
        is_critical=is_critical,
    )


def _within(entity: str, name: str) -> list[Check]:
    # By the day: a source that keeps only the date of one of them is not wrong.
    day = f"(t.{name} AT TIME ZONE 'UTC')::date"
    return [
        Check(
            code=f"{entity}.{word}_customer",
            entity=entity,
            dimension="consistency",
            field=name,
            title=title,
            applies=f"t.{name} IS NOT NULL AND o.{edge} IS NOT NULL",
            fails=f"{day} {sign} (o.{edge} AT TIME ZONE 'UTC')::date",
        )
        for word, sign, edge, title in (
            ("before", "<", "signup_at", "Before the customer signed up"),
            ("after", ">", "churned_at", "After the customer left"),
        )
    ]


def _owner(entity: str) -> Check:
    known = relations.sent_by_source("customer")
    return Check(
        code=f"{entity}.customer.resolves",
        entity=entity,
        dimension="consistency",
        field="customer",
        title="Names a customer the source has not sent",
        applies=f"t.customer_source_id IS NOT NULL AND {known}",
        fails="o.is_stub OR o.deleted_at IS NOT NULL",
        is_critical=True,
    )


def _linked(entity: str, name: str, target: str) -> Check:
    table = relations.TABLES[target]
    return Check(
        code=f"{entity}.{name}.resolves",
        entity=entity,
        dimension="consistency",
        field=name,
        title=f"Names a {target} that is not there",
        applies=f"t.{name} <> '' AND {relations.sent_by_source(target)}",
        fails=f"NOT EXISTS (SELECT 1 FROM {table} d WHERE d.source_id = t.source_id "
        f"AND d.external_id = t.{name})",
    )
