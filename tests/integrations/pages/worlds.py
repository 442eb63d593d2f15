"""An organisation whose integrations show every part of the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.files.uploadedfile import SimpleUploadedFile

from churnguard.models import Organization, Quarantine
from integrations import catalog, registry, runs, uploads
from integrations.connectors.base import Column, Stream
from integrations.models import Integration, StreamState, SyncRun
from tests.monitoring.worlds import make_batch, make_run

ACCOUNTS = (
    "account_id,account_name,plan,signup_date,seats\n"
    "A-1,Birch,Pro,2024-01-05,10\n"
    "A-2,Maple,Basic,2024-02-06,4\n"
    "A-3,Willow,Pro,2024-03-07,7\n"
)
TICKETS = (
    "ticket_id,account_id,opened_at,status,priority\n"
    "T-1,A-1,2024-04-01,open,high\n"
    ",A-2,2024-04-02,open,low\n"
)


@dataclass
class World:
    """crm: a database that has to be reconnected. files: an import that has run, with
    one record in quarantine. run: its run."""

    org: Organization
    crm: Integration
    files: Integration
    run: SyncRun
    refused: Quarantine


def csv(name: str, text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode(), content_type="text/csv")


def make_crm(org: Organization) -> Integration:
    """A database with two streams: one waits for a word on deletes, one has drifted."""
    made = registry.create(
        org,
        {
            "provider_name": "postgresql",
            "integration_name": "CRM replica",
            "settings": {"host": "db.example", "database": "crm", "username": "reader"},
            "credentials": {"custom_fields": {"password": "canary-horse-battery"}},
            "tags": ["sales"],
        },
        by="alice@example.com",
    )
    catalog.keep_streams(
        made,
        [
            Stream(
                "crm.accounts",
                "object",
                cursor_field="updated_at",
                deletes="sweep",
                label="Accounts",
                columns=(Column("id", "integer"), Column("tier", "string")),
            ),
            Stream("crm.deals", "object", label="Deals"),
        ],
    )
    now = datetime.now(UTC)
    make_run(made, "failed", now - timedelta(hours=2), error_code="timeout")
    make_run(made, "completed", now - timedelta(hours=1), counts=_counts(40))
    make_batch(made.source, now - timedelta(minutes=5), inserted=40)
    newest = made.runs.order_by("-pk").first()
    assert newest is not None
    StreamState.objects.filter(integration=made, name="crm.accounts").update(
        status="brake",
        brake={
            "kind": "absence",
            "would_delete": 412,
            "live": 900,
            "limit": 270,
            "sample": ["17", "18"],
            "run_id": newest.pk,
            "run": newest.public_id,
            "at": now.isoformat(),
            "confirmed_by": "",
        },
        drift=[
            {
                "field": "utm_source",
                "kind": "added",
                "was": "",
                "now": "string",
                "at": now.isoformat(),
            }
        ],
    )
    StreamState.objects.filter(integration=made, name="contacts").update(
        label="Contacts", status="active", last_success_at=now - timedelta(hours=1)
    )
    Integration.objects.filter(pk=made.pk).update(
        status="authentication_failed", status_detail="The password was refused."
    )
    made.refresh_from_db()
    return made


def make_world(org: Organization, crm: Integration, by: str) -> World:
    """Everything, with a real import of two files."""
    kept = [
        uploads.keep(org, csv("accounts.csv", ACCOUNTS), by=by),
        uploads.keep(org, csv("tickets.csv", TICKETS), by=by),
    ]
    files = registry.create(
        org,
        {
            "provider_name": "file",
            "integration_name": "Exports",
            "sync_config": {"sync_frequency": 0},
            "uploads": [upload.public_id for upload in kept],
        },
        by=by,
    )
    run = runs.start(files, by=by)
    assert runs.run_now(run.pk)
    run.refresh_from_db()
    files.refresh_from_db()
    refused = Quarantine.objects.get(organization=org)
    return World(org, crm, files, run, refused)


def _counts(n: int) -> dict[str, int]:
    return {"fetched": n, "inserted": n}
