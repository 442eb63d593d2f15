"""The table of facts that scoring fills: one row a customer, one column a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.definition import METRICS
from analytics.health import CAPS, Floats

M = {metric.name: index for index, metric in enumerate(METRICS)}
DAY_S = 86_400.0


@dataclass(slots=True)
class CustomerFacts:
    """values, fact_a, fact_b, fact_at (epoch s), age_days: (n, m), NaN = none;
    capped: (n, caps)."""

    values: Floats
    fact_a: Floats
    fact_b: Floats
    fact_at: Floats
    age_days: Floats
    capped: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, n: int) -> CustomerFacts:
        def blank() -> Floats:
            return np.full((n, len(METRICS)), np.nan)

        return cls(
            blank(),
            blank(),
            blank(),
            blank(),
            blank(),
            np.zeros((n, len(CAPS)), dtype=bool),
        )

    def put(
        self,
        rows: npt.NDArray[np.int64],
        metric: str,
        value: Floats,
        *,
        a: Floats | None = None,
        b: Floats | None = None,
        at: Floats | None = None,
    ) -> None:
        """Set one metric for some rows."""
        column = M[metric]
        self.values[rows, column] = value
        for target, given in ((self.fact_a, a), (self.fact_b, b), (self.fact_at, at)):
            if given is not None:
                target[rows, column] = given


def row_numbers(found: list[tuple[Any, ...]], index: dict[int, int]) -> Any:
    return np.array([index[row[0]] for row in found], dtype=np.int64)


def column_of(found: list[tuple[Any, ...]], position: int) -> Floats:
    return np.array(
        [np.nan if row[position] is None else float(row[position]) for row in found]
    )
