"""One sample customer with everything known of it, and the source names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from churnguard.sample.billing import Account
from churnguard.sample.calendar import Span
from churnguard.sample.paths import Path
from churnguard.sample.profiles import Profile

CRM, BILLING, SUPPORT, PRODUCT = "crm", "billing", "support", "product"
SOURCES = (CRM, BILLING, SUPPORT, PRODUCT)
"""The source names under which the company is loaded; cross links use them."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, its hidden path and what billing knows; seed and span to draw more
    of the same."""

    seed: int
    span: Span
    who: Profile
    path: Path
    account: Account

    def rng(self, topic: int) -> np.random.Generator:
        """The random numbers of one topic of this customer, from the beginning."""
        return np.random.default_rng([self.seed, topic, self.who.index])

    def severity(self, moment: datetime) -> float:
        return float(self.path.severity[self.span.week_of(moment)])

    def engagement(self, moment: datetime) -> float:
        return float(self.path.engagement[self.span.week_of(moment)])

    @property
    def is_living(self) -> bool:
        """Whether it is a customer at the end of the span."""
        return self.path.is_customer(self.span.now)

    def moments(
        self, rng: np.random.Generator, per_week: npt.NDArray[np.float64]
    ) -> Iterator[datetime]:
        """Office-hour moments while it is a customer, `per_week` expected in each
        week, in order of time, none after now."""
        weeks = np.repeat(np.arange(len(per_week)), rng.poisson(per_week)).tolist()
        found = [self.office_hour(rng, week * 7) for week in weeks]
        yield from sorted(at for at in found if self.is_on(at))

    def office_hour(self, rng: np.random.Generator, day: int) -> datetime:
        """A working-hour moment (theirs) in the seven days from `day`."""
        at = self.span.at(float(day + int(rng.integers(7))))
        if at.weekday() >= 5:
            at -= timedelta(days=2)
        hours = rng.uniform(8.5, 17.5) - self.who.hours
        return at + timedelta(seconds=int(hours * 3600))

    def is_on(self, at: datetime) -> bool:
        """Whether something can have happened at this moment."""
        begun = max(self.who.joined_at, self.span.start)
        return begun <= at <= self.span.now and self.path.is_customer(at)
