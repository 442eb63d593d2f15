"""MRR of Stripe subscriptions, with examples worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from integrations.connectors.stripe.mrr import Policy, in_iso_minor, mrr_minor

NOW = datetime(2026, 1, 10, tzinfo=UTC)
LATER = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
EARLIER = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def item(
    amount: Any,
    interval: str = "month",
    count: int = 1,
    *,
    quantity: int | None = 1,
    **price: Any,
) -> dict[str, Any]:
    recurring = {
        "interval": interval,
        "interval_count": count,
        "usage_type": "licensed",
    }
    discounts = price.pop("discounts", [])
    return {
        "quantity": quantity,
        "discounts": discounts,
        "price": {
            "billing_scheme": "per_unit",
            "product": "prod_1",
            "unit_amount_decimal": None if amount is None else str(amount),
            "recurring": recurring,
            **price,
        },
    }


def coupon(**values: Any) -> dict[str, Any]:
    end = values.pop("end", None)
    whole = {"duration": "forever", "currency": "usd", **values}
    return {"end": end, "source": {"type": "coupon", "coupon": whole}}


def mrr(*items: Any, policy: Policy = "all", **values: Any) -> int | None:
    subscription = {"status": "active", "currency": "usd", "items": {"data": items}}
    return mrr_minor(subscription | values, as_of=NOW, discounts=policy)


def test_every_interval_is_brought_to_one_month() -> None:
    items = [
        item(2500, quantity=4),
        item(120_000, "year"),
        item(30_000, "month", 3),
        item(1500, "week", quantity=2),
    ]

    assert [mrr(each) for each in items] == [10_000, 10_000, 10_000, 13_000]
    assert mrr(*items) == 43_000
    assert mrr(item(100, "day")) == 3042


def test_published_sums() -> None:
    monthly = [item(10_000, quantity=100), item(60_000, "year", quantity=50)]

    assert mrr(*monthly) == 1_250_000
    assert mrr(item(50_000, "year", quantity=4)) == 16_667


def test_item_coupons_come_before_those_of_the_subscription() -> None:
    first = item(10_000, discounts=[coupon(percent_off=20)])

    assert mrr(first, discounts=[coupon(amount_off=1000)]) == 7000
    assert (
        mrr(item(10_000), discounts=[coupon(amount_off=1000), coupon(percent_off=20)])
        == 7200
    )


def test_coupons_of_yearly_prices() -> None:
    assert mrr(item(120_000, "year"), discounts=[coupon(percent_off=50)]) == 5000
    assert mrr(item(120_000, "year"), discounts=[coupon(amount_off=12_000)]) == 9000
    assert mrr(item(12_000, "year"), discounts=[coupon(percent_off=10)]) == 900


@pytest.mark.parametrize(
    ("duration", "end", "policy", "expected"),
    [
        ("once", None, "all", 10_000),
        ("repeating", LATER, "all", 5000),
        ("repeating", EARLIER, "all", 10_000),
        ("repeating", LATER, "forever_only", 10_000),
        ("forever", None, "forever_only", 5000),
        ("forever", None, "none", 10_000),
    ],
)
def test_which_coupons_count(
    duration: str, end: int | None, policy: Policy, expected: int
) -> None:
    half = coupon(percent_off=50, duration=duration, end=end)

    assert mrr(item(10_000), discounts=[half], policy=policy) == expected


def test_a_free_subscription_is_never_negative() -> None:
    assert mrr(item(10_000), discounts=[coupon(percent_off=100)]) == 0
    assert mrr(item(10_000), discounts=[coupon(amount_off=99_999)]) == 0


def test_coupons_of_some_products_only_lower_those() -> None:
    items = [item(10_000), item(10_000, product="prod_2")]
    some = coupon(percent_off=50, applies_to={"products": ["prod_2"]})

    assert mrr(*items, discounts=[some]) == 15_000


def test_an_amount_is_spread_over_items_and_taken_once() -> None:
    assert mrr(item(6000), item(4000), discounts=[coupon(amount_off=1000)]) == 9000


def test_an_amount_in_another_currency_needs_an_option() -> None:
    other = {"amount_off": 1000, "currency": "eur"}

    assert mrr(item(10_000), discounts=[coupon(**other)]) == 10_000
    assert (
        mrr(
            item(10_000),
            discounts=[coupon(**other, currency_options={"usd": {"amount_off": 1100}})],
        )
        == 8900
    )


def test_a_customers_coupon_counts_where_the_subscription_has_none() -> None:
    customer = {"id": "cus_1", "discount": coupon(percent_off=10)}

    assert mrr(item(10_000), customer=customer) == 9000
    assert (
        mrr(item(10_000), customer=customer, discounts=[coupon(percent_off=50)]) == 5000
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("active", 10_000),
        ("past_due", 10_000),
        ("trialing", 0),
        ("paused", 0),
        ("unpaid", 0),
        ("incomplete", 0),
        ("incomplete_expired", 0),
        ("canceled", 0),
        ("something_new", 0),
    ],
)
def test_which_statuses_count(status: str, expected: int) -> None:
    assert mrr(item(10_000), status=status) == expected


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [("void", 0), ("mark_uncollectible", 0), ("keep_as_draft", 10_000)],
)
def test_paused_collection(behavior: str, expected: int) -> None:
    assert mrr(item(10_000), pause_collection={"behavior": behavior}) == expected


def test_metered_and_one_off_prices_do_not_count() -> None:
    metered = item(3)
    metered["price"]["recurring"]["usage_type"] = "metered"
    once = item(50_000)
    once["price"]["recurring"] = None

    assert mrr(metered, once, item(1000)) == 1000


TIERS = [
    {"up_to": 10, "unit_amount_decimal": "500", "flat_amount_decimal": "1000"},
    {"up_to": None, "unit_amount_decimal": "250.5", "flat_amount_decimal": None},
]


@pytest.mark.parametrize(
    ("mode", "quantity", "expected"),
    [
        ("graduated", 14, 7002),
        ("graduated", 10, 6000),
        ("graduated", 0, 1000),
        ("volume", 14, 3507),
        ("volume", 10, 6000),
    ],
)
def test_tiers(mode: str, quantity: int, expected: int) -> None:
    tiered = item(
        None, quantity=quantity, billing_scheme="tiered", tiers_mode=mode, tiers=TIERS
    )

    assert mrr(tiered) == expected


def test_unknown_tiers_are_no_zero() -> None:
    assert mrr(item(None, billing_scheme="tiered", tiers_mode="volume")) is None


def test_an_amount_in_the_currency_of_the_subscription() -> None:
    options = {"usd": {"unit_amount": 1200, "unit_amount_decimal": "1200"}}
    several = item(1000, currency="eur", currency_options=options)

    assert mrr(several) == 1200
    assert mrr(item(1000, currency="usd")) == 1000
    # Not known is not 0, and not 1000 of something else.
    assert mrr(item(1000, currency="eur")) is None
    assert mrr(item(1000, currency="eur", currency_options={"gbp": {}})) is None


def test_tiers_in_the_currency_of_the_subscription() -> None:
    tiered = {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": TIERS}
    one_tier = [{"up_to": None, "unit_amount_decimal": "7"}]
    shown = item(None, quantity=3, currency="eur", **tiered)
    hidden = item(None, quantity=3, currency="eur", **tiered)
    shown["price"]["currency_options"] = {"usd": {"tiers": one_tier}}
    hidden["price"]["currency_options"] = {"usd": {"unit_amount": None}}

    assert mrr(shown) == 21
    assert mrr(hidden) is None


def test_a_tax_inside_the_price_is_no_revenue() -> None:
    inside = {"id": "txr_1", "percentage": 21.0, "inclusive": True}
    beside = {"id": "txr_2", "percentage": 19.0, "inclusive": False}
    own = item(12_100) | {"tax_rates": [inside]}

    assert mrr(own) == 10_000
    assert mrr(item(12_100), default_tax_rates=[inside]) == 10_000
    assert mrr(item(10_000), default_tax_rates=[beside]) == 10_000
    # An item's own rates stand in the place of the common ones.
    assert mrr(item(10_000) | {"tax_rates": [beside]}, default_tax_rates=[inside]) == (
        10_000
    )
    # The discount is taken off the price, the tax out of what is left.
    assert mrr(own, discounts=[coupon(amount_off=6050)]) == 5000


@pytest.mark.parametrize(("direction", "expected"), [("up", 3000), ("down", 2000)])
def test_packages(direction: str, expected: int) -> None:
    packs = {"divide_by": 10, "round": direction}

    assert mrr(item(1000, quantity=25, transform_quantity=packs)) == expected


def test_parts_of_a_cent_are_rounded_only_at_the_end() -> None:
    assert mrr(item("0.4", quantity=3), item("0.4")) == 2


def test_minor_units_are_those_of_the_iso_list() -> None:
    assert in_iso_minor(5000, "jpy") == 5000
    assert in_iso_minor(5000, "isk") == 50
    assert in_iso_minor(5000, "ugx") == 50
    assert in_iso_minor(5000, "mga") == 500_000
    assert in_iso_minor(5000, "kwd") == 5000
    assert in_iso_minor(Fraction(5, 2), "usd") == 3
    assert in_iso_minor(Fraction(-5, 2), "usd") == -3
