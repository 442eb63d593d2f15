"""The scheduled analyses run once per due time and keep what they found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from analytics import batch
from analytics.models import AnalysisRun
from churnguard.models import Customer, Organization, OrgDay, Schedule

EVENING = datetime(2026, 11, 20, 22, tzinfo=UTC)
DUE = datetime(2026, 11, 21, 2, tzinfo=UTC)


def test_a_due_time_is_analysed_once_per_organisation(
    org: Organization, other_org: Organization
) -> None:
    assert batch.tick(EVENING) == 0
    assert batch.tick(DUE - timedelta(seconds=1)) == 0

    assert batch.tick(DUE) == 2
    assert batch.tick(DUE) == 0

    run = AnalysisRun.objects.get(organization=org)
    assert (run.kind, run.scheduled_for) == ("daily", DUE)
    assert run.period_start == datetime(2026, 11, 20, tzinfo=UTC)
    assert run.period_end == datetime(2026, 11, 21, tzinfo=UTC)
    schedule = Schedule.objects.get(kind="daily")
    assert schedule.next_run_at == DUE + timedelta(days=1)


def test_a_missed_week_is_made_up_once(org: Organization) -> None:
    batch.tick(EVENING)

    assert batch.tick(EVENING + timedelta(days=9)) == 2  # one daily, one weekly

    weekly = AnalysisRun.objects.get(kind="weekly")
    assert weekly.period_start == datetime(2026, 11, 15, tzinfo=UTC)
    assert weekly.period_end == datetime(2026, 11, 22, tzinfo=UTC)


def test_the_daily_run_asks_for_new_scores_and_counts(org: Organization) -> None:
    customer = Customer.objects.create(
        organization=org, name="a", score=80, band="healthy", mrr_minor=500
    )
    OrgDay.objects.create(organization=org, day=EVENING.date(), name="login", n=7)
    OrgDay.objects.create(organization=org, day=DUE.date(), name="login", n=9)

    run = batch.run_one(org, "daily", DUE)

    customer.refresh_from_db()
    assert customer.score_stale_at is not None
    assert run is not None
    assert run.result["events"] == 7
    assert run.result["bands"] == {
        "healthy": 1,
        "watch": 0,
        "at_risk": 0,
        "left": 0,
        "unknown": 0,
    }
    assert run.result["mrr_minor"] == 500
