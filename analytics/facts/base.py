"""The table of facts that scoring fills: one row a customer, one column a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Cursor

from analytics.definition import METRICS
from analytics.facts.reading import read
from analytics.health import CAPS, Facts, Floats, Ints

M = {metric.name: index for index, metric in enumerate(METRICS)}
DAY_S = 86_400.0


@dataclass(slots=True)
class CustomerFacts:
    """values, fact_a, fact_b, fact_at (epoch s), age_days: (n, m), NaN = none;
    ordinary: (n, m), where the segment's median stands in; capped: (n, caps)."""

    values: Floats
    fact_a: Floats
    fact_b: Floats
    fact_at: Floats
    age_days: Floats
    ordinary: npt.NDArray[np.bool_]
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
            np.zeros((n, len(METRICS)), dtype=bool),
            np.zeros((n, len(CAPS)), dtype=bool),
        )

    def with_priors(self, priors: Floats, rows: Any = slice(None)) -> Facts:
        """What the health maths takes of these rows. priors: (n, m)."""
        return Facts(
            values=self.values[rows],
            age_days=self.age_days[rows],
            prior=priors[rows],
            ordinary=self.ordinary[rows],
            capped=self.capped[rows],
        )

    def put(
        self,
        rows: Ints,
        metric: str,
        value: Floats,
        *,
        a: Floats | None = None,
        b: Floats | None = None,
        at: Floats | None = None,
        age: Floats | None = None,
    ) -> None:
        """Set one metric for some rows."""
        column = M[metric]
        self.values[rows, column] = value
        for target, given in (
            (self.fact_a, a),
            (self.fact_b, b),
            (self.fact_at, at),
            (self.age_days, age),
        ):
            if given is not None:
                target[rows, column] = given


OF = "JOIN unnest(%(refs)s::bigint[], %(rows)s::int[]) AS s (id, row) ON s.id = "
"""Joins facts to the customers asked for: put the fact's customer_source_id after it.
The planner knows how many there are, and no statement reads the identities again."""


@dataclass(frozen=True, slots=True)
class Links:
    """The source identities of n customers.

    customers: (n,) ids; row: (k,) the customer's row number; ref: (k,) the identity;
    source: (k,) its source; arrays: `refs` and `rows` as PostgreSQL writes them.
    """

    customers: Ints
    row: Ints
    ref: Ints
    source: Ints
    arrays: Mapping[str, str]

    @property
    def n(self) -> int:
        """How many customers."""
        return len(self.customers)

    def parameters(self, **more: Any) -> dict[str, Any]:
        """What a statement with `OF` needs, and `more`."""
        # As literals: adapting thousands of numbers for each statement costs more
        # than some of the statements.
        return {**self.arrays, **more}


def literal(numbers: Sequence[int]) -> str:
    """The array as PostgreSQL writes one."""
    return f"{{{','.join(map(str, numbers))}}}"


def get_links(cur: Cursor, customer_ids: Ints) -> Links:
    """The identities of these customers, in no order."""
    order = np.argsort(customer_ids, kind="stable")
    found = read(
        cur,
        "SELECT s.customer_id AS customer, s.id AS ref, s.source_id AS source "
        "FROM unnest(%(ids)s::bigint[]) AS c (id) "
        "JOIN cg_customer_source s ON s.customer_id = c.id",
        {"ids": literal(customer_ids.tolist())},
        ("customer", "ref", "source"),
    )
    customer, ref, source = (found[name].astype(np.int64) for name in found)
    place = np.searchsorted(customer_ids, customer, sorter=order)
    row = order[place]
    arrays = {"refs": literal(ref.tolist()), "rows": literal(row.tolist())}
    return Links(customer_ids, row, ref, source, arrays)
