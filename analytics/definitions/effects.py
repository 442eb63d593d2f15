"""What a new health definition does to the notices: nobody is called at risk by a
notice merely because the rules changed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from psycopg import Cursor

from analytics import health
from analytics.definition import completed
from analytics.models import ScoreDefinition
from analytics.score_notes import ScoredCustomer


def fallen_by_definition(
    cur: Cursor,
    definition_id: int,
    customers: list[ScoredCustomer],
    facts: health.Facts,
    new_bands: list[str],
    now: datetime,
) -> set[int]:
    """Ids of those who fell to at risk now, and would not have by the definition of
    their score before. `facts` has a row for each of `customers`."""
    fallen = [
        row
        for row, (customer, band) in enumerate(zip(customers, new_bands, strict=True))
        if band == health.AT_RISK and customer.band in (health.HEALTHY, health.WATCH)
    ]
    if not fallen:
        return set()
    cur.execute(
        "SELECT DISTINCT ON (customer_id) customer_id, definition_id "
        "FROM an_health_score WHERE customer_id = ANY(%s) AND at < %s "
        "ORDER BY customer_id, at DESC",
        [[customers[row].id for row in fallen], now],
    )
    before = {customer: old for customer, old in cur.fetchall() if old != definition_id}
    specs = dict(
        ScoreDefinition.objects.filter(pk__in=set(before.values())).values_list(
            "pk", "spec"
        )
    )
    found = set()
    for old, spec in specs.items():
        rows = np.array([r for r in fallen if before.get(customers[r].id) == old])
        scores = health.compute(facts.of(rows), completed(spec))
        bands = health.bands(
            scores.score,
            scores.coverage_pct,
            [customers[row].band for row in rows],
            spec,
        )
        found |= {
            customers[row].id
            for row, band in zip(rows, bands, strict=True)
            if band != health.AT_RISK
        }
    return found
