"""What a check is: a question that one SQL aggregate answers for every source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

DIMENSIONS = {
    "completeness": 25,
    "validity": 20,
    "uniqueness": 15,
    "timeliness": 15,
    "consistency": 15,
    "accuracy": 10,
}
"""Dimension -> weight in the score of an entity, unless an organisation says else."""
CRITICAL_CAP = 49
"""The most an entity scores while a critical check fails."""
CRITICAL_SHARE = 0.01
"""A critical check fails when more than this share of its rows does."""
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """applies, fails: SQL conditions over the entity's relation (alias t).

    unique_key: instead of both, an SQL expression; the rows beyond the first of the
    same key in a source fail, rows without a key are not checked. is_optional: not
    measured for a source in which every row fails, since it has no such field.
    """

    code: str
    entity: str
    dimension: str
    field: str
    title: str
    applies: str = "true"
    fails: str = "false"
    unique_key: str = ""
    weight: int = 1
    is_critical: bool = False
    is_optional: bool = False


@dataclass(slots=True)
class Result:
    """One check on one source. score_pct: 100 x the share that passes, unless the
    check measures something else (lag); None = not measured. samples: external ids."""

    code: str
    entity: str
    dimension: str
    field: str
    title: str
    checked: int
    failed: int
    score_pct: float | None
    weight: int = 1
    is_critical: bool = False
    samples: list[str] = dataclasses.field(default_factory=list)

    @property
    def is_failing_critically(self) -> bool:
        """Whether it caps the score of its entity."""
        return self.is_critical and self.failed > self.checked * CRITICAL_SHARE
