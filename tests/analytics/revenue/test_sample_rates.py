"""The sample company's rates: marked, dated before its first subscription."""

from __future__ import annotations

from datetime import UTC, date, datetime

from analytics.revenue.rates import parse_rates
from churnguard import sample
from churnguard.management.commands.demo import Command
from churnguard.models import ExchangeRate, Organization

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)


def test_the_first_start_keeps_rates_marked_as_sample(org: Organization) -> None:
    Command()._load_rates(org, NOW)
    Command()._load_rates(org, NOW)

    rows = ExchangeRate.objects.filter(organization=org)
    assert rows.count() == len(sample.exchange_rates(NOW)) == 120
    assert set(rows.values_list("currency", "origin")) == {
        ("EUR", "sample"),
        ("GBP", "sample"),
    }


def test_rates_are_plausible_and_reach_back_far_enough() -> None:
    rates = parse_rates(sample.exchange_rates(NOW), "USD")

    first = min(rate.day for rate in rates)
    assert first == date(2021, 12, 1)
    assert all(1 < rate.rate < 1.4 for rate in rates if rate.rate is not None)
    joined = min(one.joined_at for one in sample.generate(7, NOW).truth())
    assert first < joined.date()
