"""Applying the partition: re-point identities, keep the log, refresh the customers.

Whoever changes what identifies a `CustomerSource` or a `Contact` marks it (a database
trigger); `tick` takes marked identities, everything reachable from them through shared
keys, partitions that block, and re-points what changed, all in one transaction under
the organisation's lock. Facts are never touched, so going back is re-pointing again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from psycopg import Cursor

from analytics.identity.applying import apply_partition, keep_reviews
from analytics.identity.levels import CUSTOMERS, LEVELS, Level
from analytics.identity.partition import (
    Identity,
    Partition,
    keys_of,
    partition,
)
from churnguard.ids import new_id

log = logging.getLogger(__name__)

_CLAIM = 2_000
_CROWD = 50
"""A key that more identities than this carry joins nobody and is not walked."""
_BLOCK_MOST = 20_000


def tick(now: datetime | None = None) -> int:
    """Loop: resolve marked identities of one organisation and level; returns how
    many."""
    at = now or datetime.now(UTC)
    for level in LEVELS:
        done = _tick(level, at)
        if done:
            return done
    return 0


def _tick(level: Level, at: datetime) -> int:
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(
            level.sql(
                "SELECT organization_id FROM {member} "
                "WHERE identity_stale_at IS NOT NULL ORDER BY identity_stale_at LIMIT 1"
            )
        )
        first = cur.fetchone()
        if first is None:
            return 0
        cur.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [level.lock, first[0]])
        if not cur.fetchone()[0]:
            return 0
        cur.execute(
            level.sql(
                "SELECT id FROM {member} WHERE identity_stale_at IS NOT NULL "
                "AND organization_id = %s ORDER BY identity_stale_at, id LIMIT %s"
            ),
            [first[0], _CLAIM],
        )
        ids = [row[0] for row in cur.fetchall()]
        moved = resolve_block(cur, first[0], ids, at, level)
    if moved:
        log.info(
            "identity.resolved",
            extra={"level": level.name, "record_count": len(ids), "moved": moved},
        )
    return len(ids)


def resolve_now(
    org_id: int, identity_ids: Iterable[int], now: datetime, level: Level = CUSTOMERS
) -> int:
    """Resolve these identities at once (after a person's decision); returns how many
    identities changed their customer."""
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute("SELECT pg_advisory_xact_lock(%s, %s)", [level.lock, org_id])
        return resolve_block(cur, org_id, sorted(set(identity_ids)), now, level)


def preview(
    cur: Cursor,
    org_id: int,
    ids: Iterable[int],
    *,
    level: Level,
    must: Iterable[tuple[int, int]] = (),
    cannot: Iterable[tuple[int, int]] = (),
) -> Partition:
    """What resolving would find with these decisions added; changes nothing."""
    start = set(ids) | {pk for pair in (*must, *cannot) for pk in pair}
    block = _reach(cur, level, org_id, start)
    made = _decisions(cur, level, org_id, block)
    return partition(
        _load(cur, level, sorted(block)),
        must=[*made["must"], *must],
        cannot=[*made["cannot"], *cannot],
        merged=_merged(cur, level, block),
    )


def resolve_block(
    cur: Cursor, org_id: int, ids: list[int], now: datetime, level: Level
) -> int:
    """Refresh the keys of `ids`, partition all they reach, apply the difference."""
    cur.execute(
        level.sql(
            "UPDATE {member} SET identity_stale_at = NULL WHERE id IN ("
            "SELECT id FROM {member} WHERE id = ANY(%s) ORDER BY id "
            "FOR NO KEY UPDATE)"
        ),
        [ids],
    )
    # What the old keys reached may have to be taken apart.
    before = _reach(cur, level, org_id, set(ids))
    _store_keys(cur, level, org_id, _load(cur, level, ids))
    block = _reach(cur, level, org_id, before)
    if level.is_person:
        _make_people(cur, org_id, sorted(block), now)
    identities = _load(cur, level, sorted(block))
    decisions = _decisions(cur, level, org_id, block)
    found = partition(
        identities,
        must=decisions["must"],
        cannot=decisions["cannot"],
        merged=_merged(cur, level, block),
    )
    moved = apply_partition(cur, level, org_id, found, now)
    keep_reviews(cur, level, org_id, block, found, now)
    return moved


def _load(cur: Cursor, level: Level, ids: list[int]) -> list[Identity]:
    cur.execute(
        level.sql(
            "SELECT c.id, s.name, s.kind, c.external_id, {signs} FROM {member} c "
            "JOIN cg_source s ON s.id = c.source_id WHERE c.id = ANY(%s) ORDER BY c.id"
        ),
        [ids],
    )
    out = []
    for pk, source, kind, external_id, domain, email, user, links in cur.fetchall():
        given = json.loads(links)
        pairs = tuple(
            sorted(
                (str(k), str(v)) for k, v in given.items() if isinstance(v, str | int)
            )
        )
        out.append(
            Identity(
                id=pk,
                source=source,
                kind="" if kind in ("ingest", "file") else kind,
                external_id=external_id,
                domain=domain,
                email=email,
                links=pairs,
                user_id=user,
                is_person=level.is_person,
            )
        )
    return out


def _make_people(cur: Cursor, org_id: int, ids: list[int], now: datetime) -> None:
    """A person, with its first link, for each contact that never had one."""
    cur.execute(
        "SELECT c.id FROM cg_contact c WHERE c.id = ANY(%s) AND NOT EXISTS ("
        "SELECT 1 FROM cg_person_link l WHERE l.contact_id = c.id) ORDER BY c.id",
        [ids],
    )
    values: dict[str, Any] = {"org": org_id, "now": now}
    values["contacts"] = [row[0] for row in cur.fetchall()]
    values["names"] = [new_id("per") for _ in values["contacts"]]
    if values["contacts"]:
        cur.execute(_NEW_PEOPLE, values)


# People are numbered in the order of their contacts: the lowest is the oldest.
_NEW_PEOPLE = """
WITH n AS (SELECT * FROM unnest(%(contacts)s::bigint[], %(names)s::text[])
           AS n (contact, name)),
made AS (INSERT INTO cg_person (public_id, organization_id, created_at)
         SELECT name, %(org)s, %(now)s FROM n ORDER BY contact RETURNING id, public_id),
pointed AS (UPDATE cg_contact c SET person_id = made.id
            FROM n JOIN made ON made.public_id = n.name WHERE c.id = n.contact)
INSERT INTO cg_person_link (organization_id, contact_id, person_id, rule, evidence,
    created_by, valid_from)
SELECT %(org)s, n.contact, made.id, 'created', '{}', 'system', %(now)s
FROM n JOIN made ON made.public_id = n.name ORDER BY n.contact
"""


def _store_keys(
    cur: Cursor, level: Level, org_id: int, identities: list[Identity]
) -> None:
    rows = [
        (one.id, rule, key[:500]) for one in identities for rule, key in keys_of(one)
    ]
    cur.execute(
        level.sql("DELETE FROM {keys} WHERE {ref} = ANY(%s)"),
        [[one.id for one in identities]],
    )
    with cur.copy(
        level.sql("COPY {keys} (organization_id, {ref}, rule, key) FROM STDIN")
    ) as copy:
        for ref, rule, key in rows:
            copy.write_row((org_id, ref, rule, key))


def _reach(cur: Cursor, level: Level, org_id: int, start: set[int]) -> set[int]:
    """Every identity connected with `start` through keys that are not crowded, through
    decisions, or through the entity they share now."""
    block = set(start)
    frontier = set(start)
    while frontier and len(block) < _BLOCK_MOST:
        cur.execute(
            level.sql(_NEAR),
            {"ids": sorted(frontier), "org": org_id, "crowd": _CROWD},
        )
        found = {row[0] for row in cur.fetchall()}
        frontier = found - block
        block |= frontier
    return block


_NEAR = """
WITH mine AS (SELECT DISTINCT rule, key FROM {keys} WHERE {ref} = ANY(%(ids)s)),
near AS (SELECT k.{ref} AS id, count(*) OVER (PARTITION BY k.rule, k.key) AS crowd
         FROM {keys} k JOIN mine USING (rule, key) WHERE k.organization_id = %(org)s)
SELECT id FROM near WHERE crowd <= %(crowd)s
UNION SELECT second_id FROM {decisions}
    WHERE first_id = ANY(%(ids)s) AND revoked_at IS NULL
UNION SELECT first_id FROM {decisions}
    WHERE second_id = ANY(%(ids)s) AND revoked_at IS NULL
UNION SELECT o.id FROM {member} c JOIN {member} o ON o.{pointer} = c.{pointer}
    WHERE c.id = ANY(%(ids)s)
UNION SELECT w.id FROM {member} l JOIN cg_source_merge m ON m.source_id = l.source_id
    AND m.record_type = '{record_type}' AND m.loser = l.external_id
    JOIN {member} w ON w.source_id = m.source_id AND w.external_id = m.winner
    WHERE l.id = ANY(%(ids)s)
UNION SELECT l.id FROM {member} w JOIN cg_source_merge m ON m.source_id = w.source_id
    AND m.record_type = '{record_type}' AND m.winner = w.external_id
    JOIN {member} l ON l.source_id = m.source_id AND l.external_id = m.loser
    WHERE w.id = ANY(%(ids)s)
"""


def _merged(cur: Cursor, level: Level, block: set[int]) -> list[tuple[int, int, str]]:
    """(loser, winner, "source: loser into winner") of merges the sources report."""
    cur.execute(
        level.sql(
            "SELECT l.id, w.id, s.name, m.loser, m.winner FROM {member} l "
            "JOIN cg_source_merge m ON m.source_id = l.source_id "
            "AND m.record_type = '{record_type}' AND m.loser = l.external_id "
            "JOIN {member} w ON w.source_id = m.source_id "
            "AND w.external_id = m.winner "
            "JOIN cg_source s ON s.id = m.source_id WHERE l.id = ANY(%s)"
        ),
        [sorted(block)],
    )
    return [
        (loser, winner, f"{source}: {old} into {new}")
        for loser, winner, source, old, new in cur.fetchall()
    ]


def _decisions(
    cur: Cursor, level: Level, org_id: int, block: set[int]
) -> dict[str, list[tuple[int, int]]]:
    cur.execute(
        level.sql(
            "SELECT verdict, first_id, second_id FROM {decisions} "
            "WHERE organization_id = %s AND revoked_at IS NULL "
            "AND (first_id = ANY(%s) OR second_id = ANY(%s))"
        ),
        [org_id, sorted(block), sorted(block)],
    )
    out: dict[str, list[tuple[int, int]]] = {"must": [], "cannot": []}
    for verdict, first, second in cur.fetchall():
        out[verdict].append((first, second))
    return out
