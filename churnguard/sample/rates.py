"""Exchange rates of the sample company: plausible, made up, one per month.

They only resemble the years' real levels; nobody may take them for market data.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

_MONTHS = 60
_WAVE = (0, 4, 9, 13, 10, 7, 3, -2, -6, -9, -5, -1)
"""Thousandths above or below the level, month by month."""
_LEVELS = {"EUR": 1090, "GBP": 1270}
"""Thousandths of a dollar for one unit."""


def exchange_rates(made_at: datetime) -> list[dict[str, str]]:
    """[{"currency", "day", "rate"}] to US dollars from each first of the month, five
    years back from `made_at` (aware): before any sample subscription began."""
    found = []
    month = made_at.date().replace(day=1)
    for _ in range(_MONTHS):
        number = month.year * 12 + month.month
        for place, (currency, level) in enumerate(_LEVELS.items()):
            wave = _WAVE[(number + 5 * place) % len(_WAVE)]
            rate = level + wave + (month.year % 3) * 6
            found.append(
                {
                    "currency": currency,
                    "day": month.isoformat(),
                    "rate": f"{rate / 1000:.3f}",
                }
            )
        month = _month_before(month)
    return found


def _month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)
