"""The operations endpoints and the overview, against numbers worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from churnguard import metrics
from churnguard.auth import create_api_key
from churnguard.models import Customer, Organization, Source, User
from churnguard.notices import open_notice
from integrations.models import Integration
from monitoring import stats
from tests.monitoring.worlds import make_batch, make_integration, make_run

pytestmark = pytest.mark.django_db

ADMIN = ("stats", "health", "sync-activity", "errors", "performance")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def world(org: Organization, other_org: Organization, now: datetime) -> Integration:
    """Two integrations of `org` with five ended runs and one at work; one of others."""
    crm = make_integration(org, "CRM", sync_frequency=3600)
    desk = make_integration(org, "Desk", status="authentication_failed")
    ago = timedelta
    counts = {"fetched": 100, "inserted": 60, "updated": 30, "unchanged": 10}
    make_run(crm, "completed", now - ago(hours=3), seconds=20, counts=counts)
    make_run(crm, "completed", now - ago(minutes=1), seconds=10, counts=counts)
    make_run(crm, "processing", None)
    make_run(desk, "completed", now - ago(days=2), seconds=5)
    make_run(desk, "failed", now - ago(minutes=2), error_code="authentication_failed")
    bad = {"fetched": 4, "inserted": 1, "quarantined": 3}
    make_run(desk, "incomplete", now - ago(minutes=1), counts=bad, error_code="timeout")
    strange = make_integration(other_org, "Strange")
    make_run(strange, "failed", now - ago(minutes=1), error_code="odd")
    return crm


def _get(api: Any, user: User, name: str, **query: Any) -> dict[str, Any]:
    response = api(user).get(f"/api/admin/integrations/{name}", query)
    assert response.status_code == 200
    return response.json()


def test_stats(api: Any, alice: User, world: Integration) -> None:
    body = _get(api, alice, "stats")

    assert body["integrations"] == {
        "total": 2,
        "by_status": {"active": 1, "authentication_failed": 1},
    }
    assert body["sync_jobs_24h"]["total"] == 5
    assert body["sync_jobs_24h"]["by_status"]["completed"] == 2
    first, second = body["top_integrations"]
    assert (first["name"], first["runs"], first["records"]) == ("CRM", 2, 200)
    assert first["avg_duration_s"] == pytest.approx(15)
    assert first["p95_duration_s"] == pytest.approx(19.5)
    assert first["records_per_s"] == pytest.approx(200 / 30)
    assert (second["name"], second["runs"], second["records"]) == ("Desk", 2, 4)
    trend = body["error_rate_trend"]
    assert len(trend) == 24
    assert sum(hour["ended"] for hour in trend) == 4
    assert sum(hour["failed"] for hour in trend) == 1


def test_health(api: Any, alice: User, world: Integration) -> None:
    Integration.objects.filter(pk=world.pk).update(sync_frequency=20)

    desk, crm = _get(api, alice, "health")["results"]

    assert (desk["name"], desk["connection_status"], desk["error_count_24h"]) == (
        "Desk",
        "authentication_failed",
        2,
    )
    assert desk["last_successful_sync"] is not None
    assert (crm["connection_status"], crm["error_count_24h"]) == ("connected", 0)
    assert (crm["is_late"], crm["sync_frequency_s"]) == (True, 20)


def test_activity(api: Any, alice: User, world: Integration) -> None:
    body = _get(api, alice, "sync-activity", limit=2)

    assert [job["status"] for job in body["active"]] == ["processing"]
    assert [job["status"] for job in body["history"]] == ["incomplete", "failed"]
    assert body["totals"] == {"created": 1, "updated": 0, "failed": 3}
    whole = _get(api, alice, "sync-activity")
    assert len(whole["history"]) == 5
    assert whole["totals"] == {"created": 121, "updated": 60, "failed": 3}
    assert whole["history"][-1]["duration_s"] == pytest.approx(20)


def test_errors(api: Any, alice: User, world: Integration) -> None:
    body = _get(api, alice, "errors")

    assert [(row["error_code"], row["error_detail"]) for row in body["recent"]] == [
        ("timeout", "It said no."),
        ("authentication_failed", "It said no."),
    ]
    assert [(row["error_code"], row["n"]) for row in body["top_error_types"]] == [
        ("authentication_failed", 1),
        ("timeout", 1),
    ]
    assert body["failed_jobs_24h"] == 1
    assert len(_get(api, alice, "errors", limit=1)["recent"]) == 1


def test_performance(
    api: Any, alice: User, org: Organization, world: Integration
) -> None:
    for seconds in (0.1, 0.3):
        metrics.adapter_request(
            "hubspot", 200, seconds, tenant_id=org.public_id, integration_id="int_1"
        )
    metrics.adapter_request("hubspot", 200, 9.0, tenant_id="org_other")

    body = _get(api, alice, "performance")

    assert [row["name"] for row in body["integrations"]] == ["CRM", "Desk"]
    assert {row["queue"] for row in body["queues"]} == {
        "sync",
        "rollup",
        "scoring",
        "quarantine",
    }
    assert body["adapters"] == [{"adapter": "hubspot", "requests": 2, "avg_s": 0.2}]


@pytest.mark.parametrize("name", ADMIN)
def test_who_may_read(
    api: Any, org: Organization, member: Any, charlie: User, name: str
) -> None:
    path = f"/api/admin/integrations/{name}"
    make_integration(org, "CRM")

    def status(**who: Any) -> int:
        return api(**who).get(path).status_code

    assert status() == 401
    assert status(user=member("analyst")) == 403
    assert status(key=create_api_key(org, "r", ["read"])[1]) == 403
    assert status(key=create_api_key(org, "a", ["admin"])[1]) == 200
    assert status(user=member("admin")) == 200
    assert "CRM" not in api(charlie).get(path).content.decode()
    assert api(charlie).get(path, {"limit": "0"}).status_code == (
        400 if name in ("sync-activity", "errors") else 200
    )


def test_overall_numbers_by_hand(
    api: Any, alice: User, org: Organization, world: Integration, now: datetime
) -> None:
    web = Source.objects.create(organization=org, name="web")
    make_batch(web, now, inserted=5, duplicate=2, quarantined=1, events=4)
    make_batch(web, now - timedelta(hours=2), updated=3)
    make_batch(web, now - timedelta(hours=30), inserted=9)
    for band in ("healthy", "healthy", "at_risk"):
        Customer.objects.create(organization=org, band=band)
    gone = now - timedelta(days=1)
    Customer.objects.create(organization=org, band="at_risk", churned_at=gone)
    open_notice(connection, org.pk, "x", "critical", "x:1", "Look")
    stats.forget(org)

    body = api(alice).get("/api/dashboard/metrics").json()

    assert body["records_24h"] == {
        "fetched": 11,
        "inserted": 5,
        "updated": 3,
        "unchanged": 0,
        "duplicate": 2,
        "quarantined": 1,
        "filtered": 0,
        "events": 4,
    }
    assert body["customers"]["total"] == 4
    assert body["customers"]["by_band"] == {
        "healthy": 2, "watch": 0, "at_risk": 1, "unknown": 0, "left": 1,
    }  # fmt: skip
    assert body["sync_jobs_24h"]["by_status"] == {
        "pending": 0,
        "processing": 1,
        "completed": 2,
        "incomplete": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert body["alerts_open"] == {
        "total": 1,
        "by_severity": {"critical": 1, "warning": 0, "info": 0},
    }
    assert len(body["hours"]) == 24
    assert [h["inserted"] for h in body["hours"] if h["inserted"]] == [5]
    assert datetime.fromisoformat(body["last_record_at"]) == now


def test_the_last_record_is_known_after_a_quiet_day(
    org: Organization, now: datetime
) -> None:
    web = Source.objects.create(organization=org, name="web")
    at = now - timedelta(days=3)
    make_batch(web, at, inserted=1)

    assert stats.get_overall(org)["last_record_at"] == at


def test_the_overview_shows_the_numbers_of_the_api(
    client: Client, api: Any, alice: User, org: Organization, world: Integration
) -> None:
    Customer.objects.create(organization=org, band="at_risk")
    open_notice(connection, org.pk, "x", "critical", "x:1", "The desk is closed")
    client.force_login(alice)

    page = client.get("/")
    body = api(alice).get("/api/dashboard/metrics").json()

    assert page.status_code == 200
    overall = page.context["overall"]
    for name in ("customers", "integrations", "sync_jobs_24h", "records_24h"):
        assert body[name] == overall[name]
    assert b"The desk is closed" in page.content
    assert page.context["jobs"][0]["name"] == "CRM"


def test_an_empty_organisation_is_told_how_to_begin(client: Client, bob: User) -> None:
    client.force_login(bob)

    page = client.get("/")

    assert b"Nothing has come in yet" in page.content


def test_nobody_is_asked_to_sign_in(client: Client, api: Any, db: None) -> None:
    assert client.get("/")["Location"] == "/sign-in/?next=/"
    assert api().get("/api/dashboard/metrics").status_code == 401
