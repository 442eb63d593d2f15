"""Mixed rows made one by one: what a model's quick way must agree with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analytics.churn.explain import BoolArray, FloatArray, Mixed


def mixing(log_odds: Callable[[FloatArray], FloatArray]) -> Mixed:
    """What `explain` asks of a model, for any forecast from rows (n, f) to (n,)."""

    def mixed(
        features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        return np.array(
            [log_odds(np.where(kept, features, reference)) for kept in masks]
        )

    return mixed
