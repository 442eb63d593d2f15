"""Who the sample company's customers are: firm, people, plan, ids in every tool."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from churnguard.sample import names
from churnguard.sample.calendar import Span
from churnguard.sample.causes import quotas

PLANS = ("Starter", "Team", "Business")
UNIT_MINOR = {
    "USD": {"Starter": 2_900, "Team": 4_900, "Business": 7_900},
    "EUR": {"Starter": 2_700, "Team": 4_500, "Business": 7_300},
    "GBP": {"Starter": 2_300, "Team": 3_900, "Business": 6_300},
}
"""Price per seat and month in minor units, paid monthly; 15 % less paid yearly."""
EVENTS: dict[str, tuple[float, float]] = {
    "login": (0.30, 1.0),
    "report_viewed": (0.26, 1.0),
    "dashboard_created": (0.05, 0.75),
    "report_exported": (0.10, 0.7),
    "comment_added": (0.06, 0.55),
    "invite_sent": (0.02, 0.6),
    "api_call": (0.08, 0.35),
    "workflow_run": (0.07, 0.5),
    "integration_connected": (0.02, 0.5),
    "alert_created": (0.04, 0.5),
    "settings_changed": (0.02, 0.5),
}
"""Event -> share of what an account does that adopted it, share of adopters."""
KEY_FEATURES = ("workflow_run", "integration_connected")
_ALNUM = np.array(list("0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz"))


@dataclass(frozen=True, slots=True)
class Person:
    """A contact at a customer. role: Champion, Economic Buyer, User, Billing, Admin."""

    crm_id: str
    support_id: str
    user_id: str
    name: str
    email: str
    title: str
    role: str
    phone: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer as it starts out.

    ids: source -> the id there. links: source -> how that tool refers to the firm:
    "crm_id", "domain", "email" or "" for not at all. hours: from UTC. months: 1 or 12
    between invoices. adoption: share of the paid seats in use. warmth: how willingly it
    answers, about 1. rhythm: (7,) weight of each weekday, Monday first.
    """

    index: int
    key: str
    name: str
    domain: str
    parent: str
    country: str
    currency: str
    hours: float
    phone: str
    industry: str
    segment: str
    employees: int
    plan: str
    seats: int
    months: int
    pays_by: str
    joined_at: datetime
    cause: str
    owner: str
    ids: dict[str, str]
    links: dict[str, str]
    people: tuple[Person, ...]
    features: tuple[str, ...]
    adoption: float
    warmth: float
    rhythm: tuple[float, ...]

    @property
    def is_sticky(self) -> bool:
        return all(name in self.features for name in KEY_FEATURES)

    @property
    def unit_minor(self) -> int:
        """Price per seat and month in minor units of the currency."""
        unit = UNIT_MINOR[self.currency][self.plan]
        return unit * 85 // 100 if self.months == 12 else unit


def make_profiles(seed: int, span: Span, accounts: int) -> list[Profile]:
    """The customers in order of their key; the same for the same arguments."""
    rng = np.random.default_rng([seed, 0])
    causes = rng.permutation(np.array(quotas(accounts))).tolist()
    firms = _firms(rng, accounts)
    group = sorted(rng.choice(accounts, 2, replace=False).tolist())
    profiles = [
        _profile(seed, span, index, causes[index], *firms[index])
        for index in range(accounts)
    ]
    return [
        _subsidiary(one, profiles[group[0]]) if one.index == group[1] else one
        for one in profiles
    ]


def make_id(rng: np.random.Generator, prefix: str, length: int) -> str:
    """prefix and `length` letters and digits."""
    return prefix + "".join(rng.choice(_ALNUM, length))


