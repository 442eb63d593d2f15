"""What a page shows is what its API answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from churnguard.models import Batch, Organization, User
from integrations import activity, runs
from integrations.models import Integration, StreamState, SyncRun
from tests.integrations.pages.worlds import World
from tests.monitoring.worlds import make_batch, make_integration, make_run

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_list_shows_the_rows_of_the_api(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    shown = pages.get("/integrations/").context["rows"]

    rows = api(alice).get("/api/integrations").json()["results"]
    assert [row["integration_id"] for row in shown] == [
        row["integration_id"] for row in rows
    ]
    for mine, theirs in zip(shown, rows, strict=True):
        for name in ("status", "records_today", "quarantined", "schedule", "streams"):
            assert mine[name] == theirs[name]
        assert len(mine["runs"]) == len(theirs["runs"])


def test_the_figures_and_the_chart_are_those_of_the_api(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    now = datetime.now(UTC)
    make_batch(world.crm.source, now - timedelta(minutes=30), inserted=11, updated=2)
    make_run(world.crm, "cancelled", now - timedelta(minutes=5))

    shown = pages.get("/integrations/").context
    told = api(alice).get("/api/dashboard/integrations").json()

    day = shown["day"]
    figures = told["last_24h"]
    for name in ("ended", "completed", "failed", "cancelled", "records_today"):
        assert figures[name] == getattr(day, name), name
    assert figures["failure_ratio"] == pytest.approx(day.failure_ratio)
    assert (figures["scheduled"], figures["late"]) == (day.scheduled, day.late)
    assert figures["freshness_p95_s"] == pytest.approx(day.freshness_p95_s, abs=60)
    (series,) = shown["chart"]["series"]
    assert told["per_minute"]["records"][-1440:] == series["values"] or (
        # A minute may have begun between the two.
        told["per_minute"]["records"][:-1] == series["values"][1:]
    )
    first_at = datetime.fromisoformat(told["per_minute"]["first_at"]).timestamp()
    assert first_at in (shown["chart"]["x"][0], shown["chart"]["x"][1])
    # 40 of the database, 4 of the files (one refused), and the 13 above.
    assert sum(series["values"]) == 40 + 4 + 13
    assert told["by_status"]["authentication_failed"] == 1
    assert [row["integration_id"] for row in told["results"]] == [
        row["integration_id"] for row in shown["rows"]
    ]


def test_without_records_there_is_no_first_minute(
    client: Client, api: Any, charlie: User
) -> None:
    told = api(charlie).get("/api/dashboard/integrations").json()

    assert told["per_minute"] == {"first_at": None, "records": []}
    assert told["last_24h"]["failure_ratio"] is None
    assert told["last_24h"]["ended"] == 0


def test_the_filters_narrow_the_list_and_say_so_when_nothing_is_left(
    world: World, pages: Client
) -> None:
    def names(query: str) -> list[str]:
        rows = pages.get(f"/integrations/?{query}").context["rows"]
        return [row["integration_name"] for row in rows]

    assert names("") == ["Exports", "CRM replica"]
    assert names("q=crm") == ["CRM replica"]
    assert names("status=authentication_failed") == ["CRM replica"]
    assert names("provider=file") == ["Exports"]
    assert names("tag=sales") == ["CRM replica"]
    page = pages.get("/integrations/?q=nothing")
    assert b"Nothing matches these filters" in page.content
    assert pages.get("/integrations/?q=%00").status_code == 200


def test_a_row_offers_the_one_thing_to_do(world: World, pages: Client) -> None:
    looks = {
        row["integration_name"]: row["look"]
        for row in pages.get("/integrations/").context["rows"]
    }

    assert (looks["CRM replica"].label, looks["CRM replica"].action) == (
        "Action required",
        "reconnect",
    )
    assert (looks["Exports"].status, looks["Exports"].action) == ("healthy", "sync")


def test_a_connection_that_tries_again_is_not_called_healthy(
    world: World, pages: Client
) -> None:
    def look() -> tuple[str, str]:
        rows = pages.get("/integrations/").context["rows"]
        (row,) = (r for r in rows if r["integration_name"] == "Exports")
        return row["look"].status, row["look"].action

    run = runs.start(world.files, by="test")
    detail = "The host could not be found. The next try is at 12:00:00 UTC."
    Integration.objects.filter(pk=world.files.pk).update(status_detail=detail)

    assert look() == ("retrying", "view")
    page = pages.get(f"/integrations/{world.files.public_id}/").content.decode()
    assert "It tries again by itself." in page
    assert detail in page
    Integration.objects.filter(pk=world.files.pk).update(status_detail="")
    StreamState.objects.filter(integration=world.files).update(last_success_at=None)
    assert look() == ("never", "view")
    SyncRun.objects.filter(pk=run.pk).update(status="cancelled")
    assert look() == ("never", "sync")


def test_the_heading_counts_the_healthy_first(world: World, pages: Client) -> None:
    make_integration(world.org, "Later", status="paused")

    said = pages.get("/integrations/").context["said"]

    assert said == "3 integrations · 1 healthy, 1 needs action, 1 paused"


def test_a_viewer_sees_no_button_to_press(
    world: World, client: Client, bob: User
) -> None:
    client.force_login(bob)

    page = client.get("/integrations/").content

    assert b"Sync now" not in page
    assert b"Add integration" not in page
    assert b"Reconnect<" not in page


def test_an_empty_list_says_how_to_begin(
    client: Client, charlie: User, member: Any, other_org: Organization
) -> None:
    client.force_login(charlie)
    page = client.get("/integrations/")
    assert b"No integrations yet" in page.content
    assert b"/integrations/new/" in page.content

    client.force_login(member("viewer", in_org=other_org))
    assert b"/integrations/new/" not in client.get("/integrations/").content


def test_the_tiles_count_the_last_24_hours(org: Organization) -> None:
    now = datetime.now(UTC)
    crm = make_integration(org, "CRM", sync_frequency=600)
    make_run(crm, "completed", now - timedelta(hours=1))
    make_run(crm, "completed", now - timedelta(hours=2))
    make_run(crm, "failed", now - timedelta(hours=3))
    make_run(crm, "cancelled", now - timedelta(hours=4))
    make_run(crm, "failed", now - timedelta(hours=25))
    crm.streams.update(last_success_at=now - timedelta(seconds=1500))
    make_batch(crm.source, now, inserted=7, updated=2, unchanged=90)

    day = activity.last_day(org, now)

    assert (day.ended, day.completed, day.failed, day.cancelled) == (4, 2, 1, 1)
    assert day.failure_ratio == pytest.approx(1 / 3)
    assert day.is_failing
    assert day.records_today == 9
    assert day.freshness_p95_s == pytest.approx(1500, abs=1)
    assert (day.scheduled, day.late) == (1, 1)


def test_without_any_sync_there_is_no_rate_and_no_freshness(org: Organization) -> None:
    day = activity.last_day(org, datetime.now(UTC))

    assert day.failure_ratio is None
    assert day.freshness_p95_s is None
    assert not day.is_failing
    assert activity.per_minute(org, datetime.now(UTC)) == []


def test_the_chart_has_a_point_per_minute(org: Organization) -> None:
    now = datetime(2026, 5, 4, 12, 30, 40, tzinfo=UTC)
    crm = make_integration(org, "CRM")
    make_batch(crm.source, now - timedelta(minutes=2), inserted=3)
    make_batch(crm.source, now - timedelta(minutes=2, seconds=1), updated=4)

    points = activity.per_minute(org, now)

    assert len(points) == 24 * 60
    assert points[-1] == (int(now.replace(second=0).timestamp()), 0)
    assert points[-3][1] == 7
    assert sum(count for _at, count in points) == 7


def test_the_status_tab_shows_the_streams_of_the_api(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    place = world.files.public_id
    shown = pages.get(f"/integrations/{place}/").context["streams"]

    streams = api(alice).get(f"/api/integrations/{place}/streams").json()["results"]
    assert [row["stream"] for row in shown] == [row["stream"] for row in streams]
    for mine, theirs in zip(shown, streams, strict=True):
        assert mine["records_stored"] == theirs["records_stored"]
        assert mine["status"] == theirs["status"]


def test_the_runs_pages_show_the_runs_of_the_api(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    everything = pages.get("/syncs/").context["rows"]
    own = pages.get(f"/integrations/{world.crm.public_id}/runs/").context["rows"]

    answer = api(alice).get("/api/syncs").json()["results"]
    assert [row["sync_id"] for row in everything] == [r["sync_id"] for r in answer]
    for mine, theirs in zip(everything, answer, strict=True):
        for name in ("status", "fetched", "inserted", "quarantined"):
            assert mine[name] == theirs[name]
    assert [row["status"] for row in own] == ["completed", "failed"]


def test_runs_are_filtered_and_paged(world: World, pages: Client) -> None:
    failed = pages.get("/syncs/?status=failed").context["rows"]
    assert [row["status"] for row in failed] == ["failed"]
    nothing = pages.get("/syncs/?status=cancelled")
    assert b"Nothing matches these filters" in nothing.content
    assert pages.get("/syncs/?status=nosuch").status_code == 400
    assert pages.get("/syncs/?cursor=nosuch").status_code == 400
    first = pages.get("/syncs/?limit=1")
    second = pages.get(f"/syncs/?limit=1&cursor={first.context['after']}")
    assert first.context["rows"] != second.context["rows"]


def test_the_run_page_accounts_for_every_record(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    place = world.run.public_id
    shown = pages.get(f"/syncs/{place}/").context

    body = api(alice).get(f"/api/syncs/{place}").json()
    counters = ("fetched", "inserted", "updated", "unchanged", "duplicate",
                "quarantined", "filtered", "deleted")  # fmt: skip
    assert {n: shown["run"][n] for n in counters} == {n: body[n] for n in counters}
    assert shown["run"]["fetched"] == 5
    assert shown["run"]["inserted"] == 4
    assert shown["run"]["quarantined"] == 1
    lines = api(alice).get(f"/api/syncs/{place}/ledger").json()["results"]
    assert [line["batch_id"] for line in shown["lines"]] == [
        line["batch_id"] for line in lines
    ]
    assert sum(line["fetched"] for line in shown["lines"]) == 5


def test_the_ledger_tab_adds_up(world: World, pages: Client) -> None:
    shown = pages.get(f"/integrations/{world.files.public_id}/ledger/").context

    sums = shown["sums"]
    assert sums["fetched"] == 5
    assert sums["fetched"] == sum(
        sums[name]
        for name in (
            "inserted", "updated", "unchanged", "duplicate", "quarantined", "filtered"
        )
    )  # fmt: skip
    assert sums["batches"] == Batch.objects.filter(source=world.files.source).count()
    assert {line["sync_id"] for line in shown["lines"]} == {world.run.public_id}
    bad = f"/integrations/{world.files.public_id}/ledger/?cursor=x"
    assert pages.get(bad).status_code == 400


def test_the_quarantine_shows_the_records_of_the_api(
    world: World, pages: Client, api: Any, alice: User
) -> None:
    shown = pages.get("/quarantine/").context

    rows = api(alice).get("/api/quarantine").json()["results"]
    assert [row["id"] for row in shown["rows"]] == [row["id"] for row in rows]
    assert shown["rows"][0]["detail"] == rows[0]["detail"]
    assert shown["open"] == shown["matching"] == 1
    assert Integration.objects.count() == 2


def test_lists_need_a_bounded_number_of_queries(
    world: World,
    pages: Client,
    django_assert_max_num_queries: Any,
) -> None:
    for path, most in (("/integrations/", 30), ("/syncs/", 14), ("/quarantine/", 18)):
        pages.get(path)
        with django_assert_max_num_queries(most):
            pages.get(path)
