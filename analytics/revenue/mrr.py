"""A customer's MRR at any instant, in minor units of the base currency."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from analytics.revenue import pieces
from churnguard.models import Organization


def mrr_parameters(
    organization: Organization, at: datetime, now: datetime
) -> dict[str, Any]:
    """What pieces.CUSTOMER_MRR needs beside %(ids)s. at, now: aware, at <= now."""
    day = at.astimezone(ZoneInfo(organization.timezone)).date()
    return {**pieces.parameters(organization, now), "at": at, "day": day}


def customer_mrr(
    organization: Organization,
    at: datetime,
    now: datetime,
    customer_ids: Iterable[int] | None = None,
) -> dict[int, int]:
    """Customer pk -> MRR at the instant `at` (aware, not after `now`), converted with
    the rates of its day; customers without convertible MRR are left out."""
    values = mrr_parameters(organization, at, now)
    statement = pieces.of_everyone(pieces.CUSTOMER_MRR)
    if customer_ids is not None:
        values["ids"] = list(customer_ids)
        statement = pieces.of_customers(pieces.CUSTOMER_MRR)
    with connection.cursor() as cur:
        cur.execute(statement, values)
        return dict(cur.fetchall())


def refresh_customers(organization: Organization, now: datetime) -> int:
    """Bring Customer.mrr_minor up to date after rates or settings changed; returns
    how many customers changed. Idempotent."""
    statement = pieces.of_everyone(pieces.CUSTOMER_MRR)
    with connection.cursor() as cur:
        cur.execute(
            f"WITH m AS ({statement}) UPDATE cg_customer c SET mrr_minor = f.mrr "
            "FROM (SELECT x.id, m.mrr FROM cg_customer x "
            "  LEFT JOIN m ON m.customer_id = x.id "
            "  WHERE x.organization_id = %(org)s "
            "  AND x.mrr_minor IS DISTINCT FROM m.mrr "
            "  ORDER BY x.id FOR NO KEY UPDATE OF x) f WHERE c.id = f.id",
            mrr_parameters(organization, now, now),
        )
        return int(cur.rowcount)
