"""Product events of one customer from its path: days, hours, people, features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from churnguard.sample.billing import Account
from churnguard.sample.calendar import Span
from churnguard.sample.paths import Path
from churnguard.sample.profiles import EVENTS, Profile

PER_DAY = 0.31
"""Events on an ordinary working day of an account are PER_DAY * seats ** 0.6."""
HOURS = np.array([0.2] * 6 + [1, 3, 8, 12, 13, 11, 6, 10, 12, 11, 9, 6, 3, 2, 1, 0.6])
_HOUR_ODDS = np.concatenate([HOURS, [0.4, 0.3]]) / (HOURS.sum() + 0.7)
"""Share of a working day's events in each local hour."""
CHAMPION_SHARE = 0.3
"""How much of an account's use is its champion's."""
VALUES = {"api_call": (10.0, 1.0), "report_exported": (200.0, 0.9)}
"""Event -> median and log spread of its value: calls made, rows exported."""
CLIENTS = ("web", "web", "web", "mobile")


@dataclass(frozen=True, slots=True)
class Usage:
    """Arrays of equal length in order of time. second: since the span's start."""

    second: npt.NDArray[np.int64]
    name: npt.NDArray[np.int64]
    user: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


def make_usage(
    seed: int, span: Span, who: Profile, path: Path, account: Account
) -> Usage:
    """All events of one customer until now; name is an index into EVENTS."""
    rng = np.random.default_rng([seed, 4, who.index])
    counts = rng.poisson(_rates(span, who, path, account))
    days = np.repeat(np.arange(span.days), counts)
    n = len(days)
    local_h = rng.choice(24, n, p=_HOUR_ODDS) + rng.random(n)
    second = np.round((days * 24 + local_h - who.hours) * 3600).astype(np.int64)
    weeks = np.clip(days // 7, 0, span.weeks - 1)
    name = _names(rng, who, path, weeks)
    user = _users(rng, span, who, path, account, weeks)
    value: npt.NDArray[np.float64] = np.exp(rng.normal(0.0, 1.0, n)).round(4)
    begun = int((who.joined_at - span.start).total_seconds())
    keep = (second <= (span.now - span.start).total_seconds()) & (second >= begun)
    keep &= second >= 0
    keep &= _is_customer(span, path, second)
    order = np.argsort(second[keep], kind="stable")
    return Usage(
        second[keep][order], name[keep][order], user[keep][order], value[keep][order]
    )


def user_ids(who: Profile, seats: int) -> list[str]:
    """The users of an account: its contacts first, then nameless ones."""
    known = [person.user_id for person in who.people]
    more = [f"u_{who.ids['product'][3:]}{n:02d}" for n in range(max(0, seats))]
    return (known + more)[: max(seats, len(known))]


def as_event(
    who: Profile,
    users: list[str],
    name: int,
    user: int,
    value: float,
    event_id: str,
    timestamp: str,
) -> dict[str, Any]:
    """One event in the form the ingest API takes."""
    event = _NAMES[name]
    client = "api" if event == "api_call" else CLIENTS[(user + name) % len(CLIENTS)]
    out: dict[str, Any] = {
        "event_id": event_id,
        "event": event,
        "customer_id": who.ids["product"],
        "user_id": users[user % len(users)],
        "timestamp": timestamp,
        "properties": {"client": client, "plan": who.plan},
    }
    if event in VALUES:
        median, spread = VALUES[event]
        out["value"] = round(median * value**spread) + 1
    return out


def events_of(
    span: Span, who: Profile, account: Account, usage: Usage
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(second, event) in order of time."""
    most = max((version.seats for version in account.versions), default=who.seats)
    users = user_ids(who, most)
    stem = f"evt_{who.ids['product'][3:]}_"
    columns = (usage.second, usage.name, usage.user, usage.value)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, (second, name, user, value) in enumerate(rows):
        at = (span.start + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield second, as_event(who, users, name, user, value, f"{stem}{number}", at)


def adopted_odds(who: Profile, share: float) -> npt.NDArray[np.float64]:
    """(events,) odds of each event for an account using `share` of its features."""
    odds = np.array([w if n in who.features else 0.0 for n, (w, _p) in EVENTS.items()])
    used = [place for place, weight in enumerate(odds) if weight > 0]
    # What is given up first is what was adopted last: the end of the list.
    keep = max(2, round(len(used) * share))
    odds[used[keep:]] *= 0.06
    odds[0] = EVENTS["login"][0]
    return odds / odds.sum()


_NAMES = list(EVENTS)


def _rates(
    span: Span, who: Profile, path: Path, account: Account
) -> npt.NDArray[np.float64]:
    """(days,) expected events."""
    days = np.arange(span.days)
    weeks = np.clip(days // 7, 0, span.weeks - 1)
    first = span.start.weekday()
    rhythm = np.array(who.rhythm)[(days + first) % 7]
    return PER_DAY * who.seats**0.6 * path.usage[weeks] * rhythm * _holidays(span, who)


def _holidays(span: Span, who: Profile) -> npt.NDArray[np.float64]:
    """(days,) factors: the turn of the year everywhere, August in Europe."""
    factors = np.ones(span.days)
    for day in range(span.days):
        date = span.start + timedelta(days=day)
        if (date.month, date.day) >= (12, 23) or (date.month, date.day) <= (1, 2):
            factors[day] = 0.2
        elif date.month == 8 and who.country in ("FR", "DE", "NL", "SE"):
            factors[day] = 0.7
    return factors


def _names(
    rng: np.random.Generator, who: Profile, path: Path, weeks: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    draws = rng.random(len(weeks))
    out = np.zeros(len(weeks), dtype=np.int64)
    for week in np.unique(weeks):
        here = weeks == week
        odds = adopted_odds(who, float(path.features[week]))
        out[here] = np.searchsorted(np.cumsum(odds)[:-1], draws[here], side="right")
    return out


def _users(
    rng: np.random.Generator,
    span: Span,
    who: Profile,
    path: Path,
    account: Account,
    weeks: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """User 0 is the champion, who stops when it has left the firm."""
    out = np.zeros(len(weeks), dtype=np.int64)
    draws, picks = rng.random(len(weeks)), rng.random(len(weeks))
    gone = _champion_gone_week(span, path)
    for week in np.unique(weeks):
        here = weeks == week
        seats = account.seats_at(span.at((int(week) + 1) * 7.0))
        others = max(1, round(seats * who.adoption * float(path.users[week])) - 1)
        share = 0.0 if gone is not None and week >= gone else CHAMPION_SHARE
        chosen = 1 + (picks[here] * others).astype(np.int64)
        out[here] = np.where(draws[here] < share, 0, chosen)
    return out


def _champion_gone_week(span: Span, path: Path) -> int | None:
    if path.champion_left_at is None:
        return None
    return span.week_of(path.champion_left_at)


def _is_customer(
    span: Span, path: Path, second: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    if path.left_at is None:
        return np.ones(len(second), dtype=bool)
    inside = second < (path.left_at - span.start).total_seconds()
    if path.returned_at is not None:
        inside |= second >= (path.returned_at - span.start).total_seconds()
    return inside
