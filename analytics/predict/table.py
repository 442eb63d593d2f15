"""The risk list as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

from analytics.predict import queries
from analytics.predict.narrowing import Narrow
from churnguard.currencies import minor_places
from churnguard.models import Organization

MOST_ROWS = 50_000
PAGE = 500
REASONS = 3
COLUMNS = (
    "customer_id",
    "name",
    "probability",
    "revenue_at_risk",
    "mrr",
    "currency",
    "expected_months",
    *(f"reason_{n}" for n in range(1, REASONS + 1)),
    "model_version",
    "as_of",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be run by a spreadsheet; it gets an apostrophe."""


def write_csv(
    organization: Organization, segment: str, *, narrow: Narrow, order: str
) -> str:
    """Header and rows, riskiest or costliest first, at most 50,000. Money in units of
    the base currency. Raises ConfigError for a segment or an order there is not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    scale = Decimal(1).scaleb(-minor_places(organization.base_currency))
    cursor: str | None = None
    for _ in range(MOST_ROWS // PAGE):
        rows, cursor = queries.list_predictions(
            organization,
            segment,
            narrow=narrow,
            order=order,
            cursor=cursor,
            limit=PAGE,
        )
        writer.writerows(_cells(row, scale) for row in rows)
        if cursor is None:
            break
    return text.getvalue()


def _cells(row: dict[str, Any], scale: Decimal) -> list[str]:
    reasons = [reason["sentence"] for reason in row["reasons"][:REASONS]]
    money = [
        "" if row[name] is None else str(row[name] * scale)
        for name in ("risk_minor", "mrr_minor")
    ]
    months = row["expected_months"]
    return [
        row["customer_id"],
        _safe(row["name"]),
        f"{row['probability']:.6f}",
        *money,
        row["currency"],
        "" if months is None else f"{months:.2f}",
        *(_safe(text) for text in reasons + [""] * (REASONS - len(reasons))),
        "" if row["model_version"] is None else str(row["model_version"]),
        row["as_of"].isoformat() if row["as_of"] else "",
    ]


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
