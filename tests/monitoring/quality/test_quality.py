"""Scores, days, notices, pages and API of data quality, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from churnguard.models import (
    AuditEntry,
    Batch,
    Customer,
    CustomerSource,
    Invoice,
    Notice,
    Organization,
    Source,
    Subscription,
    SubscriptionChange,
    User,
)
from monitoring.models import QualityDay, QualitySetting
from monitoring.quality import daily, fresh
from monitoring.quality.catalog import CHECKS
from monitoring.quality.check import DIMENSIONS, Result
from tests.monitoring.worlds import make_batch

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
Api = Callable[..., APIClient]


def make_customer(source: Source, ext: str, **values: Any) -> CustomerSource:
    customer = Customer.objects.create(organization=source.organization, name=ext)
    return CustomerSource.objects.create(
        organization=source.organization,
        source=source,
        external_id=ext,
        customer=customer,
        is_stub=False,
        **{"name": ext, "domain": f"{ext}.example.com", **values},
    )


def make_subscription(owner: CustomerSource, ext: str, **values: Any) -> None:
    given = {"status": "active", "plan": "Pro", "mrr_minor": 100, "currency": "USD"}
    Subscription.objects.create(
        organization=owner.organization,
        source=owner.source,
        external_id=ext,
        customer_source=owner,
        **{**given, "started_at": NOW - timedelta(days=9), **values},
    )


@pytest.fixture
def crm(org: Organization) -> Source:
    """Two customers; three of five subscriptions have one fault each."""
    source = Source.objects.create(organization=org, name="crm")
    birch = make_customer(source, "birch", signup_at=NOW - timedelta(days=20))
    make_customer(source, "maple", domain="not a domain")
    make_subscription(birch, "fine")
    make_subscription(birch, "gratis", mrr_minor=0, plan="Team")
    make_subscription(birch, "early", started_at=NOW - timedelta(days=30))
    make_subscription(birch, "trial", is_trial=True, status="trialing", plan="Max")
    make_subscription(
        birch, "reversed", plan="Old", status="ended", ended_at=NOW - timedelta(days=99)
    )
    return source


def result(dimension: str, score: float | None, **values: Any) -> Result:
    given = {"code": "x", "entity": "ticket", "field": "f", "title": "t"}
    return Result(
        dimension=dimension,
        score_pct=score,
        **{**given, "checked": 100, "failed": 0, **values},
    )


def test_each_check_has_a_code_of_its_own() -> None:
    codes = [check.code for check in CHECKS]
    assert len(codes) == len(set(codes)) > 100


def test_a_score_leaves_out_what_was_not_measured() -> None:
    score = daily.score_of(
        [
            result("completeness", 60, weight=3),
            result("completeness", 100),
            result("validity", 100),
            result("validity", 50),
        ]
    )

    assert score.dimensions["completeness"] == 70
    assert score.dimensions["validity"] == 75
    assert score.dimensions["accuracy"] is None
    assert score.score == round((25 * 70 + 20 * 75) / 45, 1)
    assert score.coverage_pct == 33.3
    assert daily.score_of([]).score is None
    assert daily.score_of([]).coverage_pct == 0


def test_a_failing_critical_check_caps_the_score() -> None:
    few = result("validity", 99, failed=1, is_critical=True)
    many = result("validity", 98, failed=2, is_critical=True)

    assert daily.score_of([few]).score == 99
    assert daily.score_of([many]).score == 49
    assert daily.score_of([many]).is_capped


def test_lateness_falls_to_nothing_at_three_targets() -> None:
    scores = [fresh.timely_pct(lag, 100) for lag in (0, 100, 200, 300, 900)]
    assert scores == [100, 100, 50, 0, 0]


def test_history_that_is_pushed_is_not_late(org: Organization) -> None:
    source = Source.objects.create(organization=org, name="web", kind="ingest")

    def push(days_old: float) -> None:
        batch = make_batch(source, NOW - timedelta(hours=1), inserted=1)
        batch.newest_at = batch.received_at - timedelta(days=days_old)
        batch.save(update_fields=["newest_at"])

    def arrival() -> float | None:
        with connection.cursor() as cur:
            found = fresh.arrival(cur, org.pk, NOW).get(source.pk)
        return None if found is None else found.score_pct

    push(400)
    assert arrival() is None
    push(0)
    assert arrival() == 100
    push(2)
    assert arrival() == 0


def test_a_day_is_kept_with_counts_and_samples(crm: Source) -> None:
    assert daily.measure_now(crm.organization, NOW) == 1
    daily.measure_now(crm.organization, NOW)

    days = QualityDay.objects.filter(source=crm)
    assert sorted(days.values_list("entity", flat=True)) == [
        "",
        "customer",
        "subscription",
    ]
    found = {check["code"]: check for day in days for check in day.checks}
    failed = {
        code: (check["failed"], check["checked"], check["samples"])
        for code, check in found.items()
        if check["failed"]
    }
    assert failed == {
        "customer.domain.malformed": (1, 2, ["maple"]),
        "customer.signup_at.filled": (1, 2, ["maple"]),
        "subscription.paid_without_amount": (1, 3, ["gratis"]),
        "subscription.before_customer": (1, 5, ["early"]),
        "subscription.trial_with_revenue": (1, 1, ["trial"]),
        "subscription.ended_at_before_started_at": (1, 1, ["reversed"]),
    }
    subscriptions = days.get(entity="subscription")
    assert (subscriptions.is_capped, subscriptions.score) == (True, 49)
    assert subscriptions.dimensions["timeliness"] is None
    assert "customer.phone.filled" not in found


def test_the_loop_measures_once_a_day_and_when_asked(crm: Source) -> None:
    Organization.objects.create(name="Without sources")

    assert [daily.tick(NOW), daily.tick(NOW)] == [1, 0]
    QualitySetting.objects.create(organization=crm.organization, asked_at=NOW)
    assert [daily.tick(NOW), daily.tick(NOW)] == [1, 0]
    assert daily.tick(NOW + timedelta(days=1)) == 1
    assert QualityDay.objects.filter(entity="").count() == 2


def test_the_first_data_of_a_source_is_measured_soon(crm: Source) -> None:
    def arrive(source: Source, minutes: int) -> None:
        Batch.objects.create(
            organization=source.organization,
            source=source,
            origin="ingest",
            received_at=NOW + timedelta(minutes=minutes),
        )

    late = Source.objects.create(organization=crm.organization, name="late")
    assert daily.tick(NOW) == 1
    arrive(crm, 1)
    assert daily.tick(NOW + timedelta(minutes=5)) == 0
    arrive(late, 1)
    assert daily.tick(NOW + timedelta(minutes=1)) == 0
    make_customer(late, "ash")

    assert daily.tick(NOW + timedelta(minutes=3)) == 1
    assert daily.tick(NOW + timedelta(minutes=9)) == 0
    assert QualityDay.objects.get(source=late, entity="").score is not None


def test_notices_open_below_the_threshold_and_on_a_fall(crm: Source) -> None:
    QualitySetting.objects.create(organization=crm.organization, least_score=90)
    QualityDay.objects.create(
        organization=crm.organization,
        source=crm,
        day=(NOW - timedelta(days=1)).date(),
        score=100,
        coverage_pct=50,
        measured_at=NOW,
    )

    daily.measure_now(crm.organization, NOW)

    opened = Notice.objects.filter(organization=crm.organization, resolved_at=None)
    assert set(opened.values_list("kind", flat=True)) == {"quality_low", "quality_fall"}

    QualitySetting.objects.update(least_score=10, most_fall=100)
    daily.measure_now(crm.organization, NOW)
    assert not opened.exists()


def test_the_api_answers_in_full(crm: Source, bob: User, api: Api) -> None:
    daily.measure_now(crm.organization, NOW)

    body = api(bob).get("/api/v1/data/quality/metrics").json()

    assert body["thresholds"] == {
        "least_score": 70,
        "most_fall": 10,
        "weights": DIMENSIONS,
    }
    assert body["samples"] == []
    assert [row["entity"] for row in body["scores"]] == ["", "customer", "subscription"]
    assert len(body["scores"][0]["dimensions"]) == 6
    assert body["trend"][0]["score"] == body["scores"][0]["score"]
    sub = next(row for row in body["scores"] if row["entity"] == "subscription")
    assert any(check["samples"] == ["gratis"] for check in sub["checks"])


def test_failing_rows_come_in_pages(crm: Source, bob: User, api: Api) -> None:
    owner = CustomerSource.objects.get(external_id="birch")
    for number in range(4):
        make_subscription(owner, f"zero{number}", mrr_minor=0, plan=f"P{number}")
    url = "/api/v1/data/quality/checks/subscription.paid_without_amount/rows"
    seen, cursor = [], ""
    while cursor is not None:
        reply = api(bob).get(url, {"limit": 2, "cursor": cursor}).json()
        seen += [row["external_id"] for row in reply["results"]]
        cursor = reply["next"]

    assert seen == ["gratis", "zero0", "zero1", "zero2", "zero3"]
    assert api(bob).get(url, {"cursor": "x"}).status_code == 400
    assert api(bob).get(url, {"source": "nope"}).status_code == 404
    unknown = "/api/v1/data/quality/checks/subscription.nothing/rows"
    assert api(bob).get(unknown).status_code == 404


def test_every_check_can_list_its_rows(crm: Source, bob: User, api: Api) -> None:
    client = api(bob)
    for check in CHECKS:
        url = f"/api/v1/data/quality/checks/{check.code}/rows"
        assert client.get(url).status_code == 200, check.code


def test_thresholds_are_for_admins_and_audited(
    crm: Source, alice: User, bob: User, api: Api
) -> None:
    url = "/api/v1/data/quality/thresholds"
    wanted = {"least_score": 80, "most_fall": 5}

    assert api(bob).put(url, wanted, format="json").status_code == 403
    assert api(alice).put(url, {"least_score": 101}, format="json").status_code == 400
    kept = {**wanted, "weights": DIMENSIONS}
    assert api(alice).put(url, wanted, format="json").json() == kept
    assert api(bob).get(url).json() == kept
    entry = AuditEntry.objects.get(action="quality.thresholds_changed")
    assert (entry.actor, entry.after) == (alice.email, wanted)


def test_weights_are_the_organisations_own(
    crm: Source, alice: User, bob: User, api: Api, client: Client
) -> None:
    url = "/api/v1/data/quality/thresholds"
    limits = {"least_score": 70, "most_fall": 10}
    only = {name: 100 * (name == "validity") for name in DIMENSIONS}
    daily.measure_now(crm.organization, NOW)
    row = QualityDay.objects.get(entity="subscription")
    assert row.score != round(row.dimensions["validity"], 1)

    for bad, field in (
        ({"validity": 101}, "weight_validity"),
        ({"beauty": 3}, "weights"),
        (dict.fromkeys(DIMENSIONS, 0), "weights"),
        ([1], "weights"),
    ):
        reply = api(alice).put(url, {**limits, "weights": bad}, format="json")
        assert (reply.status_code, list(reply.json()["fields"])) == (400, [field])
    kept = api(alice).put(url, {**limits, "weights": only}, format="json").json()
    assert kept["weights"] == only
    entry = AuditEntry.objects.get(action="quality.thresholds_changed")
    assert (entry.before["weights"], entry.after["weights"]) == ({}, only)

    daily.measure_now(crm.organization, NOW)
    row = QualityDay.objects.get(entity="subscription")
    validity = row.dimensions["validity"]
    assert row.score == (min(validity, 49.0) if row.is_capped else round(validity, 1))
    # What is not given stays; the page sends every weight.
    assert api(alice).put(url, limits, format="json").json()["weights"] == only
    client.force_login(alice)
    form = {f"weight_{name}": value for name, value in DIMENSIONS.items()}
    assert client.post("/quality/thresholds/", {**limits, **form}).status_code == 302
    assert api(bob).get(url).json()["weights"] == DIMENSIONS
    reply = client.post(
        "/quality/thresholds/", {**limits, **form, "weight_validity": ""}
    )
    assert reply.status_code == 422
    assert b'id="note-validity"' in reply.content


def test_invoices_are_held_against_the_mrr_of_their_time(crm: Source) -> None:
    owner = CustomerSource.objects.get(external_id="birch")

    def bill(subscription: str, *parts: tuple[int, int]) -> None:
        for days, minor in parts:
            Invoice.objects.create(
                organization=crm.organization,
                source=crm,
                external_id=f"{subscription}-{days}",
                customer_source=owner,
                subscription_id_ext=subscription,
                status="paid",
                currency="usd",
                total_minor=minor,
                issued_at=NOW - timedelta(days=days),
            )

    for ext in ("tax", "half", "yearly", "once"):
        make_subscription(owner, ext, plan=ext, mrr_minor=1000)
    make_subscription(owner, "grown", plan="grown", mrr_minor=4000)
    SubscriptionChange.objects.create(
        organization=crm.organization,
        subscription=Subscription.objects.get(external_id="grown"),
        effective_at=NOW - timedelta(days=90),
        known_at=NOW,
        mrr_minor=1000,
    )
    SubscriptionChange.objects.create(
        organization=crm.organization,
        subscription=Subscription.objects.get(external_id="grown"),
        effective_at=NOW - timedelta(days=1),
        known_at=NOW,
        mrr_minor=4000,
    )
    bill("tax", (40, 1190), (10, 1190))
    bill("half", (40, 1000), (10, 500))
    bill("yearly", (370, 12_000), (5, 12_000))
    bill("once", (3, 77))
    bill("grown", (40, 1000), (10, 1000))

    daily.measure_now(crm.organization, NOW)
    checks = QualityDay.objects.get(entity="subscription").checks
    (found,) = [c for c in checks if c["code"] == "subscription.invoices_against_mrr"]
    assert (found["checked"], found["failed"]) == (4, 1)
    assert found["samples"] == ["half"]


def test_strangers_see_and_change_nothing(
    crm: Source, charlie: User, other_org: Organization, api: Api
) -> None:
    daily.measure_now(crm.organization, NOW)
    stranger = api(charlie)

    body = stranger.get("/api/v1/data/quality/metrics").json()
    assert (body["scores"], body["trend"], body["results"]) == ([], [], [])
    base = "/api/v1/data/quality"
    assert stranger.get(f"{base}/metrics", {"source": "crm"}).status_code == 404
    rows = f"{base}/checks/subscription.paid_without_amount/rows"
    assert stranger.get(rows).json() == {"results": [], "next": None}
    assert stranger.get(rows, {"source": "crm"}).status_code == 404
    stranger.post(f"{base}/measurements")
    stranger.put(f"{base}/thresholds", {"least_score": 1, "most_fall": 1})
    assert not QualitySetting.objects.filter(organization=crm.organization).exists()
    assert api().get(f"{base}/metrics").status_code == 401

    daily.measure_now(other_org, NOW)
    assert not QualityDay.objects.filter(organization=other_org).exists()


def test_pages_show_scores_rows_and_the_form(
    crm: Source, alice: User, bob: User, charlie: User, client: Client
) -> None:
    client.force_login(bob)
    assert b"Not measured yet" in client.get("/quality/").content
    daily.measure_now(crm.organization, NOW)
    page = client.get("/quality/?source=crm&days=90").content.decode()
    assert "Trial with revenue" in page
    assert 'name="least_score"' not in page
    assert client.post("/quality/thresholds/", {}).status_code == 403
    assert client.post("/quality/measure/").status_code == 403
    rows = client.get("/quality/checks/subscription.trial_with_revenue/?source=crm")
    assert b"birch" in rows.content
    assert client.get("/quality/checks/nothing/").status_code == 404

    client.force_login(alice)
    sent = {"least_score": "85", "most_fall": "0"}
    reply = client.post("/quality/thresholds/", sent)
    assert reply.status_code == 422
    assert b'value="85"' in reply.content
    sent["most_fall"] = "4"
    assert client.post("/quality/thresholds/", sent).status_code == 302
    assert client.post("/quality/measure/").status_code == 302
    assert QualitySetting.objects.get().asked_at is not None

    client.force_login(charlie)
    assert b"No data to measure yet" in client.get("/quality/").content
