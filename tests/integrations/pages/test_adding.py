"""From the catalogue to a first sync; files are shown before anything is imported."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from churnguard.errors import ConfigError
from churnguard.models import CustomerSource, Organization, Ticket
from integrations import connecting, registry, runs
from integrations.connectors.base import Stream
from integrations.connectors.sql.postgresql import PostgresqlConnector
from integrations.models import Integration, SyncRun, Upload
from tests.integrations.pages.worlds import ACCOUNTS, TICKETS, World, csv

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {
    "integration_name": "Shop database",
    "field-host": "db.example",
    "field-database": "shop",
    "field-username": "reader",
    "field-password": "canary-horse-battery",
    "field-timezone": "UTC",
    "field-sslmode": "require",
    "field-statement_timeout_s": "300",
}


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that answers with one table."""
    monkeypatch.setattr(PostgresqlConnector, "check", lambda self: "Connected to shop.")
    monkeypatch.setattr(
        PostgresqlConnector,
        "discover",
        lambda self: (Stream("public.orders", "object", label="Orders"),),
    )


def test_the_catalogue_is_searched_by_name_and_kind(pages: Client) -> None:
    def found(search: str) -> list[str]:
        page = pages.get(f"/integrations/new/?{search}")
        return [provider["label"] for provider in page.context["providers"]]

    assert {"Files", "PostgreSQL", "MySQL / MariaDB"} <= set(found(""))
    assert found("q=postgre") == ["PostgreSQL"]
    assert found("q=database") == ["MySQL / MariaDB", "PostgreSQL"]
    assert found("category=CRM") == ["HubSpot", "Salesforce"]
    assert found("category=CRM&q=sales") == ["Salesforce"]
    assert found("q=zzz") == found("category=zzz") == []
    page = pages.get("/integrations/new/?q=zzz")
    assert b"No connector has this name" in page.content


def test_the_form_has_the_declared_fields_and_hides_secrets(pages: Client) -> None:
    page = pages.get("/integrations/new/postgresql/").content.decode()

    for name in FORM:
        assert f'name="{name}"' in page
    assert 'type="password" name="field-password"' in page
    assert "Before you start" in page


def test_a_second_one_is_given_another_name(pages: Client, org: Organization) -> None:
    def offered(provider: str) -> str:
        form = pages.get(f"/integrations/new/{provider}/").context["form"]
        return str(form["integration_name"].value())

    assert (offered("stripe"), offered("file")) == ("Stripe", "Files")
    for name in ("Stripe", "Stripe 2", "Files"):
        registry.create(
            org, {"provider_name": "stripe", "integration_name": name}, by="test"
        )
    assert (offered("stripe"), offered("file")) == ("Stripe 3", "Files 2")


def test_a_form_that_lacks_something_is_answered_with_422(pages: Client) -> None:
    answer = pages.post(
        "/integrations/new/postgresql/", {**FORM, "field-host": ""}, headers=HTMX
    )

    assert answer.status_code == 422
    assert b"This field is required." in answer.content
    assert b"canary-horse-battery" not in answer.content
    assert not Integration.objects.exists()


HTMX = {"HX-Request": "true"}


def test_a_test_says_a_sentence_and_saves_nothing(
    pages: Client, reachable: None
) -> None:
    answer = pages.post("/integrations/new/postgresql/", {**FORM, "do": "test"})

    assert answer.status_code == 200
    assert b"Connected to shop." in answer.content
    assert b"canary-horse-battery" not in answer.content
    assert not Integration.objects.exists()


def test_a_connection_that_fails_shows_why_and_makes_nothing(pages: Client) -> None:
    answer = pages.post(
        "/integrations/new/postgresql/", {**FORM, "field-host": "127.0.0.1"}
    )

    assert answer.status_code == 422
    assert b"private" in answer.content
    assert not Integration.objects.exists()


