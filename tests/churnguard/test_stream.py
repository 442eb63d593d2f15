"""Live notes from the transaction to the socket, and who may listen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from churnguard.auth import create_api_key
from churnguard.models import ApiKey, Membership, Organization, StreamNote, User
from churnguard.stream import hub, notes
from tests.churnguard.streams import Listener, publish, run, session_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key(org: Organization) -> str:
    return create_api_key(org, "reader", ["read"])[1]


def test_hello_then_each_note_once_in_order(org: Organization, key: str) -> None:
    async def scenario() -> None:
        await publish(org.pk, "alerts", {"n": 0})
        async with Listener("alerts", key=key) as listener:
            hello = await listener.next()
            await publish(org.pk, "alerts", {"n": 1}, {"n": 2})
            await publish(org.pk, "alerts", {"n": 3})
            got = await listener.take(3)
            assert await listener.silence()

        assert hello == {"type": "hello", "channel": "alerts", "seq": 1}
        assert [(m["type"], m["channel"], m["seq"], m["data"]) for m in got] == [
            ("note", "alerts", 2, {"n": 1}),
            ("note", "alerts", 3, {"n": 2}),
            ("note", "alerts", 4, {"n": 3}),
        ]
        assert all(m["at"].endswith("Z") for m in got)

    run(scenario)


def test_since_replays_what_was_missed_and_goes_on(org: Organization, key: str) -> None:
    async def scenario() -> None:
        await publish(org.pk, "alerts", *({"n": n} for n in range(1, 6)))
        async with Listener("alerts", key=key, query="?since=2") as listener:
            hello = await listener.next()
            replayed = await listener.take(3)
            await publish(org.pk, "alerts", {"n": 6})
            live = await listener.next()

        assert hello["seq"] == 5
        assert [m["seq"] for m in [*replayed, live]] == [3, 4, 5, 6]

    run(scenario)


@pytest.mark.parametrize(
    ("since", "kinds"),
    [
        (5, ["hello"]),
        (0, ["hello", "resync"]),
        (1, ["hello", "resync"]),
        (2, ["hello", "note", "note", "note"]),
        (9, ["hello", "resync"]),
    ],
)
def test_a_gap_that_cannot_be_filled_asks_for_a_resync(
    org: Organization, key: str, since: int, kinds: list[str]
) -> None:
    async def scenario() -> None:
        await publish(org.pk, "alerts", *({"n": n} for n in range(1, 6)))
        await StreamNote.objects.filter(seq__lte=2).adelete()
        async with Listener("alerts", key=key, query=f"?since={since}") as listener:
            got = await listener.take(len(kinds))
            assert await listener.silence()

        assert [m["type"] for m in got] == kinds
        assert got[-1]["seq"] == 5

    run(scenario)


def test_a_client_ahead_of_this_process_waits_for_it(
    org: Organization, key: str
) -> None:
    async def scenario() -> None:
        async with Listener("alerts", key=key) as first:
            await first.next()
            await _commit_in_silence(org.pk)
            async with Listener("alerts", key=key, query="?since=1") as second:
                hello = await second.next()
                note = await first.next()
                await publish(org.pk, "alerts", {"n": 2})
                got = await second.next()

        assert (hello["type"], hello["seq"]) == ("hello", 1)
        assert note["seq"] == 1
        assert (got["type"], got["seq"]) == ("note", 2)

    run(scenario)


def test_a_note_is_found_without_redis(
    org: Organization, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "unix:///nowhere.sock")

    async def scenario() -> None:
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            await _commit_in_silence(org.pk)
            note = await listener.next()

        assert note["seq"] == 1

    run(scenario)


def test_a_rollback_publishes_nothing(org: Organization, key: str) -> None:
    def roll_back() -> None:
        with transaction.atomic():
            notes.publish(connection, org.pk, "alerts", [{"n": 1}])
            transaction.set_rollback(True)

    async def scenario() -> None:
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            await sync_to_async(roll_back)()
            await publish(org.pk, "alerts", {"n": 2})
            note = await listener.next()

        assert (note["seq"], note["data"]) == (1, {"n": 2})

    run(scenario)


def test_concurrent_writers_leave_no_gap(org: Organization) -> None:
    params = connection.get_connection_params()
    address = {n: params[n] for n in ("dbname", "host", "user") if n in params}

    def write() -> None:
        with psycopg.connect(**address) as conn:
            for n in range(25):
                notes.publish(conn, org.pk, "live-metrics", [{"n": n}] * 2)
                conn.commit()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = StreamNote.objects.order_by("created_at", "seq").values_list("seq")
    assert [seq for (seq,) in found] == list(range(1, 201))


def test_organisations_and_channels_are_apart(
    org: Organization, other_org: Organization, key: str
) -> None:
    async def scenario() -> None:
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            await publish(other_org.pk, "alerts", {"of": "others"})
            await publish(org.pk, "live-metrics", {"of": "another channel"})
            await publish(org.pk, "alerts", {"of": "ours"})
            note = await listener.next()
            assert await listener.silence()

        assert (note["seq"], note["data"]) == (1, {"of": "ours"})

    run(scenario)


def test_a_slow_client_is_told_to_resync(
    org: Organization, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE_MOST", 3)

    async def scenario() -> None:
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            (socket,) = hub.get_hub().topics[org.pk, "alerts"].sockets
            await publish(org.pk, "alerts", *({"n": n} for n in range(1, 6)))
            got = [await listener.next()]
            while got[-1]["seq"] < 5:
                got.append(await listener.next())
            assert len(socket.queue) == 0

        assert [(m["type"], m["seq"]) for m in got] == [("resync", 4), ("note", 5)]

    run(scenario)


def test_heartbeats_carry_the_number(
    org: Organization, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.05)

    async def scenario() -> None:
        await publish(org.pk, "alerts", {"n": 1})
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            beat = await listener.next()

        assert (beat["type"], beat["seq"]) == ("heartbeat", 1)

    run(scenario)


def test_nothing_runs_once_the_last_socket_left(org: Organization, key: str) -> None:
    async def scenario() -> None:
        async with Listener("alerts", key=key) as listener:
            await listener.next()
            assert len(hub.get_hub()._tasks) == 4
            assert hub.count_sockets() == 1

        assert hub.get_hub()._tasks == []
        assert hub.count_sockets() == 0

    run(scenario)


def test_a_session_listens_for_its_chosen_organisation(
    org: Organization, bob: User
) -> None:
    session = session_of(bob)

    async def scenario() -> None:
        async with Listener("alerts", session=session) as listener:
            await listener.next()
            await publish(org.pk, "alerts", {"n": 1})
            assert (await listener.next())["data"] == {"n": 1}

    run(scenario)


def test_a_key_may_come_as_a_subprotocol(org: Organization, key: str) -> None:
    async def scenario() -> None:
        offered = ["churnguard", f"bearer.{key}"]
        async with Listener("alerts", subprotocols=offered) as listener:
            assert listener.subprotocol == "churnguard"
            assert (await listener.next())["type"] == "hello"

    run(scenario)


@pytest.mark.parametrize(
    ("channel", "given", "code"),
    [
        ("alerts", {}, 4401),
        ("alerts", {"key": "cg_unknown"}, 4401),
        ("alerts", {"session": "unknown"}, 4401),
        ("alerts", {"query": "?api_key={key}"}, 4401),
        ("alerts", {"key": "{ingest}"}, 4403),
        ("alerts", {"session": "{bob}", "origin": "http://evil.example"}, 4403),
        ("alerts", {"session": "{bob}", "origin": None}, 4403),
        ("alerts", {"session": "{loner}"}, 4403),
        ("alerts", {"key": "{key}", "query": "?since=-1"}, 4400),
        ("alerts", {"key": "{key}", "query": "?since=1e3"}, 4400),
        ("secrets", {"key": "{key}"}, 4404),
        ("a/b/c", {"key": "{key}"}, 4404),
    ],
)
def test_who_is_not_let_in(
    org: Organization,
    bob: User,
    key: str,
    channel: str,
    given: dict[str, Any],
    code: int,
) -> None:
    loner = User.objects.create_user("loner@example.com", "pw")
    known = {
        "key": key,
        "ingest": create_api_key(org, "door", ["ingest"])[1],
        "bob": session_of(bob),
        "loner": session_of(loner),
    }
    filled = {k: v.format(**known) if v else v for k, v in given.items()}

    async def scenario() -> None:
        async with Listener(channel, **filled) as listener:
            assert await listener.closed() == code
        assert hub.count_sockets() == 0

    run(scenario)


def _revoke(org: Organization, _bob: User) -> None:
    ApiKey.objects.filter(organization=org).update(revoked_at=timezone.now())


def _remove(_org: Organization, bob: User) -> None:
    Membership.objects.filter(user=bob).delete()


def _deactivate(_org: Organization, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)


@pytest.mark.parametrize(
    ("by_key", "end"),
    [(True, _revoke), (False, _remove), (False, _deactivate)],
)
def test_access_that_ends_closes_the_socket(
    org: Organization,
    bob: User,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
    by_key: bool,
    end: Callable[[Organization, User], None],
) -> None:
    monkeypatch.setattr(hub, "RECHECK_S", 0.05)
    credential = {"key": key} if by_key else {"session": session_of(bob)}

    async def scenario() -> None:
        async with Listener("alerts", **credential) as listener:
            await listener.next()
            await asyncio.sleep(0.15)
            await sync_to_async(end)(org, bob)
            assert await listener.closed() == 4401

    run(scenario)


@sync_to_async
def _commit_in_silence(org_id: int) -> None:
    """A note whose Redis message was lost."""
    with connection.cursor() as cur:
        params = notes.publish_params(org_id, "alerts", [{"n": 1}])
        cur.execute(notes.PUBLISH_SQL, params)
