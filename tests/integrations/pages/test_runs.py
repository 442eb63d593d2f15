"""One sync on its page: what went wrong, said once, and what a person can do then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from churnguard.models import Organization, User
from integrations import runs
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests.integrations.pages.worlds import World
from tests.monitoring.worlds import make_run

pytestmark = pytest.mark.django_db(transaction=True)


def failed(crm: Integration, error_code: str) -> SyncRun:
    """A failed sync of contacts and deals, for the same reason."""
    run = make_run(crm, "failed", datetime.now(UTC), error_code=error_code)
    SyncRun.objects.filter(pk=run.pk).update(error_code=error_code)
    RunStream.objects.create(
        run=run,
        state=StreamState.objects.get(integration=crm, name="crm.deals"),
        stream="crm.deals",
        status="failed",
        error_code=error_code,
        error_detail="It said no.",
    )
    return run


def test_one_reason_is_told_once_with_the_names_people_know(
    crm: Integration, pages: Client
) -> None:
    run = failed(crm, "timeout")

    shown = pages.get(f"/syncs/{run.public_id}/")

    (fault,) = shown.context["faults"]
    assert fault["labels"] == ["Contacts", "Deals"]
    assert fault["error_detail"] == "It said no."
    assert shown.context["remedy"] is None
    assert 'class="btn primary" type="submit"' in shown.content.decode()


def test_a_lost_access_leads_to_reconnecting_until_it_is_back(
    crm: Integration, pages: Client, bob: User
) -> None:
    place = f"/syncs/{failed(crm, 'authentication_failed').public_id}/"
    reconnect = {
        "label": "Reconnect",
        "url": f"/integrations/{crm.public_id}/settings/#connection",
    }

    assert pages.get(place).context["remedy"] == reconnect
    Integration.objects.filter(pk=crm.pk).update(status="active")
    assert pages.get(place).context["remedy"] is None
    Integration.objects.filter(pk=crm.pk).update(status="authentication_failed")
    # Who may not reconnect is not sent there.
    pages.force_login(bob)
    assert pages.get(place).context["remedy"] is None


def test_a_brake_leads_to_the_decision(crm: Integration, pages: Client) -> None:
    Integration.objects.filter(pk=crm.pk).update(status="active")
    run = make_run(crm, "incomplete", datetime.now(UTC))
    RunStream.objects.filter(run=run).update(
        status="brake",
        stream="crm.accounts",
        state=StreamState.objects.get(integration=crm, name="crm.accounts"),
    )

    page = pages.get(f"/syncs/{run.public_id}/")

    assert page.context["remedy"] == {
        "label": "Decide about the deletes",
        "url": f"/integrations/{crm.public_id}/#brake",
    }
    assert page.content.decode().count("Confirm deletes") == 1


def test_a_sync_that_waits_is_cancelled_and_not_started_again(
    world: World, pages: Client
) -> None:
    place = f"/integrations/{world.files.public_id}/"
    assert b"Sync now" in pages.get(place).content

    run = runs.start(world.files)
    Integration.objects.filter(pk=world.files.pk).update(
        status="rate_limited", resumes_at=datetime.now(UTC) + timedelta(minutes=4)
    )
    SyncRun.objects.filter(pk=run.pk).update(error_code="rate_limited", attempts=1)

    for tab in ("", "runs/", "mapping/"):
        page = pages.get(place + tab).content.decode()
        assert "Cancel sync" in page
        assert "Sync now" not in page
    waiting = pages.get(place).content.decode()
    assert "It goes on by itself" in waiting
    # Nothing moves, so no bar says that something does.
    assert "<progress" not in waiting
    assert "<progress" not in pages.get(f"/syncs/{run.public_id}/").content.decode()


def test_data_with_a_clock_of_its_own_is_late_by_that(
    crm: Integration, pages: Client
) -> None:
    daily = StreamState.objects.filter(integration=crm, name="crm.deals")
    daily.update(sync_frequency=86_400)
    Integration.objects.filter(pk=crm.pk).update(sync_frequency=900)

    page = pages.get(f"/integrations/{crm.public_id}/")

    limits = {s["stream"]: s["stale_after_s"] for s in page.context["streams"]}
    assert (limits["crm.deals"], limits["contacts"]) == (172_800, 1_800)
    assert b"read every day" in page.content


def test_counts_of_nothing_step_back(
    world: World, pages: Client, org: Organization
) -> None:
    page = pages.get(f"/syncs/{world.run.public_id}/").content.decode()

    assert '<td class="num zero" data-label="Deleted">0</td>' in page
    assert '<td class="num" data-label="Quarantined">1</td>' in page
