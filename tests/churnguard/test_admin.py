"""The operators' admin: every page opens, nothing secret shows, changes are audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from churnguard.admin import READ_ONLY
from churnguard.admin_base import EstimatingPaginator
from churnguard.auth import create_api_key
from churnguard.models import (
    ApiKey,
    AuditEntry,
    Customer,
    CustomerSource,
    IdentityLink,
    Invitation,
    Notice,
    Organization,
    Schedule,
    Source,
    StreamNote,
    Ticket,
    User,
)
from churnguard.notices import open_notice

pytestmark = pytest.mark.django_db

KERNEL = list(apps.get_app_config("churnguard").get_models())
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("ops@example.com", "pw")


@pytest.fixture
def ops(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def rows(org: Organization, bob: User) -> dict[str, Any]:
    """One row of many tables."""
    source = Source.objects.create(organization=org, name="crm")
    customer = Customer.objects.create(organization=org, name="Acorn")
    identity = CustomerSource.objects.create(
        organization=org, source=source, external_id="a1", customer=customer
    )
    IdentityLink.objects.create(
        organization=org,
        customer_source=identity,
        customer=customer,
        rule="first_seen",
        valid_from=NOW,
    )
    Ticket.objects.create(
        organization=org, source=source, external_id="t1", customer_source=identity
    )
    key, plain = create_api_key(org, "door", ["ingest"], created_by=bob)
    invitation = Invitation.objects.create(
        organization=org,
        email="dora@example.com",
        token_hash="f" * 64,
        expires_at=timezone.now() + timedelta(days=1),
    )
    schedule = Schedule.objects.create(
        organization=org, kind="sync", every_s=60, next_run_at=NOW
    )
    open_notice(connection, org.pk, "x", "warning", "x:1", "It is so")
    AuditEntry.objects.create(
        organization=org, actor="a", action="b", target_type="c", target_id="d"
    )
    return {
        "key": key,
        "plain": plain,
        "invitation": invitation,
        "schedule": schedule,
        "customer": customer,
    }


def _list(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _form(row: Any) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


def _act(client: Client, model: Any, action: str, *rows: Any) -> Any:
    given = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(_list(model), given, follow=True)


@pytest.mark.parametrize("model", KERNEL, ids=lambda model: model.__name__)
def test_every_kernel_table_has_a_list_and_a_search(
    ops: Client, rows: Any, model: Any
) -> None:
    options = admin.site._registry[model]

    assert ops.get(_list(model)).status_code == 200
    if options.search_fields:
        assert ops.get(_list(model), {"q": "door 1"}).status_code == 200
    for row in model._default_manager.all()[:1]:
        assert ops.get(_form(row)).status_code == 200


def test_groups_are_not_offered(ops: Client) -> None:
    assert Group not in admin.site._registry
    page = ops.get("/admin/")
    assert b"ChurnGuard operations" in page.content
    assert b"css/admin.css" in page.content


def test_no_secret_shows(ops: Client, operator: User, rows: Any) -> None:
    secrets = [
        rows["plain"],
        rows["key"].key_hash,
        rows["invitation"].token_hash,
        operator.password,
        operator.password.split("$")[-1],
    ]
    pages = [_list(ApiKey), _list(Invitation), _list(User)]
    pages += [_form(rows["key"]), _form(rows["invitation"]), _form(operator)]

    for page in pages:
        content = ops.get(page).content.decode()
        assert [secret for secret in secrets if secret in content] == []


@pytest.mark.parametrize(
    "model",
    [*READ_ONLY, ApiKey, Invitation, Notice],
    ids=lambda model: model.__name__,
)
def test_facts_ledger_audit_and_notes_cannot_be_changed(
    ops: Client, rows: Any, model: Any
) -> None:
    base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert ops.get(reverse(f"{base}_add")).status_code == 403

    count = model._default_manager.count()
    for row in model._default_manager.all()[:1]:
        assert ops.post(_form(row), {"name": "x"}).status_code == 403
        delete = reverse(f"{base}_delete", args=[row.pk])
        assert ops.post(delete, {"post": "yes"}).status_code == 403
        _act(ops, model, "delete_selected", row)
    assert model._default_manager.count() == count


def test_keys_and_invitations_are_revoked(ops: Client, rows: Any) -> None:
    for _ in range(2):
        _act(ops, ApiKey, "revoke", rows["key"])
        _act(ops, Invitation, "revoke", rows["invitation"])

    rows["key"].refresh_from_db()
    rows["invitation"].refresh_from_db()
    assert rows["key"].revoked_at is not None
    assert rows["invitation"].revoked_at is not None
    entries = AuditEntry.objects.filter(actor="ops@example.com").order_by("pk")
    assert [entry.action for entry in entries] == [
        "api_key.revoked",
        "admin.invitation_revoked",
    ]


def test_a_notice_is_resolved_and_told(ops: Client, rows: Any) -> None:
    notice = Notice.objects.get()

    _act(ops, Notice, "resolve", notice)

    notice.refresh_from_db()
    assert notice.resolved_at is not None
    note = StreamNote.objects.order_by("seq").last()
    assert note.payload["state"] == "resolved"


def test_schedules_are_run_and_switched(ops: Client, rows: Any) -> None:
    schedule = rows["schedule"]

    _act(ops, Schedule, "disable", schedule)
    schedule.refresh_from_db()
    assert not schedule.is_enabled
    _act(ops, Schedule, "enable", schedule)
    _act(ops, Schedule, "run_now", schedule)
    schedule.refresh_from_db()
    assert schedule.is_enabled
    assert schedule.next_run_at > NOW
    actions = AuditEntry.objects.filter(target_type="schedule").order_by("pk")
    assert list(actions.values_list("action", flat=True)) == [
        "admin.schedule_disabled",
        "admin.schedule_enabled",
        "admin.schedule_run_now",
    ]


def test_a_change_is_audited(ops: Client, org: Organization, bob: User) -> None:
    given = {
        "name": "Acme Ltd",
        "timezone": "UTC",
        "base_currency": "USD",
        "settings": "{}",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }

    response = ops.post(_form(org), given)

    assert response.status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.before, entry.after) == (
        "admin.organization_changed",
        {"name": "Acme"},
        {"name": "Acme Ltd"},
    )


def test_a_person_is_made_without_a_trace_of_the_password(ops: Client) -> None:
    given = {
        "email": "New@Example.com",
        "password1": "a-long-passphrase-7",
        "password2": "a-long-passphrase-7",
    }

    response = ops.post(reverse("admin:churnguard_user_add"), given)

    assert response.status_code == 302
    made = User.objects.get(email__iexact="new@example.com")
    assert made.check_password("a-long-passphrase-7")
    assert "a-long-passphrase-7" not in str(list(AuditEntry.objects.values()))


def test_events_are_listed_by_customer_source_only(ops: Client) -> None:
    path = reverse("admin:churnguard_usageevent_changelist")

    assert ops.get(path).status_code == 200
    assert ops.get(path, {"q": "7"}).status_code == 200
    assert ops.get(path, {"q": "x' OR 1=1"}).status_code == 200


def test_members_and_strangers_stay_outside(client: Client, alice: User) -> None:
    anonymous = client.get("/admin/")
    assert anonymous["Location"] == "/admin/login/?next=/admin/"
    door = client.get("/admin/login/?next=/admin/")
    assert door["Location"] == "/sign-in/?next=/admin/"
    assert client.post("/admin/login/", {"username": "x"}).status_code == 302

    client.force_login(alice)
    assert client.get("/admin/login/?next=/admin/").status_code == 403
    assert client.get(_list(ApiKey)).status_code == 302


def test_long_lists_are_counted_by_estimate(
    org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churnguard.admin_base.COUNT_MOST", 3)
    Customer.objects.bulk_create(Customer(organization=org) for _ in range(5))
    with connection.cursor() as cur:
        cur.execute("ANALYZE cg_customer")

    every, some = Customer.objects.all(), Customer.objects.filter(band="unknown")
    assert EstimatingPaginator(every.order_by("pk"), 50).count == 5
    assert EstimatingPaginator(some.order_by("pk"), 50).count == 3
    assert EstimatingPaginator(every.filter(name="x").order_by("pk"), 50).count == 0
