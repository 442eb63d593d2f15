"""Whether a new model replaces the one in use: better on outcomes neither has seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from analytics.churn import model
from analytics.predict import labels
from analytics.predict.features import NAMES
from analytics.predict.training import Trained

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in use, as far as the comparison needs it."""

    fitted: model.ChurnModel
    level: float
    rung: str
    label_id: int
    last_cutoff: date
    """Newest cohort it was trained on."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the new model takes over, and why, in one sentence.

    comparison: the numbers behind it, None where nothing could be compared.
    """

    replaces: bool
    sentence: str
    comparison: dict[str, float | int] | None = None


def judge(champion: Champion | None, made: Trained, label_id: int) -> Verdict:
    """The rule: mean out-of-time log-loss lower by more than its standard error.

    Judged on cohorts newer than what the model in use was trained on; of the new one
    its forecasts from the past alone count. A model that does not fit the present
    definition or features is always replaced.
    """
    if champion is None:
        return Verdict(True, "The first model of this organisation.")
    if champion.label_id != label_id or champion.fitted.feature_names != NAMES:
        return Verdict(True, "What churn means, or what is known, has changed.")
    if champion.rung == "rule" and made.rung != "rule":
        return Verdict(True, "Enough outcomes have been seen to learn from them.")
    newest = labels.day_number(champion.last_cutoff)
    tests = [(cohort, z) for cohort, z in made.tests if cohort.day > newest]
    if not tests:
        return Verdict(
            False, "No outcomes have come in that the model in use has not seen."
        )
    y = np.concatenate([cohort.outcomes for cohort, _ in tests])
    new = np.concatenate([z for _, z in tests])
    old = np.concatenate(
        [
            champion.fitted.log_odds(cohort.snapshot.values) + champion.level
            for cohort, _ in tests
        ]
    )
    gap = _losses(old, y) - _losses(new, y)
    gain, error = float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))
    comparison: dict[str, float | int] = {
        "champion_version": champion.version,
        "champion_log_loss": float(_losses(old, y).mean()),
        "challenger_log_loss": float(_losses(new, y).mean()),
        "gain": gain,
        "standard_error": error,
        "rows": len(y),
        "cutoffs": len(tests),
    }
    facts = (
        f"log-loss {_losses(old, y).mean():.4f} with the model in use, "
        f"{_losses(new, y).mean():.4f} with the new one, standard error "
        f"{error:.4f}, {len(y)} outcomes neither had seen"
    )
    if gain > error:
        return Verdict(True, f"Better by more than chance: {facts}.", comparison)
    return Verdict(False, f"Not better by more than chance: {facts}.", comparison)


def _losses(z: FloatArray, y: FloatArray) -> FloatArray:
    return np.logaddexp(0, z) - y * z
