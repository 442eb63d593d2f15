"""Whole accounts of Stripe and Zendesk, every stream of them, through the engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings

from churnguard.models import (
    Contact,
    CustomerSource,
    Invoice,
    Organization,
    Quarantine,
    SourceObject,
    Subscription,
    SurveyResponse,
    Ticket,
)
from integrations import connecting, credentials, runs
from integrations.limits import per_second
from integrations.models import Integration, RunStream, StreamState
from tests.fakes.stripe import StripeFake
from tests.fakes.zendesk import ZendeskFake
from tests.integrations.connectors import served
from tests.integrations.contract import connect

pytestmark = pytest.mark.django_db(transaction=True)
stripe, zendesk = partial(served.payload, "stripe"), partial(served.payload, "zendesk")


@pytest.fixture(autouse=True)
def _loopback(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    # Fifteen calls a second would be most of the test's time.
    monkeypatch.setattr(
        "integrations.connectors.stripe.account.per_second",
        lambda _limit: per_second(1000),
    )


def sync(integration: Integration, mode: str) -> dict[str, RunStream]:
    """Every stream, whether it is chosen at first or not."""
    names = list(StreamState.objects.values_list("name", flat=True))
    run = runs.start(integration, mode=mode, streams=names)
    assert runs.run_now(run.pk)
    parts = {part.stream: part for part in RunStream.objects.filter(run=run)}
    faults = {n: p.error_detail for n, p in parts.items() if p.status != "completed"}
    assert faults == {}
    return parts


def changed(parts: dict[str, RunStream]) -> dict[str, int]:
    """Stream -> rows written, where there are any."""
    sums = {name: part.inserted + part.updated for name, part in parts.items()}
    return {name: count for name, count in sums.items() if count}


@pytest.fixture
def shop() -> StripeFake:
    """One object of each kind, made in the last minutes."""
    fake = StripeFake()
    fake.clock = datetime.now(UTC) - timedelta(hours=1)
    objects = {
        "customers": stripe("customer"),
        "products": stripe("product"),
        "prices": stripe("price_tiered_expanded"),
        "coupons": stripe("coupon"),
        "subscriptions": stripe("subscription"),
        "invoices": stripe("invoice"),
        "disputes": stripe("dispute"),
        "payment_intents": stripe("payment_intent"),
    }
    for name in ("charge", "refund", "balance_transaction"):
        objects[f"{name}s"] = {
            "id": f"{name}_1",
            "object": name,
            "amount": 100,
            "created": fake.now,
            "currency": "eur",
            "status": "succeeded",
        }
    for name, raw in objects.items():
        fake.put(f"/v1/{name}", raw)
    fake.emit("customer.created", objects["customers"])
    return fake


def test_a_stripe_account(org: Organization, shop: StripeFake) -> None:
    with shop.serve() as server:
        integration = connect(org, shop, server)

        first = sync(integration, "full")
        same = sync(integration, "full"), sync(integration, "incremental")
        shop.tick()
        change(shop, "customers", "customer.updated", name="North AG")
        change(
            shop,
            "subscriptions",
            "customer.subscription.deleted",
            status="canceled",
            ended_at=shop.now,
        )
        change(shop, "charges", "charge.refunded", amount_refunded=100)
        change(shop, "disputes", "charge.dispute.closed", status="lost")
        later = sync(integration, "incremental")

    assert {name: part.inserted for name, part in first.items()} == dict.fromkeys(
        first, 1
    )
    assert [changed(parts) for parts in same] == [{}, {}]
    assert changed(later) == dict.fromkeys(
        ("customers", "subscriptions", "charges", "disputes"), 1
    )
    assert CustomerSource.objects.get(is_stub=False).name == "North AG"
    subscription, invoice = Subscription.objects.get(), Invoice.objects.get()
    assert (subscription.status, subscription.mrr_minor) == ("canceled", 0)
    assert invoice.customer_source.external_id == "cus_North01"
    assert SourceObject.objects.filter(deleted_at=None).count() == 7
    assert not Quarantine.objects.exists()


def test_a_stripe_key_of_the_other_mode_reads_nothing(
    org: Organization, shop: StripeFake
) -> None:
    with shop.serve() as server:
        integration = connect(org, shop, server)
        assert connecting.check(integration).ok
        sync(integration, "full")
        credentials.save(integration, {"api_key": "rk_live_other"})
        server.calls.clear()

        found = connecting.check(integration)
        for mode in ("full", "incremental"):
            run = runs.start(integration, mode=mode, streams=["customers"])
            assert runs.run_now(run.pk)
            part = RunStream.objects.get(run=run)
            assert (part.status, part.error_code) == ("failed", "mode_changed")

    assert (found.ok, found.code) == (False, "mode_changed")
    assert server.calls == []


def change(shop: StripeFake, kind: str, event: str, **values: Any) -> None:
    """Change the one object there is, with its event."""
    (raw,) = shop.tables[f"/v1/{kind}"].values()
    shop.put(f"/v1/{kind}", {**raw, **values}, event)


@pytest.fixture
def desk() -> ZendeskFake:
    """One object of each kind."""
    fake = ZendeskFake()
    ticket = zendesk("ticket")
    fake.organizations = {"509974": zendesk("organization")}
    fake.objects = {"20978392": zendesk("user")}
    fake.tickets = {"35436": ticket}
    fake.metric_sets = {"35436": ticket.pop("metric_set")}
    for table in (fake.organizations, fake.objects, fake.tickets):
        for key in table:
            fake.put(table, int(key))
    fake.ratings = [zendesk("satisfaction_rating")]
    fake.surveys = [zendesk("survey_response")]
    fake.survey_forms = {"01HSURVEY/3": zendesk("survey")}
    fake.metric_events = [zendesk("metric_event")]
    return fake


def test_a_zendesk_account(org: Organization, desk: ZendeskFake) -> None:
    with desk.serve() as server:
        integration = connect(org, desk, server)
        integration.settings |= {"exports_per_minute": 100}
        integration.save()

        first = sync(integration, "full")
        same = sync(integration, "full"), sync(integration, "incremental")
        desk.clock += timedelta(days=1)
        desk.put(desk.tickets, 35436, status="deleted")
        desk.put(desk.objects, 20978392, role="agent")
        desk.put(desk.organizations, 509974, name="Globex AG")
        desk.metric_events[0]["deleted"] = True
        later = sync(integration, "incremental")

    assert {name: part.inserted for name, part in first.items()} == dict.fromkeys(
        first, 1
    )
    assert [changed(parts) for parts in same] == [{}, {}]
    assert changed(later) == dict.fromkeys(
        ("organizations", "tickets", "sla_events"), 1
    )
    assert {name: p.deleted for name, p in later.items() if p.deleted} == {
        "sla_events": 1,
        "tickets": 1,
        "users": 1,
    }
    assert CustomerSource.objects.get(is_stub=False).name == "Globex AG"
    assert Ticket.objects.get().deleted_at
    assert Contact.objects.get().deleted_at
    scores = SurveyResponse.objects.order_by("external_id").values_list(
        "score", "scale_min", "scale_max"
    )
    assert list(scores) == [(0.0, 0.0, 100.0), (4.0, 1.0, 5.0)]
    assert set(SourceObject.objects.values_list("kind", flat=True)) == {
        "sla_events",
        "ticket_metrics",
    }
    assert not Quarantine.objects.exists()
