"""BG/NBD: who is still alive, told from purchase times alone, without any label.

Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 24:2
(2005). Purchases are Poisson with a gamma-spread rate; after each purchase a customer
drops out with a beta-spread probability. Time is in whatever unit the caller uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from analytics.churn.threads import limited_threads

FloatArray = NDArray[np.float64]

LARGEST_LOG = 9.0
"""Bound on |log parameter|: a flat likelihood must not run off to infinity."""
PENALTY = 1e-3
FIT_ROWS = 5_000
BOUNDS = [(-LARGEST_LOG, LARGEST_LOG)] * 4
START = (-0.5, -2.0, -0.5, 1.0)


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Fitted parameters: rate ~ gamma(r, alpha), drop-out ~ beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    def alive(
        self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> FloatArray:
        """Probability of not having dropped out; arguments as in `fit`."""
        x, t_x, big_t = _arrays(frequency, recency, age)
        log_odds_dead = (
            np.log(self.a)
            - np.log(self.b + np.maximum(x, 1) - 1)
            + (self.r + x) * np.log((self.alpha + big_t) / (self.alpha + t_x))
        )
        alive = 1 / (1 + np.exp(np.clip(log_odds_dead, -700, 700)))
        return np.where(x > 0, alive, 1.0)

    def silent(
        self,
        frequency: ArrayLike,
        recency: ArrayLike,
        age: ArrayLike,
        *,
        horizon: float,
    ) -> FloatArray:
        """Probability of no purchase within `horizon` after the observation ends."""
        x, _, big_t = _arrays(frequency, recency, age)
        quiet = (self.alpha + big_t) / (self.alpha + big_t + horizon)
        return 1 - self.alive(frequency, recency, age) * (1 - quiet ** (self.r + x))

    def expected_purchases(
        self,
        frequency: ArrayLike,
        recency: ArrayLike,
        age: ArrayLike,
        *,
        horizon: float,
    ) -> FloatArray:
        """Expected purchases within `horizon` (equation 10 of the paper)."""
        x, _, big_t = _arrays(frequency, recency, age)
        r, alpha, b = self.r, self.alpha, self.b
        # The formula divides by a - 1; beside that point it is continuous.
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        z = horizon / (alpha + big_t + horizon)
        growth = hyp2f1(r + x, b + x, a + b + x - 1, z)
        shrink = ((alpha + big_t) / (alpha + big_t + horizon)) ** (r + x)
        first = (a + b + x - 1) / (a - 1) * (1 - shrink * growth)
        return first * self.alive(frequency, recency, age)


def fit(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> BgNbd:
    """Maximum-likelihood parameters.

    frequency: repeat purchases (n,), 0 for a customer with one purchase.
    recency: time from first to last purchase; age: time from first purchase to the
    end of observation. A very small ridge on the log parameters keeps degenerate
    samples (nobody repeats) finite. Above 5,000 customers an even sample is used.
    """
    x, t_x, big_t = _arrays(frequency, recency, age)
    if len(x) == 0:
        raise ValueError("BG/NBD needs at least one customer.")
    if len(x) > FIT_ROWS:
        rows = np.linspace(0, len(x) - 1, FIT_ROWS).astype(np.int64)
        x, t_x, big_t = x[rows], t_x[rows], big_t[rows]
    scale = float(big_t.max()) or 1.0
    triples, counts = np.unique(
        np.column_stack([x, t_x / scale, big_t / scale]), axis=0, return_counts=True
    )

    def loss(logs: FloatArray) -> float:
        r, alpha, a, b = np.exp(logs)
        likelihood = log_likelihood(*triples.T, r=r, alpha=alpha, a=a, b=b)
        mean = float(likelihood @ counts / counts.sum())
        return -mean + PENALTY * float(logs @ logs) / counts.sum()

    with limited_threads():
        best = minimize(loss, START, method="L-BFGS-B", bounds=BOUNDS)
        if not best.success:
            other = minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=BOUNDS)
            best = min(best, other, key=lambda result: float(result.fun))
    r, alpha, a, b = (float(value) for value in np.exp(best.x))
    return BgNbd(r=r, alpha=alpha * scale, a=a, b=b)


def log_likelihood(
    frequency: ArrayLike,
    recency: ArrayLike,
    age: ArrayLike,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
) -> FloatArray:
    """Log-likelihood of each customer (equation 6 of the paper)."""
    x, t_x, big_t = _arrays(frequency, recency, age)
    counts = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + big_t)
    left = (
        betaln(a + 1, b + np.maximum(x, 1) - 1)
        - betaln(a, b)
        - (r + x) * np.log(alpha + t_x)
    )
    return counts + np.where(x > 0, np.logaddexp(stayed, left), stayed)


def _arrays(*values: ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.asarray(value, dtype=np.float64) for value in values)
