"""An organisation's own settings, by page, API and command."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from churnguard.auth import create_api_key
from churnguard.models import (
    AuditEntry,
    ExchangeRate,
    Membership,
    Organization,
    Source,
    User,
)
from tests.monitoring.worlds import make_batch

pytestmark = pytest.mark.django_db
API = "/api/v1/organization"
PAGE = "/settings/organization/"
MADRID = {"name": "Sol", "timezone": "Europe/Madrid", "base_currency": "eur"}


def counted_by(org: Organization) -> tuple[str, str, str]:
    org.refresh_from_db()
    return org.name, org.timezone, org.base_currency


def test_page_and_api_change_the_same(
    client: Client, alice: User, org: Organization, api: Any
) -> None:
    client.force_login(alice)

    assert client.post(PAGE, MADRID).status_code == 302
    assert counted_by(org) == ("Sol", "Europe/Madrid", "EUR")
    answer = api(alice).patch(API, {"timezone": "Asia/Tokyo"}, format="json")

    assert answer.json() == {
        "id": org.public_id,
        "name": "Sol",
        "timezone": "Asia/Tokyo",
        "base_currency": "EUR",
        "is_fixed": False,
    }
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor, entry.action) == (alice.email, "organization.changed")
    assert entry.before == {"timezone": "Europe/Madrid"}
    assert entry.after == {"timezone": "Asia/Tokyo"}
    assert b"Asia/Tokyo" in client.get(PAGE).content


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"timezone": "Europe/Atlantis"}, "timezone"),
        ({"base_currency": "euro"}, "base_currency"),
        ({"base_currency": "eu1"}, "base_currency"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_what_is_not_valid_is_named(
    client: Client, alice: User, org: Organization, api: Any, given: Any, field: str
) -> None:
    before = counted_by(org)
    answer = api(alice).patch(API, given, format="json")
    client.force_login(alice)
    page = client.post(PAGE, {**MADRID, **given})

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert page.status_code == 422
    assert list(page.context["form"].errors) == [field]
    assert counted_by(org) == before


@pytest.mark.parametrize("stored", ["batch", "rate"])
def test_only_the_name_changes_once_data_are_stored(
    client: Client, alice: User, org: Organization, api: Any, stored: str
) -> None:
    now = datetime.now(UTC)
    if stored == "batch":
        make_batch(Source.objects.create(organization=org, name="web"), now, inserted=1)
    else:
        ExchangeRate.objects.create(
            organization=org, currency="EUR", day=now.date(), rate=2
        )
    client.force_login(alice)

    refused = api(alice).patch(API, {"timezone": "Europe/Madrid"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (400, "fixed")
    assert list(refused.json()["fields"]) == ["timezone"]
    assert api(alice).get(API).json()["is_fixed"] is True
    assert client.post(PAGE, MADRID).status_code == 302
    assert counted_by(org) == ("Sol", "UTC", "USD")


def test_a_viewer_sees_and_may_not_change(
    client: Client, bob: User, org: Organization, api: Any
) -> None:
    before = counted_by(org)
    client.force_login(bob)

    assert b"Owners and admins change these." in client.get(PAGE).content
    assert client.post(PAGE, MADRID).status_code == 403
    assert api(bob).patch(API, MADRID, format="json").status_code == 403
    assert api(bob).get(API).json()["name"] == org.name
    assert counted_by(org) == before


def test_a_key_reads_its_own_organisation(
    org: Organization, other_org: Organization, api: Callable[..., Any]
) -> None:
    _, key = create_api_key(org, "reader", ["read"])

    assert api(key=key).get(API).json()["id"] == org.public_id


def test_a_first_owner_joins_by_the_printed_link(client: Client) -> None:
    out = StringIO()
    call_command(
        "create_organization",
        "Sol",
        "Ana@sol.example",
        timezone="Europe/Madrid",
        currency="eur",
        url="https://cg.sol.example/",
        stdout=out,
    )
    found = re.search(r"https://cg\.sol\.example(/invitations/\S+)", out.getvalue())
    assert found is not None
    joined = client.post(found[1], {"name": "Ana", "password": "a-long-passphrase-7"})

    assert joined.status_code == 302
    owner = Membership.objects.get(organization__name="Sol")
    assert (owner.user.email, owner.role) == ("ana@sol.example", "owner")
    assert counted_by(owner.organization) == ("Sol", "Europe/Madrid", "EUR")
    assert list(
        AuditEntry.objects.filter(organization=owner.organization)
        .order_by("pk")
        .values_list("actor", "action")
    ) == [
        ("command", "organization.created"),
        ("command", "member.invited"),
        ("ana@sol.example", "member.joined"),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Sol", "ana"], "no e-mail address"),
        (["Sol", "ana@sol.example", "--timezone", "Nowhere"], "no time zone"),
        (["Sol", "ana@sol.example", "--currency", "euro"], "three capital letters"),
        (["", "ana@sol.example"], "name: This field cannot be blank."),
    ],
)
def test_the_command_names_what_is_wrong(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("create_organization", *arguments)

    assert not Organization.objects.filter(name="Sol").exists()
