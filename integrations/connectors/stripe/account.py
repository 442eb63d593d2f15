"""Calls to one Stripe account: the SDK makes the requests, our door sends them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe

from churnguard.errors import ConfigError
from integrations.connectors.base import JsonDict
from integrations.connectors.stripe.kinds import KINDS, Kind
from integrations.connectors.stripe.mrr import coupon_of
from integrations.connectors.stripe.records import reference
from integrations.http import Call, Client, RefusedError, bearer
from integrations.limits import per_second
from integrations.loopguard import LoopGuard

API_VERSION = "2026-10-28.endive"
API = "https://api.stripe.com"
MOST = 100
"""Largest page of every list."""
# The SDK also sends what machine and packages it runs on; that is nobody's business.
_SENT_HEADERS = frozenset({"stripe-version", "stripe-account"})
OTHER_SCOPES = {
    "/v1/events": "Events",
    "/v1/coupons": "Coupons",
    "/v1/subscription_items": "Subscriptions",
}
"""What is read without being a stream."""
# What Stripe calls the permissions whose resource has another name in its dashboard.
_PERMISSIONS = {
    "balance_transaction_source": "Balance transaction sources",
    "charge": "Charges and Refunds",
    "payment_intent": "PaymentIntents",
    "plan": "Prices",
}
_NEEDED = re.compile(r"'rak_(\w+)_read'")
_MOST_REMEMBERED = 5000
# Fit to act for the payer or to open the invoice; nothing here needs them.
_KEYS_IN_OBJECTS = ("client_secret", "confirmation_secret")


class DoorTransport(stripe.HTTPClient):
    """What the SDK calls to send a request. Errors are ours, retries too."""

    name = "churnguard"

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[Any, int, Mapping[str, str]]:
        sent = {
            name: value
            for name, value in (headers or {}).items()
            if name.lower() in _SENT_HEADERS
        }
        call = Call(method=method.upper(), url=url, headers=sent)
        reply = self._client.send(call, as_json=True)
        return reply.content, reply.status, dict(reply.headers)

    def close(self) -> None:
        """Sockets belong to the client."""


class Account:
    """Reads lists and objects; remembers coupons, tiers and product names."""

    def __init__(
        self,
        client: Client,
        *,
        key: str,
        base_url: str = "",
        api_version: str = "",
        connected_account: str = "",
    ) -> None:
        address = (base_url or API).rstrip("/")
        counted_by = connected_account or hashlib.sha256(key.encode()).hexdigest()[:16]
        # Live accounts allow 100 calls a second and 25 per endpoint, sandboxes 25.
        door = client.using(base_url=address, auth=bearer(key)).with_budget(
            counted_by, per_second(15), max_concurrent=4
        )
        self._sdk = stripe.StripeClient(
            key,
            stripe_version=api_version or API_VERSION,
            stripe_account=connected_account or None,
            base_addresses={"api": address},
            max_network_retries=0,
            http_client=DoorTransport(door),
        )
        self._found: dict[tuple[str, ...], JsonDict | None] = {}
        self._may_see_charges = True

    def get(self, path: str, **params: Any) -> JsonDict:
        """The decoded answer of a GET; lists and nested parameters as the SDK encodes
        them."""
        # Typed objects would turn decimals and unknown fields into classes.
        body: Any = self._sdk.raw_request("get", path, **params).data  # type: ignore[attr-defined]
        return body

    def get_or_none(self, path: str, **params: Any) -> JsonDict | None:
        """The object, None where it does not exist (any more)."""
        try:
            return self.get(path, **params)
        except RefusedError as refusal:
            if refusal.status != 404:
                raise
            return None

    def every(self, path: str, **params: Any) -> list[JsonDict]:
        """All rows of a short list, whatever it takes."""
        rows: list[JsonDict] = []
        guard = LoopGuard()
        while True:
            body = self.get(path, limit=MOST, **params)
            rows += body["data"]
            if not body["data"] or not body.get("has_more"):
                return rows
            params["starting_after"] = rows[-1]["id"]
            guard.check(params["starting_after"], body["data"])

    def one(self, kind: Kind, external_id: str) -> JsonDict | None:
        """An object of a kind as it is now."""
        options = {"expand": list(kind.expand)} if kind.expand else {}
        return self.get_or_none(f"{kind.path}/{external_id}", **options)

    def complete(self, kind: Kind, raw: JsonDict) -> JsonDict:
        """The object with everything its record needs: all lines or items, coupons,
        prices, product names, when a payment failed, and without secrets."""
        for name in _KEYS_IN_OBJECTS:
            raw.pop(name, None)
        if kind.stream == "invoices":
            self._fill(raw, "lines", f"{kind.path}/{raw.get('id')}/lines")
            self._price_lines(raw)
            self._add_failure(raw)
        elif kind.stream == "subscriptions":
            self._fill(
                raw, "items", "/v1/subscription_items", subscription=raw.get("id")
            )
            self._price_items(raw)
        elif isinstance(raw.get("charge"), dict):
            raw["charge"] = _kept(raw["charge"], ("id", "object", "customer"))
        return raw

    def _fill(self, raw: JsonDict, name: str, path: str, **params: Any) -> None:
        """Append the pages of a nested list that the object does not hold."""
        nested = raw.get(name)
        if not isinstance(nested, dict) or not nested.get("has_more"):
            return
        if name == "items":
            params["expand"] = ["data.discounts"]
        rows = self.every(path, **params)
        raw[name] = {**nested, "data": rows, "has_more": False}

    def _price_lines(self, raw: JsonDict) -> None:
        """Put what a price recurs by in the place of its id: only the price says that
        a line is metered."""
        for line in (raw.get("lines") or {}).get("data") or []:
            details = (line.get("pricing") or {}).get("price_details") or {}
            if isinstance(details.get("price"), str):
                found = self._readable(f"/v1/prices/{details['price']}")
                if found is not None:
                    details["price"] = _kept(found, ("id", "object", "recurring"))

    def _add_failure(self, raw: JsonDict) -> None:
        """Put the last charge that failed into an invoice with failed attempts: only
        charges say when they failed."""
        failed = int(raw.get("attempt_count") or 0) - (raw.get("status") == "paid")
        payments = (raw.get("payments") or {}).get("data") or []
        if failed < 1 or not self._may_see_charges:
            return
        names = {
            reference(each.get("payment") or {}, "payment_intent") for each in payments
        }
        try:
            charges = [
                charge
                for name in sorted(filter(None, names))
                for charge in self.every("/v1/charges", payment_intent=name)
                if charge.get("status") == "failed"
            ]
        except RefusedError as refusal:
            if refusal.status != 403:
                raise
            self._may_see_charges = False
            return
        if charges:
            last = max(charges, key=lambda charge: int(charge["created"]))
            raw["last_failed_charge"] = _kept(last, ("id", "created", "failure_code"))

    def _price_items(self, raw: JsonDict) -> None:
        customer = raw.get("customer")
        discounts = list(raw.get("discounts") or [])
        if isinstance(customer, dict):
            raw["customer"] = _kept(customer, ("id", "object", "discount", "deleted"))
            discounts.append(raw["customer"].get("discount"))
        currency = str(raw.get("currency") or "")
        for item in (raw.get("items") or {}).get("data") or []:
            discounts += item.get("discounts") or []
            price = item.get("price")
            if isinstance(price, dict):
                self._expand_price(price, currency)
        self._expand_coupons(raw, discounts)

    def _expand_price(self, price: JsonDict, currency: str) -> None:
        """Tiers, the amounts in `currency` if that is not the price's own, and the
        product's name."""
        is_foreign = price.get("currency") not in (None, currency)
        lacks_tiers = price.get("billing_scheme") == "tiered" and "tiers" not in price
        if lacks_tiers or (is_foreign and "currency_options" not in price):
            path = f"/v1/prices/{price['id']}"
            whole = self._remembered(path, "tiers", "currency_options") or {}
            price["tiers"] = whole.get("tiers")
            options = whole.get("currency_options") or {}
            price["currency_options"] = _kept(options, (currency,))
        product = price.get("product")
        if isinstance(product, str):
            found = self._readable(f"/v1/products/{product}")
            if found is not None:
                price["product"] = _kept(found, ("id", "object", "name"))

    def _readable(self, path: str) -> JsonDict | None:
        """The object; None also where the key may not read it, since a name is not
        worth a failed sync."""
        try:
            return self._remembered(path)
        except RefusedError as refusal:
            if refusal.status != 403:
                raise
            self._found[(path,)] = None
            return None

    def _expand_coupons(self, raw: JsonDict, discounts: Iterable[Any]) -> None:
        for discount in discounts:
            coupon = coupon_of(discount)
            # `applies_to` comes only when asked for.
            is_whole = isinstance(coupon, dict) and "applies_to" in coupon
            if coupon is None or is_whole:
                continue
            name = coupon["id"] if isinstance(coupon, dict) else coupon
            key = (f"/v1/coupons/{name}", "applies_to", "currency_options")
            whole = self._remembered(*key)
            if whole is None:
                # A deleted coupon still lowers what it was redeemed for.
                is_shown = isinstance(coupon, dict)
                whole = coupon if is_shown else self._redeemed(raw, name)
                self._found[key] = whole
            source = discount.get("source") or {}
            discount["source"] = {**source, "coupon": whole or coupon}

    def _redeemed(self, raw: JsonDict, coupon: str) -> JsonDict | None:
        """A deleted coupon as the discounts of the items, or else the customer's, still
        show it."""
        path, into = "/v1/subscription_items", "source.coupon"
        expand = [f"data.discounts.{into}"]
        rows = self.every(path, subscription=raw["id"], expand=expand)
        found = _named(coupon, [d for row in rows for d in row.get("discounts") or []])
        payer = reference(raw, "customer")
        if found is None and payer is not None:
            expand = [f"discount.{into}"]
            shown = self.get_or_none(f"/v1/customers/{payer}", expand=expand) or {}
            found = _named(coupon, [shown.get("discount")])
        return found

    def _remembered(self, path: str, *expand: str) -> JsonDict | None:
        key = (path, *expand)
        try:
            return self._found[key]
        except KeyError:
            options = {"expand": list(expand)} if expand else {}
            found = self.get_or_none(path, **options)
        if len(self._found) >= _MOST_REMEMBERED:
            # Prices made for one invoice each are as many as the invoices.
            self._found.clear()
        self._found[key] = found
        return found


def missing_scope(refusal: RefusedError) -> ConfigError:
    """What to do about a key that may not read something."""
    scopes = {kind.path: kind.scope for kind in KINDS.values()} | OTHER_SCOPES
    # What is expanded may need a permission of its own; Stripe names it.
    named = _NEEDED.search(refusal.reply.text)
    if named is not None:
        path = f"/v1/{named[1]}s"
        scope = _PERMISSIONS.get(named[1]) or scopes.get(path, named[1])
    else:
        path = urlsplit(refusal.reply.url).path
        scope = next((scopes[known] for known in scopes if known in path), path)
    return ConfigError(
        f"The key may not read {scope}. In the Stripe dashboard under Developers, API "
        f"keys, give the restricted key Read on “{scope}”, or leave the stream out.",
        code="permission_denied",
    )


def _named(coupon: str, discounts: Iterable[Any]) -> JsonDict | None:
    """The coupon of that id, where one of the discounts holds it whole."""
    coupons = [each for each in map(coupon_of, discounts) if isinstance(each, dict)]
    return next((each for each in coupons if each["id"] == coupon), None)


def _kept(raw: JsonDict, names: tuple[str, ...]) -> JsonDict:
    return {name: raw[name] for name in names if name in raw}
