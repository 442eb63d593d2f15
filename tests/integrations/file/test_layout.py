"""Guessing what columns mean, and making records by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from churnguard.errors import ConfigError, RecordError
from churnguard.records import (
    CustomerRecord,
    EventRecord,
    InvoiceRecord,
    SubscriptionRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from integrations.tabular.layout import (
    Layout,
    guess_mapping,
    guess_type,
    parse_layout,
    with_link,
)
from integrations.tabular.records import RowReader


def layout_of(name: str, *rows: dict[str, Any], **options: Any) -> Layout:
    headers = list(dict.fromkeys(key for row in rows for key in row))
    return guess_mapping(headers, rows, name=name, **options)


def record_of(name: str, row: dict[str, Any], **options: Any) -> Any:
    layout = layout_of(name, row, **options)
    reader = RowReader(layout, stream=name)
    return reader.record(row, reader.customer_of(row) or None)


@pytest.mark.parametrize(
    ("name", "record_type"),
    [
        ("accounts", "customer"),
        ("ravenstack_accounts", "customer"),
        ("Customer List 2024", "customer"),
        ("support_tickets", "ticket"),
        ("feature_usage", "event"),
        ("churn_events", "object"),
        ("stripe-invoices", "invoice"),
        ("customer_subscriptions", "subscription"),
        ("nps", "survey_response"),
        ("sales_opportunities", "deal"),
        ("account_contacts", "contact"),
    ],
)
def test_a_file_name_tells_the_type(name: str, record_type: str) -> None:
    assert guess_type(name, []) == record_type


def test_columns_tell_the_type_where_the_name_does_not() -> None:
    columns = ["id", "customer_id", "issued_at", "due_date", "amount_paid", "total"]

    assert guess_type("export (3)", columns) == "invoice"
    assert guess_type("export", ["a", "b"]) == "object"


def test_a_customer() -> None:
    record = record_of(
        "accounts",
        {
            "Account ID": "A1",
            "Account Name": "Acme",
            "Country": "DE",
            "signupDate": "2024-05-01",
            "Seats": "1,250",
            "Tier": "gold",
            "score": "7.5",
        },
    )

    assert isinstance(record, CustomerRecord)
    assert (record.external_id, record.name, record.seats) == ("A1", "Acme", 1250)
    assert record.signup_at == datetime(2024, 5, 1, tzinfo=UTC)
    assert record.segment == "gold"
    assert record.custom == {"score": 7.5}
    assert record.raw["Seats"] == "1,250"


def test_a_subscription_with_its_status_worked_out() -> None:
    row = {
        "subscription_id": "S1",
        "account_id": "A1",
        "start_date": "2023-01-01",
        "end_date": "",
        "mrr_amount": "2786.10",
        "billing_frequency": "annual",
        "is_trial": "False",
    }
    running = record_of("subscriptions", row)
    ended = record_of("subscriptions", {**row, "end_date": "2024-01-01"})
    trial = record_of("subscriptions", {**row, "is_trial": "True"})

    assert isinstance(running, SubscriptionRecord)
    assert (running.customer_id, running.mrr_minor) == ("A1", 278610)
    assert (running.currency, running.interval) == ("USD", "year")
    assert [r.status for r in (running, ended, trial)] == [
        "active",
        "canceled",
        "trialing",
    ]


def test_money_in_the_currency_the_file_names() -> None:
    row = {"id": "i1", "customer": "A1", "total": "¥1,200", "status": "Paid"}

    record = record_of("invoices", row)

    assert isinstance(record, InvoiceRecord)
    assert (record.total_minor, record.currency) == (1200, "JPY")
    assert record.status == "paid"


def test_a_ticket_with_minutes_and_a_score() -> None:
    rows = [
        {
            "ticket_id": "T1",
            "account_id": "A1",
            "submitted_at": "2024-03-01 10:00:00",
            "first_response_time_minutes": "90",
            "satisfaction_score": "4.0",
            "priority": "Critical",
            "closed_at": "2024-03-02 10:00:00",
        },
        {"ticket_id": "T2", "satisfaction_score": "1", "submitted_at": "2024-03-01"},
    ]
    layout = layout_of("tickets", *rows)

    record = RowReader(layout, stream="tickets").record(rows[0], "A1")

    assert isinstance(record, TicketRecord)
    assert record.first_replied_at == datetime(2024, 3, 1, 11, 30, tzinfo=UTC)
    assert record.satisfaction_pct == 75.0
    assert (record.priority, record.status) == ("urgent", "closed")
    assert record.solved_at == record.closed_at


def test_events_without_an_id_get_the_same_one_each_time() -> None:
    row = {"customer_id": "A1", "ts": "2024-03-01T10:00:00Z", "event": "login"}

    one, two = record_of("usage_log", row), record_of("usage_log", row)
    other = record_of("usage_log", {**row, "event": "logout"})

    assert isinstance(one, EventRecord)
    assert one == two
    assert one.event_id != other.event_id
    assert (one.event, one.customer_id) == ("login", "A1")


def test_an_event_named_by_its_file() -> None:
    row = {"order_id": "o1", "customer_id": "A1", "date": "2024-03-01", "amount": "9.5"}

    record = record_of("shop_orders", row)

    assert (record.event, record.event_id, record.value) == ("shop_order", "o1", 9.5)


def test_rows_without_an_id_are_refused() -> None:
    with pytest.raises(RecordError) as caught:
        record_of("accounts", {"account_id": "", "name": "Nobody"})
    assert caught.value.code == "missing_id"

    with pytest.raises(RecordError) as caught:
        record_of("accounts", {"name": "Nobody"})
    assert caught.value.code == "missing_id"


def test_an_nps_survey() -> None:
    row = {
        "response_id": "r1",
        "customer_id": "A1",
        "nps_score": "9",
        "date": "2024-1-5",
    }
    record = record_of("nps_responses", {**row, "date": "2024-01-05"})

    assert isinstance(record, SurveyResponseRecord)
    assert (record.kind, record.score) == ("nps", 9.0)
    assert (record.scale_min, record.scale_max) == (0.0, 10.0)


def test_a_customer_found_through_another_file() -> None:
    subs = layout_of("subscriptions", {"subscription_id": "S1", "account_id": "A1"})
    usage = layout_of(
        "feature_usage",
        {"usage_id": "u1", "subscription_id": "S1", "usage_date": "2024-01-01"},
    )

    linked = with_link(usage, {"subscriptions": subs, "feature_usage": usage})

    assert linked.link is not None
    assert (linked.link.column, linked.link.stream) == (
        "subscription_id",
        "subscriptions",
    )
    assert with_link(subs, {"subscriptions": subs, "feature_usage": usage}) == subs


def test_what_a_person_should_look_at_is_said() -> None:
    layout = layout_of("contacts", {"email": "a@b.c", "created": "01/02/2024"})

    notes = " ".join(layout.notes)
    assert "swapped" in notes
    assert "identifies" in notes
    assert "no customer" in notes


@pytest.mark.parametrize(
    "change",
    [
        {"record_type": "spaceship"},
        {"id_column": "nonesuch"},
        {"columns": [{"column": "a", "field": "nonesuch"}]},
        {
            "columns": [
                {"column": "a", "field": "name"},
                {"column": "b", "field": "name"},
            ]
        },
        {"columns": "all"},
    ],
)
def test_layouts_that_cannot_work_are_refused(change: dict[str, Any]) -> None:
    good = {"record_type": "customer", "columns": [{"column": "a", "field": "name"}]}
    assert parse_layout(good).record_type == "customer"

    with pytest.raises(ConfigError):
        parse_layout({**good, **change})
