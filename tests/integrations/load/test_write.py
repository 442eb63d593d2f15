"""The writer: what lands, what is counted, what is kept once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from churnguard.models import (
    Batch,
    Customer,
    CustomerSource,
    IdentityLink,
    Organization,
    Quarantine,
    SourceObject,
    Subscription,
    SubscriptionChange,
    Ticket,
    UsageEvent,
)
from churnguard.records import (
    ContactRecord,
    CustomerRecord,
    EventRecord,
    InvoiceRecord,
    ObjectRecord,
    SubscriptionRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from integrations import load
from integrations.connectors.base import Reject

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Write = Callable[..., load.LoadResult]


@pytest.fixture
def source_id(org: Organization) -> int:
    return load.source_id(connection, org_id=org.pk, name="crm")


@pytest.fixture
def write(org: Organization, source_id: int) -> Write:
    """`write(record, ..)` one page after the other, a minute apart."""
    clock = iter(range(1000))

    def call(*items: Any, **options: Any) -> load.LoadResult:
        options.setdefault("received_at", NOW + timedelta(minutes=next(clock)))
        options.setdefault("origin", "sync")
        with connection.cursor() as cur:
            return load.write(
                cur, org_id=org.pk, source_id=source_id, items=items, **options
            )

    return call


def counts(result: load.LoadResult) -> dict[str, int]:
    """The counters of the ledger line that are not zero."""
    names = (
        "inserted updated unchanged duplicate quarantined filtered deleted".split()  # noqa: SIM905
    )
    return {name: value for name in names if (value := getattr(result, name))}


def event(event_id: str = "e1", **fields: Any) -> EventRecord:
    return EventRecord(
        **{
            "event_id": event_id,
            "event": "login",
            "timestamp": NOW - timedelta(days=1),
            "customer_id": "c1",
            **fields,
        }
    )


def test_records_of_every_kind_land_under_one_customer(write: Write) -> None:
    result = write(
        TicketRecord(external_id="t1", customer_id="c1", status="open"),
        CustomerRecord(external_id="c1", name="Acme", domain="https://WWW.Acme.com/x"),
        ContactRecord(external_id="p1", customer_id="c1", email=" Ann@Acme.com "),
        InvoiceRecord(
            external_id="i1", customer_id="c1", currency="eur", total_minor=1200
        ),
        ObjectRecord(external_id="7", kind="product", raw={"id": 7}),
        event(),
    )

    assert counts(result) == {"inserted": 6}
    ref = CustomerSource.objects.get()
    assert (ref.external_id, ref.is_stub, ref.domain) == ("c1", False, "acme.com")
    customer = Customer.objects.get()
    assert (customer.name, customer.domain) == ("Acme", "acme.com")
    assert customer.score_stale_at is not None
    assert Ticket.objects.get().customer_source_id == ref.pk
    assert SourceObject.objects.get().external_id == "product:7"
    assert UsageEvent.objects.get().customer_source_id == ref.pk
    assert IdentityLink.objects.get().rule == "created"
    line = Batch.objects.get()
    assert (line.pk, line.fetched, line.events) == (result.batch_id, 6, 1)
    assert line.newest_at == NOW - timedelta(days=1)


def test_a_fact_about_an_unknown_customer_makes_a_stub(write: Write) -> None:
    write(event(customer_id="c9"))

    ref = CustomerSource.objects.get()
    assert (ref.external_id, ref.is_stub, ref.customer.name) == ("c9", True, "c9")


def test_the_same_page_again_writes_nothing(write: Write) -> None:
    page = (
        CustomerRecord(external_id="c1", name="Acme"),
        TicketRecord(external_id="t1", customer_id="c1", subject="Help"),
        event(),
    )
    write(*page)
    before = list(Ticket.objects.values()) + list(CustomerSource.objects.values())

    result = write(*page)

    assert counts(result) == {"unchanged": 2, "duplicate": 1}
    after = list(Ticket.objects.values()) + list(CustomerSource.objects.values())
    assert after == before
    assert UsageEvent.objects.count() == 1


def test_a_large_page_touches_only_what_changed(write: Write) -> None:
    def tickets(**changed: str) -> list[TicketRecord]:
        return [
            TicketRecord(external_id=f"t{n}", subject=changed.get(f"t{n}", "Help"))
            for n in range(60)
        ]

    write(*tickets())
    write(deleted_ids=["t7"], record_type="ticket")
    result = write(*tickets(t3="Help!"))

    assert counts(result) == {"updated": 2, "unchanged": 58}
    with connection.cursor() as cur:
        # Written or locked by a statement, a row names the transaction that did it.
        cur.execute("SELECT external_id FROM cg_ticket WHERE xmax <> 0 ORDER BY 1")
        assert cur.fetchall() == [("t3",), ("t7",)]
    assert Ticket.objects.get(external_id="t3").subject == "Help!"
    assert not Ticket.objects.exclude(deleted_at=None).exists()


def test_what_another_writer_stored_first_is_found_after_all(write: Write) -> None:
    def tickets(subject: str) -> list[TicketRecord]:
        return [TicketRecord(external_id=f"t{n}", subject=subject) for n in range(60)]

    write(*tickets("Help"))
    stale: dict[str, int | None] = {}

    again = write(*tickets("Help"), record_type="ticket", stored=stale)
    changed = write(*tickets("Help!"), record_type="ticket", stored=stale)

    assert (counts(again), counts(changed)) == ({"unchanged": 60}, {"updated": 60})
    assert Ticket.objects.filter(subject="Help!").count() == 60


def test_a_value_of_another_type_holds_up_no_page(write: Write) -> None:
    odd: Any = {"first": "Ann"}
    names = [odd, *("Bob" for _ in range(59))]

    result = write(
        *(ContactRecord(external_id=f"p{n}", name=x) for n, x in enumerate(names))
    )

    assert counts(result) == {"inserted": 60}


def test_a_newer_record_replaces_and_an_older_one_does_not(write: Write) -> None:
    def ticket(day: int, subject: str) -> TicketRecord:
        return TicketRecord(
            external_id="t1", updated_at=NOW - timedelta(days=day), subject=subject
        )

    assert counts(write(ticket(5, "old"))) == {"inserted": 1}
    assert counts(write(ticket(3, "new"))) == {"updated": 1}
    assert counts(write(ticket(4, "between"))) == {"unchanged": 1}

    assert Ticket.objects.get().subject == "new"


def test_the_version_outranks_the_time(write: Write) -> None:
    write(TicketRecord(external_id="t", version=2, updated_at=NOW, subject="v2"))
    later = NOW + timedelta(hours=1)
    write(TicketRecord(external_id="t", version=1, updated_at=later, subject="v1"))

    assert Ticket.objects.get().subject == "v2"


def test_a_tombstone_keeps_the_values_and_a_newer_record_revives(write: Write) -> None:
    day = timedelta(days=1)
    write(TicketRecord(external_id="t", updated_at=NOW - 3 * day, subject="kept"))
    gone = TicketRecord(external_id="t", updated_at=NOW - 2 * day, deleted=True)

    assert counts(write(gone)) == {"updated": 1, "deleted": 1}
    ticket = Ticket.objects.get()
    assert (ticket.subject, ticket.deleted_at) == ("kept", NOW - 2 * day)
    assert counts(write(gone)) == {"unchanged": 1}

    write(TicketRecord(external_id="t", updated_at=NOW - day, subject="back"))
    ticket = Ticket.objects.get()
    assert (ticket.subject, ticket.deleted_at) == ("back", None)


def test_deleted_ids_bury_rows_beside_the_sum(write: Write) -> None:
    page = [TicketRecord(external_id=f"t{n}", customer_id="c1") for n in range(3)]
    write(*page)

    result = write(deleted_ids=["t0", "t2", "unknown"], record_type="ticket")

    assert (result.fetched, result.deleted) == (0, 2)
    alive = Ticket.objects.filter(deleted_at=None).values_list("external_id", flat=True)
    assert list(alive) == ["t1"]
    assert counts(write(*page)) == {"updated": 2, "unchanged": 1}
    assert Ticket.objects.filter(deleted_at=None).count() == 3


def test_revived_ids_are_alive_whatever_dated_their_tombstone(write: Write) -> None:
    def ticket(number: int, **more: Any) -> TicketRecord:
        return TicketRecord(external_id=f"t{number}", customer_id="c1", **more)

    write(*map(ticket, range(3)))
    write(ticket(0, deleted=True, updated_at=NOW), ticket(9, deleted=True))
    write(deleted_ids=["t1"], record_type="ticket")
    Customer.objects.update(score_stale_at=None)
    ids = ["t0", "t1", "t2", "t9", "unknown"]

    result = write(revived_ids=ids, record_type="ticket")

    assert (result.fetched, result.updated, result.deleted) == (2, 2, 0)
    alive = Ticket.objects.filter(deleted_at=None).values_list("external_id", flat=True)
    assert sorted(alive) == ["t0", "t1", "t2"]
    assert Customer.objects.get().score_stale_at is not None
    assert write(revived_ids=ids, record_type="ticket").fetched == 0


def test_an_event_is_stored_once_for_ever(write: Write) -> None:
    first = write(event("e1", properties={"a": 1, "b": 2}), event("e2"))
    again = write(event("e2"), event("e1", properties={"b": 2, "a": 1}))

    assert counts(first) == {"inserted": 2}
    assert counts(again) == {"duplicate": 2}
    assert again.repeats == (0, 1)
    assert UsageEvent.objects.count() == 2


def test_another_event_under_a_known_id_goes_to_quarantine_once(write: Write) -> None:
    write(event("e1"))
    conflict = event("e1", properties={"other": True})

    result = write(conflict)
    assert counts(result) == {"quarantined": 1}
    assert [(e.index, e.code) for e in result.errors] == [(0, "event_id_conflict")]
    assert counts(write(conflict)) == {"quarantined": 1}

    kept = Quarantine.objects.get()
    assert (kept.record_type, kept.external_id) == ("event", "e1")
    assert kept.raw["properties"] == {"other": True}
    assert UsageEvent.objects.get().properties == {}


def test_repeats_inside_one_page_are_told_apart(write: Write) -> None:
    result = write(
        event("e1"),
        event("e1"),
        event("e1", event="logout"),
        TicketRecord(external_id="t1", subject="x"),
        TicketRecord(external_id="t1", subject="x"),
        TicketRecord(external_id="t1", subject="y"),
    )

    assert counts(result) == {
        "inserted": 2,
        "duplicate": 2,
        "quarantined": 1,
        "unchanged": 1,
    }
    assert result.repeats == (1, 4)
    assert Ticket.objects.get().subject == "y"


def test_a_repeated_key_of_a_file_is_a_duplicate_or_a_conflict(write: Write) -> None:
    def page(run_id: int, *subjects: str) -> load.LoadResult:
        items = [TicketRecord(external_id="t1", subject=text) for text in subjects]
        return write(*items, run_id=run_id, stream="file", remember_keys=True)

    assert counts(page(1, "a", "a", "b")) == {
        "inserted": 1,
        "duplicate": 1,
        "quarantined": 1,
    }
    assert counts(page(1, "a", "c")) == {"duplicate": 1, "quarantined": 1}
    assert counts(page(2, "a", "a", "b")) == {
        "unchanged": 1,
        "duplicate": 1,
        "quarantined": 1,
    }

    assert Ticket.objects.get().subject == "a"
    kept = Quarantine.objects.values_list("code", flat=True)
    assert list(kept) == ["conflicting_duplicate"] * 2


def test_a_newer_version_of_a_repeated_key_wins(write: Write) -> None:
    def ticket(version: int) -> TicketRecord:
        return TicketRecord(external_id="t1", version=version, subject=f"v{version}")

    options = {"run_id": 1, "stream": "file", "remember_keys": True}
    assert counts(write(ticket(1), **options)) == {"inserted": 1}
    assert counts(write(ticket(3), **options)) == {"updated": 1}
    assert counts(write(ticket(2), **options)) == {"unchanged": 1}
    assert Ticket.objects.get().subject == "v3"


def test_rejects_and_filtered_rows_are_in_the_sum(write: Write) -> None:
    result = write(
        event(),
        rejects=[Reject("no_id", "No id.", {"x": "a\0b"}, field="id")],
        filtered=4,
        stream="events",
        run_id=3,
        nbytes=99,
    )

    assert result.fetched == 6
    assert counts(result) == {"inserted": 1, "quarantined": 1, "filtered": 4}
    kept = Quarantine.objects.get()
    assert (kept.code, kept.raw, kept.run_id) == ("no_id", {"x": "a\ufffdb"}, 3)
    assert kept.batch_id == result.batch_id
    line = Batch.objects.get()
    assert (line.stream, line.run_id, line.bytes) == ("events", 3, 99)


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (TicketRecord(external_id=""), "id_missing"),
        (TicketRecord(external_id="x" * 256), "id_too_long"),
        (TicketRecord(external_id="x", customer_id=""), "id_missing"),
        (TicketRecord(external_id="x", subject="a\0b"), "bad_text"),
        (TicketRecord(external_id="x", subject="a\ud800b"), "bad_text"),
        (TicketRecord(external_id="x", custom={"a": "\0"}), "bad_text"),
        (TicketRecord(external_id="x", raw={"a": ["\udfff"]}), "bad_text"),
        (TicketRecord(external_id="x", status="exploded"), "unknown_status"),
        (TicketRecord(external_id="x", version=2**63), "number_out_of_range"),
        (TicketRecord(external_id="x", satisfaction_pct=101.0), "out_of_range"),
        (TicketRecord(external_id="x", satisfaction_pct=float("nan")), "not_finite"),
        (
            TicketRecord(external_id="x", opened_at=datetime(2026, 1, 1)),
            "timestamp_without_zone",
        ),
        (
            TicketRecord(external_id="x", updated_at=NOW + timedelta(days=9)),
            "timestamp_out_of_range",
        ),
        (
            TicketRecord(external_id="x", opened_at=NOW, closed_at=NOW - timedelta(1)),
            "wrong_order",
        ),
        (InvoiceRecord(external_id="x", total_minor=5), "currency_missing"),
        (
            InvoiceRecord(external_id="x", total_minor=5, currency="XXQ"),
            "unknown_currency",
        ),
        (
            SubscriptionRecord(external_id="x", mrr_minor=-5, currency="USD"),
            "negative_amount",
        ),
        (event(timestamp=datetime(1999, 12, 31, tzinfo=UTC)), "timestamp_out_of_range"),
        (event(timestamp=NOW + timedelta(days=2)), "timestamp_out_of_range"),
        (event(event_id=""), "id_missing"),
        (event(event="x" * 256), "id_too_long"),
        (event(value=float("inf")), "not_finite"),
        (event(user_id="\0"), "bad_text"),
        (event(properties={"a": "\0"}), "bad_text"),
        (event(properties={"a": "\ud800"}), "bad_text"),
    ],
)
def test_what_cannot_be_used_is_kept_with_its_reason(
    write: Write, record: Any, code: str
) -> None:
    result = write(record, TicketRecord(external_id="good"), received_at=NOW)

    assert [(e.index, e.code) for e in result.errors] == [(0, code)]
    assert counts(result) == {"inserted": 1, "quarantined": 1}
    assert Quarantine.objects.get().code == code


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            TicketRecord(external_id="x", opened_at=NOW, closed_at=NOW - timedelta(1)),
            "closed_at (2026-02-28T12:00:00+00:00) is before "
            "opened_at (2026-03-01T12:00:00+00:00).",
        ),
        (
            SurveyResponseRecord(external_id="x", score=11.0, scale_max=10.0),
            "scale_max (10.0) is below score (11.0).",
        ),
    ],
)
def test_times_are_before_and_numbers_below_each_other(
    write: Write, record: Any, told: str
) -> None:
    (error,) = write(record, received_at=NOW).errors

    assert error.detail == told


def test_the_history_of_a_subscription_keeps_changes_only(write: Write) -> None:
    def subscription(day: int, plan: str, **more: Any) -> SubscriptionRecord:
        return SubscriptionRecord(
            external_id="s1",
            customer_id="c1",
            updated_at=NOW - timedelta(days=day),
            plan=plan,
            **more,
        )

    write(subscription(9, "basic"))
    write(subscription(7, "pro"), subscription(6, "pro", cancel_reason="price"))
    write(subscription(8, "basic"))
    write(subscription(5, "team"))
    write(subscription(9, "basic"))

    history = SubscriptionChange.objects.order_by("effective_at")
    assert [(NOW - row.effective_at).days for row in history] == [9, 7, 5]
    assert [row.plan for row in history] == ["basic", "pro", "team"]
    assert Subscription.objects.get().plan == "team"


def test_a_changed_owner_makes_both_customers_stale(write: Write) -> None:
    write(TicketRecord(external_id="t", customer_id="c1", version=1))
    Customer.objects.update(score_stale_at=None)
    write(TicketRecord(external_id="t", customer_id="c2", version=2))

    assert Customer.objects.filter(score_stale_at=None).count() == 0


def test_events_leave_the_score_to_the_fold(write: Write) -> None:
    write(event("e1"))
    Customer.objects.update(score_stale_at=None)
    write(event("e2"))

    assert Customer.objects.get().score_stale_at is None
