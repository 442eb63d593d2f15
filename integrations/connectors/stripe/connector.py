"""Stripe as a source, API version 2026-10-28.endive (sent with every request).

Documentation: docs.stripe.com/api. Auth: a restricted key with Read permissions (or a
secret key); `stripe_account` for a connected account. Limits: 100 calls a second live,
25 in a sandbox and per endpoint; we keep to 15. A first read lists everything; later
reads follow /v1/events (kept 30 days by Stripe) and fetch each changed object again in
our version, so the order of events does not matter. Not covered: Connect onboarding,
payouts, usage records of metered prices, MRR before the first connection (only
invoices go back further), webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    RecordError,
)
from churnguard.records import AnyRecord
from integrations.connectors.base import (
    Connector,
    Field,
    JsonDict,
    Page,
    ReadRequest,
    Reject,
    Stream,
)
from integrations.connectors.stripe import records
from integrations.connectors.stripe.account import (
    API,
    API_VERSION,
    MOST,
    OTHER_SCOPES,
    Account,
    missing_scope,
)
from integrations.connectors.stripe.columns import columns_of
from integrations.connectors.stripe.kinds import KINDS, Kind
from integrations.connectors.stripe.mrr import STRIPE_DECIMALS, Policy
from integrations.connectors.stripe.reading import Found, Reader
from integrations.http import RefusedError, ordered_map

_DECIMALS = re.compile(r"\s*(?P<code>[A-Za-z]{3})[\s=:]+(?P<places>[0-4])\s*")


class StripeConnector(Connector):
    name: ClassVar[str] = "stripe"
    label: ClassVar[str] = "Stripe"
    category: ClassVar[str] = "Payments"
    integration_type: ClassVar[str] = "payment"
    summary: ClassVar[str] = (
        "Customers, subscriptions with MRR, invoices, payments, refunds and disputes."
    )
    prepare: ClassVar[str] = (
        "In the Stripe dashboard open Developers, API keys, Create restricted key. "
        "Give Read on Customers, Products, Prices, Coupons, Subscriptions, Invoices, "
        "Charges and Refunds, PaymentIntents, Disputes, Balance transaction sources "
        "and Events, and copy the key (rk_live_… or rk_test_…)."
    )
    docs: ClassVar[str] = "docs/connectors/stripe.md"
    auth: ClassVar[tuple[str, ...]] = ("api_key",)
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "api_key",
            "Restricted key",
            kind="secret",
            secret=True,
            help="rk_… with Read permissions; a secret key (sk_…) works too.",
        ),
        Field(
            "stripe_account",
            "Connected account",
            required=False,
            help="acct_…, only to read an account connected to your platform.",
            advanced=True,
        ),
        Field(
            "discounts",
            "Discounts that lower MRR",
            kind="choice",
            required=False,
            default="all",
            choices=(
                ("all", "All while they are in force"),
                ("forever_only", "Only those without an end"),
                ("none", "None"),
            ),
        ),
        Field(
            "decimals",
            "Decimals of currencies",
            required=False,
            example="UGX 0",
            help="Only where Stripe counts an amount of yours otherwise than expected.",
            advanced=True,
        ),
        Field(
            "api_version",
            "API version",
            required=False,
            default=API_VERSION,
            advanced=True,
        ),
        Field(
            "base_url",
            "Address",
            kind="url",
            required=False,
            default=API,
            advanced=True,
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = tuple(
        kind.as_stream for kind in KINDS.values()
    )

    def check(self) -> str:
        """Try everything that is read with the key, and name what it may not read."""
        self._check_mode({})
        self._decimals_told()
        mode = "live" if self._is_live else "test"
        lists = {kind.path: kind.label for kind in KINDS.values()}
        lists |= {path: OTHER_SCOPES[path] for path in ("/v1/coupons", "/v1/events")}
        missing: list[str] = []
        refused: RefusedError | None = None
        for path, label in lists.items():
            try:
                self._account.get(path, limit=1)
            except RefusedError as refusal:
                if refusal.status != 403:
                    raise
                refused = refusal
                missing.append(label.lower())
        if refused is not None and len(missing) == len(lists):
            raise missing_scope(refused)
        whose = self.settings.get("stripe_account")
        told = f"Connected to Stripe in {mode} mode{f' ({whose})' if whose else ''}"
        if missing:
            told += f"; the key may not read {', '.join(missing)}"
        return f"{told}."

    def discover(self) -> tuple[Stream, ...]:
        """All kinds; metadata keys are those of the newest hundred objects."""
        return tuple(
            replace(kind.as_stream, columns=columns_of(kind.stream, self._newest(kind)))
            for kind in KINDS.values()
        )

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        kind = _kind(stream)
        cursor = request.cursor or {}
        self._check_mode(cursor)
        workers = min(4, request.concurrent_requests)
        reader = Reader(
            self._account,
            kind,
            now=self.now(),
            size=max(1, min(MOST, request.batch_size)),
            workers=workers,
        )
        try:
            for found in reader.read(cursor, request.since, request.until):
                yield self._page(kind, found, workers)
        except RefusedError as refusal:
            if refusal.status == 403:
                raise missing_scope(refusal) from refusal
            raise

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        kind = _kind(stream)
        with _quarantining(kind):
            if kind.stream == "customers":
                return records.customer(raw)
            if kind.stream == "subscriptions":
                return records.subscription(
                    raw,
                    as_of=self.now(),
                    discounts=self._discounts,
                    decimals=self._decimals,
                )
            if kind.stream == "invoices":
                return records.invoice(raw, decimals=self._decimals)
            return records.other(kind.stream, raw)

    def _newest(self, kind: Kind) -> list[JsonDict]:
        try:
            found = self._account.get(kind.path, limit=MOST, **kind.params)
        except RefusedError:
            # `check` and `read` say what the key may not read.
            return []
        rows: list[JsonDict] = found["data"]
        return rows

    def _page(self, kind: Kind, found: Found, workers: int) -> Page:
        made = list(
            ordered_map(lambda raw: self._made(kind, raw), found.rows, workers=workers)
        )
        return Page(
            records=[each for each in made if not isinstance(each, Reject)],
            rejects=[each for each in made if isinstance(each, Reject)],
            deleted_ids=found.gone,
            cursor={**found.cursor, "live": self._is_live},
        )

    def _made(self, kind: Kind, raw: JsonDict) -> AnyRecord | Reject:
        try:
            with _quarantining(kind):
                whole = self._account.complete(kind, raw)
            return self.parse(kind.as_stream, whole)
        except RecordError as exc:
            return Reject.of(exc, raw, str(raw.get("id") or ""))

    # --- settings -----------------------------------------------------------------
    @cached_property
    def _account(self) -> Account:
        return Account(
            self.client,
            key=self._key,
            base_url=str(self.settings.get("base_url") or ""),
            api_version=str(self.settings.get("api_version") or ""),
            connected_account=str(self.settings.get("stripe_account") or ""),
        )

    @property
    def _key(self) -> str:
        key = str(self.secrets.get("api_key") or "").strip()
        if key.startswith("pk_"):
            told = "This is a publishable key; it cannot read. Enter a restricted key."
        elif not key.startswith(("rk_", "sk_")):
            told = "Enter a restricted key (rk_…) or a secret key (sk_…)."
        else:
            return key
        raise AuthenticationError(told, fields={"api_key": told})

    @property
    def _is_live(self) -> bool:
        return "_live_" in self._key[:9]

    @property
    def _discounts(self) -> Policy:
        chosen = self.settings.get("discounts")
        if chosen == "forever_only":
            return "forever_only"
        return "none" if chosen == "none" else "all"

    @cached_property
    def _decimals(self) -> Mapping[str, int]:
        """What is known of Stripe, but the settings have the last word."""
        return {**STRIPE_DECIMALS, **self._decimals_told()}

    def _decimals_told(self) -> dict[str, int]:
        """Raises ConfigError for what cannot be understood."""
        told = {}
        for each in str(self.settings.get("decimals") or "").split(","):
            found = _DECIMALS.fullmatch(each)
            if found is not None:
                told[found["code"].upper()] = int(found["places"])
            elif each.strip():
                raise ConfigError(
                    "Write each currency with its decimals, such as “UGX 0, ISK 2”.",
                    code="invalid_settings",
                    fields={"decimals": "such as UGX 0"},
                )
        return told

    def _check_mode(self, cursor: JsonDict) -> None:
        has_read_live = cursor.get("live", self.settings.get("has_read_live"))
        if has_read_live not in (None, self._is_live):
            raise ConfigError(
                "This connection has read the other mode so far, and test and live "
                "data must not mix. Enter a key of the same mode, or make a new "
                "connection.",
                code="mode_changed",
                fields={"api_key": "other mode"},
            )


@contextmanager
def _quarantining(kind: Kind) -> Iterator[None]:
    """A list where an object should be, and the like, concern one object alone."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise RecordError(
            f"The {kind.object} has an unexpected shape: {exc}.", code="wrong_type"
        ) from exc


def _kind(stream: Stream) -> Kind:
    kind = KINDS.get(stream.name)
    if kind is None:
        raise ConfigError(f"Stripe has no stream {stream.name}.", code="stream_missing")
    return kind