def _firms(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    words = [a + b for a in names.FIRST_PARTS for b in names.SECOND_PARTS]
    picked = rng.permutation(np.array(words)).tolist()
    industries = list(names.INDUSTRIES)
    firms = []
    for number in range(count):
        word = picked[number % len(picked)]
        industry = industries[int(rng.integers(len(industries)))]
        trade = str(rng.choice(names.INDUSTRIES[industry]))
        again = number // len(picked)
        firms.append((f"{word} {trade}" + (f" {again + 1}" if again else ""), industry))
    return firms


def _profile(
    seed: int, span: Span, index: int, cause: str, name: str, industry: str
) -> Profile:
    rng = np.random.default_rng([seed, 1, index])
    domain = name.lower().replace(" ", "-") + ".example"
    codes = list(names.COUNTRIES)
    country = codes[rng.choice(len(codes), p=[names.COUNTRIES[c][0] for c in codes])]
    _share, currency, hours, phone = names.COUNTRIES[country]
    segment = ("SMB", "Mid-Market", "Enterprise")[rng.choice(3, p=[0.55, 0.33, 0.12])]
    low, high = {"SMB": (3, 9), "Mid-Market": (8, 21), "Enterprise": (18, 42)}[segment]
    seats = int(rng.integers(low, high))
    plan_odds = {"SMB": (0.6, 0.35, 0.05), "Mid-Market": (0.15, 0.6, 0.25)}
    plan = PLANS[rng.choice(3, p=plan_odds.get(segment, (0.0, 0.3, 0.7)))]
    yearly = rng.random() < {"SMB": 0.12, "Mid-Market": 0.35}.get(segment, 0.65)
    by_card = rng.random() < {"SMB": 0.85, "Mid-Market": 0.5}.get(segment, 0.1)
    ids = {
        "crm": make_id(rng, "001", 15),
        "billing": make_id(rng, "cus_", 14),
        "support": f"36{int(rng.integers(10**9, 10**10))}",
        "product": f"ws_{int(rng.integers(16**9, 16**10)):x}",
    }
    return Profile(
        index=index,
        key=f"acct-{index + 1:04d}",
        name=name,
        domain=domain,
        parent="",
        country=country,
        currency=currency,
        hours=hours,
        phone=phone + f"{int(rng.integers(100)):02d}",
        industry=industry,
        segment=segment,
        employees=int(seats * rng.uniform(2.5, 14)) + 5,
        plan=plan,
        seats=seats,
        # Who comes back within the span must have been able to leave early.
        months=12 if yearly and cause != "win_back" else 1,
        pays_by="card" if by_card else "transfer",
        joined_at=_joined(rng, span, cause),
        cause=cause,
        owner=str(rng.choice(names.OWNERS)),
        ids=ids,
        links=_links(rng),
        people=_people(rng, domain, phone, int(rng.integers(2, 5)) + (seats > 15)),
        features=tuple(n for n, (_w, p) in EVENTS.items() if rng.random() < p),
        adoption=float(rng.beta(2.5, 2.3)),
        warmth=float(np.clip(rng.normal(0.52, 0.25), 0.15, 1.2)),
        rhythm=(*rng.uniform(0.45, 1.35, 5).tolist(), 0.06, 0.04),
    )


def _joined(rng: np.random.Generator, span: Span, cause: str) -> datetime:
    """When the customer signed: on a day every month has, in working hours."""
    if cause == "onboarding_failure":
        day = rng.uniform(20, 515)
    elif cause == "win_back" or rng.random() < 0.6:
        day = rng.uniform(-1000, -30)
    else:
        day = rng.uniform(0, 490)
    at = span.at(float(int(day))) + timedelta(minutes=int(rng.integers(480, 1020)))
    return at.replace(day=min(at.day, 28))


def _links(rng: np.random.Generator) -> dict[str, str]:
    def pick(options: dict[str, float]) -> str:
        return list(options)[rng.choice(len(options), p=list(options.values()))]

    return {
        "billing": pick({"crm_id": 0.86, "email": 0.11, "": 0.03}),
        "product": pick({"domain": 0.78, "email": 0.19, "": 0.03}),
        "support": pick({"crm_id": 0.60, "domain": 0.36, "": 0.04}),
    }


def _people(
    rng: np.random.Generator, domain: str, phone: str, count: int
) -> tuple[Person, ...]:
    """The champion first, then the buyer, then others."""
    given = rng.permutation(np.array(names.GIVEN))[:count].tolist()
    family = rng.permutation(np.array(names.FAMILY))[:count].tolist()
    roles = [names.TITLES[1], names.TITLES[0], *names.TITLES[2:]]
    return tuple(
        Person(
            crm_id=make_id(rng, "003", 15),
            support_id=f"39{int(rng.integers(10**9, 10**10))}",
            user_id=f"u_{int(rng.integers(16**7, 16**8)):x}",
            name=f"{given[n]} {family[n]}",
            email=f"{given[n]}.{family[n]}@{domain}".lower(),
            title=roles[n % len(roles)][0],
            role=roles[n % len(roles)][1],
            phone=phone + f"{int(rng.integers(100)):02d}",
        )
        for n in range(count)
    )


def _subsidiary(child: Profile, parent: Profile) -> Profile:
    """The child under the parent's domain, as groups of firms have it."""
    people = tuple(
        replace(one, email=one.email.split("@")[0] + "@" + parent.domain)
        for one in child.people
    )
    return replace(
        child,
        domain=parent.domain,
        parent=parent.ids["crm"],
        people=people,
        links={"billing": "crm_id", "product": "domain", "support": "crm_id"},
    )
