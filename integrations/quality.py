"""Whether a record can be used: the rules of each field, before anything is stored.

Only what cannot be used is refused; e-mail addresses, domains and currencies are
brought into one shape. How good the accepted data is, `integrations.status` measures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import msgspec

from churnguard.currencies import ISO_4217
from churnguard.records import RECORD_TYPES, EventRecord, Record

R = TypeVar("R", bound=Record)
Check = Callable[[str, dict[str, Any], datetime], "Reject | None"]

MOST_ID = 255
"""Longest external id, event id, event name and user id, in characters."""
_INT64 = 2**63
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
EARLIEST_EVENT = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""How far into the future a source's clock may be."""

STATUSES: dict[str, frozenset[str]] = {
    "subscription": frozenset(
        ["trialing", "active", "past_due", "paused", "canceled", "ended", "incomplete"]
    ),
    "invoice": frozenset(["draft", "open", "paid", "void", "uncollectible"]),
    "deal": frozenset(["open", "won", "lost"]),
    "ticket": frozenset(["open", "pending", "on_hold", "solved", "closed"]),
}
_INDEXED = {"email": 320, "domain": 253, "parent_external_id": MOST_ID}
SHORT = min(_INDEXED.values())
"""No text of so many characters is too long for any field."""
_MONEY = ("mrr_minor", "total_minor", "paid_minor", "refunded_minor", "amount_minor")
_NOT_NEGATIVE = (
    "seats",
    "employees",
    "quantity",
    "mrr_minor",
    "paid_minor",
    "refunded_minor",
    "failed_attempts",
    "reopen_count",
    "reply_count",
    "message_count",
)
_IN_ORDER = (
    ("started_at", "ended_at"),
    ("started_at", "canceled_at"),
    ("started_at", "last_message_at"),
    ("started_at", "closed_at"),
    ("period_starts_at", "period_ends_at"),
    ("opened_at", "first_replied_at"),
    ("opened_at", "solved_at"),
    ("opened_at", "closed_at"),
    ("signup_at", "churned_at"),
    ("scale_min", "scale_max"),
    ("scale_min", "score"),
    ("score", "scale_max"),
)
_PERCENT = ("satisfaction_pct", "rating_pct")


