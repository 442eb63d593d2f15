"""Monthly recurring revenue of one Stripe subscription, in exact fractions.

Definition (Stripe Billing, ChartMogul and Baremetrics side by side, with our choice):
licensed recurring items at their price and quantity, divided by the months of their
interval (a week is 12/52, a day 12/365 of a month), less the discounts in force: those
of the item first, then those of the subscription, else those of the customer. One-off
and metered prices, taxes (also those inside a price), prorations and trials do not
count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Literal

from churnguard.currencies import minor_places

Raw = Mapping[str, Any]
Policy = Literal["all", "forever_only", "none"]

COUNTED = frozenset({"active", "past_due"})
_SILENT_PAUSES = frozenset({"void", "mark_uncollectible"})
_MONTHS = {
    "day": Fraction(12, 365),
    "week": Fraction(12, 52),
    "month": Fraction(1),
    "year": Fraction(12),
}
STRIPE_DECIMALS: Mapping[str, int] = {"ISK": 2, "MGA": 0, "UGX": 2}
"""Where Stripe's minor unit is not that of ISO 4217 (docs.stripe.com/currencies, which
lists UGX without decimals too, but asks for amounts with two)."""


@dataclass(slots=True)
class _Share:
    """One item: its amount a month, and what discounts and taxes ask about it. net: the
    part of the amount that is not tax."""

    monthly: Fraction
    months: Fraction
    product: str
    net: Fraction


def mrr_minor(
    subscription: Raw,
    *,
    as_of: datetime,
    discounts: Policy = "all",
    decimals: Mapping[str, int] = STRIPE_DECIMALS,
) -> int | None:
    """MRR in minor units of the subscription's currency; 0 where it does not count,
    None where an amount is unknown (a tiered price without its tiers, a price without
    an amount in that currency).

    subscription: with discounts, coupons, tiers and currency options expanded. as_of:
    decides which discounts are still in force. discounts: all in force, those for ever
    only, none (coupons for one invoice never count). decimals: as in `in_iso_minor`.
    """
    paused = subscription.get("pause_collection") or {}
    if subscription.get("status") not in COUNTED:
        return 0
    if paused.get("behavior") in _SILENT_PAUSES:
        return 0
    currency = str(subscription.get("currency") or "").lower()
    shares = []
    for item in (subscription.get("items") or {}).get("data") or []:
        amount = item_amount(item, currency)
        if amount is None:
            return None
        if amount[0]:
            share = _Share(
                amount[0] / amount[1],
                amount[1],
                _product(item),
                _net(item, subscription),
            )
            for coupon in _in_force(item.get("discounts"), as_of, discounts):
                _deduct([share], coupon, currency)
            shares.append(share)
    own = subscription.get("discounts") or []
    for coupon in _in_force(own or _of_customer(subscription), as_of, discounts):
        _deduct(shares, coupon, currency)
    total = sum((share.monthly * share.net for share in shares), Fraction(0))
    return in_iso_minor(total, currency, decimals)


def item_amount(item: Raw, currency: str) -> tuple[Fraction, Fraction] | None:
    """(amount of one period, months of the period) of an item in a currency; amount 0
    for one-off and metered prices, None where tiers or currency are not there."""
    price = item.get("price") or {}
    recurring = price.get("recurring") or {}
    unit = _MONTHS.get(str(recurring.get("interval")))
    if unit is None or recurring.get("usage_type") == "metered":
        return Fraction(0), Fraction(1)
    months = unit * int(recurring.get("interval_count") or 1)
    price = _in_currency(price, currency)
    if price is None:
        return None
    quantity = _units(item.get("quantity"), price.get("transform_quantity"))
    if price.get("billing_scheme") != "tiered":
        return quantity * _price(price, "unit_amount"), months
    tiers = price.get("tiers")
    if not tiers:
        return None
    if price.get("tiers_mode") == "volume":
        return _by_volume(quantity, tiers), months
    return _graduated(quantity, tiers), months


def in_iso_minor(
    amount: Fraction | int,
    currency: str,
    decimals: Mapping[str, int] = STRIPE_DECIMALS,
) -> int:
    """An amount in Stripe's minor units in those of ISO 4217, rounded half up.
    decimals: code -> Stripe's decimals, where they are not those of ISO 4217."""
    code = currency.upper()
    ours = minor_places(code)
    theirs = decimals.get(code, ours)
    exact = Fraction(amount) * Fraction(10) ** (ours - theirs)
    sign = -1 if exact < 0 else 1
    return sign * math.floor(abs(exact) + Fraction(1, 2))


