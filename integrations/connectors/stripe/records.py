"""Stripe objects (API 2026-10-28.endive) as unified records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from churnguard.errors import RecordError
from churnguard.records import (
    CustomerRecord,
    InvoiceRecord,
    ObjectRecord,
    SubscriptionRecord,
)
from integrations.connectors.base import JsonDict
from integrations.connectors.stripe.mrr import Policy, in_iso_minor, mrr_minor
from integrations.connectors.values import flag, moment, text

Decimals = Mapping[str, int]

# Values not listed here are new at Stripe: kept raw, without a status of ours.
SUBSCRIPTION_STATUS = {
    "incomplete": "incomplete",
    "incomplete_expired": "ended",
    "trialing": "trialing",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "past_due",
    "paused": "paused",
    "canceled": "canceled",
}
INVOICE_STATUS = {
    "draft": "draft",
    "open": "open",
    "paid": "paid",
    "void": "void",
    "uncollectible": "uncollectible",
}
_INTERVALS = {
    ("month", 3): "quarter",
    ("month", 6): "half_year",
    ("month", 12): "year",
}


def customer(raw: JsonDict) -> CustomerRecord:
    """A customer; metadata become custom fields."""
    address = raw.get("address") or {}
    return CustomerRecord(
        external_id=_id(raw),
        name=text(raw, "name")
        or text(raw, "business_name")
        or text(raw, "individual_name"),
        email=text(raw, "email"),
        phone=text(raw, "phone"),
        country=text(address, "country"),
        signup_at=moment(raw, "created"),
        deleted=bool(raw.get("deleted")),
        custom=_custom(
            raw,
            delinquent=flag(raw, "delinquent"),
            balance=raw.get("balance") or None,
            description=text(raw, "description"),
        ),
        raw=raw,
    )


def subscription(
    raw: JsonDict, *, as_of: datetime, discounts: Policy, decimals: Decimals
) -> SubscriptionRecord:
    """A subscription with its items; periods are those of the items."""
    items = _items(raw)
    told = raw.get("cancellation_details") or {}
    status = text(raw, "status")
    starts = [at for item in items if (at := moment(item, "current_period_start"))]
    ends = [at for item in items if (at := moment(item, "current_period_end"))]
    period_ends_at = min(ends, default=None)
    at_period_end = bool(raw.get("cancel_at_period_end"))
    cancel_at = moment(raw, "cancel_at")
    if cancel_at is None and at_period_end:
        cancel_at = period_ends_at
    ended_at = moment(raw, "ended_at")
    currency = _currency(raw)
    try:
        mrr = mrr_minor(raw, as_of=as_of, discounts=discounts, decimals=decimals)
    except (ValueError, TypeError, AttributeError, ArithmeticError) as exc:
        raise RecordError(
            f"The items cannot be priced: {exc}.", code="bad_price", field="mrr_minor"
        ) from exc
    return SubscriptionRecord(
        external_id=_id(raw),
        customer_id=reference(raw, "customer"),
        status=SUBSCRIPTION_STATUS.get(status or ""),
        plan=", ".join(dict.fromkeys(filter(None, map(_plan, items)))) or None,
        quantity=sum(int(item.get("quantity") or 0) for item in items) or None,
        currency=currency,
        mrr_minor=mrr,
        interval=next(filter(None, map(_interval, items)), None),
        is_trial=status == "trialing",
        auto_renew=ended_at is None and cancel_at is None,
        started_at=moment(raw, "start_date"),
        trial_ends_at=moment(raw, "trial_end"),
        period_starts_at=max(
            (at for at in starts if period_ends_at is None or at <= period_ends_at),
            default=None,
        ),
        period_ends_at=period_ends_at,
        cancel_at=cancel_at,
        canceled_at=moment(raw, "canceled_at"),
        ended_at=ended_at,
        cancel_reason=text(told, "feedback") or text(told, "reason"),
        custom=_custom(
            raw,
            stripe_status=status,
            cancel_at_period_end=at_period_end or None,
            cancellation_reason=text(told, "reason"),
            cancellation_feedback=text(told, "feedback"),
            cancellation_comment=text(told, "comment"),
            pause_behavior=text(raw.get("pause_collection") or {}, "behavior"),
        ),
        raw=raw,
    )


def invoice(raw: JsonDict, *, decimals: Decimals) -> InvoiceRecord:
    """An invoice with its lines (net of discounts, without tax).

    due_at of an invoice charged automatically is the moment it was finalized;
    last_failed_charge is put into it by the account.
    """
    currency = _currency(raw)
    moments = raw.get("status_transitions") or {}
    finalized_at = moment(moments, "finalized_at")
    due_at = moment(raw, "due_date")
    if due_at is None and raw.get("collection_method") == "charge_automatically":
        due_at = finalized_at
    status = text(raw, "status")
    attempts = int(raw.get("attempt_count") or 0)
    parent = (raw.get("parent") or {}).get("subscription_details") or {}
    lines = (raw.get("lines") or {}).get("data") or []
    return InvoiceRecord(
        external_id=_id(raw),
        customer_id=reference(raw, "customer"),
        subscription_id=reference(parent, "subscription"),
        number=text(raw, "number"),
        status=INVOICE_STATUS.get(status or ""),
        currency=currency,
        total_minor=_amount(raw, "total", currency, decimals),
        paid_minor=_amount(raw, "amount_paid", currency, decimals),
        refunded_minor=_amount(
            raw, "post_payment_credit_notes_amount", currency, decimals
        ),
        issued_at=finalized_at or moment(raw, "created"),
        due_at=due_at,
        paid_at=moment(moments, "paid_at"),
        failed_attempts=max(0, attempts - 1) if status == "paid" else attempts,
        last_failed_at=moment(raw.get("last_failed_charge") or {}, "created"),
        lines=[_line(line, decimals) for line in lines],
        deleted=bool(raw.get("deleted")),
        custom=_custom(raw, billing_reason=text(raw, "billing_reason")),
        raw=raw,
    )


def other(kind: str, raw: JsonDict) -> ObjectRecord:
    """A product, price, charge, payment intent, refund, dispute or balance
    transaction."""
    charge = raw.get("charge")
    payer = reference(raw, "customer")
    if payer is None and isinstance(charge, Mapping):
        payer = reference(charge, "customer")
    return ObjectRecord(
        external_id=_id(raw),
        kind=kind,
        customer_id=payer,
        occurred_at=moment(raw, "created"),
        updated_at=moment(raw, "updated"),
        deleted=bool(raw.get("deleted")),
        custom=_custom(raw),
        raw=raw,
    )


def reference(raw: Mapping[str, Any], name: str) -> str | None:
    """The id in a field that may hold the object itself."""
    value = raw.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    return str(value) if value else None


def _line(line: Mapping[str, Any], decimals: Decimals) -> JsonDict:
    currency = _currency(line)
    off = sum(int(d.get("amount") or 0) for d in line.get("discount_amounts") or [])
    tax = sum(
        int(each.get("amount") or 0)
        for each in line.get("taxes") or []
        if each.get("tax_behavior") == "inclusive"
    )
    period = line.get("period") or {}
    starts_at, ends_at = moment(period, "start"), moment(period, "end")
    parent = line.get("parent") or {}
    details = [
        parent.get("subscription_item_details") or {},
        parent.get("invoice_item_details") or {},
    ]
    price = ((line.get("pricing") or {}).get("price_details") or {}).get("price")
    recurring = price.get("recurring") if isinstance(price, Mapping) else None
    is_usage = (recurring or {}).get("usage_type") == "metered"
    return {
        "amount_minor": in_iso_minor(
            int(line.get("amount") or 0) - off - tax, currency or "", decimals
        ),
        "currency": currency,
        "period_start": starts_at.isoformat() if starts_at else None,
        "period_end": ends_at.isoformat() if ends_at else None,
        "description": text(line, "description"),
        "proration": any(each.get("proration") for each in details),
        **({"usage": True} if is_usage else {}),
    }


def _items(raw: JsonDict) -> list[JsonDict]:
    items = (raw.get("items") or {}).get("data") or []
    if not all(isinstance(item, dict) for item in items):
        raise RecordError("items are no objects.", code="wrong_type", field="items")
    return items


def _plan(item: JsonDict) -> str | None:
    price = item.get("price") or {}
    product = price.get("product")
    named = product.get("name") if isinstance(product, Mapping) else None
    return (
        named
        or text(price, "nickname")
        or text(price, "lookup_key")
        or reference(price, "product")
    )


def _interval(item: JsonDict) -> str | None:
    recurring = (item.get("price") or {}).get("recurring") or {}
    name, count = recurring.get("interval"), int(recurring.get("interval_count") or 1)
    if not name:
        return None
    return _INTERVALS.get((name, count), name if count == 1 else f"{count}_{name}s")


def _amount(
    raw: JsonDict, name: str, currency: str | None, decimals: Decimals
) -> int | None:
    value = raw.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecordError(
            f"{name} is “{str(value)[:60]}”, not a whole number.",
            code="wrong_type",
            field=name,
        )
    return in_iso_minor(value, currency or "", decimals)


def _currency(raw: Mapping[str, Any]) -> str | None:
    code = text(raw, "currency")
    return code.upper() if code else None


def _custom(raw: JsonDict, **facts: Any) -> JsonDict:
    metadata = raw.get("metadata") or {}
    return {**metadata, **{k: v for k, v in facts.items() if v is not None}}


def _id(raw: JsonDict) -> str:
    found = raw.get("id")
    if not isinstance(found, str) or not found:
        raise RecordError("The object has no id.", code="missing_id", field="id")
    return found
