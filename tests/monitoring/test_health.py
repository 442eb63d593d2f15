"""Live, ready, and the reasons when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from churnguard.models import Heartbeat
from integrations.ingest.committer import committer
from monitoring import health

pytestmark = pytest.mark.django_db(transaction=True)

ALL_OK = {
    "database": "ok",
    "migrations": "ok",
    "worker": "ok",
    "bus": "ok",
    "cache": "ok",
    "ingest": "ok",
}


@pytest.fixture(autouse=True)
def fresh() -> Any:
    health.forget()
    yield
    health.forget()


def _beat(age_s: float) -> None:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    Heartbeat.objects.create(name="worker:test", role="worker", at=at)


def _ready(client: Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/api/dashboard/health")
    return response.status_code, response.json()


def test_ready_with_everything_there(client: Client) -> None:
    _beat(1)

    assert _ready(client) == (
        200,
        {"status": "ok", "ready": True, "checks": ALL_OK, "reasons": []},
    )


def test_live_leans_on_nothing(client: Client, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    settings.REDIS_URL = settings.CACHE_URL = "unix:///nowhere.sock"

    response = client.get("/webhooks/health")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert client.post("/webhooks/health").status_code == 405


def test_probes_are_not_sent_to_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/webhooks/health").status_code == 200
    assert client.get("/api/dashboard/health").status_code == 503
    assert client.get("/metrics").status_code == 200
    assert client.get("/sign-in/").status_code == 301


def test_no_worker_and_an_old_one(client: Client) -> None:
    status, body = _ready(client)
    assert (status, body["checks"]["worker"]) == (503, "failed")
    assert body["reasons"] == ["No worker has ever run."]

    health.forget()
    _beat(45)
    status, body = _ready(client)
    assert (status, body["reasons"]) == (
        503,
        ["The last sign of a worker is 45 s old."],
    )


def test_a_bus_that_is_gone_fails_and_a_cache_degrades(
    client: Client, settings: Any
) -> None:
    _beat(1)
    settings.CACHE_URL = "unix:///nowhere.sock"
    status, body = _ready(client)
    assert (status, body["status"], body["checks"]["cache"]) == (
        200,
        "degraded",
        "degraded",
    )

    health.forget()
    settings.REDIS_URL = "unix:///nowhere.sock"
    status, body = _ready(client)
    assert (status, body["checks"]["bus"]) == (503, "failed")
    assert body["reasons"] == [
        "The bus is not reachable (ConnectionError).",
        "The cache is not reachable (ConnectionError).",
    ]


def test_a_database_that_is_gone(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere/secret-host")

    status, body = _ready(client)

    assert status == 503
    assert [body["checks"][name] for name in ("database", "migrations", "worker")] == [
        "failed"
    ] * 3
    assert body["reasons"] == ["The database is not reachable (OperationalError)."]
    assert "secret-host" not in str(body)


def test_a_migration_that_was_not_applied(client: Client, monkeypatch: Any) -> None:
    _beat(1)
    known = health._known_migrations() | {("churnguard", "9999_new")}
    monkeypatch.setattr(health, "_known_migrations", lambda: known)

    status, body = _ready(client)

    assert (status, body["checks"]["migrations"]) == (503, "failed")
    assert body["reasons"] == [
        "1 migration(s) are not applied. Run `manage.py migrate`."
    ]


def test_a_writer_that_cannot_write(client: Client, monkeypatch: Any) -> None:
    _beat(1)
    monkeypatch.setattr(committer().state, "is_database_up", False)

    status, body = _ready(client)

    assert (status, body["checks"]["ingest"]) == (503, "failed")


def test_the_answer_is_kept_for_a_second(client: Client, monkeypatch: Any) -> None:
    _beat(1)
    assert _ready(client)[0] == 200
    Heartbeat.objects.all().delete()
    assert _ready(client)[0] == 200

    monkeypatch.setattr(health, "KEEP_S", -1)
    assert _ready(client)[0] == 503
