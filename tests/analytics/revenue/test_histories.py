"""Random subscription histories: the report against a recount day by day, and MRR on
the customer against both."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

import pytest

from analytics import scoring
from analytics.revenue import mrr
from analytics.revenue.body import report_body
from analytics.revenue.periods import Question
from churnguard.models import Customer, CustomerSource, Organization
from tests.analytics.revenue.worlds import day, rate, version, write

DAYS = 120
NOW = day(DAYS) - timedelta(hours=3)
KINDS = ("new", "reactivation", "expansion", "contraction", "churn")
RATES = {
    "EUR": [(0, "1.10"), (33, "1.0731"), (34, "1.0733"), (80, "1.2")],
    "JPY": [(0, "0.0065"), (59, "0.0071234")],
    "GBP": [(50, "1.27")],
}


@dataclass(frozen=True)
class Version:
    at: datetime
    status: str
    minor: int
    currency: str
    ended_at: datetime | None


def histories(seed: int) -> dict[str, tuple[str, list[Version]]]:
    """subscription -> (customer, its versions in order of time)."""
    random = Random(seed)
    found = {}
    for number in range(28):
        currency = random.choice(["USD", "USD", "EUR", "JPY", "GBP"])
        at = day(random.uniform(-40, DAYS - 10))
        versions: list[Version] = []
        for _ in range(random.randint(1, 5)):
            status = random.choice(["active", "active", "active", "trialing", "paused"])
            minor = random.choice([0, 999, 5000, 12345, 20001])
            versions.append(Version(at, status, minor, currency, None))
            at += timedelta(days=random.choice([0.3, 2, 11, 30]))
        if random.random() < 0.5 and at < NOW:
            versions.append(Version(at, "canceled", versions[-1].minor, currency, at))
        found[f"s{number}"] = (
            f"c{random.randint(0, 11)}",
            [one for one in versions if one.at < NOW],
        )
    return found


def state(versions: list[Version], moment: datetime) -> tuple[str, int]:
    """(currency, minor units) just before `moment`; (.., 0) where nothing counts."""
    known = [one for one in versions if one.at < moment]
    if not known or known[-1].status != "active":
        return "", 0
    return known[-1].currency, known[-1].minor


def worth(amounts: dict[str, int], on: date) -> int:
    total = Decimal(0)
    for currency, minor in amounts.items():
        if currency == "USD":
            total += minor
            continue
        past = [Decimal(r) for at, r in RATES[currency] if day(at).date() <= on]
        if past:
            exact = minor * past[-1] * (100 if currency == "JPY" else 1)
            total += exact.quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return int(total)


def recount(world: dict[str, tuple[str, list[Version]]]) -> dict[str, dict[str, int]]:
    """Month -> sums, by looking at every customer on every day since long before."""
    months: dict[str, dict[str, int]] = {}
    before: dict[str, dict[str, int]] = {}
    paid: set[str] = set()
    for number in range(-45, DAYS):
        on, eve = day(number).date(), day(number - 1).date()
        after: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        moment = min(day(number + 1), NOW)
        for customer, versions in world.values():
            currency, minor = state(versions, moment)
            if minor:
                after[customer][currency] += minor
        month = months.setdefault(on.strftime("%Y-%m"), defaultdict(int))
        for customer in before.keys() | after.keys():
            held, now = before.get(customer, {}), after.get(customer, {})
            s, e = worth(held, eve), worth(now, eve)
            month["fx"] += worth(now, on) - e
            if s == 0 and e > 0:
                month["reactivation" if customer in paid else "new"] += e
            elif e == 0 and s > 0:
                month["churn"] += s
            elif e > s:
                month["expansion"] += e - s
            elif e < s:
                month["contraction"] += s - e
        paid |= {customer for customer, now in after.items() if now}
        month["end"] = sum(worth(now, on) for now in after.values())
        before = {customer: dict(now) for customer, now in after.items()}
    return months


def store(org: Organization, world: dict[str, tuple[str, list[Version]]]) -> None:
    records = [
        (
            one.at,
            version(
                sub,
                customer,
                one.at,
                one.minor,
                status=one.status,
                currency=one.currency,
                ended_at=one.ended_at,
            ),
        )
        for sub, (customer, versions) in world.items()
        for one in versions
    ]
    for at, record in records:
        write(org, record, at=at)
    for currency, steps in RATES.items():
        for at, value in steps:
            rate(org, currency, day(at).date().isoformat(), value)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_month_equals_the_recount_day_by_day(
    org: Organization, seed: int
) -> None:
    world = histories(seed)
    store(org, world)
    expected = recount(world)

    question = Question(date(2026, 1, 1), date(2026, 5, 1))
    found = report_body(org, question, NOW)

    for row in found["periods"]:
        month = expected[row["start"][:7]]
        for name in (*KINDS, "fx"):
            assert row[f"{name}_minor"] == month[name], (row["start"], name)
        assert row["mrr_end_minor"] == month["end"]


@pytest.mark.parametrize("seed", [5, 6])
def test_days_add_up_to_months_and_groups_to_the_whole(
    org: Organization, seed: int
) -> None:
    store(org, histories(seed))
    start, end = date(2026, 1, 7), date(2026, 4, 20)

    whole = report_body(org, Question(start, end), NOW)["totals"]
    days = report_body(org, Question(start, end, "day", "plan"), NOW)

    for name in (*KINDS, "fx"):
        total = whole[f"{name}_minor"]
        assert sum(row[f"{name}_minor"] for row in days["periods"]) == total
        groups = days["groups"]
        assert sum(group["totals"][f"{name}_minor"] for group in groups) == total
    for row in (whole, *days["periods"]):
        moved = sum(row[f"{name}_minor"] for name in KINDS[:3])
        moved -= row["contraction_minor"] + row["churn_minor"]
        left = row["mrr_start_minor"] + moved + row["fx_minor"]
        assert left == row["mrr_end_minor"]
        assert row["grr"] is None or row["grr"] <= 1


@pytest.mark.parametrize("seed", [7, 8])
def test_scoring_stores_the_same_mrr_as_the_report_ends_with(
    org: Organization, seed: int
) -> None:
    world = histories(seed)
    store(org, world)
    ids = list(Customer.objects.values_list("pk", flat=True))

    scoring.score_now(org.pk, ids, NOW)

    expected = defaultdict(int)
    for source in CustomerSource.objects.all():
        amounts: dict[str, int] = defaultdict(int)
        for customer, versions in world.values():
            currency, minor = state(versions, NOW)
            if customer == source.external_id and minor:
                amounts[currency] += minor
        expected[source.customer_id] += worth(amounts, NOW.date())
    stored = dict(Customer.objects.values_list("pk", "mrr_minor"))
    assert {pk: value or 0 for pk, value in stored.items()} == expected
    assert mrr.refresh_customers(org, NOW) == 0
    end = report_body(org, Question(NOW.date(), NOW.date() + timedelta(days=1)), NOW)
    assert end["totals"]["mrr_end_minor"] == sum(expected.values())
