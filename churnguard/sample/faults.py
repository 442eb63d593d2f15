"""The faults planted in the exports, as real exports have them, and their counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churnguard.sample.exports import Export
from churnguard.sample.tables import Row


@dataclass(frozen=True, slots=True)
class Plan:
    """How many of each fault one file gets. duplicates: rows repeated word for word;
    no_id: added rows whose first cell is empty; bad_date, bad_score: rows that cannot
    be used; blanks: (column, how many cells emptied)."""

    duplicates: int = 0
    no_id: int = 0
    bad_date: str = ""
    bad_score: str = ""
    blanks: tuple[tuple[str, int], ...] = ()


PLANS: dict[str, Plan] = {
    "crm_accounts.csv": Plan(duplicates=3, blanks=(("Industry", 6),)),
    "crm_contacts.csv": Plan(duplicates=4, no_id=1, blanks=(("Email", 5),)),
    "crm_deals.ndjson": Plan(duplicates=2),
    "campaign_engagement.csv": Plan(duplicates=2),
    "billing_invoices.ndjson": Plan(duplicates=2),
    "support_tickets.csv.gz": Plan(
        duplicates=3, bad_date="Created At", blanks=(("Priority", 4),)
    ),
    "surveys.csv": Plan(bad_score="Score"),
}
BAD_DATE = "2025-02-30T10:15:00Z"
BAD_SCORE = 11
EVENT_REPEATS = 40
"""Events the product's client sent twice, with the same event id."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """rows: in the file, faults included. records: distinct ids of usable rows.
    versions: usable rows that are another version of a record (history files).
    duplicates: rows repeated word for word. quarantined: rows that cannot be used,
    by fault (no_id, bad_date, bad_score). blanks: emptied cells by column.

    rows = records + versions + duplicates + the sum of quarantined.
    """

    rows: int
    records: int
    versions: int
    duplicates: int
    quarantined: dict[str, int]
    blanks: dict[str, int]


def plant(
    rng: np.random.Generator, export: Export, rows: list[Row]
) -> tuple[list[Row], FileFacts]:
    """The rows with the file's faults, and what is in them. The input is not changed.

    Each fault hits another row; a file with too few rows gets fewer duplicates.
    """
    plan = PLANS.get(export.name, Plan())
    rows = [list(row) for row in rows]
    order = rng.permutation(len(rows)).tolist()
    quarantined: dict[str, int] = {}
    for header, count in plan.blanks:
        for _ in range(count):
            rows[order.pop()][export.column(header)] = ""
    if plan.bad_date:
        rows[order.pop()][export.column(plan.bad_date)] = BAD_DATE
        quarantined["bad_date"] = 1
    if plan.bad_score:
        rows[_first_nps(export, rows, order)][export.column(plan.bad_score)] = BAD_SCORE
        quarantined["bad_score"] = 1
    twice = [order.pop() for _ in range(min(plan.duplicates, len(order)))]
    usable = len(rows) - sum(quarantined.values())
    records = len({row[0] for row in rows}) - sum(quarantined.values())
    for place in sorted(twice, reverse=True):
        rows.insert(int(rng.integers(place + 1, len(rows) + 1)), list(rows[place]))
    for _ in range(plan.no_id):
        source = order.pop()
        rows.insert(int(rng.integers(len(rows))), ["", *rows[source][1:]])
        quarantined["no_id"] = quarantined.get("no_id", 0) + 1
    facts = FileFacts(
        rows=len(rows),
        records=records,
        versions=usable - records,
        duplicates=len(twice),
        quarantined=quarantined,
        blanks=dict(plan.blanks),
    )
    return rows, facts


def _first_nps(export: Export, rows: list[Row], order: list[int]) -> int:
    """A row of a 0 to 10 survey, taken out of `order`."""
    kind = export.column("Survey")
    place = next(one for one in order if rows[one][kind] == "NPS")
    order.remove(place)
    return place
