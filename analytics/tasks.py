"""Nudges: they call the same functions as the loops."""

from __future__ import annotations

from analytics import rollups, scoring
from churnguard.celery import app


@app.task(name="analytics.tick")
def tick() -> None:
    """Fold what is unfolded and score what is stale."""
    while rollups.fold():
        pass
    while scoring.score_stale():
        pass
