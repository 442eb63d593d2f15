"""Saved filters that a customer-success team would make first."""

from __future__ import annotations

from typing import Any

SEGMENTS: tuple[dict[str, Any], ...] = (
    {
        "name": "Paying and unwell",
        "description": "Pays, and its health is below 40.",
        "definition": {
            "and": [
                {"field": "mrr_minor", "op": ">", "value": 0},
                {"field": "score", "op": "<", "value": 40},
            ]
        },
    },
    {
        "name": "Renewals in 60 days",
        "description": "The next renewal is near.",
        "definition": {
            "field": "billing.renewal_at",
            "op": "in_next_days",
            "value": 60,
        },
    },
    {
        "name": "Behind with payments",
        "description": "At least one invoice is overdue.",
        "definition": {
            "field": "billing.overdue_invoices",
            "op": ">=",
            "value": 1,
        },
    },
)
