"""Whatever order the same records arrive in, the same row is left."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churnguard.models import CustomerSource, Organization, Ticket
from churnguard.records import CustomerRecord, TicketRecord
from integrations import load
from tests import examples

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

versions = st.one_of(st.none(), st.integers(1, 6))
days = st.integers(1, 6)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int | None, int, bool]]:
    """2-4 versions of one object: (version, day, is a tombstone), no two alike in
    their place; either all have a version or none has."""
    versioned = draw(st.booleans())
    places = draw(
        st.lists(
            st.tuples(st.integers(1, 5), st.integers(1, 5)),
            min_size=2,
            max_size=4,
            unique_by=(lambda p: p) if versioned else (lambda p: p[1]),
        )
    )
    return [
        (version if versioned else None, day, draw(st.booleans()))
        for version, day in places
    ]


@pytest.mark.django_db
@settings(
    max_examples=examples.out_of(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories())
def test_order_of_arrival_never_changes_the_row(
    org: Organization, history: list[tuple[int | None, int, bool]]
) -> None:
    source_id = load.source_id(connection, org_id=org.pk, name="crm")
    ends = set()
    for order in itertools.permutations(range(len(history))):
        with transaction.atomic():
            for nr, position in enumerate(order):
                version, day, gone = history[position]
                _write(org, source_id, nr, version, day, gone)
            ends.add(_end_state())
            transaction.set_rollback(True)
    assert len(ends) == 1


@pytest.mark.django_db
@settings(
    max_examples=examples.out_of(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories())
def test_one_page_or_many_leave_the_same_row(
    org: Organization, history: list[tuple[int | None, int, bool]]
) -> None:
    source_id = load.source_id(connection, org_id=org.pk, name="crm")
    ends = []
    for together in (True, False):
        with transaction.atomic():
            items = [item for entry in history for item in _records(*entry)]
            pages = [items] if together else [[item] for item in items]
            for nr, page in enumerate(pages):
                load.write(
                    connection,
                    org_id=org.pk,
                    source_id=source_id,
                    origin="sync",
                    items=page,
                    received_at=NOW + timedelta(minutes=nr),
                )
            ends.append(_end_state())
            transaction.set_rollback(True)
    assert ends[0] == ends[1]


def _records(
    version: int | None, day: int, gone: bool
) -> list[TicketRecord | CustomerRecord]:
    at = NOW - timedelta(days=day)
    name = None if gone else f"v{version} d{day}"
    return [
        TicketRecord(
            external_id="x", version=version, updated_at=at, subject=name, deleted=gone
        ),
        CustomerRecord(
            external_id="x", version=version, updated_at=at, name=name, deleted=gone
        ),
    ]


def _write(
    org: Organization,
    source_id: int,
    nr: int,
    version: int | None,
    day: int,
    gone: bool,
) -> None:
    load.write(
        connection,
        org_id=org.pk,
        source_id=source_id,
        origin="sync",
        items=_records(version, day, gone),
        received_at=NOW + timedelta(minutes=nr),
    )


def _end_state() -> tuple[object, ...]:
    ticket = Ticket.objects.values_list(
        "subject", "source_version", "source_updated_at", "deleted_at"
    ).get()
    customer = CustomerSource.objects.values_list(
        "name",
        "source_version",
        "source_updated_at",
        "deleted_at",
        "customer__name",
    ).get()
    return (*ticket, *customer)
