"""Notices that open and close, what is pruned, and GET /api/dashboard/alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection

from churnguard.models import (
    Heartbeat,
    Invitation,
    Notice,
    Organization,
    StreamNote,
    User,
)
from churnguard.notices import open_notice, resolve_notice
from churnguard.stream import notes
from integrations.models import Credential, Integration
from monitoring import prune, watch
from tests.monitoring.worlds import make_integration, make_run

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _open(kind: str = "x", key: str = "x:1", org: Any = None, **more: Any) -> Any:
    given = {"severity": "warning", "title": "It is so", **more}
    return open_notice(connection, org.pk, kind, key=key, **given)


def _alerts() -> list[tuple[int, str, str]]:
    rows = StreamNote.objects.filter(channel="alerts").order_by("seq")
    return [(n.seq, n.payload["state"], n.payload["key"]) for n in rows]


def test_a_notice_opens_once_and_tells_the_socket(org: Organization) -> None:
    first = _open(org=org, detail="Why", url="/x/", data={"n": 1})
    again = _open(org=org)
    resolved = resolve_notice(connection, org.pk, "x:1")
    resolved_again = resolve_notice(connection, org.pk, "x:1")
    second = _open(org=org)

    assert (again, resolved, resolved_again) == (None, True, False)
    assert second not in (None, first)
    assert _alerts() == [(1, "open", "x:1"), (2, "resolved", "x:1"), (3, "open", "x:1")]
    payload = StreamNote.objects.get(seq=1).payload
    assert payload == {
        "type": "notice",
        "id": first,
        "state": "open",
        "kind": "x",
        "severity": "warning",
        "key": "x:1",
        "title": "It is so",
        "detail": "Why",
        "url": "/x/",
    }


def test_the_same_key_is_free_in_another_organisation(
    org: Organization, other_org: Organization
) -> None:
    assert _open(org=org) is not None
    assert _open(org=other_org) is not None


def test_unknown_words_are_refused(org: Organization) -> None:
    with pytest.raises(ValueError, match="none of info, warning, critical"):
        _open(org=org, severity="loud")
    with pytest.raises(ValueError, match="none of alerts"):
        notes.publish(connection, org.pk, "gossip", [{}])


def test_alerts_are_listed_by_state_and_page(
    api: Any, alice: User, charlie: User, org: Organization
) -> None:
    for number in range(3):
        _open(org=org, key=f"x:{number}")
    resolve_notice(connection, org.pk, "x:1")
    get = api(alice).get

    def keys(**query: Any) -> list[str]:
        return [
            row["key"] for row in get("/api/dashboard/alerts", query).json()["results"]
        ]

    assert keys() == ["x:2", "x:0"]
    assert keys(state="resolved") == ["x:1"]
    assert keys(state="all") == ["x:2", "x:1", "x:0"]
    first = get("/api/dashboard/alerts", {"limit": 1}).json()
    assert (first["open"], first["next"] is None) == (2, False)
    assert keys(limit=1, cursor=first["next"]) == ["x:0"]
    assert get("/api/dashboard/alerts", {"state": "odd"}).status_code == 400
    assert get("/api/dashboard/alerts", {"severity": "odd"}).status_code == 400
    assert keys(severity="critical") == []
    assert api(charlie).get("/api/dashboard/alerts").json()["results"] == []
    assert api().get("/api/dashboard/alerts").status_code == 401


def _due(org: Organization, **more: Any) -> Integration:
    integration = make_integration(org, "CRM", sync_frequency=3600, **more)
    Integration.objects.update(created_at=NOW - timedelta(days=1))
    return integration


@pytest.mark.parametrize(
    ("last_hours_ago", "more", "is_late"),
    [
        (1.9, {}, False),
        (2.1, {}, True),
        (None, {}, True),
        (2.1, {"status": "paused"}, False),
        (2.1, {"status": "inactive"}, False),
        (2.1, {"status": "authentication_failed"}, False),
        (2.1, {"status": "error"}, True),
    ],
)
def test_a_sync_is_late_after_two_intervals(
    org: Organization, last_hours_ago: float | None, more: dict[str, str], is_late: bool
) -> None:
    integration = _due(org, **more)
    if last_hours_ago is not None:
        make_run(integration, "completed", NOW - timedelta(hours=last_hours_ago))

    watch.tick(NOW)

    assert Notice.objects.filter(kind="sync_late").exists() == is_late


def test_a_late_notice_opens_once_and_closes_with_a_success(org: Organization) -> None:
    integration = _due(org)

    watch.tick(NOW)
    watch.tick(NOW + timedelta(seconds=5))
    notice = Notice.objects.get()
    assert notice.key == f"sync_late:{integration.pk}"
    assert notice.detail == (
        "No success yet; it is to run every hour. "
        "Late means 2 intervals without success."
    )
    assert notice.url == f"/integrations/{integration.public_id}/"

    make_run(integration, "completed", NOW)
    watch.tick(NOW + timedelta(seconds=10))
    notice.refresh_from_db()
    assert notice.resolved_at is not None
    assert [state for _seq, state, _key in _alerts()] == ["open", "resolved"]


def test_a_notice_of_a_deleted_integration_closes(org: Organization) -> None:
    integration = _due(org)
    watch.tick(NOW)

    integration.delete()
    watch.tick(NOW)

    assert Notice.objects.filter(resolved_at__isnull=True).count() == 0


@pytest.mark.parametrize(
    ("days_left", "kind", "opened"),
    [
        (8, "api_key", []),
        (6, "api_key", [("credential_expiring", "warning")]),
        (-1, "api_key", [("credential_expired", "critical")]),
        (-1, "oauth2", []),
        (None, "api_key", []),
    ],
)
def test_a_credential_about_to_end(
    org: Organization, days_left: int | None, kind: str, opened: list[tuple[str, str]]
) -> None:
    integration = make_integration(org, "CRM", sync_frequency=0)
    ends = None if days_left is None else NOW + timedelta(days=days_left)
    Credential.objects.create(
        integration=integration, credential_type=kind, blob="x", expires_at=ends
    )

    watch.tick(NOW)

    assert list(Notice.objects.values_list("kind", "severity")) == opened


def test_a_token_that_was_renewed_once_will_be_again(org: Organization) -> None:
    integration = make_integration(org, "CRM", sync_frequency=0)
    Credential.objects.create(
        integration=integration,
        credential_type="custom",
        blob="x",
        expires_at=NOW + timedelta(minutes=30),
        refreshed_at=NOW,
    )

    watch.tick(NOW)

    assert not Notice.objects.exists()


def test_what_is_old_is_pruned_and_nothing_else(org: Organization, alice: User) -> None:
    def aged(model: Any, field: str, **days_ago: float) -> None:
        for name, days in days_ago.items():
            row = made[name]
            at = NOW - timedelta(days=days)
            model.objects.filter(pk=row.pk).update(**{field: at})

    made: dict[str, Any] = {}
    for number, name in enumerate(("old_note", "new_note"), start=1):
        made[name] = StreamNote.objects.create(
            organization=org, channel="alerts", seq=number, payload={}
        )
    aged(StreamNote, "created_at", old_note=7.1, new_note=6.9)
    for name in ("old_beat", "new_beat"):
        made[name] = Heartbeat.objects.create(name=name, role="worker", at=NOW)
    aged(Heartbeat, "at", old_beat=1.1, new_beat=0.9)
    for name in ("old_invitation", "new_invitation", "open_invitation"):
        made[name] = Invitation.objects.create(
            organization=org, email="x@example.com", token_hash=name, expires_at=NOW
        )
    aged(Invitation, "expires_at", old_invitation=31, new_invitation=29)
    aged(Invitation, "accepted_at", old_invitation=37)
    for name in ("old_notice", "new_notice", "open_notice"):
        made[name] = Notice.objects.create(
            organization=org, kind="x", severity="info", key=name, title="x"
        )
    aged(Notice, "resolved_at", old_notice=91, new_notice=89)
    aged(Notice, "created_at", open_notice=400)
    for name, days in (("old_session", -1), ("new_session", 1)):
        at = NOW + timedelta(days=days)
        made[name] = Session.objects.create(session_key=name, expire_date=at)

    assert prune.tick(NOW) == 5
    assert prune.tick(NOW) == 0

    left = {
        name
        for name, row in made.items()
        if type(row).objects.filter(pk=row.pk).exists()
    }
    assert left == {name for name in made if not name.startswith("old_")}
