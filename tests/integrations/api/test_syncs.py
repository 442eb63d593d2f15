"""Syncs and streams over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from churnguard.models import Organization
from integrations import controls, runs
from integrations.connectors.base import ReadRequest, Stream
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests.integrations.api.test_integrations import create
from tests.integrations.sync.conftest import stored, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made(account: Account, owner: APIClient, body: dict[str, Any]) -> Integration:
    account.rows = {"companies": ids(6), "people": ids(2, "p")}
    body["sync_config"] |= {"batch_size": 2, "retry_backoff": 0}
    created = create(owner, body)
    return Integration.objects.get(public_id=created["integration_id"])


def run_sync(client: APIClient, integration: Integration, **body: Any) -> Any:
    url = f"/api/integrations/{integration.public_id}/sync"
    answer = client.post(url, body, format="json")
    assert answer.status_code == 202, answer.content
    work(SyncRun.objects.get(public_id=answer.json()["sync_id"]))
    return answer.json()


def test_start_answers_as_the_specification_says(
    owner: APIClient, made: Integration
) -> None:
    first = run_sync(owner, made)
    second = run_sync(owner, made)

    assert set(first) == {"sync_id", "status", "estimated_duration"}
    assert first["status"] == "started"
    assert first["estimated_duration"] == "unknown"
    assert second["estimated_duration"] == "less than a minute"


def test_a_second_start_names_the_running_sync(
    owner: APIClient, made: Integration
) -> None:
    url = f"/api/integrations/{made.public_id}/sync"
    started = owner.post(url).json()["sync_id"]

    again = owner.post(url)

    assert again.status_code == 409
    assert again.json()["code"] == "already_running"
    assert again.json()["fields"] == {"sync_id": started}
    assert SyncRun.objects.count() == 1


def test_status_while_it_runs_and_after(
    account: Account, owner: APIClient, made: Integration
) -> None:
    url = f"/api/integrations/{made.public_id}/sync/status"
    before = owner.get(url).json()
    assert (before["status"], before["progress"], before["sync_id"]) == (
        "active",
        0.0,
        None,
    )
    during: list[dict[str, Any]] = []

    def look(name: str, number: int, _request: ReadRequest) -> None:
        if name == "people" and not number:
            during.append(owner.get(url).json())

    account.before_page = look
    run_sync(owner, made)
    after = owner.get(url).json()

    (seen,) = during
    assert (seen["status"], seen["sync_status"]) == ("syncing", "processing")
    assert seen["records_processed"] == 6
    assert after["status"] == "active"
    assert (after["progress"], after["records_processed"]) == (1.0, 8)
    assert after["estimated_remaining"] is None
    assert [part["stream"] for part in after["streams"]] == ["companies", "people"]


def test_progress_and_rest_follow_from_the_totals(
    account: Account, owner: APIClient, made: Integration
) -> None:
    url = f"/api/integrations/{made.public_id}/sync/status"
    seen: list[dict[str, Any]] = []

    def look(name: str, number: int, _request: ReadRequest) -> None:
        if number == 2:
            seen.append(owner.get(url).json())

    account.before_page = look
    run_sync(owner, made, streams=["companies"]) if StreamState.objects.exists() else (
        run_sync(owner, made),
        run_sync(owner, made, mode="full", streams=["companies"]),
    )

    assert seen[-1]["progress"] == pytest.approx(4 / 6, abs=1e-3)
    assert seen[-1]["estimated_remaining"] == "less than a minute"


def test_history_pages_and_ledger(owner: APIClient, made: Integration) -> None:
    started = [run_sync(owner, made)["sync_id"] for _ in range(3)]
    url = f"/api/integrations/{made.public_id}/runs"

    first = owner.get(f"{url}?limit=2").json()
    rest = owner.get(f"{url}?limit=2&cursor={first['next']}").json()

    found = [row["sync_id"] for row in first["results"] + rest["results"]]
    assert found == started[::-1]
    assert rest["next"] is None
    assert owner.get(f"{url}?cursor=nonsense").status_code == 400
    detail = owner.get(f"/api/syncs/{started[0]}").json()
    assert (detail["fetched"], detail["inserted"]) == (8, 8)
    lines = owner.get(f"/api/syncs/{started[0]}/ledger").json()["results"]
    assert sum(line["fetched"] for line in lines) == 8
    for line in lines:
        parts = ("inserted", "updated", "unchanged", "duplicate", "quarantined")
        assert line["fetched"] == sum(line[p] for p in parts) + line["filtered"]


def test_strangers_see_no_syncs(
    owner: APIClient, stranger: APIClient, viewer: APIClient, made: Integration
) -> None:
    sync_id = run_sync(owner, made)["sync_id"]

    for url in (f"/api/syncs/{sync_id}", f"/api/syncs/{sync_id}/ledger"):
        assert viewer.get(url).status_code == 200
        assert stranger.get(url).status_code == 404
    assert stranger.get("/api/syncs").json()["results"] == []
    assert len(viewer.get("/api/syncs").json()["results"]) == 1


def test_cancel(owner: APIClient, made: Integration) -> None:
    url = f"/api/integrations/{made.public_id}/sync"
    assert owner.post(f"{url}/cancel").status_code == 404
    owner.post(url)

    answer = owner.post(f"{url}/cancel")

    assert answer.status_code == 202
    assert answer.json()["status"] == "cancelled"


def test_a_back_fill_by_dates(
    account: Account, owner: APIClient, made: Integration
) -> None:
    run_sync(owner, made)

    run_sync(owner, made, streams=["companies"], since="2026-01-01T00:00:00Z")

    assert account.reads[-1][1].since is not None
    assert SyncRun.objects.latest("pk").trigger == "backfill"
    url = f"/api/integrations/{made.public_id}/sync"
    bad = owner.post(
        url,
        {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        format="json",
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_range")
    unknown = owner.post(url, {"streams": ["nonesuch"]}, format="json")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_stream")


def test_pause_refuses_syncs(owner: APIClient, made: Integration) -> None:
    url = f"/api/integrations/{made.public_id}"
    assert owner.post(f"{url}/pause").json()["status"] == "paused"

    answer = owner.post(f"{url}/sync")

    assert (answer.status_code, answer.json()["code"]) == (409, "paused")
    assert owner.post(f"{url}/resume").json()["status"] == "active"
    assert owner.post(f"{url}/sync").status_code == 202


def test_choosing_streams(
    owner: APIClient, viewer: APIClient, stranger: APIClient, made: Integration
) -> None:
    run_sync(owner, made)
    url = f"/api/integrations/{made.public_id}/streams"
    change = {
        "streams": {
            "people": {"enabled": False},
            "companies": {"sync_frequency": 300, "incremental_field": "name"},
        }
    }

    assert viewer.patch(url, change, format="json").status_code == 403
    assert stranger.patch(url, change, format="json").status_code == 404
    rows = owner.patch(url, change, format="json").json()["results"]

    found = {row["stream"]: row for row in rows}
    assert found["people"]["enabled"] is False
    assert found["companies"]["schedule"] == "every 5 minutes"
    assert found["companies"]["incremental_field"] == "name"
    for bad in (
        {"streams": {"nonesuch": {}}},
        {"streams": {"companies": {"sync_frequency": 5}}},
        {"streams": {"companies": {"incremental_field": "nonesuch"}}},
        {"streams": []},
    ):
        assert owner.patch(url, bad, format="json").status_code == 400, bad


def test_one_stream_again(owner: APIClient, made: Integration) -> None:
    run_sync(owner, made)
    url = f"/api/integrations/{made.public_id}/streams/people/retry"

    answer = owner.post(url, {"mode": "full"}, format="json")

    assert answer.status_code == 202
    run = SyncRun.objects.get(public_id=answer.json()["sync_id"])
    work(run)
    assert (run.trigger, run.streams) == ("retry", ["people"])
    assert RunStream.objects.get(run=run).fetched == 2
    missing = owner.post(url.replace("people", "nonesuch"))
    assert missing.status_code == 404


def test_confirming_deletes(
    account: Account, owner: APIClient, made: Integration, org: Organization
) -> None:
    account.streams = (Stream("companies", "customer", deletes="full"),)
    account.rows = {"companies": ids(50)}
    run_sync(owner, made)
    account.rows = {"companies": ids(10)}
    run_sync(owner, made)
    url = f"/api/integrations/{made.public_id}/streams"
    (row,) = [r for r in owner.get(url).json()["results"] if r["stream"] == "companies"]
    assert row["status"] == "brake"
    assert row["brake"]["would_delete"] == 40
    assert len(stored(made)) == 50

    answer = owner.post(f"{url}/companies/confirm-deletes")

    assert answer.status_code == 202
    work(SyncRun.objects.latest("pk"))
    assert stored(made) == set(ids(10))
    again = owner.post(f"{url}/companies/confirm-deletes")
    assert (again.status_code, again.json()["code"]) == (400, "no_brake")


def test_stopping_a_running_sync_by_pause(account: Account, made: Integration) -> None:
    run = runs.start(made)

    def pause(name: str, number: int, _request: ReadRequest) -> None:
        if number == 1:
            controls.pause(Integration.objects.get(pk=made.pk), by="test")

    account.before_page = pause
    work(run)
    made.refresh_from_db()

    assert run.status == "cancelled"
    assert made.status == "paused"
    assert stored(made) == {"c1", "c2"}
