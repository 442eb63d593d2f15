"""What really happens to each customer, week by week: the hidden truth.

Severity of the trouble rises from its onset; the chance to leave follows severity; a
customer who decides to leave stays until the paid period ends. Everything the exports
show is drawn from these paths, nothing is drawn from whether the customer left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

import numpy as np
import numpy.typing as npt

from churnguard.sample.calendar import Span, add_months
from churnguard.sample.causes import (
    BASE_HAZARD,
    CAUSES,
    FULL_HAZARD,
    RESCUED,
    STICKY,
    Cause,
)
from churnguard.sample.profiles import Profile

Floats = npt.NDArray[np.float64]
DUNNING_DAYS = 40
"""After so many days an unpaid invoice ends the subscription."""


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to change the subscription, met at the next billing date. seats: factor
    on the seats; unit: factor on the price."""

    at: datetime
    seats: float = 1.0
    unit: float = 1.0


@dataclass(frozen=True, slots=True)
class Path:
    """Per week of the span: severity 0..1, hazard of leaving in that week, usage,
    users, features and engagement as factors of the account's normal.

    decided_at: when the customer made up its mind; left_at: when the subscription
    ends, may be after now; returned_at: when it came back.
    """

    cause: Cause
    severity: Floats
    hazard: Floats
    usage: Floats
    users: Floats
    features: Floats
    engagement: Floats
    onset_at: datetime | None
    decided_at: datetime | None
    left_at: datetime | None
    returned_at: datetime | None
    champion_left_at: datetime | None
    changes: tuple[Change, ...]

    def is_customer(self, moment: datetime) -> bool:
        """Whether a customer who has signed is one at `moment`."""
        if self.left_at is None or moment < self.left_at:
            return True
        return self.returned_at is not None and moment >= self.returned_at


def make_path(seed: int, span: Span, who: Profile) -> Path:
    """The path of one customer; the same for the same arguments."""
    rng = np.random.default_rng([seed, 2, who.index])
    cause = CAUSES[who.cause]
    onset = _onset(rng, span, who)
    severity = _severity(rng, span, who, cause, onset)
    hazard = _hazard(span, who, cause, severity)
    decided_at = _decision(rng, span, who, hazard, onset, cause)
    left_at = _last_day(who, decided_at)
    returned_at = None
    if who.cause == "win_back" and left_at is not None:
        returned_at = left_at + timedelta(days=int(rng.integers(60, 110)))
        returned_at = returned_at.replace(day=min(returned_at.day, 28))
    usage = _usage(rng, span, who, cause, severity)
    wear = _wear(severity)
    usage = usage * np.exp(-0.1 * cause.usage * wear)
    engagement = (1.0 - cause.engagement * severity) * np.exp(-0.05 * wear)
    if decided_at is not None:
        gone = np.arange(span.weeks) > span.week_of(decided_at)
        usage = np.where(gone, usage * np.minimum(1.0, rng.uniform(0.25, 0.8)), usage)
        engagement = np.where(gone, engagement * 0.5, engagement)
    if returned_at is not None:
        back = np.arange(span.weeks) >= span.week_of(returned_at)
        severity = np.where(back, 0.0, severity)
        usage = np.where(back, rng.uniform(0.9, 1.2), usage)
        engagement = np.where(back, 1.0, engagement)
    return Path(
        cause=cause,
        severity=severity,
        hazard=hazard,
        usage=usage,
        users=(1.0 - cause.users * severity) * np.exp(-0.06 * cause.users * wear),
        features=1.0 - cause.features * severity,
        engagement=engagement,
        onset_at=None if onset is None else span.at(onset * 7.0),
        decided_at=decided_at,
        left_at=left_at,
        returned_at=returned_at,
        champion_left_at=(
            span.at(onset * 7.0 + 2)
            if who.cause == "champion_left" and onset is not None
            else None
        ),
        changes=_changes(rng, span, who, onset),
    )


def next_billing(who: Profile, moment: datetime) -> datetime:
    """The first billing date at or after `moment`."""
    for number in count():
        date = add_months(who.joined_at, number * who.months)
        if date >= moment:
            return date
    raise AssertionError("count() does not end")


def _onset(rng: np.random.Generator, span: Span, who: Profile) -> int | None:
    """The week the trouble begins, never in the last two weeks."""
    if who.cause in ("healthy", "growth", "expansion", "seasonal"):
        return None
    joined = max(0, span.week_of(who.joined_at))
    if who.cause == "onboarding_failure":
        return joined
    if who.cause == "win_back":
        return int(rng.integers(6, 22))
    first = min(joined + 9, span.weeks - 4) if joined else 3
    return int(rng.integers(first, span.weeks - 3))


