"""Which customers moved between health bands of late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from churnguard.models import Organization

NEWEST_SCORES = 500
"""How far back one look goes; a page wants the newest moves, not all of them."""

_MOVES = """
WITH newest AS (
    SELECT id, customer_id, at, score, band FROM an_health_score
    WHERE organization_id = %s ORDER BY at DESC LIMIT %s
)
SELECT c.public_id, c.name, n.at, p.score, p.band, n.score, n.band
FROM newest n
JOIN cg_customer c ON c.id = n.customer_id
CROSS JOIN LATERAL (
    SELECT score, band FROM an_health_score
    WHERE customer_id = n.customer_id AND at < n.at ORDER BY at DESC LIMIT 1
) p
WHERE p.band <> n.band
ORDER BY n.at DESC, n.id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Move:
    """One customer from one band to another; scores are 0-100."""

    customer_id: str
    name: str
    at: datetime
    score_before: int
    band_before: str
    score: int
    band: str

    @property
    def points(self) -> int:
        """By how much the score rose (negative: fell)."""
        return self.score - self.score_before


def list_moves(organization: Organization, most: int) -> list[Move]:
    """The newest moves between bands among the last 500 scores, newest first."""
    with connection.cursor() as cur:
        cur.execute(_MOVES, [organization.pk, NEWEST_SCORES, most])
        return [Move(*row) for row in cur.fetchall()]
