"""The support report equals a count by hand."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from analytics.support.report import support
from churnguard.models import (
    Customer,
    CustomerSource,
    Organization,
    Source,
    Ticket,
    User,
)
from tests.analytics.usage.events import scope_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ZONE = "America/New_York"


def maybe(dice: random.Random, value: Any) -> Any:
    return value if dice.random() < 0.7 else None


def add_tickets(org: Organization, count: int = 400) -> list[Ticket]:
    """Random tickets of three months, a tenth of them deleted."""
    dice = random.Random(11)
    source = Source.objects.create(organization=org, name="desk")
    refs: list[CustomerSource | None] = [None]
    for n in range(5):
        customer = Customer.objects.create(
            organization=org, name=f"Account {n}", segment="big" if n < 2 else "small"
        )
        refs.append(
            CustomerSource.objects.create(
                organization=org, source=source, external_id=f"a{n}", customer=customer
            )
        )
    tickets = []
    for n in range(count):
        opened = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(
            minutes=dice.randrange(90 * 1440)
        )
        tickets.append(
            Ticket(
                organization=org,
                source=source,
                external_id=str(n),
                customer_source=dice.choice(refs),
                team=dice.choice([None, "", "billing", "product"]),
                opened_at=opened,
                first_replied_at=maybe(
                    dice, opened + timedelta(minutes=dice.randrange(-5, 600))
                ),
                solved_at=maybe(dice, opened + timedelta(minutes=dice.randrange(9000))),
                closed_at=maybe(dice, opened + timedelta(days=20)),
                is_first_contact_resolved=maybe(dice, dice.random() < 0.5),
                is_escalated=maybe(dice, dice.random() < 0.2),
                satisfaction_pct=maybe(dice, float(dice.randrange(101))),
                deleted_at=NOW if dice.random() < 0.1 else None,
            )
        )
    Ticket.objects.bulk_create(tickets)
    return tickets


def by_hand(tickets: list[Ticket]) -> dict[str, Any]:
    def seconds(ends: list[tuple[datetime, datetime | None]]) -> list[float]:
        return [max((end - start).total_seconds(), 0) for start, end in ends if end]

    replies = seconds([(t.opened_at, t.first_replied_at) for t in tickets])
    ends = [(t.opened_at, t.solved_at or t.closed_at) for t in tickets]
    solved = seconds(ends)
    at_first = [
        t.is_first_contact_resolved
        for t in tickets
        if t.is_first_contact_resolved is not None
    ]
    rated = [t.satisfaction_pct for t in tickets if t.satisfaction_pct is not None]
    escalated = [t.is_escalated for t in tickets if t.is_escalated is not None]
    return {
        "volume": len(tickets),
        "open": len(tickets) - len(solved),
        "replied": len(replies),
        "first_response_median_s": round(statistics.median(replies), 3)
        if replies
        else None,
        "resolved": len(solved),
        "resolution_median_s": round(statistics.median(solved), 3) if solved else None,
        "first_contact_known": len(at_first),
        "first_contact_share": round(sum(at_first) / len(at_first), 6)
        if at_first
        else None,
        "rated": len(rated),
        "csat_pct": round(statistics.fmean(rated), 6) if rated else None,
        "escalation_known": len(escalated),
        "escalations": sum(escalated),
    }


@pytest.mark.parametrize("narrow", ["", "team", "segment"])
def test_every_figure_equals_a_count_by_hand(org: Organization, narrow: str) -> None:
    org.timezone = ZONE
    org.save()
    first, last = date(2026, 3, 10), date(2026, 5, 17)
    tickets = [
        t
        for t in add_tickets(org)
        if t.deleted_at is None
        and first <= t.opened_at.astimezone(ZoneInfo(ZONE)).date() <= last
    ]
    query = f"from={first}&to={last}"
    if narrow == "team":
        tickets = [t for t in tickets if t.team == "billing"]
    if narrow == "segment":
        query += "&segment=big"
        tickets = [
            t
            for t in tickets
            if t.customer_source and t.customer_source.customer.segment == "big"
        ]

    found = support(scope_of(org, NOW, query), "billing" if narrow == "team" else "")

    teams, customers, weeks = (defaultdict(list) for _ in range(3))
    for ticket in tickets:
        teams[ticket.team or ""].append(ticket)
        if ticket.customer_source:
            customers[ticket.customer_source.customer.public_id].append(ticket)
        day = ticket.opened_at.astimezone(ZoneInfo(ZONE)).date()
        weeks[(day - timedelta(days=day.weekday())).isoformat()].append(ticket)
    assert len(tickets) > 30
    assert found["total"] == by_hand(tickets)
    for key, name, groups in (
        ("teams", "team", teams),
        ("customers", "customer_id", customers),
    ):
        rows = found[key]
        assert len(rows) == len(groups)
        assert [row["volume"] for row in rows] == sorted(
            (row["volume"] for row in rows), reverse=True
        )
        for row in rows:
            expected = by_hand(groups[row[name]])
            assert {measure: row[measure] for measure in expected} == expected
    assert [week["start"] for week in found["weeks"]][0::9] == [
        "2026-03-09",
        "2026-05-11",
    ]
    for week in found["weeks"]:
        expected = by_hand(weeks[week["start"]])
        assert {measure: week[measure] for measure in expected} == expected


def test_report_through_http_shows_each_organisation_its_own(
    client: Client, org: Organization, alice: User, bob: User, charlie: User
) -> None:
    add_tickets(org, 40)
    period = "from=2026-03-01&to=2026-05-31"
    assert client.get("/api/v1/analytics/support").status_code == 401

    client.force_login(bob)
    answer = client.get(f"/api/v1/analytics/support?{period}").json()
    page = client.get(f"/support/?{period}").content.decode()
    assert 0 < answer["total"]["volume"] <= 40
    assert f"{answer['total']['volume']} tickets opened" in page
    assert answer["customers"][0]["name"] in page
    assert "Clear filters" in client.get(f"/support/?{period}&team=x").content.decode()
    assert client.get("/support/?from=soon").status_code == 400
    refused = client.get("/api/v1/analytics/support?to=soon&team=%00")
    assert set(refused.json()["fields"]) == {"to"}

    client.force_login(charlie)
    theirs = client.get(f"/api/v1/analytics/support?{period}").json()
    assert theirs["total"]["volume"] == 0
    assert theirs["customers"] == []
    assert b"No tickets in this period" in client.get(f"/support/?{period}").content