def _by_type(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Record type -> those of the names that are fields of it."""
    return {
        kind: tuple(name for name in names if name in cls.__struct_fields__)
        for kind, cls in RECORD_TYPES.items()
    }


# Worked out once: most types have none of these fields.
_MONEY_OF = _by_type(_MONEY)
_NOT_NEGATIVE_OF = _by_type(_NOT_NEGATIVE)
_PERCENT_OF = _by_type(_PERCENT)
_IN_ORDER_OF = {
    kind: tuple(pair for pair in _IN_ORDER if {*pair} <= {*cls.__struct_fields__})
    for kind, cls in RECORD_TYPES.items()
}
_FIELDS_OF: dict[str, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {
    kind: (cls.__struct_fields__, attrgetter(*cls.__struct_fields__))
    for kind, cls in RECORD_TYPES.items()
}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a record cannot be used."""

    code: str
    field: str
    detail: str


def validate(record: R, *, now: datetime) -> R | Reject:
    """The record with its fields in one shape, or the reason it cannot be used.

    now: the arrival, aware; a source time more than a day after it is refused, since
    it would outrank every later record.
    """
    names, get = _FIELDS_OF[record.TYPE]
    values = {
        name: value
        for name, value in zip(names, get(record), strict=True)
        if value is not None
    }
    problem = _check_id("external_id", record.external_id, required=True)
    if problem is None and values.get("customer_id") is not None:
        problem = _check_id("customer_id", values["customer_id"], required=True)
    if problem is not None:
        return problem
    for check in _CHECKS_OF[record.TYPE]:
        problem = check(record.TYPE, values, now)
        if problem is not None:
            return problem
    return _in_shape(record)


def check_event(record: EventRecord, *, now: datetime) -> Reject | None:
    """The reason an event cannot be used, or None. now: the arrival, aware."""
    return check_event_fields(
        event_id=record.event_id,
        event=record.event,
        customer_id=record.customer_id,
        user_id=record.user_id,
        timestamp=record.timestamp,
        value=record.value,
        now=now,
    )


def check_event_fields(
    *,
    event_id: str,
    event: str,
    customer_id: str | None,
    user_id: str | None,
    timestamp: datetime,
    value: float | None,
    now: datetime,
) -> Reject | None:
    """`check_event` on loose fields."""
    if timestamp.tzinfo is None:
        return _check_time("timestamp", timestamp)
    if not EARLIEST_EVENT <= timestamp <= now + AHEAD:
        return Reject(
            "timestamp_out_of_range",
            "timestamp",
            f"{timestamp.isoformat()} is not between 2000-01-01 and one day from now.",
        )
    if value is not None and not math.isfinite(value):
        return Reject("not_finite", "value", "value must be a finite number.")
    problem = _check_id("event_id", event_id, required=True)
    problem = problem or _check_id("event", event, required=True)
    if problem is None and customer_id is not None:
        problem = _check_id("customer_id", customer_id, required=True)
    if problem is None and user_id:
        problem = _check_id("user_id", user_id, required=False)
    return problem


class Amounts(NamedTuple):
    """Fields of a record type with a rule for numbers. money: needs a currency."""

    not_negative: tuple[str, ...]
    percent: tuple[str, ...]
    money: tuple[str, ...]


def amounts_of(kind: str) -> Amounts:
    """Those of a record type."""
    return Amounts(_NOT_NEGATIVE_OF[kind], _PERCENT_OF[kind], _MONEY_OF[kind])


def order_of(kind: str) -> tuple[tuple[str, str], ...]:
    """Pairs of fields of a record type: the first is not above the second."""
    return _IN_ORDER_OF[kind]


def shapes_of(kind: str) -> tuple[tuple[str, Callable[[str], str]], ...]:
    """Text fields of a record type that are brought into one shape, and how."""
    return _SHAPES_OF[kind]


def usable_ids(ids: list[str]) -> list[str]:
    """Those of the ids that a table could hold."""
    text = "".join(ids)
    if text.isascii() and "\0" not in text and max(map(len, ids), default=0) <= MOST_ID:
        return ids
    return [each for each in ids if _check_id("", each, required=True) is None]


def _check_id(name: str, value: str, *, required: bool) -> Reject | None:
    if not value:
        if required:
            return Reject("id_missing", name, f"{name} must not be empty.")
        return None
    if len(value) > MOST_ID:
        return Reject(
            "id_too_long",
            name,
            f"{name} has {len(value)} characters; at most {MOST_ID} are kept.",
        )
    return _check_text(name, value)


def _check_text(name: str, value: str) -> Reject | None:
    if "\0" in value:
        return Reject("bad_text", name, f"{name} contains a NUL character.")
    if not value.isascii() and _SURROGATE.search(value):
        return Reject("bad_text", name, f"{name} contains half a surrogate pair.")
    return None


def _check_values(_type: str, values: dict[str, Any], _now: datetime) -> Reject | None:
    for name, value in values.items():
        kind = type(value)
        if kind is str and len(value) <= SHORT and value.isascii():
            # Nearly all texts, and half the price.
            problem = _check_text(name, value) if "\0" in value else None
        elif kind is dict or kind is bool:
            continue
        else:
            problem = check_value(name, value)
        if problem is not None:
            return problem
    return None


def check_value(name: str, value: Any) -> Reject | None:
    """What is wrong with a value wherever it stands, or None. value: not None."""
    if isinstance(value, str):
        most = _INDEXED.get(name)
        if most is not None and len(value) > most:
            return Reject("too_long", name, f"{name} is longer than {most} characters.")
        return _check_text(name, value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int) and not -_INT64 < value < _INT64:
        return Reject("number_out_of_range", name, f"{name} does not fit into 64 bits.")
    if isinstance(value, float) and not math.isfinite(value):
        return Reject("not_finite", name, f"{name} must be a finite number.")
    if isinstance(value, datetime):
        return _check_time(name, value)
    return None


def _check_time(name: str, value: datetime) -> Reject | None:
    if value.tzinfo is None:
        return Reject(
            "timestamp_without_zone", name, f"{name} has no time zone: {value}."
        )
    if not _EARLIEST <= value <= _LATEST:
        return Reject(
            "timestamp_out_of_range",
            name,
            f"{name} is {value.isoformat()}, not between 1900 and 2200.",
        )
    return None


def _check_order(kind: str, values: dict[str, Any], now: datetime) -> Reject | None:
    if "updated_at" in values and values["updated_at"] > now + AHEAD:
        return Reject(
            "timestamp_out_of_range",
            "updated_at",
            f"updated_at is {values['updated_at'].isoformat()}, in the future.",
        )
    for first, second in _IN_ORDER_OF[kind]:
        if first in values and second in values and values[first] > values[second]:
            return Reject(
                "wrong_order",
                second,
                f"{second} ({_show(values[second])}) is "
                f"{'before' if isinstance(values[first], datetime) else 'below'} "
                f"{first} ({_show(values[first])}).",
            )
    return None


def _check_amounts(kind: str, values: dict[str, Any], _now: datetime) -> Reject | None:
    for name in _NOT_NEGATIVE_OF[kind]:
        if values.get(name, 0) < 0:
            return Reject(
                "negative_amount", name, f"{name} is {values[name]}, below zero."
            )
    for name in _PERCENT_OF[kind]:
        if not 0 <= values.get(name, 0) <= 100:
            return Reject("out_of_range", name, f"{name} is not between 0 and 100.")
    currency = values.get("currency")
    if currency is not None and currency.strip().upper() not in ISO_4217:
        return Reject(
            "unknown_currency",
            "currency",
            f"“{currency[:20]}” is not a currency code of ISO 4217.",
        )
    if currency is None and any(values.get(name) for name in _MONEY_OF[kind]):
        return Reject(
            "currency_missing", "currency", "An amount of money needs its currency."
        )
    return None


def _check_status(kind: str, values: dict[str, Any], _now: datetime) -> Reject | None:
    legal = STATUSES.get(kind)
    status = values.get("status")
    if legal is None or status is None or status in legal:
        return None
    return Reject(
        "unknown_status",
        "status",
        f"“{status[:40]}” is not one of {', '.join(sorted(legal))}.",
    )


def _checks_of(kind: str) -> tuple[Check, ...]:
    """The checks that can find something wrong with a record of this type."""
    has_amounts = "currency" in RECORD_TYPES[kind].__struct_fields__
    has_amounts = has_amounts or bool(_NOT_NEGATIVE_OF[kind] or _PERCENT_OF[kind])
    checks: list[Check] = [_check_values, _check_order]
    if has_amounts:
        checks.append(_check_amounts)
    if kind in STATUSES:
        checks.append(_check_status)
    return tuple(checks)


_CHECKS_OF = {kind: _checks_of(kind) for kind in RECORD_TYPES}


def _show(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def normal_email(text: str) -> str:
    """Trimmed and in lower case; empty stays empty."""
    return text.strip().lower()


def normal_domain(text: str) -> str:
    """The bare host of a domain or an address: "https://WWW.Acme.com/x" ->
    "acme.com"."""
    host = text.strip().lower()
    host = host.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]
    host = host.rsplit("@", 1)[-1].split(":", 1)[0].rstrip(".")
    return host.removeprefix("www.")


_SHAPES: dict[str, Callable[[str], str]] = {
    "email": normal_email,
    "domain": normal_domain,
    "currency": lambda text: text.strip().upper(),
}
_SHAPES_OF = {
    kind: tuple(
        (name, shape)
        for name, shape in _SHAPES.items()
        if name in cls.__struct_fields__
    )
    for kind, cls in RECORD_TYPES.items()
}


def _in_shape(record: R) -> R:
    changed: dict[str, Any] = {}
    for name, shape in _SHAPES_OF[record.TYPE]:
        value = getattr(record, name)
        if value is not None:
            shaped = shape(value) or None
            if shaped != value:
                changed[name] = shaped
    return msgspec.structs.replace(record, **changed) if changed else record
