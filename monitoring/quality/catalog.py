"""Every check there is, and what their relations need to run."""

from __future__ import annotations

from typing import Any

from integrations.load.statements import TABLES
from monitoring.quality import agreement, fields, relations
from monitoring.quality.check import Check

ENTITIES = (*TABLES, "event")
CHECKS: tuple[Check, ...] = (*fields.checks(), *agreement.checks())
BY_CODE = {check.code: check for check in CHECKS}
REFUSALS = {
    "id.unique": ("uniqueness", "Same id with other content, refused"),
    "record.refused": ("validity", "Refused, waits in quarantine"),
}
"""Ending of a code -> dimension and title of what quarantine answers."""
REPEAT_CODES = ("event_id_conflict", "conflicting_duplicate")
"""Reasons of quarantine that mean: this id is there with other content."""


def scope_of(cur: Any, org_id: int) -> dict[str, Any]:
    """The parameters that relations need."""
    cur.execute(relations.FIRST_BATCH, {"org": org_id})
    return {"org": org_id, "first_batch": cur.fetchone()[0]}


def refusal_of(code: str) -> str:
    """The key of REFUSALS a code ends with, or ""."""
    entity, _dot, ending = code.partition(".")
    return ending if entity in ENTITIES and ending in REFUSALS else ""


def has_rows(code: str) -> bool:
    """Whether failing rows of this check can be listed."""
    return code in BY_CODE or bool(refusal_of(code))
