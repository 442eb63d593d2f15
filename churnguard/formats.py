"""Numbers, money and times as people read them.

Groups are separated by a narrow no-break space (U+202F) and units stand behind a
no-break space, so that a figure never wraps and no comma is taken for a decimal.
Times are UTC.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeGuard

from churnguard.currencies import minor_places

THIN = "\u202f"
FIRM = "\u00a0"
DASH = "\u2013"

SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}

Number = int | float | Decimal


def number(value: Number | None, decimals: int = 0) -> str:
    """`19353` -> `19 353` with thin spaces; None or NaN -> an en dash."""
    if not _is_known(value):
        return DASH
    return f"{value:,.{decimals}f}".replace(",", THIN).replace("-", "\u2212")


def figure(value: Number | None) -> str:
    """A score or its points in full: two decimals at most, no closing zeros."""
    text = number(value, 2)
    return text if text == DASH else text.rstrip("0").rstrip(".")


def points(lost: Number | None) -> str:
    """Points lost as the ledger writes them: `7.5` -> `-7.5` with a true minus."""
    return f"\u2212{figure(lost)}" if lost else "0"


def compact(value: Number | None) -> str:
    """`44751` -> `44.8k`: three significant figures, for tiles and axes."""
    if not _is_known(value):
        return DASH
    size = abs(float(value))
    for limit, divisor, unit in ((1e9, 1e9, "bn"), (1e6, 1e6, "m"), (1e4, 1e3, "k")):
        if size >= limit:
            scaled = float(value) / divisor
            return number(scaled, 0 if abs(scaled) >= 100 else 1) + unit
    return number(value, 0 if float(value).is_integer() else 1)


def percent(ratio: Number | None, decimals: int = 1) -> str:
    """`0.019` -> `1.9 %`; the argument is a ratio, not a percentage."""
    if not _is_known(ratio):
        return DASH
    text = number(float(ratio) * 100, decimals)
    return text if text == DASH else f"{text}{FIRM}%"


def money(amount_minor: int | None, currency: str = "USD") -> str:
    """Minor units with their ISO 4217 currency: `129900, "EUR"` -> `€1 299.00`."""
    if not _is_known(amount_minor):
        return DASH
    code = (currency or "").upper()
    places = minor_places(code)
    amount = Decimal(amount_minor).scaleb(-places)
    figure = number(abs(amount), places)
    sign = "\u2212" if amount < 0 else ""
    symbol = SYMBOLS.get(code)
    return f"{sign}{symbol}{figure}" if symbol else f"{sign}{figure}{FIRM}{code}"


def duration(seconds: Number | None) -> str:
    """`250` -> `4 min 10 s`: the two largest units, `850 ms` below a second."""
    if not _is_known(seconds):
        return DASH
    value = float(seconds)
    if value < 0:
        return "\u2212" + duration(-value)
    if value < 1:
        return f"{round(value * 1000)}{FIRM}ms"
    if value < 10 and not value.is_integer():
        return f"{value:.1f}{FIRM}s"
    total = round(value)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, total = divmod(total, size)
        if count:
            parts.append(f"{count}{FIRM}{unit}")
        if len(parts) == 2:
            break
    return " ".join(parts)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`2 min ago`, `in 4 min`, `just now`: one unit, rounded down."""
    current = now or datetime.now(UTC)
    seconds = (current - moment).total_seconds()
    distance = abs(seconds)
    if distance < 5:
        return "just now"
    for size, unit in ((31536000, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if distance >= size:
            text = f"{int(distance // size)}{FIRM}{unit}"
            break
    else:
        text = f"{int(distance)}{FIRM}s"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def utc(moment: datetime | date) -> str:
    """`2026-11-20 15:40:05 UTC`; a plain date stays a date."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _is_known(value: Number | str | None) -> TypeGuard[Number]:
    """Not None, not NaN, not the empty text of an undefined template variable."""
    return isinstance(value, int | float | Decimal) and math.isfinite(value)
