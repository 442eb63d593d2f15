"""Stripe: records of captured shapes, and its own description of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from churnguard.errors import ConfigError, RecordError
from churnguard.records import CustomerRecord, ObjectRecord
from integrations import quality
from integrations.connectors.base import ReadRequest
from integrations.connectors.stripe.kinds import KINDS
from tests import openapi
from tests.integrations.connectors.served import NOW, ids
from tests.integrations.connectors.stripe_shop import (
    PAYMENTS,
    Shop,
    payload,
    put_charges,
    put_subscription,
)


def test_a_customer(shop: Shop) -> None:
    raw = payload("customer")

    record = shop.connector().parse(KINDS["customers"].as_stream, raw)

    assert record == CustomerRecord(
        external_id="cus_North01",
        name="North BV",
        email="billing@north.example.com",
        phone="+31301234567",
        country="NL",
        signup_at=datetime(2025, 3, 3, 12, tzinfo=UTC),
        custom={
            "crm_id": "001A",
            "tier": "gold",
            "delinquent": True,
            "balance": -2500,
            "description": "Key account",
        },
        raw=raw,
    )


def test_a_subscription_with_tiers_coupon_and_a_planned_end(shop: Shop) -> None:
    put_subscription(shop)

    record = shop.first("subscriptions")

    # 4 × 25.00 less 20 % + (10 × 5.00 + 10.00 + 4 × 2.505), the coupon for Pro only.
    assert record.mrr_minor == 8000 + 7002
    assert record.customer_id == "cus_North01"
    assert (record.status, record.currency, record.interval) == (
        "active",
        "EUR",
        "month",
    )
    assert (record.plan, record.quantity) == ("Pro, prod_Api", 18)
    assert record.period_starts_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert record.period_ends_at == datetime(2026, 2, 1, 12, tzinfo=UTC)
    assert record.cancel_at == record.period_ends_at
    assert record.auto_renew is False
    assert record.canceled_at == datetime.fromtimestamp(1768000000, UTC)
    assert record.ended_at is None
    assert record.cancel_reason == "missing_features"
    assert record.custom == {
        "owner": "ann",
        "stripe_status": "active",
        "cancel_at_period_end": True,
        "cancellation_reason": "cancellation_requested",
        "cancellation_feedback": "missing_features",
        "cancellation_comment": "We grew out of it",
    }
    assert "email" not in record.raw["customer"]


def test_a_stored_subscription_can_be_read_again_without_stripe(shop: Shop) -> None:
    put_subscription(shop)
    record = shop.first("subscriptions")
    shop.server.calls.clear()

    again = shop.connector().parse(KINDS["subscriptions"].as_stream, record.raw)

    assert again == record
    assert shop.server.calls == []


def test_a_deleted_coupon_still_lowers_what_it_was_redeemed_for(shop: Shop) -> None:
    put_subscription(shop)
    del shop.fake.tables["/v1/coupons"]["LOYAL20"]
    raw = shop.fake.tables["/v1/subscriptions"]["sub_North01"]
    whole = payload("coupon")
    del whole["applies_to"]
    raw["discounts"][0]["source"]["coupon"] = whole

    assert shop.first("subscriptions").mrr_minor == round((10_000 + 7002) * 0.8)


@pytest.mark.parametrize("place", ["item", "customer"])
def test_a_deleted_coupon_is_found_where_it_was_redeemed(
    shop: Shop, place: str
) -> None:
    put_subscription(shop, discounts=[])
    raw = shop.fake.tables["/v1/subscriptions"]["sub_North01"]
    del shop.fake.tables["/v1/coupons"]["LOYAL20"]
    discount = payload("subscription")["discounts"][0]
    whole = payload("coupon")
    held = discount | {"source": {"type": "coupon", "coupon": whole}}
    if place == "item":
        raw["items"]["data"][0]["discounts"] = [held]
        expected = 8000 + 7002
    else:
        raw["customer"]["discount"] = held
        shop.fake.put("/v1/customers", payload("customer") | {"discount": held})
        expected = round((10_000 + 7002) * 0.8)

    shop.fake.put("/v1/subscriptions", {**raw, "id": "sub_2"})

    (page,) = shop.read("subscriptions")

    assert [record.mrr_minor for record in page.records] == [expected] * 2
    # What one subscription showed is known for the others.
    assert len(shop.asked("/v1/subscription_items")) == 1


def test_a_subscription_in_another_currency_than_its_price(shop: Shop) -> None:
    put_subscription(shop, currency="gbp", discounts=[])
    raw = shop.fake.tables["/v1/subscriptions"]["sub_North01"]
    raw["items"]["data"] = raw["items"]["data"][:1]
    price = raw["items"]["data"][0]["price"]
    option = {"unit_amount": 2100, "unit_amount_decimal": "2100"}
    shop.fake.put(
        "/v1/prices",
        {**price, "currency_options": {"gbp": option, "usd": {"unit_amount": 2700}}},
    )

    record = shop.first("subscriptions")

    assert (record.mrr_minor, record.currency) == (4 * 2100, "GBP")
    assert record.raw["items"]["data"][0]["price"]["currency_options"] == {
        "gbp": option
    }


def test_a_coupons_amount_in_another_currency(shop: Shop) -> None:
    put_subscription(shop)
    shop.fake.put(
        "/v1/coupons",
        payload("coupon")
        | {
            "percent_off": None,
            "amount_off": 1000,
            "currency": "usd",
            "currency_options": {"eur": {"amount_off": 900}},
            "applies_to": {"products": []},
        },
    )

    assert shop.first("subscriptions").mrr_minor == 10_000 + 7002 - 900


def test_what_a_price_told_about_a_line_is_not_all_a_subscription_asks(
    shop: Shop,
) -> None:
    put_subscription(shop)
    invoice = payload("invoice")
    line = invoice["lines"]["data"][0]
    line["pricing"]["price_details"]["price"] = "price_Tiered"
    shop.fake.put("/v1/invoices", invoice)
    connector = shop.connector()
    request = ReadRequest(mode="full")

    list(connector.read(KINDS["invoices"].as_stream, request))
    (page,) = connector.read(KINDS["subscriptions"].as_stream, request)

    assert page.records[0].mrr_minor == 8000 + 7002


def test_few_prices_are_remembered_at_a_time(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrations.connectors.stripe.account._MOST_REMEMBERED", 2)
    put_subscription(shop)

    connector = shop.connector()
    (page,) = connector.read(KINDS["subscriptions"].as_stream, ReadRequest(mode="full"))

    assert page.records[0].mrr_minor == 8000 + 7002
    assert len(connector._account._found) <= 2


def test_a_canceled_subscription_is_listed_and_has_ended(shop: Shop) -> None:
    put_subscription(
        shop, status="canceled", ended_at=1768003200, cancel_at_period_end=False
    )

    record = shop.first("subscriptions")

    assert (record.status, record.mrr_minor) == ("canceled", 0)
    assert record.ended_at == datetime(2026, 1, 10, tzinfo=UTC)
    assert record.auto_renew is False


def test_a_status_nobody_knows_is_kept_raw(shop: Shop) -> None:
    put_subscription(shop, status="hibernating")

    record = shop.first("subscriptions")

    assert record.status is None
    assert record.custom["stripe_status"] == "hibernating"


def test_items_beyond_the_first_page_are_fetched(shop: Shop) -> None:
    put_subscription(shop)
    raw = shop.fake.tables["/v1/subscriptions"]["sub_North01"]
    first = raw["items"]["data"][0]
    raw["items"] = {
        **raw["items"],
        "data": [first],
        "has_more": True,
        "_all": [{**first, "id": f"si_{n}"} for n in range(150)],
    }

    record = shop.first("subscriptions")

    assert record.quantity == 600
    assert record.mrr_minor == 150 * 8000
    assert [q.get("starting_after") for q in shop.asked("/v1/subscription_items")] == [
        None,
        "si_99",
    ]


def test_an_invoice(shop: Shop) -> None:
    shop.fake.put("/v1/invoices", payload("invoice"))

    record = shop.first("invoices")

    assert (record.customer_id, record.subscription_id) == (
        "cus_North01",
        "sub_North01",
    )
    assert (record.number, record.status, record.currency) == (
        "7FE1103-0011",
        "paid",
        "EUR",
    )
    assert (record.total_minor, record.paid_minor, record.refunded_minor) == (
        9680,
        9680,
        500,
    )
    assert record.issued_at == datetime(2026, 1, 1, 13, tzinfo=UTC)
    assert record.due_at == record.issued_at
    assert record.paid_at == datetime(2026, 1, 4, 13, tzinfo=UTC)
    assert record.failed_attempts == 2
    period = {
        "currency": "EUR",
        "period_start": "2026-01-01T12:00:00+00:00",
        "period_end": "2026-02-01T12:00:00+00:00",
    }
    assert record.lines == [
        {"amount_minor": 8000, "description": "4 × Pro", "proration": False, **period},
        {
            "amount_minor": 1000,
            "description": "Unused time",
            "proration": True,
            **period,
        },
    ]
    assert "confirmation_secret" not in record.raw


def test_the_price_of_a_line_says_that_it_is_metered(shop: Shop) -> None:
    recurring = {"interval": "month", "interval_count": 1, "usage_type": "metered"}
    shop.fake.put(
        "/v1/prices", {"id": "price_Pro", "object": "price", "recurring": recurring}
    )
    shop.fake.put("/v1/invoices", payload("invoice"))

    record = shop.first("invoices")

    priced = [
        (line.get("pricing") or {}).get("price_details") or {}
        for line in payload("invoice")["lines"]["data"]
    ]
    assert [line.get("usage", False) for line in record.lines] == [
        details.get("price") == "price_Pro" for details in priced
    ]
    assert record.lines[0]["usage"] is True


def test_an_invoice_says_when_its_payment_failed_last(shop: Shop) -> None:
    put_charges(shop)
    shop.fake.put("/v1/invoices", payload("invoice") | {"payments": PAYMENTS})

    record = shop.first("invoices")

    assert record.last_failed_at == datetime.fromtimestamp(1767445200, UTC)
    assert record.raw["last_failed_charge"]["failure_code"] == "card_declined"
    assert record.raw["payments"] == PAYMENTS
    assert len(shop.asked("/v1/charges")) == 1


def test_charges_are_asked_for_only_where_a_payment_failed(shop: Shop) -> None:
    put_charges(shop)
    paid_at_once = {"payments": PAYMENTS, "attempt_count": 1}
    shop.fake.put("/v1/invoices", payload("invoice") | paid_at_once)

    assert shop.first("invoices").last_failed_at is None
    assert shop.asked("/v1/charges") == []


def test_invoices_are_read_without_the_right_to_see_charges(shop: Shop) -> None:
    shop.fake.refuse("/v1/charges")
    for number in range(3):
        raw = payload("invoice") | {"id": f"in_{number}", "payments": PAYMENTS}
        shop.fake.put("/v1/invoices", raw)

    (page,) = shop.read("invoices", batch_size=50)

    assert [(r.failed_attempts, r.last_failed_at) for r in page.records] == [
        (2, None)
    ] * 3
    assert len(shop.asked("/v1/charges")) == 1


@pytest.mark.parametrize(
    ("decimals", "total"), [("", 97), ("ugx 0", 9680), ("ISK 2, UGX=1", 968)]
)
def test_the_settings_have_the_last_word_on_decimals(
    shop: Shop, decimals: str, total: int
) -> None:
    raw = payload("invoice") | {"currency": "ugx"}

    record = shop.connector(decimals=decimals).parse(KINDS["invoices"].as_stream, raw)

    assert record.total_minor == total


@pytest.mark.parametrize("decimals", ["UGX", "UGX many", "0", "shillings 2"])
def test_decimals_that_say_nothing_are_refused(shop: Shop, decimals: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shop.connector(decimals=decimals).check()

    assert "decimals" in caught.value.fields
    assert shop.server.calls == []


def test_lines_beyond_the_first_page_are_fetched(shop: Shop) -> None:
    raw = payload("invoice")
    line = raw["lines"]["data"][0]
    raw["lines"] |= {
        "data": [line],
        "has_more": True,
        "_all": [{**line, "id": f"il_{n}"} for n in range(130)],
    }
    shop.fake.put("/v1/invoices", raw)

    assert len(shop.first("invoices").lines) == 130


def test_a_dispute_belongs_to_the_customer_of_its_charge(shop: Shop) -> None:
    shop.fake.put("/v1/disputes", payload("dispute"))

    record = shop.first("disputes")

    assert isinstance(record, ObjectRecord)
    assert (record.kind, record.customer_id) == ("disputes", "cus_North01")
    assert record.raw["charge"] == {
        "id": "ch_1",
        "object": "charge",
        "customer": "cus_North01",
    }


def test_no_payment_secret_is_stored(shop: Shop) -> None:
    shop.fake.put("/v1/payment_intents", payload("payment_intent"))

    assert "secret" not in json.dumps(shop.first("payment_intents").raw)


def test_a_product_says_when_it_changed(shop: Shop) -> None:
    shop.fake.put("/v1/products", payload("product"))

    record = shop.first("products")

    assert record.updated_at == datetime.fromtimestamp(1740500000, UTC)
    assert record.occurred_at == datetime.fromtimestamp(1740000000, UTC)


def test_an_object_of_an_unexpected_shape_is_quarantined(shop: Shop) -> None:
    put_subscription(shop)
    shop.fake.put("/v1/subscriptions", payload("subscription") | {"id": "sub_2"})
    bad = shop.fake.tables["/v1/subscriptions"]["sub_2"]
    bad["items"]["data"][0]["price"]["unit_amount_decimal"] = "a lot"

    (page,) = shop.read("subscriptions")

    assert ids([page]) == ["sub_North01"]
    (reject,) = page.rejects
    assert (reject.code, reject.external_id) == ("bad_price", "sub_2")
    with pytest.raises(RecordError):
        shop.connector().parse(KINDS["subscriptions"].as_stream, bad)


@pytest.mark.parametrize(
    ("stream", "changes"),
    [
        ("subscriptions", {"items": [{"id": "si_1"}]}),
        ("subscriptions", {"discounts": [{"source": "LOYAL20"}]}),
        ("subscriptions", {"items": {"data": [{"id": "si_1", "discounts": 1}]}}),
        ("invoices", {"lines": {"data": ["il_1"]}}),
        ("invoices", {"attempt_count": "often"}),
        ("disputes", {"evidence": None, "metadata": ["x"]}),
    ],
)
def test_a_shape_nobody_expected_concerns_one_object(
    shop: Shop, stream: str, changes: dict[str, Any]
) -> None:
    put_subscription(shop)
    good = payload(KINDS[stream].object)
    path = KINDS[stream].path
    shop.fake.put(path, good)
    shop.fake.put(path, good | {"id": "bad"} | changes)

    pages = shop.read(stream, concurrent_requests=4)

    assert ids(pages) == [good["id"]]
    (reject,) = [each for page in pages for each in page.rejects]
    assert (reject.external_id, reject.code) == ("bad", "wrong_type")


def test_objects_are_completed_side_by_side_in_their_order(shop: Shop) -> None:
    put_charges(shop)
    for number in range(8):
        raw = payload("invoice") | {"id": f"in_{number}", "payments": PAYMENTS}
        shop.fake.put("/v1/invoices", raw)

    (page,) = shop.read("invoices", batch_size=50, concurrent_requests=4)

    assert ids([page]) == [f"in_{number}" for number in range(7, -1, -1)]
    assert {r.last_failed_at for r in page.records} == {
        datetime.fromtimestamp(1767445200, UTC)
    }


# --- against the description of the API -----------------------------------------


def test_requests_are_as_the_description_says(shop: Shop) -> None:
    spec = openapi.load("stripe/stripe_read_subset.derived.json")
    put_subscription(shop)
    put_charges(shop)
    shop.fake.put("/v1/invoices", payload("invoice") | {"payments": PAYMENTS})
    shop.fake.emit("customer.subscription.updated", payload("subscription"))
    for name in KINDS:
        first = shop.read(name)
        shop.read(name, cursor=first[-1].cursor)
        shop.read(name, since=NOW - timedelta(days=5), until=NOW)
    shop.connector().check()

    assert {call.path for call in shop.server.calls} >= {k.path for k in KINDS.values()}
    problems = {
        problem
        for call in shop.server.calls
        for problem in spec.request_problems(call.method, call.path, call.queries)
    }
    assert problems == set()


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("customer", "customer"),
        ("subscription", "subscription"),
        ("invoice", "invoice"),
        ("dispute", "dispute"),
        ("payment_intent", "payment_intent"),
        ("product", "product"),
        ("coupon", "coupon"),
        ("price_tiered_expanded", "price"),
    ],
)
def test_payloads_have_no_field_stripe_does_not_send(name: str, schema: str) -> None:
    spec = openapi.load("stripe/stripe_read_subset.derived.json")

    assert spec.unknown_fields(schema, payload(name)) == []


@pytest.mark.parametrize("name", sorted(KINDS))
def test_stripes_own_examples_become_records(shop: Shop, name: str) -> None:
    spec = openapi.load("stripe/fixtures3.json")
    example = spec.document["resources"][KINDS[name].object]

    record = shop.connector().parse(KINDS[name].as_stream, example)

    assert not isinstance(quality.validate(record, now=NOW), quality.Reject)
    assert record.external_id == example["id"]


def test_event_lists_and_expansions_stay_within_stripes_limits() -> None:
    assert all(len(kind.events) <= 20 for kind in KINDS.values())
    for kind in KINDS.values():
        for name in kind.expand:
            assert len(f"data.{name}".split(".")) <= 4
