"""Quarantine and uploads over HTTP."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from churnguard.models import Batch, CustomerSource, Organization, Quarantine
from integrations import replay
from integrations.models import Integration, SyncRun, Upload
from tests.integrations.sync.conftest import sync, work
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS = "account_id,account_name,signup_date,seats\n" + "".join(
    f"A{n},Company {n},{n:02d}/03/2024,{n}\n" for n in range(1, 21)
)
BROKEN = ACCOUNTS + "A21,Company 21,99/99/2024,5\n,Nameless,01/03/2024,5\nA23,short\n"


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


def upload(client: APIClient, name: str, text: str, **extra: Any) -> Any:
    file = SimpleUploadedFile(name, text.encode())
    return client.post("/api/uploads", {"file": file, **extra}, format="multipart")


def import_file(
    client: APIClient, text: str, name: str = "accounts.csv"
) -> Integration:
    upload_id = upload(client, name, text).json()["upload_id"]
    made = client.post(
        "/api/integrations",
        {
            "provider_name": "file",
            "integration_name": "History",
            "uploads": [upload_id],
            "sync_config": {"sync_frequency": 0},
        },
        format="json",
    )
    assert made.status_code == 201, made.content
    integration = Integration.objects.get(public_id=made.json()["integration_id"])
    sync(integration)
    return integration


def test_upload_preview_and_import(account: Account, owner: APIClient) -> None:
    made = upload(owner, "accounts.csv", ACCOUNTS)
    assert made.status_code == 201
    upload_id = made.json()["upload_id"]

    (shown,) = owner.post(
        "/api/uploads/preview", {"uploads": [upload_id]}, format="json"
    ).json()["results"]

    layout = shown["layout"]
    assert (layout["record_type"], layout["id_column"]) == ("customer", "account_id")
    columns = {use["column"]: use for use in layout["columns"]}
    assert columns["signup_date"]["field"] == "signup_at"
    assert columns["signup_date"]["kind"]["order"] == "dmy"
    assert len(shown["rows"]) == 20
    integration = import_file(owner, ACCOUNTS)
    row = CustomerSource.objects.get(source=integration.source, external_id="A20")
    assert (row.name, row.seats) == ("Company 20", 20)
    assert row.signup_at.date().isoformat() == "2024-03-20"


def test_a_changed_layout_is_used(account: Account, owner: APIClient) -> None:
    upload_id = upload(owner, "accounts.csv", ACCOUNTS).json()["upload_id"]
    (shown,) = owner.post(
        "/api/uploads/preview", {"uploads": [upload_id]}, format="json"
    ).json()["results"]
    for use in shown["layout"]["columns"]:
        if use["column"] == "seats":
            use["field"] = "employees"
    made = owner.post(
        "/api/integrations",
        {
            "provider_name": "file",
            "uploads": [upload_id],
            "settings": {"layouts": {"accounts": shown["layout"]}},
        },
        format="json",
    )
    assert made.status_code == 201, made.content
    integration = Integration.objects.get(public_id=made.json()["integration_id"])

    sync(integration)

    row = CustomerSource.objects.get(source=integration.source, external_id="A9")
    assert (row.seats, row.employees) == (None, 9)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("table.xlsx", "x", "unsupported_file"),
        ("empty.csv", "", "invalid"),
    ],
)
def test_files_that_are_no_tables(
    account: Account, owner: APIClient, name: str, text: str, code: str
) -> None:
    answer = upload(owner, name, text)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not Upload.objects.exists()


def test_a_name_cannot_leave_the_folder(account: Account, owner: APIClient) -> None:
    made = upload(owner, "../../etc/evil.csv", ACCOUNTS).json()

    row = Upload.objects.get(public_id=made["upload_id"])
    assert "/" not in row.name
    assert row.path.parent.name == row.public_id


def test_uploads_of_others_are_not_found(
    account: Account, owner: APIClient, stranger: APIClient, viewer: APIClient
) -> None:
    upload_id = upload(owner, "accounts.csv", ACCOUNTS).json()["upload_id"]
    wanted = {"uploads": [upload_id]}

    assert stranger.get("/api/uploads").json()["results"] == []
    assert stranger.delete(f"/api/uploads/{upload_id}").status_code == 404
    answer = stranger.post("/api/uploads/preview", wanted, format="json")
    assert answer.status_code == 404
    taken = stranger.post(
        "/api/integrations", {"provider_name": "file", **wanted}, format="json"
    )
    assert taken.json()["code"] == "unknown_upload"
    assert upload(viewer, "a.csv", ACCOUNTS).status_code == 403
    assert owner.delete(f"/api/uploads/{upload_id}").status_code == 204


def test_quarantine_tells_reason_and_line(account: Account, owner: APIClient) -> None:
    integration = import_file(owner, BROKEN)

    page = owner.get("/api/quarantine").json()

    rows = {row["code"]: row for row in page["results"]}
    assert set(rows) == {"bad_timestamp", "missing_id", "broken_row"}
    assert rows["bad_timestamp"]["external_id"] == "A21"
    assert rows["broken_row"]["detail"].startswith("Line 24: ")
    assert rows["missing_id"]["integration_id"] == integration.public_id
    assert {c["code"]: c["count"] for c in page["counts"]} == dict.fromkeys(rows, 1)
    one = owner.get(f"/api/quarantine/{rows['bad_timestamp']['id']}").json()
    assert one["raw"]["signup_date"] == "99/99/2024"
    assert len(owner.get("/api/quarantine?code=missing_id").json()["results"]) == 1


def test_repair_dry_run_and_replay_once(account: Account, owner: APIClient) -> None:
    integration = import_file(owner, BROKEN)
    row = Quarantine.objects.get(code="bad_timestamp")
    body = {
        "ids": [row.pk],
        "edits": {str(row.pk): {**row.raw, "signup_date": "21/03/2024"}},
    }
    still_bad = owner.post("/api/quarantine/replay", {"ids": [row.pk]}, format="json")
    assert still_bad.json()["failed"][0]["code"] == "bad_timestamp"

    dry = owner.post("/api/quarantine/replay", {**body, "dry_run": True}, format="json")
    assert dry.json() == {"stored": [row.pk], "failed": [], "skipped": []}
    assert not CustomerSource.objects.filter(external_id="A21").exists()
    done = owner.post("/api/quarantine/replay", body, format="json").json()
    again = owner.post("/api/quarantine/replay", body, format="json").json()

    assert done == {"stored": [row.pk], "failed": [], "skipped": []}
    assert again == {"stored": [], "failed": [], "skipped": [row.pk]}
    stored = CustomerSource.objects.get(source=integration.source, external_id="A21")
    assert stored.signup_at.date().isoformat() == "2024-03-21"
    row.refresh_from_db()
    assert (row.state, row.resolved_by) == ("replayed", "alice@example.com")
    assert Batch.objects.get(origin="replay").inserted == 1


def test_two_people_replay_at_once(
    account: Account, owner: APIClient, org: Organization
) -> None:
    import_file(owner, BROKEN)
    row = Quarantine.objects.get(code="bad_timestamp")
    edits = {row.pk: {**row.raw, "signup_date": "21/03/2024"}}
    stored: list[int] = []

    def press() -> None:
        done = replay.replay(org, [row.pk], by="test", edits=edits)
        stored.extend(done.stored)
        connection.close()

    threads = [threading.Thread(target=press) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert stored == [row.pk]
    assert Batch.objects.filter(origin="replay").count() == 1


def test_discard(account: Account, owner: APIClient, stranger: APIClient) -> None:
    import_file(owner, BROKEN)
    wanted = {"ids": [Quarantine.objects.get(code="missing_id").pk]}

    taken = stranger.post("/api/quarantine/discard", wanted, format="json").json()
    assert taken == {"count": 0}
    assert (
        stranger.post("/api/quarantine/replay", wanted, format="json").json()["code"]
        == "unknown_records"
    )
    assert owner.post("/api/quarantine/discard", wanted, format="json").json() == {
        "count": 1
    }
    assert Quarantine.objects.filter(state="discarded").count() == 1
    assert len(owner.get("/api/quarantine").json()["results"]) == 2
    assert len(owner.get("/api/quarantine?state=all").json()["results"]) == 3


def test_records_refused_at_the_ingest_door_are_replayed(
    account: Account, owner: APIClient, org: Organization
) -> None:
    answer = owner.post(
        "/api/v1/data/ingest/web",
        [
            {"type": "customer", "id": "c1", "name": "One", "seats": -5},
            {"type": "event", "event_id": "e1", "event": "open", "timestamp": "never"},
        ],
        format="json",
    )
    assert answer.json()["quarantined"] == 2
    customer = Quarantine.objects.get(record_type="customer")
    event = Quarantine.objects.get(record_type="event")
    edits = {
        str(customer.pk): {**customer.raw, "seats": 5},
        str(event.pk): {**event.raw, "timestamp": "2026-01-01T00:00:00Z"},
    }

    done = owner.post(
        "/api/quarantine/replay",
        {"ids": [customer.pk, event.pk], "edits": edits},
        format="json",
    ).json()

    assert sorted(done["stored"]) == sorted([customer.pk, event.pk]), done
    assert CustomerSource.objects.get(external_id="c1").seats == 5


def test_a_newer_upload_of_the_same_name_replaces_the_older(
    account: Account, owner: APIClient
) -> None:
    integration = import_file(owner, ACCOUNTS)
    newer = ACCOUNTS.replace("Company 3,", "Renamed,") + "A99,New,01/04/2024,1\n"
    upload(owner, "accounts.csv", newer, integration_id=integration.public_id)

    sync(integration)

    part = SyncRun.objects.latest("pk").parts.get()
    assert (part.inserted, part.updated, part.unchanged) == (1, 1, 19)
    assert CustomerSource.objects.get(external_id="A3").name == "Renamed"
    assert work(SyncRun.objects.latest("pk")).status == "completed"
