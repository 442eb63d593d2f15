"""Where the large public data sets lie, and small made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


def shared_file(name: str) -> Path:
    """The data file, or a skip that says what is missing."""
    beside = Path(__file__).resolve().parents[4] / "shared"
    path = Path(os.environ.get("CHURNGUARD_SHARED", beside)) / "data" / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the data folder (set CHURNGUARD_SHARED).")
    return path


def made_up_table(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, 5) with blanks and outcomes; the log-odds are known and bent."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 5))
    x[:, 3] = random.integers(0, 3, rows)
    z = -1 + 1.2 * x[:, 0] + np.abs(x[:, 1]) + 0.8 * x[:, 0] * (x[:, 3] == 2)
    y = (random.random(rows) < 1 / (1 + np.exp(-z))).astype(float)
    x[random.random(rows) < 0.1, 2] = np.nan
    return x, y


def made_up_events(customers: int, days: int, *, seed: int = 0) -> list[str]:
    """CSV lines "customer,day,amount" of gamma-rate buyers who may drop out."""
    random = np.random.default_rng(seed)
    lines = ["customer,day,amount"]
    for person in range(customers):
        now = float(random.integers(0, days - 60))
        gap = random.gamma(2.0, 12.0)
        while now < days:
            day = np.datetime64("2022-01-01") + np.timedelta64(int(now), "D")
            lines.append(f"c{person},{day},{random.gamma(2.0, 15.0):.2f}")
            if random.random() < 0.15:
                break
            now += 1 + random.exponential(gap)
    return lines
