"""Rows that stand in the table as they came: counted, and otherwise left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from churnguard.models import Batch, CustomerSource, Quarantine
from integrations import seen
from integrations.connectors.base import Stream
from integrations.models import Integration, RunStream, StreamSeen, StreamState, SyncRun
from tests.integrations.sync.conftest import stored, sync
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


@pytest.fixture
def company(account: Account) -> Account:
    """Five customers, read in full each time, their absence a deletion."""
    account.streams = (Stream("companies", "customer", deletes="full"),)
    account.by_row = True
    account.rows = {"companies": ids(5)}
    return account


def counts(run: SyncRun) -> dict[str, int]:
    part = RunStream.objects.get(run=run)
    found = {name: getattr(part, name) for name in Batch.TOTALS}
    return {name: count for name, count in found.items() if count}


def written() -> list[Any]:
    """What shows that a row was written or locked."""
    with connection.cursor() as cur:
        cur.execute("SELECT external_id, xmin, xmax FROM cg_customer_source ORDER BY 1")
        return list(cur.fetchall())


def test_only_changed_rows_become_records(company: Account, connect: Connect) -> None:
    integration = connect()
    assert counts(sync(integration)) == {"fetched": 5, "inserted": 5}
    before = written()
    company.made.clear()

    assert counts(sync(integration)) == {"fetched": 5, "unchanged": 5}
    assert (company.made, written()) == ([], before)

    company.raws = {"c2": {"name": "Two", "id": "c2"}}
    assert counts(sync(integration)) == {"fetched": 5, "unchanged": 4, "updated": 1}
    assert company.made == ["c2"]
    assert CustomerSource.objects.get(external_id="c2").name == "Two"


def test_a_large_page_of_new_customers(company: Account, connect: Connect) -> None:
    company.rows = {"companies": ids(60)}
    integration = connect(batch_size=100)

    assert counts(sync(integration)) == {"fetched": 60, "inserted": 60}
    company.raws = {f"c{n}": {"id": f"c{n}", "name": "Other"} for n in range(1, 56)}
    assert counts(sync(integration)) == {"fetched": 60, "unchanged": 5, "updated": 55}


def test_the_order_of_fields_is_no_change(company: Account, connect: Connect) -> None:
    integration = connect()
    sync(integration)
    company.raws = {"c1": {"name": "Name c1", "id": "c1"}}

    assert counts(sync(integration)) == {"fetched": 5, "unchanged": 5}


def test_a_new_mapping_lets_every_row_through_once(
    company: Account, connect: Connect
) -> None:
    integration = connect()
    sync(integration)
    integration.field_mappings = {"plan": "name"}
    integration.save()

    assert counts(sync(integration)) == {"fetched": 5, "updated": 5}
    assert counts(sync(integration)) == {"fetched": 5, "unchanged": 5}
    assert CustomerSource.objects.get(external_id="c1").plan == "Name c1"


def test_what_was_deleted_comes_back_though_its_row_is_the_same(
    company: Account, connect: Connect
) -> None:
    integration = connect()
    sync(integration)
    company.rows = {"companies": ids(4)}
    assert counts(sync(integration)) == {"fetched": 4, "unchanged": 4, "deleted": 1}
    company.rows = {"companies": ids(5)}

    assert counts(sync(integration)) == {"fetched": 5, "unchanged": 4, "updated": 1}
    assert stored(integration) == set(ids(5))


def test_a_refused_row_is_refused_each_time_and_not_gone(
    company: Account, connect: Connect
) -> None:
    integration = connect()
    sync(integration)
    company.raws = {"c3": {"id": "c3", "seats": "many"}}

    for _ in range(2):
        run = sync(integration)
        assert counts(run) == {"fetched": 5, "unchanged": 4, "quarantined": 1}

    assert Quarantine.objects.get().external_id == "c3"
    assert stored(integration) == set(ids(5))


def test_a_filter_looks_at_every_row(company: Account, connect: Connect) -> None:
    integration = connect()
    sync(integration)
    integration.data_filters = {"companies:name": {"ne": "Name c5"}}
    integration.save()

    found = counts(sync(integration))

    assert (found["fetched"], found["filtered"]) == (5, 1)


def test_a_repeated_id_is_a_duplicate(company: Account, connect: Connect) -> None:
    integration = connect(batch_size=6)
    sync(integration)
    company.rows = {"companies": [*ids(5), "c5"]}

    found = counts(sync(integration))

    assert (found["fetched"], found["duplicate"]) == (6, 1)
    assert stored(integration) == set(ids(5))


def test_pages_of_many_runs_are_put_together(
    company: Account, connect: Connect
) -> None:
    integration = connect()
    sync(integration)
    state = StreamState.objects.get(integration=integration)
    (run,) = set(StreamSeen.objects.values_list("run_id", flat=True))
    for number in range(seen.MOST_LISTS):
        seen.note(state.pk, run + 1, [f"c{number % 9}"])

    seen.compact(state.pk, run + 2)

    (kept,) = StreamSeen.objects.all()
    assert (kept.run_id, kept.ids) == (0, [f"c{n}" for n in range(9)])
    company.rows = {"companies": ids(3)}
    assert counts(sync(integration))["deleted"] == 2
    assert stored(integration) == set(ids(3))
