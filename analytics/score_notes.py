"""What the live sockets and the notices hear about changed scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Cursor

from analytics import health
from churnguard import notices
from churnguard.stream import notes


@dataclass(frozen=True, slots=True)
class ScoredCustomer:
    id: int
    public_id: str
    name: str
    segment: str
    score: int | None
    band: str
    has_left: bool


def publish_changes(
    cur: Cursor,
    org_id: int,
    customers: list[ScoredCustomer],
    scores: health.Scores,
    new_bands: list[str],
    now: datetime,
    *,
    spared: frozenset[int] | set[int] = frozenset(),
) -> None:
    """A note per changed score (most 200 a round, then one summary), and a notice for
    each customer that fell into a worse band or recovered; none for those `spared`,
    and none for those who have left: nobody can win them back by it."""
    _resolve_of_left(cur, org_id, customers)
    payloads: list[dict[str, Any]] = []
    moved = 0
    for i, customer in enumerate(customers):
        score = int(scores.score[i]) if scores.known[i] else None
        if score == customer.score and new_bands[i] == customer.band:
            continue
        moved += 1
        if len(payloads) < 200:
            payloads.append(
                {
                    "type": "health",
                    "id": customer.public_id,
                    "customer_id": customer.public_id,
                    "name": customer.name,
                    "score": score,
                    "previous_score": customer.score,
                    "band": new_bands[i],
                    "previous_band": customer.band,
                    "as_of": now.isoformat(),
                }
            )
        was_better = customer.band not in (health.UNKNOWN, health.AT_RISK)
        fell = was_better and new_bands[i] == health.AT_RISK
        if fell and not customer.has_left and customer.id not in spared:
            notices.open_notice(
                cur,
                org_id,
                kind="band_change",
                severity="warning",
                key=f"band:{customer.public_id}",
                title=f"{customer.name or customer.public_id} is at risk",
                detail=f"Health fell from {customer.score} to {score}.",
                url=f"/customers/{customer.public_id}/",
                data={"customer_id": customer.public_id, "score": score},
            )
        elif customer.band == health.AT_RISK and new_bands[i] != health.AT_RISK:
            notices.resolve_notice(cur, org_id, f"band:{customer.public_id}")
    if moved > len(payloads):
        payloads.append(
            {"type": "health-batch", "changed": moved, "as_of": now.isoformat()}
        )
    if payloads:
        notes.publish(cur, org_id, "health-scores", payloads)


def _resolve_of_left(cur: Cursor, org_id: int, customers: list[ScoredCustomer]) -> None:
    """Close what is open about customers who have left meanwhile."""
    left = [c for c in customers if c.has_left and c.band == health.AT_RISK]
    if not left:
        return
    cur.execute(
        "SELECT key FROM cg_notice WHERE organization_id = %s AND resolved_at IS NULL "
        "AND key = ANY(%s)",
        [org_id, [f"band:{customer.public_id}" for customer in left]],
    )
    for (key,) in cur.fetchall():
        notices.resolve_notice(cur, org_id, key)
