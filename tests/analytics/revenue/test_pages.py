"""The revenue API and page: the same numbers, who may change what, bad questions."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.html import strip_tags

from churnguard import formats
from churnguard.models import (
    AuditEntry,
    Customer,
    ExchangeRate,
    Organization,
    User,
)
from tests.analytics.revenue.worlds import invoice, line, version, write

PATHS = ("revenue", "revenue/movements", "revenue/recognition", "revenue/settings")
Api = Callable[..., Any]


@pytest.fixture
def world(org: Organization) -> Organization:
    """Two customers in dollars, one in euro without a rate; one has left."""
    now = datetime.now(UTC)
    for number, (customer, minor, currency) in enumerate(
        [("a", 120000, "USD"), ("b", 45600, "USD"), ("e", 70000, "EUR")]
    ):
        at = now - timedelta(days=70 + number)
        write(org, version(customer, customer, at, minor, currency=currency), at=at)
    left = now - timedelta(days=3)
    write(
        org,
        version("b", "b", left, 45600, status="canceled", ended_at=left),
        invoice("1", "a", left, lines=[line(36500, "2020-01-01", "2021-01-01")]),
        at=left,
    )
    return org


def test_the_page_shows_the_numbers_of_the_api(
    world: Organization, alice: User, api: Api, client: Client
) -> None:
    answer = api(alice).get("/api/v1/analytics/revenue?group=plan").json()
    client.force_login(alice)

    page = client.get("/revenue/?group=plan")

    text = html.unescape(strip_tags(page.content.decode()))
    for row in (answer["totals"], *answer["periods"], answer["groups"][0]["totals"]):
        for name in ("mrr_start_minor", "mrr_end_minor", "churn_minor"):
            minor = -row[name] if name == "churn_minor" else row[name]
            assert not row[name] or formats.money(minor, "USD") in text
    assert formats.percent(answer["totals"]["logo_churn"]) in text
    assert answer["totals"]["mrr_end_minor"] == 120000
    assert answer["missing_rates"] == [
        {"currency": "EUR", "mrr_minor": 70000, "customers": 1}
    ]
    assert "Some amounts have no exchange rate" in text
    assert "€700.00" in text
    for reason in answer["differences"]:
        assert reason["text"] in text


def test_an_amount_leads_to_the_customers_behind_it(
    world: Organization, alice: User, api: Api, client: Client
) -> None:
    first = api(alice).get("/api/v1/analytics/revenue/movements?limit=1").json()
    rest = (
        api(alice)
        .get(f"/api/v1/analytics/revenue/movements?cursor={first['next']}")
        .json()
    )
    rows = first["results"] + rest["results"]
    client.force_login(alice)
    table = client.get("/revenue/").context["table"]
    churn = next(
        cell
        for row in table
        for cell in row["cells"]
        if cell["label"] == "Churn" and cell["minor"]
    )

    page = client.get(churn["url"])

    assert [row["kind"] for row in rows] == ["churn", "new", "new"]
    assert first["count"] == 3
    assert page.context["behind"]["amount_minor"] == churn["minor"] == 45600
    assert page.context["behind"]["results"] == rows[:1]


def test_settings_and_rates_change_every_customer_and_are_audited(
    world: Organization, alice: User, api: Api
) -> None:
    client = api(alice)

    kept = client.put(
        "/api/v1/exchange-rates",
        {"rates": [{"currency": "eur", "day": "2020-01-01", "rate": "1.10"}]},
        format="json",
    )
    changed = client.put(
        "/api/v1/analytics/revenue/settings",
        {"past_due_grace_days": 5, "churn_date": "canceled_at"},
        format="json",
    )

    assert kept.json() == {"rates": 1, "customers_changed": 2}
    assert Customer.objects.filter(mrr_minor=77000).count() == 1
    wanted = {
        "past_due_grace_days": 5,
        "churn_date": "canceled_at",
        "logo_churn": "start",
        "gross_margin_pct": 100,
        "usage_mean_months": 3,
    }
    assert changed.json() == wanted
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", "after"))
    assert actions == [
        ("exchange_rates.changed", {"EUR 2020-01-01": "1.1"}),
        # The audit log keeps what changed.
        (
            "revenue.settings_changed",
            {"past_due_grace_days": 5, "churn_date": "canceled_at"},
        ),
    ]
    rows = client.get("/api/v1/exchange-rates").json()
    assert rows["results"] == [
        {
            "currency": "EUR",
            "day": "2020-01-01",
            "rate": "1.1000000000",
            "origin": "api",
        }
    ]
    client.put(
        "/api/v1/exchange-rates",
        {"rates": [{"currency": "EUR", "day": "2020-01-01", "rate": None}]},
        format="json",
    )
    assert not ExchangeRate.objects.exists()
    assert Customer.objects.filter(mrr_minor__isnull=False).count() == 1


@pytest.mark.parametrize(
    ("line_", "word"),
    [
        ({"currency": "EURO", "day": "2026-01-01", "rate": 1}, "currency"),
        ({"currency": "USD", "day": "2026-01-01", "rate": 1}, "base currency"),
        ({"currency": "EUR", "day": "01/02/2026", "rate": 1}, "day"),
        ({"currency": "EUR", "day": "2026-01-01", "rate": 0}, "rate"),
        ({"currency": "EUR", "day": "2026-01-01", "rate": "NaN"}, "rate"),
        ({"currency": "EUR", "day": "2026-01-01"}, "rate"),
        ("EUR", "object"),
    ],
)
def test_a_bad_rate_is_named_and_nothing_is_kept(
    org: Organization, alice: User, api: Api, line_: Any, word: str
) -> None:
    good = {"currency": "GBP", "day": "2026-01-01", "rate": 1.2}

    answer = api(alice).put(
        "/api/v1/exchange-rates", {"rates": [good, line_]}, format="json"
    )

    assert answer.status_code == 400
    assert word in answer.json()["fields"]["rates.1"]
    assert not ExchangeRate.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=2026-02-01&to=2026-01-01",
        "from=2000-01-01&to=2026-01-01",
        "interval=week",
        "group=country",
        "interval=day&from=2024-01-01&to=2026-01-01",
        "to=0001-01-01",
    ],
)
def test_a_bad_question_is_a_400_on_both_doors(
    org: Organization, alice: User, api: Api, client: Client, query: str
) -> None:
    client.force_login(alice)

    assert api(alice).get(f"/api/v1/analytics/revenue?{query}").status_code == 400
    assert client.get(f"/revenue/?{query}").status_code == 400


@pytest.mark.parametrize("query", ["kind=fx", "cursor=xx", "limit=0", "cursor=WzEsMl0"])
def test_bad_movements_are_a_400(
    world: Organization, alice: User, api: Api, query: str
) -> None:
    answer = api(alice).get(f"/api/v1/analytics/revenue/movements?{query}")

    assert answer.status_code == 400


def test_viewers_read_and_only_admins_change(
    world: Organization, bob: User, api: Api, client: Client
) -> None:
    client.force_login(bob)

    assert [
        api(bob).get(f"/api/v1/analytics/{path}").status_code for path in PATHS
    ] == [200] * 4
    page = client.get("/revenue/")
    assert page.status_code == 200
    assert b"Set a rate" not in page.content
    for path in ("/revenue/settings/", "/revenue/rates/"):
        assert client.post(path).status_code == 403
    for path in ("analytics/revenue/settings", "exchange-rates"):
        assert api(bob).put(f"/api/v1/{path}", {}, format="json").status_code == 403
    assert api().get("/api/v1/analytics/revenue").status_code == 401
    assert api().get("/api/v1/exchange-rates").status_code == 401


def test_a_stranger_sees_nothing_of_it(
    world: Organization, charlie: User, api: Api, client: Client
) -> None:
    ExchangeRate.objects.create(
        organization=world, currency="EUR", day="2026-01-01", rate="1.1"
    )
    client.force_login(charlie)

    answer = api(charlie).get("/api/v1/analytics/revenue").json()

    assert answer["totals"]["mrr_end_minor"] == 0
    assert answer["missing_rates"] == []
    assert api(charlie).get("/api/v1/exchange-rates").json()["results"] == []
    earned = api(charlie).get("/api/v1/analytics/revenue/recognition").json()
    assert {row["billed_minor"] for row in earned["periods"]} == {0}
    moved = api(charlie).get("/api/v1/analytics/revenue/movements").json()
    assert moved["results"] == []
    assert "No subscriptions yet" in client.get("/revenue/").content.decode()


def test_the_forms_of_the_page_keep_and_refuse(
    world: Organization, alice: User, client: Client
) -> None:
    client.force_login(alice)

    rate = {"currency": "EUR", "day": "2020-01-01", "rate": "1.10"}
    assert client.post("/revenue/rates/", rate).status_code == 302
    assert client.post("/revenue/rates/", {**rate, "rate": "x"}).status_code == 400
    grace = {"past_due_grace_days": "12", "churn_date": "ended_at"}
    assert client.post("/revenue/settings/", grace).status_code == 302
    bad = client.post("/revenue/settings/", {**grace, "past_due_grace_days": "-1"})
    assert bad.status_code == 400
    assert "a whole number from 0 to 365" in bad.content.decode()

    world.refresh_from_db()
    assert world.settings["revenue"]["past_due_grace_days"] == 12
    assert ExchangeRate.objects.get().origin == "manual"
    client.post("/revenue/rates/", {**rate, "remove": "1"})
    assert not ExchangeRate.objects.exists()


def test_lines_of_any_shape_do_not_stop_the_page(
    world: Organization, alice: User, client: Client
) -> None:
    now = datetime.now(UTC) - timedelta(days=1)
    odd = [
        {"amount_minor": 500, "period_start": "2026-02-31T00:00", "period_end": "x"},
        {"amount_minor": 500, "period_start": 1767225600, "period_end": 1769904000},
        {"amount_minor": "many"},
        {"amount_minor": 1.5},
        {"amount_minor": 700, "period_start": "2026-05-02", "period_end": "2026-05-01"},
    ]
    write(world, invoice("odd", "a", now, total_minor=10, lines=odd), at=now)
    client.force_login(alice)

    assert client.get("/revenue/").status_code == 200


def test_the_description_has_every_address(db: None, api: Api, alice: User) -> None:
    schema = json.loads(api(alice).get("/api/schema/?format=json").content)

    for path in (*(f"analytics/{path}" for path in PATHS), "exchange-rates"):
        operation = schema["paths"][f"/api/v1/{path}"]["get"]
        assert set(operation["responses"]) >= {"200", "400", "401", "403"}


def test_settings_left_out_get_their_defaults(
    org: Organization, alice: User, api: Api
) -> None:
    answer = api(alice).put("/api/v1/analytics/revenue/settings", {}, format="json")

    assert answer.json() == {
        "past_due_grace_days": 30,
        "churn_date": "ended_at",
        "logo_churn": "start",
        "gross_margin_pct": 100,
        "usage_mean_months": 3,
    }
    bad = {"logo_churn": "x", "gross_margin_pct": 101, "usage_mean_months": 0, "y": 1}
    refused = api(alice).put("/api/v1/analytics/revenue/settings", bad, format="json")
    assert (refused.status_code, set(refused.json()["fields"])) == (400, set(bad))
    bad = {"past_due_grace_days": 366, "churn_date": "never", "x": 1}
    answer = api(alice).put("/api/v1/analytics/revenue/settings", bad, format="json")
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == set(bad)
