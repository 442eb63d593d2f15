"""Stripe: records of captured shapes, lists, events and permissions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from churnguard.errors import AuthenticationError, ConfigError, RecordError
from churnguard.records import CustomerRecord, ObjectRecord
from integrations import quality
from integrations.connectors.base import Page, ReadRequest
from integrations.connectors.stripe.account import API_VERSION, Account
from integrations.connectors.stripe.columns import columns_of
from integrations.connectors.stripe.connector import StripeConnector
from integrations.connectors.stripe.kinds import KINDS
from integrations.http import Client
from integrations.limits import Limiter
from integrations.netguard import Guard
from tests import openapi
from tests.fakes.server import FakeServer
from tests.fakes.stripe import KEY, StripeFake

PAYLOADS = Path(__file__).resolve().parents[2] / "payloads" / "stripe"
NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


def payload(name: str) -> dict[str, Any]:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


class Shop:
    """A fake account, its server, and connectors to it."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.fake: StripeFake = server.provider  # type: ignore[assignment]
        self.now = NOW

    def connector(self, key: str = KEY, **settings: Any) -> StripeConnector:
        return StripeConnector(
            settings={"base_url": self.server.url, **settings},
            secrets={"api_key": key},
            client=Client(
                adapter="stripe",
                secrets=[key],
                guard=Guard(allow_private=("127.0.0.1",)),
                sleep=lambda _s: None,
            ),
            now=lambda: self.now,
        )

    def read(self, stream: str, *, key: str = KEY, **options: Any) -> list[Page]:
        request = ReadRequest(**{"mode": "incremental", "batch_size": 2, **options})
        made = self.connector(key)
        return list(made.read(KINDS[stream].as_stream, request))

    def first(self, stream: str) -> Any:
        pages = self.read(stream)
        (record,) = [record for page in pages for record in page.records]
        checked = quality.validate(record, now=NOW)
        assert not isinstance(checked, quality.Reject), checked
        return record

    def asked(self, path: str) -> list[dict[str, str]]:
        return [call.query for call in self.server.calls if call.path == path]


@pytest.fixture
def shop() -> Iterator[Shop]:
    fake = StripeFake()
    with fake.serve() as server:
        yield Shop(server)


