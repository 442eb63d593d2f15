"""The usage reports through HTTP: answers, pages, and who may see them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from churnguard.models import Organization, User
from tests.analytics.usage.events import Event, store_and_fold

PAGES = ["active", "retention", "funnel", "adoption"]
QUERIES = {"active": "", "retention": "", "funnel": "?steps=open,save", "adoption": ""}


@pytest.fixture
def used(org: Organization) -> Organization:
    """Acme with ten days of two events by two customers."""
    now = timezone.now()
    store_and_fold(
        org,
        [
            Event(who, "u1", name, now - timedelta(days=n, hours=hours), f"{n}{name}")
            for n in range(1, 11)
            for who in ("ash", "birch")
            for name, hours in (("open", 2), ("save", 1))
        ],
    )
    return org


@pytest.mark.parametrize("name", PAGES)
def test_api_answers_and_refuses(
    client: Client, used: Organization, alice: User, charlie: User, name: str
) -> None:
    address = f"/api/v1/analytics/usage/{name}{QUERIES[name]}"
    assert client.get(address).status_code == 401
    client.force_login(alice)
    joint = "&" if "?" in address else "?"

    answer = client.get(f"{address}{joint}unit=user")
    assert answer.status_code == 200
    assert answer.json()["unit"] == "user"
    assert answer.json()["from"] < answer.json()["to"]
    refused = client.get(f"{address}{joint}unit=cat&from=soon")
    assert refused.status_code == 400
    assert set(refused.json()["fields"]) == {"unit", "from"}

    mine = client.get(address).json()
    client.force_login(charlie)
    theirs = client.get(address).json()
    assert mine != theirs
    assert "ash" not in str(theirs)


@pytest.mark.parametrize("name", PAGES)
def test_page_shows_figures_the_empty_state_and_the_problem(
    client: Client, used: Organization, alice: User, charlie: User, name: str
) -> None:
    address = f"/usage/{name}/{QUERIES[name]}"
    client.force_login(alice)
    page = client.get(address)
    assert page.status_code == 200
    assert b"<table" in page.content
    assert b'aria-current="page"' in page.content

    bad = client.get(f"/usage/{name}/?from=soon")
    assert bad.status_code == 400
    assert b"not valid" in bad.content
    filtered = client.get(f"{address}{'&' if '?' in address else '?'}segment=none")
    assert b"Clear filters" in filtered.content

    client.force_login(charlie)
    assert b"No usage yet" in client.get(address).content


def test_active_answer_is_that_of_the_report(
    client: Client, used: Organization, alice: User
) -> None:
    client.force_login(alice)

    points = client.get("/api/v1/analytics/usage/active").json()["points"]

    assert points[-2]["mau"] == 2
    assert points[-1]["is_running"] is True
    assert points[-1]["mau_complete"] is False


def test_an_empty_period_leads_to_the_days_with_usage(
    client: Client, used: Organization, alice: User
) -> None:
    client.force_login(alice)

    page = client.get("/usage/active/?from=2020-01-01&to=2020-03-24").content

    newest = (timezone.now() - timedelta(days=1, hours=1)).date()
    first = newest - timedelta(days=83)
    assert b"No usage in this period" in page
    assert f"from={first}&amp;to={newest}".encode() in page
