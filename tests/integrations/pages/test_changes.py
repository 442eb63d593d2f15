"""What the buttons do: syncs, brakes, settings, secrets, mappings, quarantine."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.test import Client

from churnguard.models import AuditEntry
from integrations import connecting, credentials, registry, runs
from integrations.models import Integration, StreamState, SyncRun
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_sync_now_starts_one_run_and_a_second_press_leads_to_it(
    world: World, pages: Client
) -> None:
    place = f"/integrations/{world.files.public_id}/sync/"

    first = pages.post(place, {"mode": "full"})
    second = pages.post(place)

    run = SyncRun.objects.get(status="pending")
    assert run.mode == "full"
    assert first["Location"] == second["Location"] == f"/syncs/{run.public_id}/"


def test_a_row_leads_back_to_its_list_but_never_elsewhere(
    world: World, pages: Client
) -> None:
    place = f"/integrations/{world.files.public_id}/cancel/"

    back = pages.post(place, {"next": "/integrations/?q=x"})
    away = pages.post(place, {"next": "https://evil.example/"})

    assert back["Location"] == "/integrations/?q=x"
    assert away["Location"] == f"/integrations/{world.files.public_id}/"


def test_a_waiting_sync_is_cancelled_and_tried_again(
    world: World, pages: Client
) -> None:
    run = runs.start(world.files)

    pages.post(f"/syncs/{run.public_id}/cancel/")
    page = pages.get(f"/syncs/{run.public_id}/")
    again = pages.post(f"/syncs/{run.public_id}/retry/")

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert b"Try again" in page.content
    made = SyncRun.objects.get(status="pending")
    assert made.trigger == "retry"
    assert again["Location"] == f"/syncs/{made.public_id}/"


def test_pause_and_resume(world: World, pages: Client) -> None:
    place = f"/integrations/{world.files.public_id}/"

    pages.post(f"{place}pause/")
    paused = pages.get(place)
    refused = pages.post(f"{place}sync/")
    pages.post(f"{place}resume/")

    assert b"Resume" in paused.content
    assert refused["Location"] == place
    assert not SyncRun.objects.filter(status="pending").exists()
    assert Integration.objects.get(pk=world.files.pk).status == "active"


def test_deletes_that_wait_are_shown_and_kept(
    world: World, pages: Client, place: str
) -> None:
    page = pages.get(place).content
    assert b"412 of 900 records" in page

    pages.post(f"{place}brake/", {"stream": "crm.accounts", "do": "keep"})

    state = StreamState.objects.get(integration=world.crm, name="crm.accounts")
    assert (state.brake, state.status) == (None, "active")
    assert AuditEntry.objects.filter(action="stream.records_kept").count() == 1
    assert b"Deletes that wait" not in pages.get(place).content


def test_deletes_that_wait_are_confirmed(
    world: World, pages: Client, place: str
) -> None:
    answer = pages.post(f"{place}brake/", {"stream": "crm.accounts", "do": "confirm"})

    run = SyncRun.objects.get(status="pending")
    assert (run.trigger, run.streams) == ("confirm", ["crm.accounts"])
    assert answer["Location"] == f"/syncs/{run.public_id}/"
    state = StreamState.objects.get(integration=world.crm, name="crm.accounts")
    assert state.brake["confirmed_by"] == "alice@example.com"


def test_changed_fields_are_told_until_they_are_read(
    world: World, pages: Client, place: str
) -> None:
    assert b"utm_source" in pages.get(place).content

    pages.post(f"{place}drift/", {"stream": "crm.accounts"})

    assert b"utm_source" not in pages.get(place).content


def test_a_stream_is_left_out_and_read_from_the_start(
    world: World, pages: Client, place: str
) -> None:
    states = StreamState.objects.filter(integration=world.crm, name="crm.deals")
    states.update(cursor={"after": 7})

    pages.post(f"{place}stream/", {"stream": "crm.deals", "enabled": "0"})
    pages.post(f"{place}reset/", {"stream": "crm.deals"})

    state = states.get()
    assert not state.is_enabled
    assert state.cursor is None
    actions = AuditEntry.objects.values_list("action", flat=True)
    assert {"stream.updated", "stream.cursor_reset"} <= set(actions)


def test_a_position_is_not_forgotten_during_a_sync(
    world: World, pages: Client, place: str
) -> None:
    states = StreamState.objects.filter(integration=world.crm, name="crm.deals")
    states.update(cursor={"after": 7})
    runs.start(world.crm)

    pages.post(f"{place}reset/", {"stream": "crm.deals"})

    assert states.get().cursor == {"after": 7}


def settings_form(**changes: str) -> dict[str, str]:
    return {
        "form": "connection",
        "integration_name": "CRM replica",
        "field-host": "db.example",
        "field-database": "crm",
        "field-username": "reader",
        "field-password": "",
        "field-timezone": "UTC",
        "field-sslmode": "require",
        "field-statement_timeout_s": "300",
        **changes,
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection test succeeds."""
    good = connecting.Checked(True, "ok", "Connected to crm.")
    monkeypatch.setattr(connecting, "check", lambda integration: good)


def test_secrets_are_written_and_never_shown(
    world: World, pages: Client, place: str, answers: None
) -> None:
    page = pages.get(f"{place}settings/").content.decode()
    assert "canary" not in page
    assert "ends in <code>tery</code>" in page

    pages.post(
        f"{place}settings/", settings_form(**{"field-password": "second-canary-4242"})
    )

    assert credentials.load(world.crm) == {"password": "second-canary-4242"}
    assert b"second-canary" not in pages.get(f"{place}settings/").content
    trail = json.dumps(list(AuditEntry.objects.values_list("before", "after")))
    assert "canary" not in trail
    # New secrets end the state that asked for them.
    assert Integration.objects.get(pk=world.crm.pk).status == "active"


