"""Filters of the risk list, the same for page, API and export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from analytics.queries import BANDS
from churnguard.errors import ConfigError
from churnguard.models import Customer

LONGEST = 200


@dataclass(frozen=True, slots=True)
class Narrow:
    """search: part of name or domain. band: health band, "" = all. least: smallest
    probability, None = any. stake: smallest revenue at risk in minor units."""

    search: str = ""
    band: str = ""
    least: float | None = None
    stake: int | None = None

    def apply(self, rows: QuerySet[Customer]) -> QuerySet[Customer]:
        """The customers that pass."""
        if self.search:
            rows = rows.filter(
                Q(name__icontains=self.search) | Q(domain__icontains=self.search)
            )
        if self.band:
            rows = rows.filter(band=self.band)
        if self.least is not None:
            rows = rows.filter(churn_probability__gte=self.least)
        if self.stake is not None:
            rows = rows.filter(risk_minor__gte=self.stake)
        return rows


def read_narrow(query: Mapping[str, str]) -> Narrow:
    """From q, band, min_probability (0 to 1) and min_risk_minor. Raises ConfigError
    that names each bad parameter."""
    fields: dict[str, str] = {}
    search = (query.get("q") or "").strip()
    if len(search) > LONGEST or "\x00" in search:
        fields["q"] = f"at most {LONGEST} characters without zero bytes"
    band = query.get("band") or ""
    if band and band not in BANDS:
        fields["band"] = f"one of {', '.join(BANDS)}"
    least = stake = None
    try:
        least = (
            float(query["min_probability"]) if query.get("min_probability") else None
        )
    except ValueError:
        least = -1.0
    if least is not None and not 0 <= least <= 1:
        fields["min_probability"] = "a number from 0 to 1"
    text = query.get("min_risk_minor") or ""
    if text.isascii() and text.isdigit() and len(text) <= 15:
        stake = int(text)
    elif text:
        fields["min_risk_minor"] = "a whole number, at most 15 digits"
    if fields:
        raise ConfigError("Some filters are not valid.", code="invalid", fields=fields)
    return Narrow(search, band, least, stake)
