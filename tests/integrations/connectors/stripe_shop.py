"""A Stripe account being served, connectors to it, and what tests put into it."""

from __future__ import annotations

from functools import partial
from typing import Any

from integrations import quality
from integrations.connectors.base import Page, ReadRequest
from tests.fakes.stripe import KEY, StripeFake
from tests.integrations.connectors import served
from tests.integrations.connectors.served import NOW, Served

payload = partial(served.payload, "stripe")


class Shop(Served[StripeFake]):
    """A fake account, its server, and connectors to it."""

    def connector(self, key: str = KEY, **settings: Any) -> Any:
        return super().connector(secrets={"api_key": key}, **settings)

    def read(
        self, name: str, mode: str = "incremental", *, key: str = KEY, **options: Any
    ) -> list[Page]:
        """In pages of two, where no other size is asked for."""
        request = ReadRequest(**{"mode": mode, "batch_size": 2, **options})
        return list(self.connector(key).read(self.stream(name), request))

    def first(self, name: str) -> Any:
        """The only record there is, which is good."""
        (record,) = [each for page in self.read(name) for each in page.records]
        checked = quality.validate(record, now=NOW)
        assert not isinstance(checked, quality.Reject), checked
        return record

    def asked(self, path: str) -> list[dict[str, str]]:
        return [call.query for call in self.server.calls if call.path == path]


def put_subscription(shop: Shop, **changes: Any) -> None:
    """The payload's subscription with other values, and what it refers to."""
    fake = shop.fake
    fake.put("/v1/subscriptions", payload("subscription") | changes)
    fake.put("/v1/coupons", payload("coupon"))
    fake.put("/v1/products", payload("product"))
    fake.put("/v1/prices", payload("price_tiered_expanded"))


PAYMENTS = {
    "object": "list",
    "data": [
        {
            "id": "inpay_1",
            "object": "invoice_payment",
            "amount_requested": 9680,
            "invoice": "in_North01",
            "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
            "status": "paid",
        }
    ],
    "has_more": False,
    "url": "/v1/invoice_payments",
}
"""Of an invoice: paid in the end, with what `put_charges` puts."""


def put_charges(shop: Shop) -> None:
    """Two failed attempts at a payment, one that worked, and somebody else's."""
    attempts = [
        ("ch_1", "failed", 1767272400, "pi_1"),
        ("ch_2", "failed", 1767445200, "pi_1"),
        ("ch_3", "succeeded", 1767531600, "pi_1"),
        ("ch_4", "failed", 1767600000, "pi_2"),
    ]
    for name, status, created, intent in attempts:
        shop.fake.put(
            "/v1/charges",
            {
                "id": name,
                "object": "charge",
                "amount": 9680,
                "created": created,
                "currency": "eur",
                "customer": "cus_North01",
                "failure_code": "card_declined" if status == "failed" else None,
                "payment_intent": intent,
                "status": status,
            },
        )
