"""The ledger lines of many scores at once: as `HealthScore.parts` keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np

from analytics import health
from analytics.definition import METRICS
from analytics.facts import CustomerFacts
from analytics.health import Floats, Ints

_NAMES = np.array([metric.name for metric in METRICS], dtype=object)


@dataclass(frozen=True, slots=True)
class Lines:
    """Rounded as stored. raw .. fact_at: (n, m), NaN = none; losses: (n, m + 2);
    oldest_days, cap: (n,), what the staleness and the cap line quote; score,
    exact, coverage_pct, known: (n,) as in `health.Scores`."""

    raw: Floats
    decayed: Floats
    weight: Floats
    losses: Ints
    fact_a: Floats
    fact_b: Floats
    fact_at: Floats
    oldest_days: Floats
    cap: Ints
    score: Ints
    exact: Floats
    coverage_pct: Ints
    known: np.ndarray[tuple[int], np.dtype[np.bool_]]


def get_lines(facts: CustomerFacts, rows: list[int], scores: health.Scores) -> Lines:
    """The lines of these rows of `facts`, which `scores` was computed from."""
    age = np.round(facts.age_days[rows], 1)
    return Lines(
        raw=np.round(scores.raw, 2),
        decayed=np.round(scores.decayed, 2),
        weight=np.round(scores.weight, 3),
        losses=scores.losses,
        fact_a=np.round(facts.fact_a[rows], 3),
        fact_b=np.round(facts.fact_b[rows], 3),
        fact_at=np.round(facts.fact_at[rows]),
        oldest_days=np.where(np.isnan(age), -1.0, age).max(axis=1),
        cap=scores.cap,
        score=scores.score,
        exact=scores.exact,
        coverage_pct=scores.coverage_pct,
        known=scores.known,
    )


def hashes(lines: Lines, bands: list[str], definition_id: int) -> list[int]:
    """Signed 64-bit hashes of score, band, definition and what each line says of
    points and facts: equal where nothing a person reads has changed."""
    m = len(METRICS)
    present = ~np.isnan(lines.raw)
    told = np.hstack(
        [
            np.where(present, lines.fact_a, np.nan),
            np.where(present, lines.fact_b, np.nan),
            present,
            lines.losses,
            np.where(lines.losses[:, m] != 0, lines.oldest_days, 0.0)[:, None],
            np.where(lines.losses[:, m + 1] != 0, lines.cap, 0)[:, None],
            lines.score[:, None],
        ]
    )
    # One bit pattern for every NaN and for both zeros.
    told = np.where(np.isnan(told), np.nan, told + 0.0)
    data, width = memoryview(told.tobytes()), told.shape[1] * told.itemsize
    tails = {band: f"{band} {definition_id}".encode() for band in set(bands)}
    out = []
    for row, band in enumerate(bands):
        digest = hashlib.blake2b(data[row * width : (row + 1) * width], digest_size=8)
        digest.update(tails[band])
        out.append(int.from_bytes(digest.digest(), "big", signed=True))
    return out


def encode(lines: Lines, rows: list[int]) -> list[str]:
    """JSON of the lines of these rows; see `HealthScore.parts`."""
    m = len(METRICS)
    raw = lines.raw[rows]
    present = ~np.isnan(raw)
    columns = [
        np.broadcast_to(_NAMES, raw.shape)[present].tolist(),
        raw[present].tolist(),
        lines.decayed[rows][present].tolist(),
        lines.weight[rows][present].tolist(),
        lines.losses[rows, :m][present].tolist(),
        # NaN is encoded as null.
        lines.fact_a[rows][present].tolist(),
        lines.fact_b[rows][present].tolist(),
        lines.fact_at[rows][present].tolist(),
    ]
    found = list(zip(*columns, strict=True))
    ends = np.cumsum(present.sum(axis=1)).tolist()
    stale, capped = lines.losses[rows, m].tolist(), lines.losses[rows, m + 1].tolist()
    oldest, cap = lines.oldest_days[rows].tolist(), lines.cap[rows].tolist()
    to_json = msgspec.json.Encoder().encode
    out, start = [], 0
    for row, end in enumerate(ends):
        own = found[start:end]
        start = end
        if stale[row]:
            own.append(
                (health.STALE_LINE, None, None, 0, stale[row], oldest[row], None, None)
            )
        if capped[row]:
            own.append(
                (health.CAP_LINE, None, None, 0, capped[row], cap[row], None, None)
            )
        out.append(to_json(own).decode())
    return out
