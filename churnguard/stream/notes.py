"""Live notes: written in the transaction of their cause, so they never lie.

A note gets the next number of its organisation and channel. The counter's row stays
locked until the commit, so numbers appear in commit order and without gaps: a reader
that has seen n has seen everything before n. A Redis message afterwards only says
"look now"; without it readers find the note by polling.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

import msgspec
import redis
from django.conf import settings
from django.db import connection as django_connection
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

CHANNELS = ("alerts", "health-scores", "live-metrics")
NUDGE_TOPIC = "cg:stream"

PUBLISH_SQL = """
WITH counter AS (
    INSERT INTO cg_stream_sequence (organization_id, channel, seq)
    VALUES (%(org)s, %(channel)s, %(n)s)
    ON CONFLICT (organization_id, channel)
    DO UPDATE SET seq = cg_stream_sequence.seq + excluded.seq
    RETURNING seq
), notes AS (
    INSERT INTO cg_stream_note (organization_id, channel, seq, payload, created_at)
    SELECT %(org)s, %(channel)s, counter.seq - %(n)s + item.ord, item.payload,
           clock_timestamp()
    FROM counter, unnest(%(payloads)s::jsonb[]) WITH ORDINALITY AS item (payload, ord)
)
SELECT seq FROM counter
"""


def publish_params(
    org_id: int, channel: str, payloads: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """Parameters of PUBLISH_SQL, for callers with an asynchronous cursor.

    Raises ValueError for an unknown channel.
    """
    if channel not in CHANNELS:
        raise ValueError(f"Channel {channel!r} is none of {', '.join(CHANNELS)}.")
    encoded = [msgspec.json.encode(item, enc_hook=str).decode() for item in payloads]
    return {"org": org_id, "channel": channel, "n": len(encoded), "payloads": encoded}


def publish(
    conn_or_cur: Any, org_id: int, channel: str, payloads: Iterable[dict[str, Any]]
) -> int | None:
    """Write `payloads` as notes; returns the last sequence number, None without any.

    `conn_or_cur`: a Django connection or cursor, or a psycopg connection or cursor, in
    a transaction. Make it the transaction's last statement, several channels in
    alphabetical order and several organisations by rising id: the counter stays locked
    until the commit. On Django's connection readers are nudged after the commit; with
    a psycopg one the caller calls `nudge` itself (else readers see it within 1 s).
    """
    params = publish_params(org_id, channel, payloads)
    if not params["n"]:
        return None
    if isinstance(conn_or_cur, BaseDatabaseWrapper):
        with conn_or_cur.cursor() as cur:
            seq = _run(cur, params)
    elif hasattr(conn_or_cur, "fetchone"):
        seq = _run(conn_or_cur, params)
    else:
        with conn_or_cur.cursor() as cur:
            seq = _run(cur, params)
    if _is_django(conn_or_cur):
        transaction.on_commit(lambda: nudge([(org_id, channel)]), robust=True)
    return seq


def nudge(keys: Iterable[tuple[int, str]]) -> None:
    """Tell every hub to look at these (organisation id, channel). Best effort."""
    try:
        pipe = _client().pipeline(transaction=False)
        for org_id, channel in keys:
            pipe.publish(NUDGE_TOPIC, f"{org_id}:{channel}")
        pipe.execute()
    except (RedisError, OSError) as exc:
        log.warning("stream.nudge_failed", extra={"error": type(exc).__name__})


def _run(cur: Any, params: dict[str, Any]) -> int:
    cur.execute(PUBLISH_SQL, params)
    return int(cur.fetchone()[0])


def _is_django(conn_or_cur: Any) -> bool:
    if isinstance(conn_or_cur, (BaseDatabaseWrapper, CursorWrapper)):
        return True
    # A bare cursor taken from Django's connection commits with it, too.
    return getattr(conn_or_cur, "connection", None) is django_connection.connection


_local = threading.local()


def _client() -> redis.Redis:
    client = getattr(_local, "client", None)
    if client is None:
        client = _local.client = redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=1,
            socket_connect_timeout=1,
            max_connections=4,
        )
    return client