def test_an_empty_secret_keeps_what_is_set(
    world: World, pages: Client, place: str, answers: None
) -> None:
    pages.post(f"{place}settings/", settings_form(**{"field-database": "crm2"}))

    assert credentials.load(world.crm) == {"password": "canary-horse-battery"}
    assert Integration.objects.get(pk=world.crm.pk).settings["database"] == "crm2"


def test_bad_settings_are_answered_with_422(
    world: World, pages: Client, place: str
) -> None:
    no_host = pages.post(f"{place}settings/", settings_form(**{"field-host": ""}))
    clock = {"form": "sync", "sync_frequency": "7", "sync_mode": "full"}
    bad_clock = pages.post(f"{place}settings/", clock)

    assert no_host.status_code == bad_clock.status_code == 422
    assert b"This field is required." in no_host.content
    assert Integration.objects.get(pk=world.crm.pk).sync_frequency == 3600


def test_schedule_limits_and_tags_are_saved(
    world: World, pages: Client, place: str
) -> None:
    pages.post(
        f"{place}settings/",
        {
            "form": "sync",
            "sync_frequency": "900",
            "sync_mode": "full",
            "batch_size": "500",
            "requests_per_minute": "30",
            "concurrent_requests": "2",
            "retry_attempts": "4",
            "retry_backoff": "15",
            "tags": "sales, emea , sales",
        },
    )

    saved = Integration.objects.get(pk=world.crm.pk)
    assert (saved.sync_frequency, saved.sync_mode) == (900, "full")
    assert (saved.batch_size, saved.retry_attempts) == (500, 4)
    assert saved.tags == ["sales", "emea"]


def test_deleting_needs_the_name_typed(world: World, pages: Client, place: str) -> None:
    pages.post(f"{place}delete/", {"confirm": "CRM"})
    assert Integration.objects.filter(pk=world.crm.pk).exists()

    gone = pages.post(f"{place}delete/", {"confirm": "CRM replica"})

    assert gone["Location"] == "/integrations/"
    assert not Integration.objects.filter(pk=world.crm.pk).exists()


def test_a_range_of_days_is_read_again_from_the_page(
    world: World, pages: Client
) -> None:
    place = f"/integrations/{world.files.public_id}/"
    stream = StreamState.objects.filter(integration=world.files).first()
    assert stream is not None

    shown = pages.get(f"{place}runs/").content.decode()
    bad = pages.post(f"{place}sync/", {"since": "soon"}, follow=True)
    backwards = pages.post(
        f"{place}sync/", {"since": "2026-02-02", "until": "2026-01-01"}, follow=True
    )
    assert "Read a range again" in shown
    assert "“soon” is no day" in bad.content.decode()
    assert "since must be before until" in backwards.content.decode()
    assert not SyncRun.objects.filter(status="pending").exists()

    pages.post(
        f"{place}sync/",
        {"since": "2026-01-01", "until": "2026-01-31", "stream": stream.name},
    )

    run = SyncRun.objects.get(status="pending")
    assert (run.trigger, run.streams) == ("backfill", [stream.name])
    assert run.since == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.until == datetime(2026, 2, 1, tzinfo=UTC)


def test_filters_and_the_clock_of_a_stream_are_set_on_the_page(
    world: World, pages: Client, place: str
) -> None:
    sync = {
        "form": "sync",
        "sync_frequency": "3600",
        "sync_mode": "incremental",
        "batch_size": "500",
        "requests_per_minute": "60",
        "concurrent_requests": "5",
        "retry_attempts": "3",
        "retry_backoff": "60",
        "tags": "sales",
    }
    for wrong, told in (
        ("[1]", "Give an object"),
        ('{"tier": {"like": "x"}}', "known operators are"),
    ):
        refused = pages.post(f"{place}settings/", {**sync, "data_filters": wrong})
        assert refused.status_code == 422
        assert told in refused.content.decode()

    pages.post(f"{place}settings/", {**sync, "data_filters": '{"tier": ["gold"]}'})
    pages.post(
        f"{place}stream/",
        {"stream": "crm.deals", "record_type": "object", "sync_frequency": "86400"},
    )

    world.crm.refresh_from_db()
    assert world.crm.data_filters == {"tier": ["gold"]}
    deals = StreamState.objects.get(integration=world.crm, name="crm.deals")
    assert deals.sync_frequency == 86_400
    shown = pages.get(f"{place}settings/").content.decode()
    assert "gold" in shown
    assert '<option value="86400" selected>' in shown
    pages.post(
        f"{place}stream/",
        {"stream": "crm.deals", "record_type": "object", "sync_frequency": ""},
    )
    deals.refresh_from_db()
    assert deals.sync_frequency is None


def test_the_button_is_there_for_whoever_chose_to_sign_in(
    world: World, pages: Client
) -> None:
    body = {"provider_name": "zendesk", "settings": {"subdomain": "acme"}}
    made = registry.create(world.org, body, by="test")
    place = f"/integrations/{made.public_id}/settings/"

    assert b"Connect with Zendesk" in pages.get("/integrations/new/zendesk/").content
    assert b"Connect with Zendesk" not in pages.get(place).content
    registry.update(made, {"settings": {"auth_flow": "oauth"}}, by="test")
    assert b"Connect with Zendesk" in pages.get(place).content


def test_the_callback_address_is_shown_where_a_person_signs_in(
    world: World, pages: Client
) -> None:
    told = "http://testserver/integrations/oauth/callback/"

    assert told in pages.get("/integrations/new/salesforce/").content.decode()
    assert told not in pages.get("/integrations/new/postgresql/").content.decode()