def test_what_cannot_be_listed_is_made_once_and_looked_up_again(
    pages: Client, reachable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: PostgresqlConnector) -> None:
        raise ConfigError("The user may not read this.", code="permission_denied")

    with monkeypatch.context() as denied:
        denied.setattr(PostgresqlConnector, "discover", refuse)
        made = pages.post("/integrations/new/postgresql/", {**FORM, "do": "connect"})
        first = pages.get(made["Location"])
    again = pages.get(made["Location"])

    assert Integration.objects.count() == 1
    assert b"The user may not read this." in first.content
    assert [s["stream"] for s in again.context["streams"]] == ["public.orders"]


def test_from_connecting_to_the_first_sync(pages: Client, reachable: None) -> None:
    made = pages.post("/integrations/new/postgresql/", {**FORM, "do": "connect"})
    integration = Integration.objects.get()
    assert made["Location"] == f"/integrations/{integration.public_id}/setup/"
    assert integration.sync_frequency == 0
    setup = pages.get(made["Location"])
    assert [s["stream"] for s in setup.context["streams"]] == ["public.orders"]

    choice = {"sync_frequency": "900", "sync_mode": "incremental"}
    refused = pages.post(made["Location"], choice)
    begun = pages.post(made["Location"], {**choice, "stream": "public.orders"})

    assert refused.status_code == 422
    assert b"Choose at least one kind" in refused.content
    run = SyncRun.objects.get()
    assert begun["Location"] == f"/syncs/{run.public_id}/"
    integration.refresh_from_db()
    assert (integration.sync_frequency, integration.sync_mode) == (900, "incremental")


def test_streams_that_are_not_ticked_stay_out(
    world: World, pages: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"/integrations/{world.crm.public_id}/setup/"
    names = ["crm.accounts"]

    pages.post(place, {"stream": names, "sync_frequency": "3600", "sync_mode": "full"})

    chosen = world.crm.streams.filter(is_enabled=True, is_gone=False)
    assert [state.name for state in chosen] == names


def test_sign_in_at_the_provider_keeps_the_client_and_goes_there(
    pages: Client,
) -> None:
    form = {
        "integration_name": "HubSpot",
        "field-client_id": "client-1",
        "field-client_secret": "canary-horse-battery",
        "field-api_version": "2026-09",
        "do": "oauth",
    }

    answer = pages.post("/integrations/new/hubspot/", form, headers=HTMX)

    assert "client_id=client-1" in answer["HX-Redirect"]
    assert answer["HX-Redirect"].startswith("https://")
    assert "canary" not in answer["HX-Redirect"]
    made = Integration.objects.get()
    plain = pages.post(f"/integrations/{made.public_id}/authorize/")
    assert b"Go on to the provider" in plain.content
    # Whoever turns back at the provider finds what is still to be done.
    assert made.status == "inactive"
    assert made.status_detail == "Somebody still has to sign in at HubSpot."
    page = pages.get(f"/integrations/{made.public_id}/").content.decode()
    assert "Finish setup" in page
    assert "Sync now" not in page


def upload(pages: Client) -> Integration:
    form = {
        "integration_name": "Exports",
        "currency": "eur",
        "timezone": "Europe/Berlin",
        "files": [csv("accounts.csv", ACCOUNTS), csv("tickets.csv", TICKETS)],
    }
    answer = pages.post("/integrations/new/file/", form)
    integration = Integration.objects.get()
    assert answer["Location"] == f"/integrations/{integration.public_id}/files/"
    return integration


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        (
            {"timezone": "Mars/Base"},
            "timezone",
            "Time zone must be the IANA name of a zone, such as Europe/Berlin.",
        ),
        (
            {"currency": "dol"},
            "currency",
            "Currency must be a code of ISO 4217, such as EUR.",
        ),
        (
            {"files": csv("sheet.csv", "PK\3\4 a spreadsheet")},
            "files",
            "“sheet.csv” is no text, whatever its name says. Export it as CSV, NDJSON "
            "or JSON.",
        ),
        (
            {"files": csv("noise.csv", "a,b\0c")},
            "files",
            "“noise.csv” is no text, whatever its name says. Export it as CSV, NDJSON "
            "or JSON.",
        ),
    ],
    ids=["zone", "currency", "sheet", "noise"],
)
def test_a_form_of_files_that_means_nothing_keeps_nothing(
    pages: Client, change: dict[str, Any], field: str, told: str
) -> None:
    form = {
        "integration_name": "Exports",
        "currency": "eur",
        "timezone": "Europe/Berlin",
        "files": csv("accounts.csv", ACCOUNTS),
    }

    answer = pages.post("/integrations/new/file/", {**form, **change})

    assert answer.status_code == 422
    assert answer.context["form"].errors == {field: [told]}
    assert not Integration.objects.exists()
    assert not Upload.objects.exists()


