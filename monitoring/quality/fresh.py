"""Timeliness and accuracy: how late data is, and whether all of it is here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitoring.quality.check import Result

TARGETS_S = {"salesforce": 300, "hubspot": 3600, "intercom": 900, "ingest": 900}
"""Source kind -> how late its data may be, in seconds; others an hour. A source that
is fetched may be as late as two intervals of its schedule."""
_TARGET_S = 3600
_HISTORY = "30 days"
"""What is older when it is pushed is no late delivery but an import of the past."""

_LAGS = f"""
SELECT s.id, s.kind,
    (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY greatest(0,
        extract(epoch FROM b.received_at - b.newest_at)))
     FROM cg_batch b WHERE b.source_id = s.id AND b.newest_at IS NOT NULL
        AND b.origin IN ('ingest', 'webhook', 'stream')
        AND b.received_at > %(now)s - interval '24 hours'
        AND b.newest_at > b.received_at - interval '{_HISTORY}'),
    (SELECT min(i.sync_frequency) FROM int_integration i WHERE i.source_id = s.id
        AND i.sync_frequency > 0 AND i.status NOT IN ('paused', 'inactive')),
    (SELECT max(r.finished_at) FROM int_sync_run r
     JOIN int_integration i ON i.id = r.integration_id
     WHERE i.source_id = s.id AND r.status = 'completed')
FROM cg_source s WHERE s.organization_id = %(org)s
"""
_COUNTS = """
SELECT i.source_id, st.record_type, sum(p.total),
    sum(p.inserted + p.updated + p.unchanged + p.duplicate + p.filtered)
FROM int_stream_state st JOIN int_integration i ON i.id = st.integration_id
CROSS JOIN LATERAL (
    SELECT * FROM int_run_stream p WHERE p.state_id = st.id
        AND p.status = 'completed' AND p.reads_all ORDER BY p.id DESC LIMIT 1
) p
WHERE i.organization_id = %(org)s AND p.total > 0
    AND NOT i.provider_name = ANY(%(estimating)s) GROUP BY 1, 2
"""
_ESTIMATING = ["mysql", "postgresql"]
"""Their statistics say about how many rows a table has, good enough for a progress
bar alone."""


@dataclass(frozen=True, slots=True)
class Level:
    """A score of a whole source or entity; failed of checked where things count."""

    name: str
    dimension: str
    title: str
    checked: int
    failed: int
    score_pct: float

    def as_result(self, entity: str) -> Result:
        return Result(
            code=f"{entity}.{self.name}",
            entity=entity,
            dimension=self.dimension,
            field=self.name,
            title=self.title,
            checked=self.checked,
            failed=self.failed,
            score_pct=self.score_pct,
        )


def timely_pct(lag_s: float, target_s: float) -> float:
    """100 up to the target, falling to 0 at three times the target."""
    if lag_s <= target_s:
        return 100.0
    return round(100 * max(0.0, 1 - (lag_s - target_s) / (2 * target_s)), 2)


def arrival(cur: Any, org_id: int, now: datetime) -> dict[int, Level]:
    """Source id -> timeliness: the worse of the 95th percentile of (stored - event
    time) of what was pushed in the last day and the age of the last good sync. What was
    older than `_HISTORY` on arrival is left out.

    A source with neither (fetched by hand, silent for a day) is not measured.
    """
    cur.execute(_LAGS, {"org": org_id, "now": now})
    out = {}
    for source_id, kind, pushed_s, every_s, synced_at in cur.fetchall():
        target_s = TARGETS_S.get(kind, _TARGET_S)
        scores = []
        if pushed_s is not None:
            scores.append(timely_pct(float(pushed_s), target_s))
        if every_s and synced_at is not None:
            age_s = (now - synced_at).total_seconds()
            scores.append(timely_pct(age_s, max(target_s, 2 * every_s)))
        if scores:
            late = sum(score < 100 for score in scores)
            out[source_id] = Level(
                "arrival",
                "timeliness",
                "Arrives later than its target",
                len(scores),
                late,
                min(scores),
            )
    return out


def reference(cur: Any, org_id: int) -> dict[tuple[int, str], Level]:
    """(source id, entity) -> accuracy: what landed from the last complete read against
    the count the provider itself gave. Providers that give none are not measured."""
    cur.execute(_COUNTS, {"org": org_id, "estimating": _ESTIMATING})
    out = {}
    for source_id, entity, theirs, ours in cur.fetchall():
        missing = abs(int(theirs) - int(ours))
        out[source_id, entity] = Level(
            "count",
            "accuracy",
            "Number of records differs from the provider's",
            int(theirs),
            missing,
            round(100 * max(0.0, 1 - missing / int(theirs)), 2),
        )
    return out
