"""Dated exchange rates: kept per organisation, the latest of a day or before holds.

A currency without a rate is never counted one to one; see `RateTable.convert`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from churnguard import audit
from churnguard.api import decode_cursor, encode_cursor
from churnguard.currencies import minor_places
from churnguard.errors import ConfigError
from churnguard.models import ExchangeRate, Organization

RATES_MOST = 2_000
_LARGEST = Decimal(10) ** 9
_SMALLEST = Decimal(10) ** -9


@dataclass(frozen=True, slots=True)
class Rate:
    """rate: one unit of `currency` in units of the base; None removes the day's."""

    currency: str
    day: date
    rate: Decimal | None


@dataclass(slots=True)
class RateTable:
    """All rates of an organisation. days and factors are aligned and sorted."""

    base: str
    days: dict[str, list[date]] = field(default_factory=dict)
    factors: dict[str, list[Decimal]] = field(default_factory=dict)

    @classmethod
    def load(cls, organization: Organization) -> RateTable:
        base = organization.base_currency.upper()
        table = cls(base)
        rows = ExchangeRate.objects.filter(organization=organization).order_by("day")
        for currency, day, rate in rows.values_list("currency", "day", "rate"):
            shift = minor_places(base) - minor_places(currency)
            table.days.setdefault(currency, []).append(day)
            table.factors.setdefault(currency, []).append(rate.scaleb(shift))
        return table

    def factor(self, currency: str, day: date) -> Decimal | None:
        """Minor units of the base for one minor unit; None before the first rate."""
        if currency == self.base:
            return Decimal(1)
        place = bisect_right(self.days.get(currency, []), day)
        return self.factors[currency][place - 1] if place else None

    def convert(self, amount_minor: int, currency: str, day: date) -> int | None:
        """Minor units of the base on `day`, half away from zero; None without rate."""
        if currency == self.base:
            return amount_minor
        factor = self.factor(currency, day)
        if factor is None:
            return None
        exact = amount_minor * factor
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))

    def used(self, currency: str, day: date) -> tuple[date, Decimal] | None:
        """(day of the rate that holds on `day`, units of base per unit), or None."""
        place = bisect_right(self.days.get(currency, []), day)
        if not place:
            return None
        shift = minor_places(currency) - minor_places(self.base)
        factor = self.factors[currency][place - 1].scaleb(shift)
        return self.days[currency][place - 1], factor


def parse_rates(given: Any, base: str) -> list[Rate]:
    """Rates from JSON: [{"currency", "day", "rate"}], rate null to remove. Raises
    ConfigError that names each bad line."""
    if not isinstance(given, list) or not 1 <= len(given) <= RATES_MOST:
        raise ConfigError(
            f"Send 1 to {RATES_MOST} rates.",
            code="invalid",
            fields={"rates": f"a list of 1 to {RATES_MOST}"},
        )
    fields: dict[str, str] = {}
    found: dict[tuple[str, date], Rate] = {}
    for number, line in enumerate(given):
        try:
            rate = _parse(line, base)
        except ValueError as exc:
            fields[f"rates.{number}"] = str(exc)
            continue
        if (rate.currency, rate.day) in found:
            fields[f"rates.{number}"] = "this currency and day come twice"
        found[rate.currency, rate.day] = rate
    if fields:
        raise ConfigError("Some rates are not valid.", code="invalid", fields=fields)
    return list(found.values())


def save_rates(
    who: HttpRequest | str,
    organization: Organization,
    rates: list[Rate],
    *,
    origin: str,
) -> int:
    """Insert, replace and remove rates in one transaction with its audit entry;
    returns how many lines were given. Idempotent. The caller refreshes what depends
    on them."""
    keys = [(rate.currency, rate.day) for rate in rates]
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=organization.pk)
        stored = {
            (row.currency, row.day): row
            for row in ExchangeRate.objects.filter(
                organization=organization,
                currency__in={currency for currency, _ in keys},
                day__in={day for _, day in keys},
            )
        }
        before = {_name(k): str(stored[k].rate) for k in keys if k in stored}
        gone = [stored[k].pk for k in keys if k in stored]
        ExchangeRate.objects.filter(pk__in=gone).delete()
        ExchangeRate.objects.bulk_create(
            ExchangeRate(
                organization=organization,
                currency=rate.currency,
                day=rate.day,
                rate=rate.rate,
                origin=origin,
            )
            for rate in rates
            if rate.rate is not None
        )
        audit.record(
            who,
            "exchange_rates.changed",
            organization=organization,
            target_type="organization",
            target_id=organization.public_id,
            before=before,
            after={
                _name((rate.currency, rate.day)): str(rate.rate.normalize())
                for rate in rates
                if rate.rate is not None
            },
        )
    return len(rates)


def list_rates(
    organization: Organization,
    *,
    currency: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[ExchangeRate], str | None]:
    """A keyset page, newest day first: (rows, next cursor or None). Raises
    ConfigError for a foreign cursor."""
    rows = ExchangeRate.objects.filter(organization=organization)
    if currency:
        rows = rows.filter(currency=currency.upper()[:3].replace("\x00", ""))
    if cursor:
        day_text, last = decode_cursor(cursor, 2)
        try:
            day = date.fromisoformat(day_text)
        except (TypeError, ValueError) as exc:
            raise ConfigError(
                "This cursor is not valid.", code="invalid_cursor"
            ) from exc
        rows = rows.filter(day__lt=day) | rows.filter(day=day, currency__gt=str(last))
    found = list(rows.order_by("-day", "currency")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    if not more:
        return found, None
    return found, encode_cursor([found[-1].day.isoformat(), found[-1].currency])


def _parse(line: Any, base: str) -> Rate:
    """One line. Raises ValueError with what is wrong."""
    if not isinstance(line, dict):
        raise ValueError("an object with currency, day and rate")
    currency = line.get("currency")
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii()):
        raise ValueError("currency: three letters (ISO 4217)")
    currency = currency.upper()
    if not currency.isalpha():
        raise ValueError("currency: three letters (ISO 4217)")
    if currency == base.upper():
        raise ValueError(f"currency: {currency} is the base currency, always 1")
    try:
        day = date.fromisoformat(str(line.get("day")))
    except ValueError as exc:
        raise ValueError("day: a date like 2026-11-01") from exc
    if not 1970 <= day.year <= 2200:
        raise ValueError("day: a year from 1970 to 2200")
    if line.get("rate", "") is None:
        return Rate(currency, day, None)
    try:
        rate = Decimal(str(line.get("rate")))
    except InvalidOperation as exc:
        raise ValueError("rate: a number above 0, or null to remove it") from exc
    if not rate.is_finite() or not _SMALLEST <= rate <= _LARGEST:
        raise ValueError("rate: a number from 0.000000001 to 1000000000")
    return Rate(currency, day, round(rate, 10))


def _name(key: tuple[str, date]) -> str:
    return f"{key[0]} {key[1].isoformat()}"