def ids(pages: list[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def put_subscription(shop: Shop, **changes: Any) -> None:
    fake = shop.fake
    fake.put("/v1/subscriptions", payload("subscription") | changes)
    fake.put("/v1/coupons", payload("coupon"))
    fake.put("/v1/products", payload("product"))
    fake.put("/v1/prices", payload("price_tiered_expanded"))


# --- records ----------------------------------------------------------------------


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


# --- lists and events -------------------------------------------------------------


def test_a_full_list_resumes_after_any_page(shop: Shop) -> None:
    shop.fake.seed(5)

    pages = shop.read("customers")

    newest_first = [f"cus_{n:06d}" for n in (4, 3, 2, 1, 0)]
    assert ids(pages) == newest_first
    for number, page in enumerate(pages[:-1]):
        cursor = json.loads(json.dumps(page.cursor))
        assert (
            ids(shop.read("customers", cursor=cursor)) == newest_first[2 * number + 2 :]
        )


def test_a_list_goes_on_after_its_place_was_deleted(shop: Shop) -> None:
    shop.fake.seed(5)
    (first, *_rest) = shop.read("customers")
    shop.fake.remove("cus_000003")

    pages = shop.read("customers", cursor=first.cursor)

    assert {"cus_000002", "cus_000001", "cus_000000"} <= set(ids(pages))


def test_changes_during_the_list_are_in_the_next_read(shop: Shop) -> None:
    shop.fake.seed(5)
    pages = []
    request = ReadRequest(mode="incremental", batch_size=2)
    for page in shop.connector().read(KINDS["customers"].as_stream, request):
        pages.append(page)
        if len(pages) == 1:
            shop.fake.tick()
            shop.fake.change("cus_000004", "Renamed")

    changes = shop.read("customers", cursor=pages[-1].cursor, batch_size=50)

    renamed = [r for page in changes for r in page.records if r.name == "Renamed"]
    assert [record.external_id for record in renamed] == ["cus_000004"]


def test_an_event_is_followed_once(shop: Shop) -> None:
    shop.fake.seed(2)
    cursor = shop.read("customers", batch_size=50)[-1].cursor
    cursor = shop.read("customers", batch_size=50, cursor=cursor)[-1].cursor
    shop.fake.tick()
    shop.fake.change("cus_000001", "Renamed")
    shop.server.calls.clear()

    first = shop.read("customers", batch_size=50, cursor=cursor)
    second = shop.read("customers", batch_size=50, cursor=first[-1].cursor)

    assert (ids(first), ids(second)) == (["cus_000001"], [])
    assert len(shop.server.calls) == 3


def test_many_events_of_one_object_fetch_it_once_and_resume(shop: Shop) -> None:
    shop.fake.seed(3)
    cursor = shop.read("customers")[-1].cursor
    shop.fake.tick()
    for number in range(5):
        shop.fake.change("cus_000001", f"Name {number}")
    shop.server.calls.clear()

    pages = shop.read("customers", cursor=cursor)

    assert ids(pages).count("cus_000001") == 1
    rest = shop.read("customers", cursor=pages[0].cursor)
    assert rest[-1].cursor["follow"] == pages[-1].cursor["follow"]


def test_a_deleted_customer_is_reported(shop: Shop) -> None:
    shop.fake.seed(3)
    cursor = shop.read("customers")[-1].cursor
    shop.fake.tick()
    shop.fake.remove("cus_000001")

    pages = shop.read("customers", cursor=cursor)

    assert [i for page in pages for i in page.deleted_ids] == ["cus_000001"]
    assert "cus_000001" not in ids(pages)


def test_a_draft_invoice_that_is_gone_is_reported(shop: Shop) -> None:
    raw = payload("invoice") | {"status": "draft"}
    shop.fake.put("/v1/invoices", raw, "invoice.created")
    cursor = shop.read("invoices")[-1].cursor
    shop.fake.tick()
    del shop.fake.tables["/v1/invoices"]["in_North01"]
    shop.fake.emit("invoice.deleted", raw)

    pages = shop.read("invoices", cursor=cursor)

    assert [i for page in pages for i in page.deleted_ids] == ["in_North01"]


def test_a_part_payment_changes_its_invoice(shop: Shop) -> None:
    shop.fake.put("/v1/invoices", payload("invoice"), "invoice.created")
    cursor = shop.read("invoices")[-1].cursor
    shop.fake.tick()
    shop.fake.emit("invoice_payment.paid", PAYMENTS["data"][0])

    assert ids(shop.read("invoices", cursor=cursor)) == ["in_North01"]


def test_a_customers_discount_changes_its_subscriptions(shop: Shop) -> None:
    put_subscription(shop)
    shop.fake.emit("product.created", payload("product"))
    cursor = shop.read("subscriptions")[-1].cursor
    shop.fake.tick()
    raw = shop.fake.tables["/v1/subscriptions"]["sub_North01"]
    raw["customer"] = "cus_North01"
    shop.fake.emit(
        "customer.discount.created",
        {"id": "di_9", "object": "discount", "customer": "cus_North01"},
    )

    assert ids(shop.read("subscriptions", cursor=cursor)) == ["sub_North01"]


def test_an_old_cursor_reads_everything_again(shop: Shop) -> None:
    shop.fake.seed(3)
    cursor = shop.read("customers")[-1].cursor
    shop.now = NOW + timedelta(days=29)

    assert len(ids(shop.read("customers", cursor=cursor))) == 3


def test_after_a_long_pause_late_deletions_are_found_in_the_events_that_are_left(
    shop: Shop,
) -> None:
    shop.fake.seed(3)
    cursor = shop.read("customers", batch_size=50)[-1].cursor
    shop.fake.clock = NOW + timedelta(days=40)
    shop.fake.remove("cus_000001")
    shop.fake.clock = shop.now = NOW + timedelta(days=45)

    listed = shop.read("customers", cursor=cursor, batch_size=2)
    pages = shop.read("customers", cursor=listed[-1].cursor)

    assert ids(listed) == ["cus_000002", "cus_000000"]
    assert [i for page in pages for i in page.deleted_ids] == ["cus_000001"]
    # Later reads follow from there as ever.
    (last,) = shop.read("customers", cursor=pages[-1].cursor)
    assert (ids([last]), last.deleted_ids) == ([], [])


def test_balance_transactions_are_read_by_creation_with_a_week_of_overlap(
    shop: Shop,
) -> None:
    for number, day in enumerate((1, 20, 26), start=1):
        created = int(datetime(2026, 1, day, tzinfo=UTC).timestamp())
        raw = {
            "id": f"txn_{number}",
            "object": "balance_transaction",
            "amount": 100,
            "created": created,
            "currency": "eur",
        }
        shop.fake.put("/v1/balance_transactions", raw)
    cursor = shop.read("balance_transactions")[-1].cursor

    assert ids(shop.read("balance_transactions", cursor=cursor)) == ["txn_3", "txn_2"]


def test_a_range_is_read_by_creation(shop: Shop) -> None:
    shop.fake.seed(20)
    since = shop.fake.clock - timedelta(minutes=1)

    pages = shop.read("customers", since=since, until=shop.fake.clock)

    assert ids(pages) == [f"cus_{n:06d}" for n in range(14, 4, -1)]
    assert shop.read("customers", since=since, cursor=pages[-1].cursor) == []


def test_pages_are_never_larger_than_stripe_allows(shop: Shop) -> None:
    shop.read("customers", batch_size=5000)

    assert shop.asked("/v1/customers")[-1]["limit"] == "100"


# --- discovery --------------------------------------------------------------------


def test_discovery_lists_the_fields_and_what_is_in_metadata(shop: Shop) -> None:
    shop.fake.seed(3)
    shop.fake.refuse("/v1/disputes")

    found = {stream.name: stream for stream in shop.connector().discover()}

    assert set(found) == set(KINDS)
    customers = {column.name: column for column in found["customers"].columns}
    assert customers["metadata.tier"].is_custom
    assert (customers["balance"].type, customers["balance"].is_custom) == (
        "integer",
        False,
    )
    assert set(payload("customer")) <= set(customers)
    assert "evidence" in {column.name for column in found["disputes"].columns}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_fields_are_those_of_the_description(name: str) -> None:
    spec = openapi.load("stripe/stripe_read_subset.derived.json")
    schema = spec.document["components"]["schemas"][KINDS[name].object]

    listed = {column.name for column in columns_of(name, [])}

    ours = {"last_failed_charge"} if name == "invoices" else set()
    unseen = {"deleted", "client_secret", "confirmation_secret"}
    assert listed - ours == set(schema["properties"]) - unseen


# --- keys -------------------------------------------------------------------------


def test_check_names_what_the_key_may_not_read(shop: Shop) -> None:
    shop.fake.refuse("/v1/disputes")
    shop.fake.refuse("/v1/refunds")
    shop.fake.refuse("/v1/events")

    assert shop.connector().check() == (
        "Connected to Stripe in test mode; the key may not read refunds, disputes, "
        "events."
    )


def test_a_key_without_any_permission_is_refused(shop: Shop) -> None:
    shop.fake.refuse("/v1/")

    with pytest.raises(ConfigError) as caught:
        shop.connector().check()

    assert caught.value.code == "permission_denied"


@pytest.mark.parametrize(
    ("path", "scope"), [("/v1/customers", "Customers"), ("/v1/events", "Events")]
)
def test_a_missing_permission_is_named(shop: Shop, path: str, scope: str) -> None:
    shop.fake.refuse(path)

    with pytest.raises(ConfigError, match=f"Read on “{scope}”") as caught:
        shop.read("customers")

    assert caught.value.code == "permission_denied"


def test_a_permission_that_only_what_is_expanded_needs_is_named(shop: Shop) -> None:
    put_subscription(shop)
    shop.fake.put("/v1/disputes", payload("dispute"))
    shop.fake.refuse("/v1/customers")
    shop.fake.refuse("/v1/charges")

    with pytest.raises(ConfigError, match="Read on “Customers”"):
        shop.read("subscriptions")
    with pytest.raises(ConfigError, match="Read on “Charges and Refunds”"):
        shop.read("disputes")


@pytest.mark.parametrize(
    ("path", "stream", "scope"),
    [
        ("/v1/prices", "prices", "Prices"),
        ("/v1/payment_intents", "payment_intents", "PaymentIntents"),
        (
            "/v1/balance_transactions",
            "balance_transactions",
            "Balance transaction sources",
        ),
        ("/v1/coupons", "subscriptions", "Coupons"),
    ],
)
def test_permissions_have_the_names_of_the_dashboard(
    shop: Shop, path: str, stream: str, scope: str
) -> None:
    put_subscription(shop)
    shop.fake.refuse(path)

    with pytest.raises(ConfigError, match=f"Read on “{scope}”"):
        shop.read(stream)


def test_calls_keep_to_fifteen_a_second_and_four_at_once() -> None:
    made = []

    def make_budget(key: str, windows: Any, **options: Any) -> Limiter:
        limits = [(window.limit, window.seconds) for window in windows]
        made.append((key, limits, options))
        return Limiter(key, windows, **options)

    client = Client(adapter="stripe", make_budget=make_budget)
    for account in ("", "acct_1"):
        Account(client, key=KEY, connected_account=account)

    (first, *limits), (second, *_others) = made
    assert limits == [[(15, 1.0)], {"max_concurrent": 4}]
    assert second == "stripe:acct_1"
    assert KEY not in first


def test_product_names_are_not_worth_a_failed_sync(shop: Shop) -> None:
    put_subscription(shop)
    shop.fake.refuse("/v1/products")

    assert shop.first("subscriptions").plan == "prod_Pro, prod_Api"


@pytest.mark.parametrize("key", ["pk_live_123", "whsec_1", ""])
def test_other_keys_are_refused_before_any_call(shop: Shop, key: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        shop.connector(key).check()

    assert "api_key" in caught.value.fields
    assert shop.server.calls == []


def test_test_and_live_data_do_not_mix(shop: Shop) -> None:
    shop.fake.seed(1)
    cursor = shop.read("customers")[-1].cursor

    with pytest.raises(ConfigError) as caught:
        shop.read("customers", key="rk_live_other", cursor=cursor)

    assert caught.value.code == "mode_changed"


def test_every_request_names_its_version_and_account_and_nothing_of_this_machine(
    shop: Shop,
) -> None:
    shop.connector(stripe_account="acct_1").check()

    assert len(shop.server.calls) == len(KINDS) + 2
    for call in shop.server.calls:
        assert call.headers["stripe-version"] == API_VERSION
        assert call.headers["stripe-account"] == "acct_1"
        assert "x-stripe-client-user-agent" not in call.headers


# --- against the description of the API -------------------------------------------


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
