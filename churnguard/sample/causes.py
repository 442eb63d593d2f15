"""Why customers stay or leave: the hidden causes and how strongly each one shows.

An effect is the change at full severity (1.0). Shares sum to 1. The numbers are a
design, set so that about 18 % of the accounts leave in eighteen months and the signs
overlap as much as they do in real life.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """usage, users, features, engagement: share lost, 0..1. tickets: times as many
    more. pain: slow, urgent, reopened tickets, 0..1. late: late and failed payments,
    0..1. mood: points of 10 lost in surveys. hazard: of leaving, against others.
    ramp_weeks: from the first sign to full severity."""

    share: float
    usage: float = 0.0
    users: float = 0.0
    features: float = 0.0
    engagement: float = 0.0
    tickets: float = 0.0
    pain: float = 0.0
    late: float = 0.0
    mood: float = 0.0
    hazard: float = 0.0
    ramp_weeks: int = 6

    @property
    def signs(self) -> tuple[str, ...]:
        """Where it shows most: usage, billing, support, engagement, sentiment; those
        with three quarters of its strongest effect, each as a share of the largest
        that any cause has there. Empty for a cause that shows nowhere."""
        sizes = {
            "usage": max(self.usage, self.users, self.features),
            "billing": self.late,
            "support": max(self.tickets / 4.0, self.pain),
            "engagement": self.engagement,
            "sentiment": self.mood / 6.5,
        }
        most = max(sizes.values())
        return tuple(
            name for name, size in sizes.items() if most and size >= 0.75 * most
        )


CAUSES: dict[str, Cause] = {
    "healthy": Cause(0.16),
    "growth": Cause(0.06),
    "expansion": Cause(0.10),
    "seasonal": Cause(0.08),
    "contraction": Cause(
        0.06, usage=0.35, users=0.35, engagement=0.2, mood=1.0, hazard=0.25
    ),
    "onboarding_failure": Cause(
        0.08,
        usage=0.8,
        users=0.75,
        features=0.65,
        engagement=0.65,
        tickets=1.2,
        mood=4.5,
        hazard=1.2,
        ramp_weeks=5,
    ),
    "champion_left": Cause(
        0.11,
        usage=0.75,
        users=0.55,
        features=0.5,
        engagement=0.95,
        mood=3.0,
        hazard=1.0,
        ramp_weeks=12,
    ),
    "support_pain": Cause(
        0.11,
        usage=0.45,
        users=0.3,
        engagement=0.6,
        tickets=4.0,
        pain=1.0,
        mood=6.5,
        hazard=1.0,
        ramp_weeks=8,
    ),
    "price": Cause(
        0.06,
        usage=0.5,
        users=0.45,
        engagement=0.75,
        late=0.6,
        mood=4.5,
        hazard=1.0,
        ramp_weeks=9,
    ),
    "late_payment": Cause(
        0.06,
        usage=0.45,
        users=0.4,
        engagement=0.6,
        late=1.0,
        mood=3.0,
        ramp_weeks=9,
        hazard=1.0,
    ),
    "usage_decay": Cause(
        0.09,
        usage=0.92,
        users=0.75,
        features=0.6,
        engagement=0.7,
        mood=3.5,
        hazard=1.0,
        ramp_weeks=20,
    ),
    "win_back": Cause(
        0.03,
        usage=0.75,
        users=0.50,
        features=0.30,
        engagement=0.50,
        mood=2.0,
        hazard=1.0,
        ramp_weeks=8,
    ),
}

BASE_HAZARD = 0.0004
"""Chance per week to leave for no cause that shows."""
FULL_HAZARD = 0.043
"""Chance per week at full severity of a cause with hazard 1."""
STICKY = 0.6
"""Factor for accounts that adopted the key features."""
RESCUED = 0.2
"""Share of the troubled accounts whose trouble passes."""


def quotas(accounts: int) -> list[str]:
    """One cause per account, by the shares, largest remainders first."""
    exact = {name: cause.share * accounts for name, cause in CAUSES.items()}
    counts = {name: int(value) for name, value in exact.items()}
    missing = accounts - sum(counts.values())
    by_rest = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_rest[:missing]:
        counts[name] += 1
    return [name for name, count in counts.items() for _ in range(count)]