def _in_currency(price: Raw, currency: str) -> Raw | None:
    """A price of several currencies shows the amounts of its own one; those of the
    others stand in its options."""
    if str(price.get("currency") or currency).lower() == currency:
        return price
    option = (price.get("currency_options") or {}).get(currency)
    return None if option is None else {**price, "tiers": None, **option}


def _units(quantity: Any, transform: Raw | None) -> Fraction:
    units = Fraction(1 if quantity is None else int(quantity))
    if transform and transform.get("divide_by"):
        packs = units / int(transform["divide_by"])
        is_up = transform.get("round") == "up"
        return Fraction(math.ceil(packs) if is_up else math.floor(packs))
    return units


def _price(source: Raw, name: str) -> Fraction:
    """unit_amount is null where the price has parts of a cent."""
    exact = source.get(f"{name}_decimal")
    if exact is None:
        exact = source.get(name)
    return Fraction(str(exact)) if exact is not None else Fraction(0)


def _graduated(quantity: Fraction, tiers: Sequence[Raw]) -> Fraction:
    total, below = Fraction(0), Fraction(0)
    for number, tier in enumerate(tiers):
        limit = tier.get("up_to")
        top = quantity if limit is None else min(quantity, Fraction(int(limit)))
        # The first tier's flat amount is due even for a quantity of 0.
        if top <= below and number:
            break
        total += (top - below) * _price(tier, "unit_amount")
        total += _price(tier, "flat_amount")
        below = top
    return total


def _by_volume(quantity: Fraction, tiers: Sequence[Raw]) -> Fraction:
    for tier in tiers:
        if tier.get("up_to") is None or quantity <= int(tier["up_to"]):
            flat = _price(tier, "flat_amount")
            return quantity * _price(tier, "unit_amount") + flat
    return Fraction(0)


def _of_customer(subscription: Raw) -> list[Any]:
    customer = subscription.get("customer")
    discount = customer.get("discount") if isinstance(customer, Mapping) else None
    return [discount] if discount else []


def _in_force(found: Any, as_of: datetime, policy: Policy) -> list[Raw]:
    """The coupons of discounts that lower a later invoice too, in their order."""
    if policy == "none":
        return []
    coupons = []
    now = as_of.timestamp()
    for discount in found or []:
        coupon = coupon_of(discount)
        if not isinstance(coupon, Mapping) or coupon.get("duration") == "once":
            continue
        if policy == "forever_only" and coupon.get("duration") != "forever":
            continue
        end = discount.get("end")
        if end is None or end > now:
            coupons.append(coupon)
    return coupons


def coupon_of(discount: Any) -> Any:
    """The coupon (or its id) of a discount; `source.coupon` since API 2025-09-30."""
    if not isinstance(discount, Mapping):
        return None
    source = discount.get("source") or {}
    return source.get("coupon") or discount.get("coupon")


def _deduct(shares: list[_Share], coupon: Raw, currency: str) -> None:
    """Lower the monthly amounts by a coupon, never below 0."""
    products = (coupon.get("applies_to") or {}).get("products")
    hit = [s for s in shares if not products or s.product in products]
    total = sum((share.monthly for share in hit), Fraction(0))
    if not total:
        return
    percent = coupon.get("percent_off")
    if percent is not None:
        left = 1 - Fraction(str(percent)) / 100
    else:
        # An amount comes off each invoice, and the shortest period makes the invoices.
        off = _amount_off(coupon, currency) / min(share.months for share in hit)
        left = max(Fraction(0), 1 - off / total)
    for share in hit:
        share.monthly *= left


def _amount_off(coupon: Raw, currency: str) -> Fraction:
    if str(coupon.get("currency") or "").lower() == currency:
        return Fraction(int(coupon.get("amount_off") or 0))
    option = (coupon.get("currency_options") or {}).get(currency) or {}
    return Fraction(int(option.get("amount_off") or 0))


def _net(item: Raw, subscription: Raw) -> Fraction:
    """1 without taxes inside the price; an item's own rates replace the common ones."""
    rates = item.get("tax_rates") or subscription.get("default_tax_rates") or []
    inside = sum(
        (
            Fraction(str(rate.get("percentage") or 0))
            for rate in rates
            if _is_inside(rate)
        ),
        Fraction(0),
    )
    return 1 / (1 + inside / 100)


def _is_inside(rate: Any) -> bool:
    return isinstance(rate, Mapping) and bool(rate.get("inclusive"))


def _product(item: Raw) -> str:
    product = (item.get("price") or {}).get("product")
    if isinstance(product, Mapping):
        return str(product.get("id") or "")
    return str(product or "")