def _severity(
    rng: np.random.Generator,
    span: Span,
    who: Profile,
    cause: Cause,
    onset: int | None,
) -> Floats:
    weeks = np.arange(span.weeks, dtype=float)
    if onset is None:
        return np.zeros(span.weeks)
    ramp = cause.ramp_weeks * rng.uniform(0.7, 1.4)
    # A firm that never got going is in trouble from its first week.
    floor = 0.4 if who.cause == "onboarding_failure" else 0.0
    rise = np.clip(floor + (weeks - onset + 0.5) / ramp, 0.0, 1.0)
    level = np.where(weeks >= onset, rise * rng.uniform(0.75, 1.0), 0.0)
    passes = rng.random() < RESCUED or who.cause == "contraction"
    turn = onset + ramp + rng.uniform(2, 10)
    if passes and who.cause != "win_back":
        level = np.where(weeks > turn, level * np.exp(-(weeks - turn) / 4.0), level)
    wobble = rng.normal(0.0, 0.05, span.weeks)
    return np.where(level > 0.02, np.clip(level + wobble, 0.0, 1.0), 0.0)


def _wear(severity: Floats) -> Floats:
    """Trouble added up week after week, at most 25; it heals once the trouble ends."""
    total, out = 0.0, np.zeros(len(severity))
    for week, level in enumerate(severity.tolist()):
        total = min(total + level, 25.0) if level > 0.15 else total * 0.75
        out[week] = total
    return out


def _hazard(span: Span, who: Profile, cause: Cause, severity: Floats) -> Floats:
    """Chance to decide in each week. A yearly contract is left near its renewal."""
    hazard = BASE_HAZARD + FULL_HAZARD * cause.hazard * severity**2
    if who.is_sticky:
        hazard = hazard * STICKY
    if who.months == 12:
        for week in range(span.weeks):
            moment = max(span.at(week * 7.0), who.joined_at)
            left_days = (next_billing(who, moment) - moment).days
            hazard[week] *= 2.5 if left_days <= 91 else 0.25
    joined = span.week_of(who.joined_at)
    if who.joined_at > span.start:
        hazard[: joined + 4] = 0.0
    return hazard


def _decision(
    rng: np.random.Generator,
    span: Span,
    who: Profile,
    hazard: Floats,
    onset: int | None,
    cause: Cause,
) -> datetime | None:
    draws = rng.random(span.weeks)
    moment = rng.uniform(1.3, 4.7)
    if who.cause == "win_back" and onset is not None:
        return span.at((onset + cause.ramp_weeks + 2) * 7.0 + moment)
    hits = np.flatnonzero(draws < hazard)
    if not len(hits):
        return None
    decided = span.at(int(hits[0]) * 7.0 + moment)
    return decided if decided < span.now else None


def _last_day(who: Profile, decided_at: datetime | None) -> datetime | None:
    """The end of the paid period; of who just stops paying, the end of dunning."""
    if decided_at is None:
        return None
    end = next_billing(who, decided_at)
    if who.cause == "late_payment":
        return end + timedelta(days=DUNNING_DAYS)
    return end


def _usage(
    rng: np.random.Generator,
    span: Span,
    who: Profile,
    cause: Cause,
    severity: Floats,
) -> Floats:
    weeks = np.arange(span.weeks, dtype=float)
    share: Floats = np.exp(np.cumsum(rng.normal(0.0, 0.012, span.weeks)))
    if who.cause in ("growth", "expansion"):
        share = share * np.linspace(1.0, rng.uniform(1.3, 1.9), span.weeks)
    if who.joined_at > span.start:
        age = np.maximum(weeks - span.week_of(who.joined_at), 0.0)
        share = share * np.clip(0.45 + age / 8.0, 0.0, 1.0)
    if who.cause == "seasonal":
        phase, depth = rng.uniform(0, 52), rng.uniform(0.35, 0.6)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (weeks - phase) / 26.0)
        share = share * (1.0 - depth * wave**2)
    noise = np.exp(rng.normal(0.0, 0.4, span.weeks))
    return share * noise * (1.0 - cause.usage * severity)


def _changes(
    rng: np.random.Generator, span: Span, who: Profile, onset: int | None
) -> tuple[Change, ...]:
    def some_day(low: float, high: float) -> datetime:
        first = max(0.0, span.day_of(who.joined_at) + 60)
        return span.at(min(first + rng.uniform(low, high), span.days + 30.0))

    if who.cause == "expansion":
        times = sorted(some_day(20, 500) for _ in range(int(rng.integers(1, 4))))
        return tuple(Change(at, seats=rng.uniform(1.15, 1.45)) for at in times)
    if who.cause == "contraction" and onset is not None:
        at = span.at(onset * 7.0 + 20)
        return (Change(at, seats=rng.uniform(0.5, 0.75)),)
    if who.cause == "price" and onset is not None:
        return (Change(span.at(onset * 7.0 - 3), unit=rng.uniform(1.12, 1.25)),)
    if who.cause == "champion_left" and onset is not None and rng.random() < 0.35:
        return (Change(span.at(onset * 7.0 + 45), seats=rng.uniform(0.65, 0.85)),)
    if onset is None and rng.random() < 0.25:
        return (Change(some_day(30, 480), unit=1.08),)
    if onset is None and rng.random() < 0.3:
        return (Change(some_day(30, 480), seats=rng.uniform(1.05, 1.2)),)
    return ()