def test_wide_text_is_text(pages: Client) -> None:
    wide = SimpleUploadedFile("wide.csv", ACCOUNTS.encode("utf-16"))

    pages.post(
        "/integrations/new/file/",
        {
            "integration_name": "Wide",
            "currency": "EUR",
            "timezone": "UTC",
            "files": wide,
        },
    )

    integration = Integration.objects.get()
    page = pages.get(f"/integrations/{integration.public_id}/files/")
    assert page.context["views"][0]["file"].headers[0] == "account_id"
    assert b"Start the import" in page.content


def test_nothing_starts_where_no_file_can_be_read(pages: Client) -> None:
    pages.post(
        "/integrations/new/file/",
        {
            "integration_name": "Cut",
            "currency": "EUR",
            "timezone": "UTC",
            "files": csv("cut.json", '{"a": [1,2'),
        },
    )

    integration = Integration.objects.get()
    page = pages.get(f"/integrations/{integration.public_id}/files/").content
    assert b"cut.json ends before its list of records does" in page
    assert b"Start the import" not in page
    assert b"The other files" not in page


def test_files_are_guessed_and_shown_before_anything_is_read(pages: Client) -> None:
    integration = upload(pages)

    views = pages.get(f"/integrations/{integration.public_id}/files/").context["views"]

    found = {view["file"].name: view["file"].layout for view in views}
    accounts, tickets = found["accounts.csv"], found["tickets.csv"]
    assert accounts.record_type == "customer"
    assert accounts.id_column == "account_id"
    assert {u.column: u.field for u in accounts.columns}["account_name"] == "name"
    assert tickets.record_type == "ticket"
    assert tickets.customer_column == "account_id"
    assert accounts.currency == "EUR"
    assert not SyncRun.objects.exists()
    assert not CustomerSource.objects.exists()
    assert Upload.objects.filter(integration=integration).count() == 2


def posted(pages: Client, integration: Integration) -> dict[str, Any]:
    """The form of the files page as a browser would send it back."""
    data: dict[str, Any] = {}
    views = pages.get(f"/integrations/{integration.public_id}/files/").context["views"]
    for n, view in enumerate(views):
        file = view["file"]
        layout = file.layout
        data |= {
            f"stream-{n}": file.stream,
            f"was-{n}": layout.record_type,
            f"type-{n}": layout.record_type,
            f"id-{n}": layout.id_column,
            f"customer-{n}": file.customer,
            f"currency-{n}": layout.currency,
            f"event-{n}": layout.event_name,
        }
        for m, (use, kind) in enumerate(file.columns):
            data |= {f"field-{n}-{m}": use.field, f"kind-{n}-{m}": kind}
    return data


def test_an_import_runs_as_it_was_shown(pages: Client) -> None:
    integration = upload(pages)

    answer = pages.post(
        f"/integrations/{integration.public_id}/files/",
        {**posted(pages, integration), "do": "start"},
    )

    run = SyncRun.objects.get()
    assert answer["Location"] == f"/syncs/{run.public_id}/"
    assert runs.run_now(run.pk)
    assert CustomerSource.objects.filter(is_stub=False).count() == 3
    ticket = Ticket.objects.get()
    assert ticket.opened_at is not None
    # Midnight in Berlin, as the form said.
    assert ticket.opened_at.isoformat() == "2024-03-31T22:00:00+00:00"


