"""Stripe: lists, events, discovery and permissions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from churnguard.errors import AuthenticationError, ConfigError
from integrations.connectors.base import ReadRequest
from integrations.connectors.stripe.account import API_VERSION, Account
from integrations.connectors.stripe.columns import columns_of
from integrations.connectors.stripe.kinds import KINDS
from integrations.http import Client
from integrations.limits import Limiter
from tests import openapi
from tests.fakes.stripe import KEY
from tests.integrations.connectors.served import NOW, ids
from tests.integrations.connectors.stripe_shop import (
    PAYMENTS,
    Shop,
    payload,
    put_subscription,
)

# --- lists and events -----------------------------------------------------------


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


# --- discovery ------------------------------------------------------------------


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


# --- keys -----------------------------------------------------------------------


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
