"""Old ledger lines are merged by day, and nothing that is shown of them changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from analytics import rollups
from churnguard.models import Batch, Organization, OrgDay, Source
from integrations import activity, load, status
from integrations.load.wire import micros
from monitoring import compaction, prune
from tests.monitoring.worlds import make_integration

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = datetime(2026, 3, 5, tzinfo=UTC)
LATE = timedelta(days=2)


def _line(source: Source, at: datetime, **more: Any) -> Batch:
    """A folded commit of a single event, one minute old on arrival."""
    given = {
        "origin": "ingest",
        "fetched": 1,
        "inserted": 1,
        "events": 1,
        "bytes": 100,
        "received_at": at,
        "newest_at": at - timedelta(minutes=1),
        "folded_at": at + timedelta(seconds=1),
    } | more
    return Batch.objects.create(
        organization=source.organization, source=source, **given
    )


def _lines(source: Source) -> list[tuple[Any, ...]]:
    names = ("pk", "lines", "fetched", "inserted", "duplicate", "quarantined", "events")
    return [*Batch.objects.filter(source=source).order_by("pk").values_list(*names)]


@pytest.fixture
def source(org: Organization) -> Source:
    return Source.objects.create(organization=org, name="web", kind="ingest")


def test_a_day_of_a_source_becomes_one_line(source: Source) -> None:
    first = _line(source, DAY)
    _line(source, DAY + timedelta(hours=1), fetched=3, duplicate=2, bytes=7)
    last = DAY + timedelta(hours=23, minutes=59)
    _line(source, last, inserted=0, events=0, quarantined=1, newest_at=last)
    following = _line(source, DAY + timedelta(days=1))

    assert compaction.tick(NOW) == 2
    assert compaction.tick(NOW) == 0

    assert _lines(source) == [
        (first.pk, 3, 5, 2, 2, 1, 2),
        (following.pk, 1, 1, 1, 0, 0, 1),
    ]
    first.refresh_from_db()
    assert (first.bytes, first.received_at, first.newest_at) == (207, last, last)
    assert first.folded_at == last + timedelta(seconds=1)


def test_what_is_new_unfolded_or_of_a_run_stays(source: Source) -> None:
    other = Source.objects.create(
        organization=source.organization, name="app", kind="ingest"
    )
    kept = [
        _line(source, NOW - timedelta(days=1)),
        _line(source, NOW - timedelta(days=1)),
        _line(source, DAY, folded_at=None),
        _line(source, DAY, folded_at=None),
        _line(source, DAY, run_id=7, page=1),
        _line(source, DAY, run_id=7, page=2),
        _line(source, DAY, origin="webhook"),
        _line(source, DAY, stream="clicks"),
        _line(source, DAY),
        _line(other, DAY),
    ]

    assert compaction.tick(NOW) == 0

    assert {line.pk for line in Batch.objects.all()} == {line.pk for line in kept}


def test_late_and_timely_lines_stay_apart(source: Source) -> None:
    for minute in range(4):
        at = DAY + timedelta(minutes=minute)
        _line(source, at, newest_at=at - LATE if minute % 2 else at)
    _line(source, DAY, newest_at=None, inserted=0, events=0, quarantined=1)
    _line(source, DAY, newest_at=None, inserted=0, events=0, quarantined=1)

    assert compaction.tick(NOW) == 3

    fetched = Batch.objects.filter(source=source).values_list("newest_at", "fetched")
    assert dict(fetched) == {
        DAY + timedelta(minutes=2): 2,
        DAY + timedelta(minutes=3) - LATE: 2,
        None: 2,
    }


def test_pages_and_apis_show_the_same_sums_as_before(org: Organization) -> None:
    integration = make_integration(org, "Web")
    source = integration.source
    assert source is not None
    for number in range(40):
        at = DAY + timedelta(hours=number, minutes=7)
        late = {"newest_at": at - LATE} if number % 5 == 0 else {}
        _line(source, at, fetched=4, duplicate=2, quarantined=1, **late)

    def shown() -> dict[str, Any]:
        now = status.get_status(org.pk, source.name, now=NOW)
        assert now is not None
        quality = status.list_quality(
            org.pk, first=DAY.date(), last=date(2026, 3, 7), name=source.name
        )
        return {
            "ledger": activity.ledger_sums(integration),
            "status": (now.totals, now.last_received_at, now.newest_record_at),
            "timeliness": [(q.day, q.records, q.timeliness_pct) for q in quality],
        }

    before = shown()
    assert before["ledger"]["batches"] == 40
    assert compaction.tick(NOW) == 36
    assert shown() == before


def test_a_long_day_takes_several_steps(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "STEP", 3)
    for minute in range(8):
        _line(source, DAY + timedelta(minutes=minute))

    gone = [prune.tick(NOW) for _step in range(5)]

    assert gone == [2, 2, 2, 1, 0]
    ((_pk, lines, fetched, *_rest),) = _lines(source)
    assert (lines, fetched) == (8, 8)


def test_events_are_folded_once_before_their_lines_are_merged(
    org: Organization, source: Source
) -> None:
    for number in range(6):
        event = load.PreparedEvent(
            event_id=f"e{number}",
            name="login",
            ts=DAY,
            micros=micros(DAY),
            customer_id="c1",
            user_id="",
            value=None,
            properties=b"{}",
            content=bytes(8),
        )
        lot = load.Lot(
            org_id=org.pk,
            source_id=source.pk,
            origin="ingest",
            items=[event],
            received_at=DAY + timedelta(minutes=number),
        )
        load.write_lots(connection, [lot])
        if number == 3:
            rollups.fold()

    assert compaction.tick(NOW) == 3
    rollups.fold()
    assert compaction.tick(NOW) == 2
    rollups.fold()

    assert [(d.day, d.n) for d in OrgDay.objects.all()] == [(DAY.date(), 6)]
    ((_pk, lines, fetched, *_rest),) = _lines(source)
    assert (lines, fetched) == (6, 6)