def test_a_changed_column_is_kept_and_used(pages: Client) -> None:
    integration = upload(pages)
    data = posted(pages, integration)
    place = f"/integrations/{integration.public_id}/files/"
    views = pages.get(place).context["views"]
    n = next(i for i, v in enumerate(views) if v["file"].name == "accounts.csv")
    columns = [use.column for use, _kind in views[n]["file"].columns]
    m = columns.index("plan")

    data |= {f"field-{n}-{m}": "segment", "do": "save"}
    pages.post(place, data)
    run = runs.start(Integration.objects.get())
    runs.run_now(run.pk)

    birch = CustomerSource.objects.get(external_id="A-1")
    assert (birch.segment, birch.plan) == ("Pro", None)


def test_a_field_taken_twice_is_refused_and_nothing_typed_is_lost(
    pages: Client,
) -> None:
    integration = upload(pages)
    place = f"/integrations/{integration.public_id}/files/"
    data = posted(pages, integration)
    views = pages.get(place).context["views"]
    n = next(i for i, v in enumerate(views) if v["file"].name == "accounts.csv")
    columns = [use.column for use, _kind in views[n]["file"].columns]
    data[f"field-{n}-{columns.index('plan')}"] = "name"

    answer = pages.post(place, {**data, "do": "start"}, headers=HTMX)

    assert answer.status_code == 422
    assert b"is taken twice" in answer.content
    kept = answer.context["views"][n]["file"].layout
    assert {u.column: u.field for u in kept.columns}["plan"] == "name"
    assert not SyncRun.objects.exists()


def test_another_kind_of_record_is_guessed_anew(pages: Client) -> None:
    integration = upload(pages)
    place = f"/integrations/{integration.public_id}/files/"
    data = posted(pages, integration)
    n = next(int(k[5:]) for k, v in data.items() if k[:5] == "type-" and v == "ticket")

    answer = pages.post(place, {**data, f"type-{n}": "conversation", "do": "guess"})

    assert answer.status_code == 200
    assert answer.context["guessed"] == ["tickets.csv"]
    assert answer.context["views"][n]["file"].layout.record_type == "conversation"
    assert "layouts" not in Integration.objects.get().settings


def test_a_file_that_is_no_table_leaves_nothing_behind(pages: Client) -> None:
    form = {
        "integration_name": "Exports",
        "currency": "EUR",
        "timezone": "UTC",
        "files": [csv("accounts.csv", ACCOUNTS), csv("notes.xlsx", "PK")],
    }

    answer = pages.post("/integrations/new/file/", form)

    assert answer.status_code == 422
    assert b"Save a spreadsheet as CSV first." in answer.content
    assert not Integration.objects.exists()
    assert not Upload.objects.exists()


def test_more_files_come_later_and_go_again(world: World, pages: Client) -> None:
    place = f"/integrations/{world.files.public_id}/files/"

    pages.post(f"{place}upload/", {"files": [csv("more.csv", ACCOUNTS)]})
    more = Upload.objects.get(name="more.csv")
    assert more.integration == world.files
    pages.post(f"{place}{more.public_id}/remove/")

    assert not Upload.objects.filter(name="more.csv").exists()
    assert pages.post(f"{place}upload/").status_code == 302


def test_an_unreadable_file_does_not_hide_the_others(
    world: World, pages: Client
) -> None:
    place = f"/integrations/{world.files.public_id}/files/"
    pages.post(f"{place}upload/", {"files": [csv("broken.json.gz", "no gzip")]})

    page = pages.get(place)

    assert page.status_code == 200
    errors = {v["file"].name: v["file"].error for v in page.context["views"]}
    assert errors["broken.json.gz"]
    assert errors["accounts.csv"] == ""


def test_the_check_is_the_one_of_the_engine(pages: Client, reachable: None) -> None:
    pages.post("/integrations/new/postgresql/", {**FORM, "do": "connect"})
    found = connecting.check(Integration.objects.get())
    assert found == connecting.Checked(True, "ok", "Connected to shop.")
