"""Kept analyses over page and API: what each kind finds, order, tenancy, failures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from analytics import batch
from analytics.analyses import results
from analytics.models import AnalysisRun, HealthScore, ScoreDefinition
from churnguard.models import (
    Customer,
    CustomerSource,
    Deal,
    Organization,
    OrgDay,
    Schedule,
    Source,
    Subscription,
    SurveyResponse,
    Ticket,
    UsageDay,
    User,
)

pytestmark = pytest.mark.django_db
URL = "/api/v1/analytics/analyses"
SUNDAY = datetime(2026, 11, 22, 3, tzinfo=UTC)
FIRST = datetime(2026, 12, 1, 4, tzinfo=UTC)


@pytest.fixture
def world(org: Organization) -> Organization:
    """Two accounts: one fell into risk on Wednesday, one rose; tickets of two teams,
    answers, a cancellation and a lost deal in the same week."""
    source = Source.objects.create(organization=org, name="desk")
    definition = ScoreDefinition.objects.create(organization=org, version=1, spec={})
    wednesday = datetime(2026, 11, 18, 10, tzinfo=UTC)
    for n, (before, after) in enumerate(((75, 30), (45, 80))):
        customer = Customer.objects.create(
            organization=org, name=f"Firm {n}", score=after, mrr_minor=10_000
        )
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id=f"f{n}", customer=customer
        )
        same = {"organization": org, "source": source, "customer_source": ref}
        for at, score in ((wednesday - timedelta(days=30), before), (wednesday, after)):
            HealthScore.objects.create(
                organization=org, customer=customer, at=at, score=score,
                definition=definition, score_exact=score, parts=[], parts_hash=0,
                band="at_risk" if score < 40 else "healthy" if score > 70 else "watch",
                coverage_pct=100,
            )  # fmt: skip
        Ticket.objects.create(
            **same, external_id=f"t{n}", team=("north", "south")[n], status="solved",
            opened_at=wednesday, first_replied_at=wednesday + timedelta(hours=2 + n),
            solved_at=wednesday + timedelta(hours=5), satisfaction_pct=80,
        )  # fmt: skip
        SurveyResponse.objects.create(
            **same, external_id=f"n{n}", kind="nps", score=(4, 10)[n],
            answered_at=wednesday,
        )  # fmt: skip
        Subscription.objects.create(
            **same, external_id=f"s{n}", status="active", mrr_minor=10_000,
            currency="USD", started_at=wednesday - timedelta(days=90),
            canceled_at=wednesday if n == 0 else None,
            cancel_reason="went to a competitor" if n == 0 else None,
            cancel_at=wednesday + timedelta(days=40) if n == 0 else None,
        )  # fmt: skip
        UsageDay.objects.create(
            organization=org, customer_source=ref, day=wednesday.date(), name="login",
            user_key="u", n=4, first_at=wednesday, last_at=wednesday,
        )  # fmt: skip
    Deal.objects.create(
        organization=org, source=source, external_id="d", status="lost",
        close_at=wednesday,
    )  # fmt: skip
    OrgDay.objects.create(organization=org, day=wednesday.date(), name="login", n=8)
    week_before = wednesday.date() - timedelta(days=7)
    OrgDay.objects.create(organization=org, day=week_before, name="login", n=5)
    return org


def test_daily_finds_health_usage_support_and_finance(
    api: Callable[..., Any], bob: User, world: Organization
) -> None:
    run = batch.run_one(world, "daily", datetime(2026, 11, 19, 2, tzinfo=UTC))
    assert run is not None

    found = api(bob).get(f"{URL}/{run.pk}").json()

    assert (found["kind"], found["status"]) == ("daily", "completed")
    assert found["period_start"] == "2026-11-18T00:00:00Z"
    parts = found["result"]["sections"]
    assert set(parts) == {"health", "usage", "support", "finance"}
    health = parts["health"]
    assert (health["fell"], health["rose"]) == (1, 1)
    assert (health["entered_at_risk"], health["left_at_risk"]) == (1, 0)
    assert health["falls"] == [
        {
            "customer_id": Customer.objects.get(name="Firm 0").public_id,
            "name": "Firm 0", "score_before": 75, "band_before": "healthy",
            "score": 30, "band": "at_risk",
        }
    ]  # fmt: skip
    usage = parts["usage"]
    assert (usage["events"], usage["events_before"], usage["dau"]) == (8, 5, 2)
    assert usage["by_name"] == [{"name": "login", "events": 8}]
    total = parts["support"]["total"]
    assert (total["volume"], total["first_response_median_s"]) == (2, 9000)
    assert parts["support"]["before"]["volume"] == 0
    assert parts["finance"]["mrr_end_minor"] == 20_000


def test_weekly_finds_accounts_teams_process_and_satisfaction(
    world: Organization,
) -> None:
    run = batch.run_one(world, "weekly", SUNDAY)

    assert run is not None
    parts = run.result["sections"]
    assert set(parts) == {"health", "teams", "process", "satisfaction"}
    assert [(row["team"], row["volume"]) for row in parts["teams"]["teams"]] == [
        ("north", 1),
        ("south", 1),
    ]
    trend = parts["satisfaction"]["trend"]
    assert [row["nps"] for row in trend] == [None, None, None, None, 0.0]
    assert (trend[-1]["from"], trend[-1]["to"]) == ("2026-11-15", "2026-11-21")
    assert (trend[-1]["rated"], trend[-1]["csat_pct"]) == (2, 80)


def test_monthly_finds_revenue_churn_and_market(world: Organization) -> None:
    run = batch.run_one(world, "monthly", FIRST)

    assert run is not None
    assert run.period_start == datetime(2026, 11, 1, tzinfo=UTC)
    parts = run.result["sections"]
    assert set(parts) == {"health", "usage", "support", "revenue", "churn", "market"}
    assert parts["revenue"]["totals"]["mrr_end_minor"] == 20_000
    assert parts["churn"]["state"] == "no_model"
    assert parts["market"] == {
        "cancellations": [{"reason": "went to a competitor", "count": 1}],
        "deals": [{"status": "lost", "count": 1}],
    }


@pytest.mark.parametrize("kind", ["daily", "weekly", "monthly"])
def test_pages(client: Client, bob: User, world: Organization, kind: str) -> None:
    due = {"daily": datetime(2026, 11, 19, 2, tzinfo=UTC), "weekly": SUNDAY}
    earlier = batch.run_one(world, kind, due.get(kind, FIRST) - timedelta(days=40))
    run = batch.run_one(world, kind, due.get(kind, FIRST))
    assert run is not None
    assert earlier is not None
    client.force_login(bob)

    listed = client.get(f"/analyses/?kind={kind}").content.decode()
    shown = client.get(f"/analyses/{run.pk}/").content.decode()

    assert listed.index(f"/analyses/{run.pk}/") < listed.index(
        f"/analyses/{earlier.pk}/"
    )
    assert "Against the one before" in shown
    assert "Firm 0" in shown
    assert ("went to a competitor" in shown) == (kind == "monthly")
    assert ("north" in shown) == (kind == "weekly")


def test_pages_and_parameters(
    api: Callable[..., Any], client: Client, bob: User, org: Organization
) -> None:
    client.force_login(bob)
    assert "No analysis yet" in client.get("/analyses/").content.decode()
    assert client.get("/analyses/?kind=hourly").status_code == 400
    for n in range(5):
        batch.run_one(org, "daily", SUNDAY - timedelta(days=n, hours=1))

    seen, cursor = [], ""
    while cursor is not None:
        page = api(bob).get(f"{URL}?kind=daily&limit=2&cursor={cursor}").json()
        seen += [row["analysis_id"] for row in page["results"]]
        cursor = page["next"]

    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, key=int, reverse=True)
    assert api(bob).get(f"{URL}?kind=weekly").json()["results"] == []
    for bad in ("kind=x", "cursor=x", "limit=x"):
        assert api(bob).get(f"{URL}?{bad}").status_code == 400
    for unknown in ("0", "x", "9" * 30, "-1"):
        assert api(bob).get(f"{URL}/{unknown}").status_code == 404


def test_stranger(
    api: Callable[..., Any], client: Client, charlie: User, org: Organization
) -> None:
    run = batch.run_one(org, "daily", SUNDAY)
    assert run is not None

    assert api(charlie).get(f"{URL}/{run.pk}").status_code == 404
    assert api(charlie).get(URL).json()["results"] == []
    client.force_login(charlie)
    assert client.get(f"/analyses/{run.pk}/").status_code == 404


def test_what_was_left_open_is_done_and_a_failure_stops_no_other(
    client: Client,
    bob: User,
    org: Organization,
    other_org: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch.tick(SUNDAY - timedelta(hours=2))
    Schedule.objects.exclude(kind="daily").delete()
    find = results.SECTIONS["daily"]["usage"]

    def fail_once(span: results.Span) -> dict[str, Any]:
        if span.organization == org:
            raise ZeroDivisionError
        return find(span)

    monkeypatch.setitem(results.SECTIONS["daily"], "usage", fail_once)
    assert batch.tick(SUNDAY) == 2

    failed = AnalysisRun.objects.get(organization=org)
    assert failed.error == "The analysis failed (ZeroDivisionError); see the log."
    assert AnalysisRun.objects.get(organization=other_org).result["events"] == 0
    client.force_login(bob)
    assert (
        "This analysis failed."
        in client.get(f"/analyses/{failed.pk}/").content.decode()
    )

    # Two that a killed worker left: one is held for an hour, one is older.
    AnalysisRun.objects.update(finished_at=None, error="", result={})
    now = datetime.now(UTC)
    AnalysisRun.objects.filter(organization=org).update(
        started_at=now - timedelta(minutes=61)
    )
    AnalysisRun.objects.filter(organization=other_org).update(started_at=now)
    monkeypatch.setitem(results.SECTIONS["daily"], "usage", find)
    assert batch.tick(SUNDAY) == 1
    assert AnalysisRun.objects.get(organization=org).finished_at is not None
    assert AnalysisRun.objects.get(organization=other_org).finished_at is None
