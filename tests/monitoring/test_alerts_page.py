"""The page of all notices, by state and severity."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from churnguard.models import Customer, Organization, User
from churnguard.notices import open_notice, resolve_notice

pytestmark = pytest.mark.django_db


def tell(org: Organization, key: str, severity: str, kind: str = "sync_failed") -> None:
    title, url = f"Notice {key}", "/integrations/int_1/"
    open_notice(connection, org.pk, kind, severity, key, title, "Why.", url)


@pytest.fixture
def pages(client: Client, bob: User) -> Client:
    """A viewer's browser: anybody of the organisation may read."""
    client.force_login(bob)
    return client


def titles(client: Client, query: str = "") -> list[str]:
    rows = client.get(f"/alerts/{query}").context["rows"]
    return [row["notice"].title for row in rows]


def test_open_resolved_and_all_are_told_apart(pages: Client, org: Organization) -> None:
    tell(org, "a", "critical")
    tell(org, "b", "warning")
    tell(org, "c", "critical")
    resolve_notice(connection, org.pk, "a")

    assert titles(pages) == ["Notice c", "Notice b"]
    assert titles(pages, "?state=resolved") == ["Notice a"]
    assert titles(pages, "?state=all") == ["Notice c", "Notice b", "Notice a"]
    assert titles(pages, "?state=all&severity=critical") == ["Notice c", "Notice a"]
    first = pages.get("/alerts/?limit=1")
    assert titles(pages, f"?cursor={first.context['after']}") == ["Notice b"]
    assert "2 open" in first.content.decode()


def test_what_is_open_says_what_to_do_and_what_is_over_only_leads_there(
    pages: Client, org: Organization
) -> None:
    tell(org, "a", "critical", kind="credential_failed")
    place = "/integrations/int_1/settings/#connection"
    assert place in pages.get("/alerts/").content.decode()

    resolve_notice(connection, org.pk, "a")

    page = pages.get("/alerts/?state=resolved").content.decode()
    assert place not in page
    assert 'href="/integrations/int_1/"' in page


def test_each_empty_list_says_what_it_means(pages: Client, org: Organization) -> None:
    assert b"There has been no alert" in pages.get("/alerts/").content

    tell(org, "a", "critical")
    assert b"Nothing was resolved yet" in pages.get("/alerts/?state=resolved").content
    severe = pages.get("/alerts/?severity=info").content
    assert b"Nothing matches these filters" in severe
    resolve_notice(connection, org.pk, "a")
    assert b"Nothing is open" in pages.get("/alerts/").content


@pytest.mark.parametrize("query", ["state=odd", "severity=odd", "cursor=odd"])
def test_an_unknown_filter_shows_the_open_ones_and_says_so(
    pages: Client, org: Organization, query: str
) -> None:
    tell(org, "a", "critical")

    answer = pages.get(f"/alerts/?{query}")

    assert answer.status_code == 400
    assert [row["notice"].title for row in answer.context["rows"]] == ["Notice a"]
    assert b"The open ones are shown instead." in answer.content


def test_a_stranger_sees_none_of_it(
    client: Client, org: Organization, charlie: User
) -> None:
    tell(org, "a", "critical")
    client.force_login(charlie)

    assert b"Notice a" not in client.get("/alerts/").content


def test_the_overview_leads_to_all_of_them(pages: Client, org: Organization) -> None:
    Customer.objects.create(organization=org)
    for number in range(8):
        tell(org, str(number), "warning")

    page = pages.get("/").content.decode()

    assert 'href="/alerts/">All 8 open</a>' in page
