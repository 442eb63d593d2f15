"""A small random company, and what a definition means for it said again in Python.

`evaluate` shares nothing with the compiler but the definition's JSON: it reads the
rows of the world, not the database.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from analytics.models import HealthScore, ScoreDefinition
from churnguard.models import (
    Customer,
    CustomerSource,
    Invoice,
    Organization,
    Source,
    Subscription,
    SurveyResponse,
    Ticket,
    UsageDay,
    UsageWindow,
)

NOW = datetime(2026, 3, 30, 22, 30, tzinfo=UTC)
ZONE = "Pacific/Auckland"
"""Where NOW is already the next day."""
EVENTS = ("login", "50%_off", "export")
PLANS = ("Pro", "pro", "Basic", "")
SOURCES = (("crm", "hubspot"), ("pay", "stripe"), ("web", "ingest"))
CURRENCIES = ("USD", "EUR", "")
NAMES = ("Ash 100%", "ash_b", "Birch\\", "Elm", "elm'; --", "")
METRICS = ("active_days", "recency_gap", "past_due", "csat", "urgent_open")
COMPONENT_OF = {
    "active_days": "usage",
    "recency_gap": "usage",
    "past_due": "billing",
    "csat": "sentiment",
    "urgent_open": "support",
}
CUSTOM = (
    {},
    {"tier": "gold", "tags": ["a", "B"], "n": 3},
    {"tier": "Silver", "tags": [], "n": "12.5", "deep": {"at": "2026-03-01T10:00:00"}},
    {"tier": None, "tags": "a", "n": True, "deep": {"at": "2026-99-99"}},
    {"tier": "", "tags": [1, "c", None], "n": [2, "x"], "deep": {"at": ["2026-03-25"]}},
    {"tier": {"x": 1}, "n": "1e5", "deep": 7, "flag": True},
    {"flag": "false", "n": -4, "deep": {"at": "soon"}, "tags": ["gold", True]},
)


@dataclass
class Person:
    """One customer with its facts, as plain values."""

    row: Customer
    refs: list[CustomerSource] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    answers: list[SurveyResponse] = field(default_factory=list)
    usage: dict[tuple[date, str], int] = field(default_factory=dict)
    active: set[date] = field(default_factory=set)
    last_seen: datetime | None = None
    parts: list[list[Any]] | None = None

    @property
    def key(self) -> int:
        return self.row.pk


@dataclass
class World:
    org: Organization
    people: list[Person]
    merged: Customer

    @property
    def today(self) -> date:
        return NOW.astimezone(ZoneInfo(self.org.timezone)).date()


def make_world(org: Organization, seed: int, count: int = 14) -> World:
    """Customers with every field set or unset, known to none to three sources."""
    dice = random.Random(seed)
    org.timezone, org.base_currency = ZONE, "USD"
    org.save()
    sources = [
        Source.objects.create(organization=org, name=name, kind=kind)
        for name, kind in SOURCES
    ]
    definition = ScoreDefinition.objects.create(
        organization=org, version=1, spec={}, is_active=True
    )
    people = [_customer(dice, org, n) for n in range(count)]
    for number, person in enumerate(people):
        for source in dice.sample(sources, dice.randrange(4)):
            _identity(dice, person, source, f"x{number % 5}")
        if person.row.score is not None and dice.random() < 0.8:
            _ledger(dice, person, definition)
    merged = Customer.objects.create(
        organization=org, name="Elm", score=5, merged_into=people[0].row
    )
    return World(org, people, merged)


def maybe(dice: random.Random, value: Any, share: float = 0.7) -> Any:
    return value if dice.random() < share else None


def moment(dice: random.Random, back: int, ahead: int = 0) -> datetime:
    """Within those days of NOW; at times at the very edge of a day or of NOW."""
    days = dice.randrange(-back, ahead + 1)
    if dice.random() < 0.3:
        return NOW + timedelta(days=days)
    if dice.random() < 0.3:
        day = NOW.astimezone(ZoneInfo(ZONE)).date() + timedelta(days=days)
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE))
    return NOW + timedelta(days=days, minutes=dice.randrange(1440))


def _customer(dice: random.Random, org: Organization, number: int) -> Person:
    score = maybe(dice, dice.randrange(101))
    row = Customer.objects.create(
        organization=org,
        public_id=f"cus_{number}_{org.pk}",
        name=dice.choice(NAMES),
        domain=dice.choice(["a.example", "B.example", ""]),
        email=dice.choice(["Ann@a.example", ""]),
        country=dice.choice(["DE", "NZ", ""]),
        industry=dice.choice(["Retail", ""]),
        segment=dice.choice(["smb", "large", ""]),
        plan=dice.choice(PLANS),
        owner=dice.choice(["kim", ""]),
        lifecycle_stage=dice.choice(["onboarding", "live", ""]),
        seats=maybe(dice, dice.randrange(20)),
        signup_at=maybe(dice, moment(dice, 60, 5)),
        churned_at=maybe(dice, moment(dice, 30, 30), 0.3),
        mrr_minor=maybe(dice, dice.randrange(0, 5) * 10_000),
        risk_minor=maybe(dice, dice.randrange(0, 5) * 1_000),
        custom=dice.choice(CUSTOM),
        score=score,
        band=dice.choice(["healthy", "watch", "at_risk"]) if score else "unknown",
        trend=maybe(dice, dice.randrange(-20, 20)),
        coverage_pct=maybe(dice, dice.randrange(101)),
        churn_probability=maybe(dice, dice.choice([0.02, 0.12, 0.25, 0.3, 0.5, 0.9])),
    )
    made = moment(dice, 40)
    Customer.objects.filter(pk=row.pk).update(created_at=made)
    row.created_at = made
    return Person(row)


def _identity(
    dice: random.Random, person: Person, source: Source, external_id: str
) -> None:
    org = person.row.organization
    ref = CustomerSource.objects.create(
        organization=org,
        source=source,
        external_id=f"{external_id}-{person.row.pk % 7}-{source.name}",
        customer=person.row,
        deleted_at=NOW if dice.random() < 0.15 else None,
    )
    person.refs.append(ref)
    shared = {"organization": org, "source": source, "customer_source": ref}
    for n in range(dice.randrange(3)):
        extra = {
            **shared,
            "external_id": f"{ref.external_id}-{n}",
            "deleted_at": NOW if dice.random() < 0.15 else None,
        }
        person.tickets.append(
            Ticket.objects.create(
                **extra,
                status=dice.choice(["open", "solved", "closed", None]),
                opened_at=maybe(dice, moment(dice, 200)),
                solved_at=maybe(dice, moment(dice, 200), 0.3),
                closed_at=maybe(dice, moment(dice, 200), 0.1),
                satisfaction_pct=maybe(dice, float(dice.randrange(0, 101, 20))),
            )
        )
        person.invoices.append(
            Invoice.objects.create(
                **extra,
                status=dice.choice(["open", "paid", "uncollectible", None]),
                due_at=maybe(dice, moment(dice, 20, 20)),
                paid_at=maybe(dice, moment(dice, 20), 0.3),
            )
        )
        person.subscriptions.append(
            Subscription.objects.create(
                **extra,
                status=dice.choice(["active", "past_due", "trialing", "canceled"]),
                currency=dice.choice([*CURRENCIES, "eur", None]),
                period_ends_at=maybe(dice, moment(dice, 20, 40)),
                cancel_at=maybe(dice, moment(dice, 5, 40), 0.3),
                ended_at=maybe(dice, moment(dice, 20, 20), 0.3),
            )
        )
        person.answers.append(
            SurveyResponse.objects.create(
                **extra,
                kind=dice.choice(["csat", "nps"]),
                score=maybe(dice, float(dice.randrange(6))),
                scale_min=maybe(dice, 1.0, 0.5),
                scale_max=maybe(dice, 5.0, 0.8),
                answered_at=maybe(dice, moment(dice, 300, 3)),
            )
        )
    if dice.random() < 0.7:
        _usage(dice, person, ref)


def _usage(dice: random.Random, person: Person, ref: CustomerSource) -> None:
    """Counts of a window whose newest day lies up to 200 days back, or tomorrow."""
    today = NOW.astimezone(ZoneInfo(ZONE)).date()
    newest = today - timedelta(days=dice.choice([-1, 0, 0, 1, 3, 30, 100, 200]))
    days = [0] * 128
    at = datetime(newest.year, newest.month, newest.day, 5, tzinfo=UTC)
    for i in [127, *(dice.randrange(100, 128) for _ in range(6)), dice.randrange(128)]:
        day = newest - timedelta(days=127 - i)
        name, n = dice.choice(EVENTS), dice.randrange(1, 9)
        if (day, name) in person.usage and days[i]:
            continue
        days[i] += n
        person.active.add(day)
        person.usage[day, name] = person.usage.get((day, name), 0) + n
        UsageDay.objects.create(
            organization=person.row.organization,
            customer_source=ref,
            day=day,
            name=name,
            n=n,
            first_at=at,
            last_at=at,
        )
    UsageWindow.objects.create(
        customer_source=ref,
        organization=person.row.organization,
        base_day=newest - timedelta(days=127),
        days=days,
        first_event_at=at - timedelta(days=127),
        last_event_at=at,
        events_total=sum(days),
    )
    person.last_seen = max(at, person.last_seen or at)


def _ledger(dice: random.Random, person: Person, definition: ScoreDefinition) -> None:
    lines: list[list[Any]] = [
        [name, float(dice.randrange(0, 101, 10)), 50.0, dice.choice([0.0, 5.5, 20.0]),
         3, 1.0, None, None]
        for name in dice.sample(METRICS, dice.randrange(1, 5))
    ]  # fmt: skip
    person.parts = [*lines, ["stale", None, None, 0, 4, 9.0, None, None]]
    for days_ago, parts in ((9, [["csat", 1.0, 1.0, 9.0, 1, 1, 1, 1]]), (1, lines)):
        HealthScore.objects.create(
            organization=person.row.organization,
            customer=person.row,
            definition=definition,
            at=NOW - timedelta(days=days_ago),
            score=person.row.score,
            score_exact=person.row.score,
            band=person.row.band,
            coverage_pct=80,
            parts=person.parts if days_ago == 1 else parts,
            parts_hash=days_ago,
        )


def evaluate(world: World, node: dict[str, Any]) -> set[int]:
    """The primary keys of the customers that the definition holds for."""
    return {person.key for person in world.people if holds(world, person, node)}


def holds(world: World, person: Person, node: dict[str, Any]) -> bool:
    if "and" in node:
        return all(holds(world, person, one) for one in node["and"])
    if "or" in node:
        return any(holds(world, person, one) for one in node["or"])
    if "not" in node:
        return not holds(world, person, node["not"])
    name, op, value = node["field"], node["op"], node.get("value")
    if name == "custom":
        return _custom_holds(world, person, node)
    if name in ("source", "external_id", "currency"):
        return _set_holds(_things(person, name), name, op, value)
    found = _value_of(world, person, node)
    if op in ("is_set", "is_not_set"):
        return (found is not None) == (op == "is_set")
    if op == "!=":
        return not _same(name, found, value)
    if op == "not_in":
        return not any(_same(name, found, one) for one in value)
    if found is None:
        return False
    if op == "=":
        return _same(name, found, value)
    if op == "in":
        return any(_same(name, found, one) for one in value)
    if isinstance(found, datetime):
        return _time_holds(world, found, op, value)
    return _PLAIN[op](found, value)


_PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "between": lambda a, b: b[0] <= a <= b[1],
    "contains": lambda a, b: b.lower() in a.lower(),
    "starts_with": lambda a, b: a.lower().startswith(b.lower()),
}


def _same(name: str, found: Any, value: Any) -> bool:
    if name in ("domain", "email") and found is not None:
        return bool(found == value.lower())
    return bool(found == value)


def _time_holds(world: World, at: datetime, op: str, value: Any) -> bool:
    if op == "in_last_days":
        return NOW - timedelta(days=value) < at <= NOW
    if op == "in_next_days":
        return NOW <= at < NOW + timedelta(days=value)
    day = at.astimezone(ZoneInfo(world.org.timezone)).date().isoformat()
    if op == "before":
        return day < value
    if op == "after":
        return day > value
    return bool(value[0] <= day <= value[1])


def _things(person: Person, name: str) -> list[set[str]]:
    """Each thing with all the words it goes by."""
    if name == "external_id":
        return [{ref.external_id} for ref in person.refs]
    if name == "source":
        return [
            {ref.source.name, ref.source.kind}
            for ref in person.refs
            if ref.deleted_at is None
        ]
    return [
        {(one.currency or "USD").upper()}
        for one in person.subscriptions
        if one.deleted_at is None
    ]


def _set_holds(things: list[set[str]], name: str, op: str, value: Any) -> bool:
    if op in ("is_set", "is_not_set"):
        return bool(things) == (op == "is_set")
    wanted = set(value if isinstance(value, list) else [value])
    if name == "currency":
        wanted = {one.upper() for one in wanted}
    return any(words & wanted for words in things) == (op in ("=", "in"))


def _value_of(world: World, person: Person, node: dict[str, Any]) -> Any:
    name, row = node["field"], person.row
    if name.startswith("usage.active_days_"):
        days = int(name.rsplit("_", 1)[1])
        first = world.today - timedelta(days=days - 1)
        return sum(first <= day <= world.today for day in person.active)
    if name == "usage.events":
        first = world.today - timedelta(days=node["days"] - 1)
        return sum(
            n
            for (day, event), n in person.usage.items()
            if first <= day <= world.today and node.get("event") in ("", None, event)
        )
    if name.startswith("health."):
        lines = [
            (line[1], line[3])
            for line in person.parts or []
            if COMPONENT_OF.get(line[0]) == name.split(".")[1]
        ]
        weight = sum(w for _, w in lines)
        return sum(raw * w for raw, w in lines) / weight if weight else None
    if name in _FACTS:
        return _FACTS[name](person)
    if name == "risk_band":
        return _risk_band(world, row.churn_probability)
    found = row.public_id if name == "customer_id" else getattr(row, name)
    if name in ("domain", "email"):
        found = found.lower()
    return None if found == "" else found


def _risk_band(world: World, found: float | None) -> str:
    if found is None:
        return "unknown"
    known = sorted(
        person.row.churn_probability
        for person in world.people
        if person.row.churn_probability is not None
    )
    place = max(0, -(-len(known) * 9 // 10) - 1)
    high = min(0.5, known[place])
    return "high" if found >= high else "medium" if found >= high / 2 else "low"


def _csat(person: Person) -> float | None:
    since = NOW - timedelta(days=180)
    found = [
        (one.satisfaction_pct, one.solved_at or one.closed_at or one.opened_at)
        for one in person.tickets
        if one.deleted_at is None and one.satisfaction_pct is not None
    ]
    for one in person.answers:
        low = one.scale_min or 0.0
        if one.deleted_at is None and one.kind == "csat" and one.score is not None:
            width = None if one.scale_max is None else one.scale_max - low
            if width:
                found.append((100 * (one.score - low) / width, one.answered_at))
    known = [pct for pct, at in found if at is not None and since < at <= NOW]
    return sum(known) / len(known) if known else None


def _terms(person: Person, name: str) -> datetime | None:
    living = [
        getattr(one, name)
        for one in person.subscriptions
        if one.deleted_at is None
        and one.status in ("active", "trialing", "past_due")
        and (one.ended_at is None or one.ended_at > NOW)
    ]
    known = [
        at
        for at in living
        if at is not None and (name == "cancel_at" or at >= NOW)
    ]  # fmt: skip
    return min(known, default=None)


_FACTS: dict[str, Callable[[Person], Any]] = {
    "usage.last_seen_at": lambda person: person.last_seen,
    "billing.renewal_at": lambda person: _terms(person, "period_ends_at"),
    "billing.cancel_at": lambda person: _terms(person, "cancel_at"),
    "support.csat_pct": _csat,
    "support.open_tickets": lambda person: sum(
        one.deleted_at is None
        and one.solved_at is None
        and one.closed_at is None
        and one.status not in ("solved", "closed")
        for one in person.tickets
    ),
    "billing.overdue_invoices": lambda person: sum(
        one.deleted_at is None
        and one.status in ("open", "uncollectible")
        and one.paid_at is None
        and one.due_at is not None
        and one.due_at < NOW
        for one in person.invoices
    ),
}


def _custom_holds(world: World, person: Person, node: dict[str, Any]) -> bool:
    op, value = node["op"], node.get("value")
    found: Any = person.row.custom
    for key in node["path"]:
        found = found.get(key) if isinstance(found, dict) else None
    if op in ("is_set", "is_not_set"):
        return (found not in (None, "", [])) == (op == "is_set")
    items = found if isinstance(found, list) else [found]
    return any(_item_holds(world, item, op, value) for item in items) != (
        op in ("!=", "not_in")
    )


def _item_holds(world: World, item: Any, op: str, value: Any) -> bool:
    text = _text_of(item)
    if text is None:
        return False
    if op in ("before", "after", "in_last_days", "in_next_days") or (
        op == "between" and isinstance(value[0], str)
    ):
        return isinstance(item, str) and _written_day_holds(world, item, op, value)
    if op in ("contains", "starts_with"):
        return _PLAIN[op](text, value)
    wanted = value if op in ("in", "not_in") else [value]
    if op in ("=", "!=", "in", "not_in"):
        if isinstance(wanted[0], bool):
            is_word = isinstance(item, bool | str)
            return is_word and text == ("true" if wanted[0] else "false")
        if isinstance(wanted[0], str):
            return text in wanted
        number = _number_of(item)
        return number is not None and number in [float(one) for one in wanted]
    number = _number_of(item)
    return number is not None and _PLAIN[op](number, value)


def _text_of(item: Any) -> str | None:
    if isinstance(item, bool):
        return "true" if item else "false"
    return str(item) if isinstance(item, str | int | float) else None


def _number_of(item: Any) -> float | None:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        return None
    if isinstance(item, str) and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", item):
        return None
    return float(item)


def _written_day_holds(world: World, item: str, op: str, value: Any) -> bool:
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", item):
        return False
    day, today = item[:10], world.today
    if op == "before":
        return day < value
    if op == "after":
        return day > value
    if op == "between":
        return bool(value[0] <= day <= value[1])
    edge = timedelta(days=value)
    if op == "in_last_days":
        return (today - edge).isoformat() <= day <= today.isoformat()
    return today.isoformat() <= day <= (today + edge).isoformat()
