"""Nudges: they call the same functions as the loops."""

from __future__ import annotations

from churnguard.celery import app
from monitoring import watch


@app.task(name="monitoring.tick")
def tick() -> None:
    """Look for what is late or about to end."""
    watch.tick()
