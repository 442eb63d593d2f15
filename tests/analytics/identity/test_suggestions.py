"""Suggestions: found in small blocks, weighed by hand-checkable sums, never again
once decided."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache

from analytics.identity import actions, suggestions
from analytics.identity.alike_customers import Card, plain_name, weigh
from churnguard.models import Organization
from churnguard.records import CustomerRecord
from tests.analytics.identity.test_resolve import living, settle, write

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANN: Any = "ann@acme.example"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ACME, Inc.", "acme"),
        ("Müller & Söhne GmbH", "muller sohne"),
        ("Birch B.V.", "birch"),
        ("The Oak Company Ltd", "oak"),
        (None, ""),
    ],
)
def test_plain_name(name: str | None, plain: str) -> None:
    assert plain_name(name) == plain


def test_weights_add_up_and_do_not_depend_on_the_order() -> None:
    one = Card("Acme Inc", "acme.example", "+49 (30) 901820", "DE")
    other = Card("ACME GmbH", "acme.test", "030 901820", "de")

    reasons = weigh(one, other, is_same_source=False)

    assert [points for _, points in reasons] == [5.0, 3.0, 0.5]
    assert weigh(other, one, is_same_source=False) == reasons
    same = weigh(one, one, is_same_source=True)
    assert sum(points for _, points in same) == 5 + 4 + 4 + 0.5 - 1.5
    apart = Card("Zebra Tools", "zebra.test", "", "FR")
    assert sum(p for _, p in weigh(one, apart, is_same_source=False)) == -4.5


@pytest.fixture
def world(org: Organization, monkeypatch: pytest.MonkeyPatch) -> Organization:
    monkeypatch.setattr(actions.audit, "actor_of", str)
    cache.clear()
    write(
        org,
        "crm",
        CustomerRecord(external_id="1", name="Acme Rockets Inc", domain="acme.example"),
        CustomerRecord(external_id="2", name="Birch Works"),
    )
    write(
        org,
        "desk",
        CustomerRecord(external_id="a", name="ACME Rockets GmbH"),
        CustomerRecord(external_id="b", name="Willow Works"),
    )
    settle()
    return org


def test_a_rejected_suggestion_never_comes_back(
    world: Organization, other_org: Organization
) -> None:
    (only,) = suggestions.current(world, NOW).items
    assert only.weight == 5.0
    assert suggestions.compute(other_org, NOW).items == []

    actions.judge(ANN, world, only.first, only.second, is_same=False, now=NOW)

    assert suggestions.current(world, NOW).items == []
    assert suggestions.compute(world, NOW).items == []
    assert len(living(world)) == 4


def test_an_accepted_suggestion_is_one_customer(world: Organization) -> None:
    (only,) = suggestions.current(world, NOW).items

    actions.judge(ANN, world, only.first, only.second, is_same=True, now=NOW)

    assert ("crm", "desk") in living(world)
    assert suggestions.current(world, NOW).items == []


def test_each_organisation_is_computed_once_a_day(world: Organization) -> None:
    assert suggestions.tick(NOW) == 1
    assert suggestions.tick(NOW) == 0


def test_what_is_kept_is_looked_for_again_when_much_has_arrived(
    world: Organization,
) -> None:
    assert len(suggestions.current(world, NOW).items) == 1
    write(world, "web", CustomerRecord(external_id="w", name="Birch Works Ltd"))
    settle()

    found = suggestions.current(world, NOW)

    # Five identities instead of four.
    assert len(found.items) == 2
