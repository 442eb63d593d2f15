"""Group commit under pressure: many clients, bad neighbours, a database that goes."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from churnguard.models import ApiKey, Batch, Customer, Organization, UsageEvent
from integrations.ingest import committer as committers
from integrations.ingest import door as fast_door
from integrations.ingest import flow, keys
from integrations.ingest.answers import IngestError, Receipt
from integrations.ingest.committer import Committer, Outcome, Submission, committer
from integrations.ingest.decode import decode
from tests.integrations.ingest.conftest import Door, as_bytes

Submit = Callable[..., "Waiting"]


class Waiting:
    """A submission whose outcome can be waited for."""

    def __init__(self) -> None:
        self._heard = threading.Event()
        self._outcome: Outcome | None = None

    def hear(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
        ((_submission, self._outcome),) = outcomes
        self._heard.set()

    def outcome(self) -> Outcome:
        assert self._heard.wait(30)
        assert self._outcome is not None
        return self._outcome


@pytest.fixture
def writer(shop: Organization) -> Iterator[Committer]:
    made = Committer(threads=1)
    yield made
    made.drain()


@pytest.fixture
def submit(writer: Committer, shop: Organization) -> Submit:
    """Hand records to `writer` without waiting."""

    def call(*records: Any, source: str = "web", org_id: int | None = None) -> Waiting:
        now = datetime.now(UTC)
        waiting = Waiting()
        body = as_bytes(list(records))
        writer.submit(
            Submission(
                org_id=org_id or shop.pk,
                tenant_id=shop.public_id,
                source_name=source,
                decoded=decode(body, ndjson=False, received_at=now, max_records=10**5),
                nbytes=len(body),
                received_at=now,
                listener=waiting,
            )
        )
        return waiting

    return call


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event": "login",
        "customer_id": "c1",
        "timestamp": "2026-03-01T12:00:00Z",
        **fields,
    }


def receipts(waiting: list[Waiting]) -> list[tuple[int, int, int]]:
    out = []
    for each in waiting:
        outcome = each.outcome()
        assert isinstance(outcome, Receipt)
        out.append((outcome.accepted, outcome.duplicates, outcome.quarantined))
    return out


def hold_writer(writer: Committer, org: Organization) -> tuple[Any, Waiting]:
    """Keep the writer busy: (release, the outcome of the request that keeps it so)."""
    go_on = threading.Event()

    class Held(Waiting):
        def hear(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
            super().hear(outcomes)
            assert go_on.wait(30)

    held = Held()
    now = datetime.now(UTC)
    body = as_bytes(event("held"))
    decoded = decode(body, ndjson=False, received_at=now, max_records=1)
    writer.submit(Submission(org.pk, "", "held", decoded, len(body), now, held))
    held.outcome()
    return go_on.set, held


def test_what_waits_together_is_one_ledger_line_per_source(
    writer: Committer, submit: Submit, shop: Organization
) -> None:
    release, _held = hold_writer(writer, shop)
    waiting = [
        submit(event("a"), event("b")),
        submit(event("a"), {"type": "nonsense"}, event("c")),
        submit(event("a"), source="app"),
        submit(event("c", event="logout")),
    ]
    release()

    assert receipts(waiting) == [(2, 0, 0), (1, 1, 1), (1, 0, 0), (0, 0, 1)]
    lines = Batch.objects.exclude(source__name="held").order_by("pk")
    assert [(b.source.name, b.fetched, b.inserted) for b in lines] == [
        ("web", 6, 3),
        ("app", 1, 1),
    ]
    ids = [w.outcome().batch_id for w in waiting]  # type: ignore[union-attr]
    assert len(set(ids)) == 4
    errors = [w.outcome().errors for w in waiting]  # type: ignore[union-attr]
    assert [(e.index, e.code) for e in errors[1]] == [(1, "unknown_type")]
    assert [(e.index, e.code) for e in errors[3]] == [(0, "event_id_conflict")]


def test_a_commit_that_hangs_does_not_hold_up_what_comes_later(
    shop: Organization,
) -> None:
    writer = Committer(threads=2)
    release, _held = hold_writer(writer, shop)
    now = datetime.now(UTC)
    body = as_bytes(event("later"))
    decoded = decode(body, ndjson=False, received_at=now, max_records=1)
    later = Waiting()
    try:
        writer.submit(Submission(shop.pk, "", "web", decoded, len(body), now, later))

        assert receipts([later]) == [(1, 0, 0)]
    finally:
        release()
        writer.drain()
    assert not writer.state.running


def test_large_groups_are_stored_once_whatever_they_repeat(
    submit: Submit, shop: Organization
) -> None:
    def events_of(start: int, end: int) -> list[dict[str, Any]]:
        return [event(f"e{number}") for number in range(start, end)]

    counts = []
    for start, end in (
        [(0, 300), (300, 600), (300, 600), (500, 900)]
        + [(n, n + 250) for n in range(900, 2400, 250)]
        + [(2399, 2700)]
    ):
        # One after the other: each a group of its own.
        counts += receipts([submit(*events_of(start, end))])

    assert counts == [
        (300, 0, 0),
        (300, 0, 0),
        (0, 300, 0),
        (300, 100, 0),
        *[(250, 0, 0)] * 6,
        (300, 1, 0),
    ]
    stored = UsageEvent.objects.values_list("event_id", flat=True)
    assert len(stored) == len(set(stored)) == 2700
    lines = Batch.objects.order_by("pk").values_list("fetched", "inserted", "duplicate")
    assert [*lines] == [
        (300, 300, 0),
        (300, 300, 0),
        (300, 0, 300),
        (400, 300, 100),
        *[(250, 250, 0)] * 6,
        (301, 300, 1),
    ]


def test_a_bad_request_does_not_hurt_its_neighbours(
    writer: Committer, submit: Submit, shop: Organization
) -> None:
    release, _held = hold_writer(writer, shop)
    now = datetime.now(UTC)
    unstorable = decode(
        b'{"event_id":"x","event":"x","timestamp":"2026-01-01T00:00:00Z",'
        b'"properties":{"n":1e999999}}',
        ndjson=False,
        received_at=now,
        max_records=1,
    )
    before = submit(event("a"))
    bad = Waiting()
    writer.submit(Submission(shop.pk, "", "web", unstorable, 1, now, bad))
    unknown_org = submit(event("b"), org_id=10**9)
    after = submit(event("c"))
    release()

    assert receipts([before, bad, after]) == [(1, 0, 0), (0, 0, 1), (1, 0, 0)]
    refused = unknown_org.outcome()
    assert isinstance(refused, IngestError)
    assert refused.status == 401
    stored = UsageEvent.objects.values_list("event_id", flat=True)
    assert sorted(stored) == ["a", "c", "held"]


def test_too_much_waiting_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
    writer: Committer,
    submit: Submit,
    shop: Organization,
) -> None:
    monkeypatch.setattr(committers, "_MOST_WAITING_RECORDS", 3)
    release, _held = hold_writer(writer, shop)
    waiting = [submit(event("a"), event("b"))]
    with pytest.raises(IngestError) as refused:
        submit(event("c"), event("d"))
    release()

    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    assert receipts(waiting) == [(2, 0, 0)]
    assert sorted(UsageEvent.objects.values_list("event_id", flat=True)) == [
        "a",
        "b",
        "held",
    ]


def test_a_request_that_gave_up_is_not_stored(
    monkeypatch: pytest.MonkeyPatch, asgi: Door, shop: Organization
) -> None:
    monkeypatch.setattr(flow, "COMMIT_WAIT_S", 0.2)
    held = [hold_writer(committer(), shop)[0] for _thread in range(2)]
    reply = asgi(event("late"))
    for release in held:
        release()
    committer().drain()

    assert (reply.status, reply.body["code"]) == (503, "timeout")
    assert reply.headers["retry-after"] == "5"
    assert not UsageEvent.objects.filter(event_id="late").exists()


def test_draining_stores_what_waits(
    writer: Committer, submit: Submit, shop: Organization
) -> None:
    waiting = [submit(event(f"e{n}")) for n in range(20)]
    writer.drain()

    assert receipts(waiting) == [(1, 0, 0)] * 20
    assert writer.state.waiting_requests == writer.state.waiting_records == 0
    assert receipts([submit(event("again"))]) == [(1, 0, 0)]


def test_lost_connections_are_made_anew(asgi: Door) -> None:
    assert asgi(event("e1")).status == 202
    with connection.cursor() as cur:
        cur.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'churnguard ingest%%'"
        )
    fast_door._keys._known.clear()

    replies = [asgi(event(f"f{number}")) for number in range(4)]

    assert [reply.status for reply in replies] == [202] * 4
    assert UsageEvent.objects.count() == 5


def test_a_revoked_key_stops_within_seconds(
    monkeypatch: pytest.MonkeyPatch, asgi: Door
) -> None:
    assert asgi(event("e1")).status == 202
    ApiKey.objects.update(revoked_at=datetime.now(UTC))
    assert asgi(event("e2")).status == 202

    later = time.monotonic() + keys.HARD_S + 0.1
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)

    assert asgi(event("e3")).status == 401


def test_a_client_that_leaves_stores_nothing(key: str) -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b'{"event": "x"', "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/data/ingest/web",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }
    asyncio.run(fast_door.app(scope, receive, send))

    assert sent == []
    assert Batch.objects.count() == 0


def test_lifespan_stops_the_writers_in_order(asgi: Door) -> None:
    assert asgi(event("e1")).status == 202
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    asyncio.run(fast_door.app({"type": "lifespan"}, receive, send))

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert committers.writer_state()["running"] is False
    assert committers.writer_state()["waiting_requests"] == 0


def test_clients_that_repeat_themselves_store_each_event_once(asgi: Door) -> None:
    requests = [
        [event(f"e{n}", customer_id=f"c{n % 7}") for n in range(start, start + 20)]
        for start in range(0, 400, 20)
    ]

    replies = _send_from_four_clients(asgi, requests)

    assert {reply.status for reply in replies} == {202}
    accepted = sum(reply.body["accepted"] for reply in replies)
    assert (accepted, UsageEvent.objects.count()) == (400, 400)
    assert Customer.objects.count() == 7
    lines = Batch.objects.all()
    assert sum(b.inserted for b in lines) == 400
    assert sum(b.fetched for b in lines) == 20 * len(replies)


def test_retail_orders_are_stored_once(asgi: Door, shared_data: Path) -> None:
    with gzip.open(shared_data / "data" / "online_retail_orders.csv.gz", "rt") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    orders = [
        {
            "event_id": f"order-{number}",
            "event": "return" if row["is_return"] == "True" else "order",
            "customer_id": row["customer_id"],
            "timestamp": row["ts"],
            "value": float(row["amount"]),
            "properties": {"lines": int(row["lines"]), "units": int(row["units"])},
        }
        for number, row in enumerate(rows)
    ]
    requests = [orders[start : start + 1000] for start in range(0, len(orders), 1000)]

    replies = _send_from_four_clients(asgi, requests)

    assert {reply.status for reply in replies} == {202}
    assert sum(reply.body["accepted"] for reply in replies) == 44_751
    assert UsageEvent.objects.count() == 44_751
    assert Customer.objects.count() == 5_942


def _send_from_four_clients(asgi: Door, requests: list[Any]) -> list[Any]:
    """Four clients at once; every tenth request is sent by two of them."""
    repeated = [*requests, *requests[::10]]
    shares = [repeated[client::4] for client in range(4)]
    with ThreadPoolExecutor(4) as clients:
        parts = clients.map(lambda share: [asgi(body) for body in share], shares)
        return list(itertools.chain.from_iterable(parts))
