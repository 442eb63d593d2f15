"""Every address of the URLconf, tried by owner, each role, a stranger and nobody.

The list comes from the URLconf itself, so an address added tomorrow is tried too; one
with an argument that `objects` does not know fails until it is added there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from analytics.definitions.models import DefinitionCheck
from analytics.models import (
    AnalysisRun,
    IdentityDecision,
    IdentityReview,
    PersonDecision,
    PersonReview,
    Segment,
)
from churnguard.auth import create_api_key
from churnguard.models import (
    Contact,
    Customer,
    CustomerSource,
    IdentityLink,
    Invitation,
    Membership,
    Organization,
    Person,
    Quarantine,
    Source,
    User,
)
from integrations.connectors.base import Stream
from integrations.models import Integration, StreamState, SyncRun, Upload

CANARY = "Quillfeather"
"""In the name of everything the organisation owns; a stranger must never read it."""

OPEN = {
    "sign-in",
    "sign-out",
    "invitation",
    "health-live",
    "health-ready",
    "schema",
    "api-docs",
    "metrics",
}
"""Addresses that answer people nobody knows (metrics: from this machine alone)."""

OBJECTS_OF_NOBODY = {
    "code",
    "stream",
    "timeframe",
    "source_system",
    "provider",
    "token",
}
"""Arguments that name no row of an organisation by themselves."""

SAME_FOR_ALL = {"schema", "api-docs", "metrics"}
"""Slow, and not asking who it is; the stranger tries them."""

FREE_FOR_VIEWERS = {
    "sign-in",
    "account",
    "organizations",
    "organization-switch",
    "invitation",
}
"""What a viewer may post: things of their own."""


@dataclass(frozen=True)
class Address:
    path: str
    name: str
    is_api: bool
    has_object: bool


def patterns(found: list[Any], prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for item in found:
        route = prefix + str(item.pattern)
        if isinstance(item, URLResolver):
            if not route.startswith("admin/"):
                yield from patterns(item.url_patterns, route)
        else:
            yield route, item


@pytest.fixture
def objects(org: Organization, alice: User) -> dict[str, str]:
    """Argument name -> the id of something of `org`."""
    org.name = CANARY
    org.save()
    source = Source.objects.create(organization=org, name=f"{CANARY}-files")
    integration = Integration.objects.create(
        organization=org, name=CANARY, provider_name="file", source=source
    )
    stream = StreamState.objects.create(
        organization=org,
        integration=integration,
        name="rows",
        record_type="contact",
        spec=msgspec.to_builtins(Stream("rows", "contact")),
    )
    run = SyncRun.objects.create(
        organization=org,
        integration=integration,
        run_at=datetime.now(UTC),
        status="completed",
    )
    customer = Customer.objects.create(organization=org, name=CANARY, score=50)
    known_as = CustomerSource.objects.create(
        organization=org, source=source, external_id="1", customer=customer
    )
    IdentityLink.objects.create(
        organization=org,
        customer_source=known_as,
        customer=customer,
        rule="created",
        valid_from=datetime.now(UTC),
    )
    held = Quarantine.objects.create(
        organization=org,
        source=source,
        record_type="contact",
        code="bad",
        detail=CANARY,
        raw={"name": CANARY},
        fingerprint=uuid4(),
    )
    upload = Upload.objects.create(
        organization=org, integration=integration, name=f"{CANARY}.csv", size_bytes=1
    )
    other = User.objects.create_user("second@example.com", "pw")
    member = Membership.objects.create(organization=org, user=other, role="viewer")
    invitation = Invitation.objects.create(
        organization=org,
        email=f"{CANARY}@example.com",
        token_hash="x",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    key, _ = create_api_key(org, CANARY, ["read"])
    return {
        "integration_id": integration.public_id,
        "sync_id": run.public_id,
        "customer_id": customer.public_id,
        "row_id": str(held.pk),
        "record_id": str(held.pk),
        "upload_id": upload.public_id,
        "member_id": str(member.pk),
        "invitation_id": str(invitation.pk),
        "key_id": key.public_id,
        "stream": stream.name,
        "timeframe": "7d",
        "code": "ticket.subject.filled",
        "source_system": "web",
        "provider": "file",
        "token": "unknown-token",
        **extra_objects(org, customer),
    }


def extra_objects(org: Organization, customer: Customer) -> dict[str, str]:
    """Arguments of the analytics pages."""
    ref = CustomerSource.objects.get(customer=customer)
    decision = IdentityDecision.objects.create(
        organization=org, first=ref, second=ref, verdict="must", decided_by=CANARY
    )
    review = IdentityReview.objects.create(
        organization=org, rule="domain", key=CANARY, members=[ref.pk], reason=CANARY
    )
    segment = Segment.objects.create(
        organization=org,
        name=CANARY,
        slug=CANARY.lower(),
        definition={"field": "name", "op": "=", "value": CANARY},
        created_by=CANARY,
    )
    check = DefinitionCheck.objects.create(
        organization=org, kind="preview", digest=1, state="refused", message=CANARY
    )
    person = Person.objects.create(organization=org, created_at=datetime.now(UTC))
    contact = Contact.objects.create(
        organization=org,
        source=ref.source,
        external_id="p",
        name=CANARY,
        customer_source=ref,
        person=person,
    )
    # The same numbers, so that one argument stands for either level.
    PersonDecision.objects.create(
        pk=decision.pk,
        organization=org,
        first=contact,
        second=contact,
        verdict="must",
        decided_by=CANARY,
    )
    PersonReview.objects.create(
        pk=review.pk,
        organization=org,
        rule="email",
        key=CANARY,
        members=[contact.pk],
        reason=CANARY,
    )
    return {
        "person_id": person.public_id,
        "customer_segment": "all",
        "analysis_id": str(
            AnalysisRun.objects.create(
                organization=org,
                kind="daily",
                scheduled_for=datetime.now(UTC),
                period_start=datetime.now(UTC),
                period_end=datetime.now(UTC),
                error=CANARY,
            ).pk
        ),
        "check_id": check.public_id,
        "segment_id": segment.public_id,
        "decision_id": str(decision.pk),
        "review_id": str(review.pk),
    }


@pytest.fixture
def addresses(objects: dict[str, str]) -> list[Address]:
    out = []
    for route, pattern in patterns(get_resolver().url_patterns):
        names = re.findall(r"<(?:\w+:)?(\w+)>", route)
        assert set(names) <= set(objects), f"tell `objects` of {route}"
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: objects[m[1]], route)
        out.append(
            Address(
                path=f"/{path}",
                name=pattern.name or path,
                is_api=path.startswith("api/"),
                has_object=bool(set(names) - OBJECTS_OF_NOBODY - {"customer_segment"}),
            )
        )
    assert len(out) > 100
    # Signing out would end the session of the requests after it.
    return [address for address in out if address.name != "sign-out"]


def send(client: Client, method: str, path: str) -> Any:
    """One request whose effects are taken back."""
    client.raise_request_exception = False
    with transaction.atomic():
        if method == "POST":
            answer = client.post(path, "{}", content_type="application/json")
        else:
            answer = client.get(path)
        if not answer.streaming:
            answer.text_body = answer.content.decode(errors="replace")
        transaction.set_rollback(True)
    return answer


def test_nobody_gets_in(client: Client, addresses: list[Address]) -> None:
    wrong = []
    for address in addresses:
        if address.name in OPEN:
            continue
        for method in ("GET", "POST"):
            answer = send(client, method, address.path)
            is_refused = answer.status_code in (401, 403, 404, 405)
            to_sign_in = answer.status_code == 302 and "/sign-in/" in answer.url
            if not (is_refused or to_sign_in):
                wrong.append((method, address.path, answer.status_code))
            assert CANARY not in answer.text_body, address.path

    assert wrong == []


def test_a_stranger_finds_nothing(
    client: Client, addresses: list[Address], charlie: User
) -> None:
    client.force_login(charlie)
    wrong = []
    for address in addresses:
        for method in ("GET", "POST"):
            answer = send(client, method, address.path)
            if CANARY in answer.text_body:
                wrong.append((method, address.path, "shows the organisation's data"))
            if address.has_object and answer.status_code not in (404, 405):
                wrong.append((method, address.path, answer.status_code))
            if answer.status_code >= 500 and address.name != "health-ready":
                wrong.append((method, address.path, answer.status_code))

    assert wrong == []


@pytest.mark.parametrize("role", ["owner", "admin", "analyst", "viewer"])
def test_members_meet_no_error(
    client: Client,
    addresses: list[Address],
    member: Callable[..., User],
    role: str,
) -> None:
    client.force_login(member(role))
    wrong = []
    # An address with a slash and one without are one view.
    views = {address.path.rstrip("/"): address for address in addresses}
    for address in views.values():
        if address.name in SAME_FOR_ALL:
            continue
        for method in ("GET", "POST"):
            answer = send(client, method, address.path)
            if answer.status_code >= 500 and address.name != "health-ready":
                wrong.append((method, address.path, answer.status_code))

    assert wrong == []


def test_a_viewer_changes_nothing(
    client: Client, addresses: list[Address], member: Callable[..., User]
) -> None:
    client.force_login(member("viewer"))
    wrong = []
    # Refusals told on the page they lead to, and a preview that anybody may see; the
    # tests of those pages show that nothing changed.
    told = {"member-role", "member-remove", "integration-mapping"}
    told |= {"api-segment-preview"}
    for address in addresses:
        if address.name in FREE_FOR_VIEWERS | OPEN | told:
            continue
        answer = send(client, "POST", address.path)
        if answer.status_code not in (403, 404, 405):
            wrong.append((address.path, answer.status_code))

    assert wrong == []
