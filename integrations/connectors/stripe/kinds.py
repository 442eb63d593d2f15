"""Stripe's kinds of object: where they are listed and which events change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from integrations.connectors.base import Stream


@dataclass(frozen=True, slots=True)
class Kind:
    """One stream.

    object: Stripe's word in `object`. scope: the resource's name among the permissions
    of a restricted key. expand: of one object. events: types that say it changed (at
    most 20, so that one request asks for all). related: kind of the event's object ->
    its field with the id of ours. lookback_s: for kinds without events.
    """

    stream: str
    path: str
    object: str
    record_type: str
    scope: str
    deletes: Literal["full", "none"] = "none"
    params: Mapping[str, Any] = field(default_factory=dict)
    expand: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    related: Mapping[str, str] = field(default_factory=dict)
    lookback_s: int = 0
    label: str = ""
    is_default: bool = True

    @property
    def as_stream(self) -> Stream:
        return Stream(
            name=self.stream,
            label=self.label,
            record_type=self.record_type,
            cursor_field="created",
            lookback_s=self.lookback_s or OVERLAP_S,
            deletes=self.deletes,
            selected_by_default=self.is_default,
        )


OVERLAP_S = 600
"""Events may become visible late; the last ten minutes are asked for again."""

_DISCOUNTS = tuple(
    f"customer.discount.{verb}" for verb in ("created", "updated", "deleted")
)
_DISPUTES = tuple(
    f"charge.dispute.{verb}"
    for verb in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
)


def _events(prefix: str, *verbs: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{verb}" for verb in verbs)


KINDS: dict[str, Kind] = {
    kind.stream: kind
    for kind in (
        Kind(
            stream="customers",
            label="Customers",
            path="/v1/customers",
            object="customer",
            record_type="customer",
            scope="Customers",
            deletes="full",
            events=_events("customer", "created", "updated", "deleted") + _DISCOUNTS,
            related={"discount": "customer"},
        ),
        Kind(
            stream="products",
            label="Products",
            path="/v1/products",
            object="product",
            record_type="object",
            scope="Products",
            deletes="full",
            events=_events("product", "created", "updated", "deleted"),
        ),
        Kind(
            stream="prices",
            label="Prices",
            path="/v1/prices",
            object="price",
            record_type="object",
            scope="Prices",
            deletes="full",
            expand=("tiers", "currency_options"),
            events=_events("price", "created", "updated", "deleted"),
        ),
        Kind(
            stream="subscriptions",
            label="Subscriptions",
            path="/v1/subscriptions",
            object="subscription",
            record_type="subscription",
            scope="Subscriptions",
            # Without it canceled subscriptions are left out of the list.
            params={"status": "all"},
            expand=("customer", "discounts.source.coupon", "items.data.discounts"),
            events=_events(
                "customer.subscription",
                "created",
                "updated",
                "deleted",
                "paused",
                "resumed",
                "trial_will_end",
                "pending_update_applied",
                "pending_update_expired",
            )
            + _DISCOUNTS,
            related={"discount": "subscription"},
        ),
        Kind(
            stream="invoices",
            label="Invoices",
            path="/v1/invoices",
            object="invoice",
            record_type="invoice",
            scope="Invoices",
            deletes="full",
            expand=("payments",),
            events=_events(
                "invoice",
                "created",
                "deleted",
                "finalized",
                "finalization_failed",
                "marked_uncollectible",
                "overdue",
                "overpaid",
                "paid",
                "payment_action_required",
                "payment_failed",
                "payment_succeeded",
                "sent",
                "updated",
                "voided",
            )
            + _events("credit_note", "created", "updated", "voided")
            # A part of the amount was paid.
            + _events("invoice_payment", "paid"),
            related={"credit_note": "invoice", "invoice_payment": "invoice"},
        ),
        Kind(
            stream="charges",
            label="Charges",
            path="/v1/charges",
            object="charge",
            record_type="object",
            scope="Charges and Refunds",
            events=_events(
                "charge",
                "succeeded",
                "failed",
                "pending",
                "captured",
                "expired",
                "refunded",
                "updated",
            )
            + _DISPUTES,
            related={"dispute": "charge", "refund": "charge"},
        ),
        Kind(
            stream="payment_intents",
            label="Payment intents",
            path="/v1/payment_intents",
            object="payment_intent",
            record_type="object",
            scope="PaymentIntents",
            events=_events(
                "payment_intent",
                "created",
                "succeeded",
                "payment_failed",
                "canceled",
                "processing",
                "requires_action",
                "partially_funded",
                "amount_capturable_updated",
            ),
        ),
        Kind(
            stream="refunds",
            label="Refunds",
            path="/v1/refunds",
            object="refund",
            record_type="object",
            scope="Charges and Refunds",
            expand=("charge",),
            events=(
                *_events("refund", "created", "updated", "failed"),
                "charge.refund.updated",
            ),
        ),
        Kind(
            stream="disputes",
            label="Disputes",
            path="/v1/disputes",
            object="dispute",
            record_type="object",
            scope="Disputes",
            expand=("charge",),
            events=_DISPUTES,
        ),
        Kind(
            stream="balance_transactions",
            label="Balance transactions",
            path="/v1/balance_transactions",
            object="balance_transaction",
            record_type="object",
            scope="Balance transaction sources",
            # No events; pending ones become available within days.
            lookback_s=7 * 86_400,
            is_default=False,
        ),
    )
}
