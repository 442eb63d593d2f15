"""Fan-out of live notes: one hub per process, however many sockets it serves.

One Redis subscription says which organisation's channel has news; the notes are read
once from PostgreSQL, serialised once, and put on every socket's bounded queue. A poll
each second covers lost Redis messages. Nothing runs while no socket is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from churnguard import metrics
from churnguard.stream import access, store
from churnguard.stream.notes import NUDGE_TOPIC

log = logging.getLogger(__name__)

QUEUE_MOST = 256
"""Messages a socket may lag behind before its queue gives way to one resync."""
REPLAY_MOST = 1000
"""Notes sent for `?since=`; a client further behind is told to resync."""
POLL_S = 1.0
HEARTBEAT_S = 20.0
RECHECK_S = 30.0
"""How often the credentials of open sockets are looked at again."""
_RETRY_S = 1.0
_CANCEL_AGAIN_S = 0.1

Key = tuple[int, str]
Send = Callable[[str], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Socket:
    """One connected client of one channel. `queue` holds ready messages."""

    key: Key
    credential: access.Credential
    queue: deque[str] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int = 0


@dataclass(slots=True)
class _Topic:
    """What the hub knows of one channel: the last number delivered, and to whom."""

    seq: int
    sockets: set[Socket] = field(default_factory=set)


class Hub:
    """Owns the subscription, the database connection and the sockets of one loop."""

    def __init__(self) -> None:
        self.topics: dict[Key, _Topic] = {}
        self._news = asyncio.Event()
        self._database = asyncio.Lock()
        self._connection: psycopg.AsyncConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._joining = 0

    async def join(
        self, socket: Socket, since: int | None
    ) -> tuple[int, list[store.Note] | None]:
        """Register `socket`; returns (seq now, the notes after `since`).

        The list is None where the client must resync: too far behind, pruned, or
        ahead of us. Every later note is put on the queue, none twice, none left out.
        Raises psycopg.OperationalError when the database cannot be reached.
        """
        self._joining += 1
        is_in = False
        try:
            found = await self._join(socket, since)
            is_in = True
        finally:
            self._joining -= 1
            if not is_in:
                await self.leave(socket)
        return found

    async def leave(self, socket: Socket) -> None:
        """Forget `socket`. The last one to leave stops the hub. Idempotent."""
        topic = self.topics.get(socket.key)
        if topic is not None and socket in topic.sockets:
            topic.sockets.discard(socket)
            metrics.STREAM_SOCKETS.dec()
            if not topic.sockets:
                del self.topics[socket.key]
        if not self.topics and not self._joining:
            await self._stop()

    async def _join(
        self, socket: Socket, since: int | None
    ) -> tuple[int, list[store.Note] | None]:
        topic = await self._enter(socket)
        if since is not None and since > topic.seq:
            # The client heard a later note from another process.
            await self._fetch()
            socket.queue.clear()
        seq = topic.seq
        if since is None or since == seq:
            return seq, []
        if since > seq or seq - since > REPLAY_MOST:
            return seq, None
        missed = await self._read(store.replay, socket.key, since, seq)
        return seq, missed if len(missed) == seq - since else None

    async def _enter(self, socket: Socket) -> _Topic:
        seq = 0
        if socket.key not in self.topics:
            seq = await self._read(store.current, socket.key)
        # Another socket may have made the topic while we read.
        topic = self.topics.setdefault(socket.key, _Topic(seq))
        topic.sockets.add(socket)
        metrics.STREAM_SOCKETS.inc()
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._forever(step), name=f"hub.{step.__name__}")
                for step in (self._listen, self._deliver, self._beat, self._recheck)
            ]
        return topic

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        connection, self._connection = self._connection, None
        pending = set(tasks)
        while pending:
            # redis-py 8.1 can swallow a cancellation while it connects.
            for task in pending:
                task.cancel()
            _done, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                await connection.close()

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (RedisError, OSError, psycopg.Error) as exc:
                log.warning(
                    "stream.interrupted",
                    extra={"step": step.__name__, "error": type(exc).__name__},
                )
                await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=5,
            socket_connect_timeout=2,
            max_connections=2,
        )
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(NUDGE_TOPIC)
                self._news.set()
                while True:
                    message = await pubsub.get_message(
                        ignore_subscribe_messages=True, timeout=2.0
                    )
                    if message and self._concerns(message["data"]):
                        self._news.set()
        finally:
            await client.aclose()

    def _concerns(self, data: bytes) -> bool:
        org_id, _, channel = data.decode("ascii", "replace").partition(":")
        return org_id.isdigit() and (int(org_id), channel) in self.topics

    async def _deliver(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), POLL_S)
        self._news.clear()
        if await self._fetch():
            self._news.set()

    async def _fetch(self) -> bool:
        """Deliver what is new; True when there may be more."""
        async with self._database:
            behind = {key: topic.seq for key, topic in self.topics.items()}
            if not behind:
                return False
            notes = await self._query(store.newer, behind)
            for note in notes:
                topic = self.topics.get(note.key)
                if topic is None or note.seq <= topic.seq:
                    continue
                if note.seq != topic.seq + 1:
                    self._resync(topic, note.key, note.seq - 1)
                topic.seq = note.seq
                self._spread(topic, note.text)
        return len(notes) >= store.FETCH_MOST

    def _spread(self, topic: _Topic, text: str) -> None:
        for socket in topic.sockets:
            if len(socket.queue) >= QUEUE_MOST:
                socket.queue.clear()
                socket.queue.append(resync(socket.key[1], topic.seq))
                metrics.STREAM_RESYNCS.inc()
            else:
                socket.queue.append(text)
            socket.wake.set()

    def _resync(self, topic: _Topic, key: Key, seq: int) -> None:
        """Notes are gone that nobody was sent (pruned while we were cut off)."""
        text = resync(key[1], seq)
        for socket in topic.sockets:
            socket.queue.clear()
            socket.queue.append(text)
            socket.wake.set()
        metrics.STREAM_RESYNCS.inc(len(topic.sockets))

    async def _beat(self) -> None:
        await asyncio.sleep(HEARTBEAT_S)
        at = _now()
        for key, topic in self.topics.items():
            self._spread(topic, message("heartbeat", key[1], topic.seq, at=at))

    async def _recheck(self) -> None:
        await asyncio.sleep(RECHECK_S)
        sockets = [s for topic in self.topics.values() for s in topic.sockets]
        valid = await self._read(access.still_valid, {s.credential for s in sockets})
        for socket in sockets:
            if socket.credential not in valid:
                socket.close_code = 4401
                socket.wake.set()

    async def _read(self, query: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async with self._database:
            return await self._query(query, *args)

    async def _query(self, query: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = await store.connect()
        try:
            async with asyncio.timeout(store.QUERY_TIMEOUT_S):
                return await query(self._connection, *args)
        except BaseException:
            # Whatever broke off the query, the next one starts on a clean connection.
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
            raise


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running event loop; a web process has one loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


def count_sockets() -> int:
    """Sockets connected to this process."""
    return sum(
        len(topic.sockets) for hub in _hubs.values() for topic in hub.topics.values()
    )


def message(kind: str, channel: str, seq: int, **more: Any) -> str:
    """A control message: {"type", "channel", "seq", ...} as JSON text."""
    body = {"type": kind, "channel": channel, "seq": seq, **more}
    return msgspec.json.encode(body).decode()


def resync(channel: str, seq: int) -> str:
    """Tells the client that it missed something: read the pages or the API again, and
    count on from `seq`."""
    return message("resync", channel, seq)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
