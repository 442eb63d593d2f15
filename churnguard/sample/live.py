"""Life after the generated past: a trickle of events for a demonstration.

Time is cut into slots of a few seconds; what happens in a slot depends on the seed,
the slot and each account's state alone. So asking twice for the same time gives the
same events with the same ids, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from churnguard.sample.profiles import EVENTS
from churnguard.sample.usage import adopted_odds, as_event, user_ids
from churnguard.sample.world import Customer

SLOT_S = 5
PER_SLOT = 1.6
"""Events expected in each slot: faster than life, so that one sees it move."""
COMEBACK_SLOTS = 60
"""So long one quiet account is on stage: its people come back, its score rises."""
COMEBACK_SHARE = 0.35


def trickle(
    seed: int, customers: Sequence[Customer], now: datetime, *, window_s: float
) -> Iterator[dict[str, Any]]:
    """Events in (now - window_s, now], in order of time, none before the end of the
    generated past. Living accounts act by their size and state; one troubled account
    at a time comes back to life. Raises ValueError for a naive `now`."""
    if now.tzinfo is None:
        raise ValueError(f"now needs a time zone, got {now}.")
    living = [one for one in customers if one.is_living]
    if not living:
        return
    begin = max(now - timedelta(seconds=window_s), customers[0].span.now)
    weights = np.array([_liveliness(one) for one in living])
    troubled = [n for n, one in enumerate(living) if one.path.severity[-1] > 0.3]
    first, last = (int(at.timestamp() // SLOT_S) for at in (begin, now))
    for slot in range(first, last + 1):
        for at, event in _slot(seed, slot, living, weights, troubled):
            if begin < at <= now:
                yield event


def _liveliness(one: Customer) -> float:
    return float(one.who.seats**0.6 * one.path.usage[-1])


def _slot(
    seed: int,
    slot: int,
    living: Sequence[Customer],
    weights: np.ndarray,
    troubled: list[int],
) -> Iterator[tuple[datetime, dict[str, Any]]]:
    rng = np.random.default_rng([seed, 92, slot])
    stage = np.random.default_rng([seed, 93, slot // COMEBACK_SLOTS])
    star = int(stage.choice(troubled)) if troubled else None
    offsets = np.sort(rng.random(rng.poisson(PER_SLOT))) * SLOT_S
    for number, offset in enumerate(offsets.tolist()):
        place = int(rng.choice(len(living), p=weights / weights.sum()))
        if rng.random() < COMEBACK_SHARE and star is not None:
            place = star
        one = living[place]
        at = datetime.fromtimestamp(slot * SLOT_S + round(offset, 3), UTC)
        yield at, _event(rng, one, at, f"live_{seed}_{slot}_{number}")


def _event(
    rng: np.random.Generator, one: Customer, at: datetime, event_id: str
) -> dict[str, Any]:
    seats = one.account.versions[-1].seats
    name = int(rng.choice(len(EVENTS), p=adopted_odds(one.who, 1.0)))
    value = round(float(np.exp(rng.normal())), 4)
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    users = user_ids(one.who, seats)
    return as_event(
        one.who, users, name, int(rng.integers(seats)), value, event_id, stamp
    )
