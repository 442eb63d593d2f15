"""Applying the partition: re-point identities, keep the log, refresh the customers.

Whoever changes what identifies a `CustomerSource` marks it (a database trigger);
`tick` takes marked identities, everything reachable from them through shared keys,
partitions that block, and re-points what changed, all in one transaction under the
organisation's lock. Facts are never touched, so going back is re-pointing again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from psycopg import Cursor

from analytics.identity.partition import (
    DECIDED,
    Identity,
    Partition,
    keys_of,
    partition,
)
from churnguard.resolve import resolve_customers

log = logging.getLogger(__name__)

LOCK = 7_220_003
"""Advisory lock, with the organisation: one resolution at a time."""

_CLAIM = 2_000
_CROWD = 50
"""A key that more identities than this carry joins nobody and is not walked."""
_BLOCK_MOST = 20_000


def tick(now: datetime | None = None) -> int:
    """Loop: resolve marked identities of one organisation; returns how many."""
    at = now or datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(
            "SELECT organization_id FROM cg_customer_source "
            "WHERE identity_stale_at IS NOT NULL ORDER BY identity_stale_at LIMIT 1"
        )
        first = cur.fetchone()
        if first is None:
            return 0
        cur.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, first[0]])
        if not cur.fetchone()[0]:
            return 0
        cur.execute(
            "SELECT id FROM cg_customer_source WHERE identity_stale_at IS NOT NULL "
            "AND organization_id = %s ORDER BY identity_stale_at, id LIMIT %s",
            [first[0], _CLAIM],
        )
        ids = [row[0] for row in cur.fetchall()]
        moved = resolve_block(cur, first[0], ids, at)
    if moved:
        log.info("identity.resolved", extra={"record_count": len(ids), "moved": moved})
    return len(ids)


def resolve_now(org_id: int, identity_ids: Iterable[int], now: datetime) -> int:
    """Resolve these identities at once (after a person's decision); returns how many
    identities changed their customer."""
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, org_id])
        return resolve_block(cur, org_id, sorted(set(identity_ids)), now)


def preview(
    cur: Cursor,
    org_id: int,
    ids: Iterable[int],
    *,
    must: Iterable[tuple[int, int]] = (),
    cannot: Iterable[tuple[int, int]] = (),
) -> Partition:
    """What resolving would find with these decisions added; changes nothing."""
    start = set(ids) | {pk for pair in (*must, *cannot) for pk in pair}
    block = _reach(cur, org_id, start)
    made = _decisions(cur, org_id, block)
    return partition(
        _load(cur, sorted(block)),
        must=[*made["must"], *must],
        cannot=[*made["cannot"], *cannot],
    )


def resolve_block(cur: Cursor, org_id: int, ids: list[int], now: datetime) -> int:
    """Refresh the keys of `ids`, partition all they reach, apply the difference."""
    cur.execute(
        "UPDATE cg_customer_source SET identity_stale_at = NULL WHERE id IN ("
        "SELECT id FROM cg_customer_source WHERE id = ANY(%s) ORDER BY id "
        "FOR NO KEY UPDATE)",
        [ids],
    )
    # What the old keys reached may have to be taken apart.
    before = _reach(cur, org_id, set(ids))
    _store_keys(cur, org_id, _load(cur, ids))
    block = _reach(cur, org_id, before)
    identities = _load(cur, sorted(block))
    decisions = _decisions(cur, org_id, block)
    found = partition(identities, must=decisions["must"], cannot=decisions["cannot"])
    moved = _apply(cur, org_id, found, now)
    _review(cur, org_id, block, found, now)
    return moved


def _load(cur: Cursor, ids: list[int]) -> list[Identity]:
    cur.execute(
        "SELECT c.id, s.name, s.kind, c.external_id, coalesce(c.domain, ''), "
        "coalesce(c.email, ''), c.links::text FROM cg_customer_source c "
        "JOIN cg_source s ON s.id = c.source_id WHERE c.id = ANY(%s) ORDER BY c.id",
        [ids],
    )
    out = []
    for pk, source, kind, external_id, domain, email, links in cur.fetchall():
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
            )
        )
    return out


def _store_keys(cur: Cursor, org_id: int, identities: list[Identity]) -> None:
    rows = [
        (one.id, rule, key[:500]) for one in identities for rule, key in keys_of(one)
    ]
    cur.execute(
        "DELETE FROM an_identity_key WHERE customer_source_id = ANY(%s)",
        [[one.id for one in identities]],
    )
    with cur.copy(
        "COPY an_identity_key (organization_id, customer_source_id, rule, key) "
        "FROM STDIN"
    ) as copy:
        for ref, rule, key in rows:
            copy.write_row((org_id, ref, rule, key))


def _reach(cur: Cursor, org_id: int, start: set[int]) -> set[int]:
    """Every identity connected with `start` through keys that are not crowded, through
    decisions, or through the customer they share now."""
    block = set(start)
    frontier = set(start)
    while frontier and len(block) < _BLOCK_MOST:
        cur.execute(
            "WITH mine AS (SELECT DISTINCT rule, key FROM an_identity_key "
            "  WHERE customer_source_id = ANY(%(ids)s)), "
            "near AS (SELECT k.customer_source_id AS id, count(*) OVER ("
            "    PARTITION BY k.rule, k.key) AS crowd "
            "  FROM an_identity_key k JOIN mine USING (rule, key) "
            "  WHERE k.organization_id = %(org)s) "
            "SELECT id FROM near WHERE crowd <= %(crowd)s "
            "UNION SELECT second_id FROM an_identity_decision "
            "  WHERE first_id = ANY(%(ids)s) AND revoked_at IS NULL "
            "UNION SELECT first_id FROM an_identity_decision "
            "  WHERE second_id = ANY(%(ids)s) AND revoked_at IS NULL "
            "UNION SELECT o.id FROM cg_customer_source c JOIN cg_customer_source o "
            "  ON o.customer_id = c.customer_id WHERE c.id = ANY(%(ids)s)",
            {"ids": sorted(frontier), "org": org_id, "crowd": _CROWD},
        )
        found = {row[0] for row in cur.fetchall()}
        frontier = found - block
        block |= frontier
    return block


def _decisions(
    cur: Cursor, org_id: int, block: set[int]
) -> dict[str, list[tuple[int, int]]]:
    cur.execute(
        "SELECT verdict, first_id, second_id FROM an_identity_decision "
        "WHERE organization_id = %s AND revoked_at IS NULL "
        "AND (first_id = ANY(%s) OR second_id = ANY(%s))",
        [org_id, sorted(block), sorted(block)],
    )
    out: dict[str, list[tuple[int, int]]] = {"must": [], "cannot": []}
    for verdict, first, second in cur.fetchall():
        out[verdict].append((first, second))
    return out


def _apply(cur: Cursor, org_id: int, found: Partition, now: datetime) -> int:
    """Re-point identities. An entity's customer is the oldest of those its identities
    were created with, so the answer does not depend on the way there."""
    ids = [pk for entity in found.entities for pk in entity]
    cur.execute(
        "SELECT DISTINCT ON (l.customer_source_id) l.customer_source_id, "
        "l.customer_id, c.customer_id FROM cg_identity_link l "
        "JOIN cg_customer_source c ON c.id = l.customer_source_id "
        "WHERE l.customer_source_id = ANY(%s) ORDER BY l.customer_source_id, l.id",
        [ids],
    )
    home = {}
    current = {}
    for pk, home_id, customer_id in cur.fetchall():
        home[pk], current[pk] = home_id, customer_id
    moves: list[tuple[int, int, str, str]] = []
    for entity in found.entities:
        target = min(home[pk] for pk in entity)
        for pk in entity:
            if current[pk] != target:
                why = found.why.get(pk)
                rule, key = (why.rule, why.key) if why else ("separate", "")
                moves.append((pk, target, rule, json.dumps({"key": key})))
    if not moves:
        return 0
    touched = sorted({current[pk] for pk, *_ in moves} | {to for _, to, *_ in moves})
    cur.execute(
        "SELECT id FROM cg_customer WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
        [touched],
    )
    refs, targets, rules, evidence = (
        list(column) for column in zip(*moves, strict=True)
    )
    values = {
        "refs": refs,
        "targets": targets,
        "rules": rules,
        "evidence": evidence,
        "org": org_id,
        "now": now,
        "touched": touched,
    }
    for statement in _MOVE:
        cur.execute(statement, values)
    resolve_customers(cur, touched, now)
    return len(moves)


_MOVE = (
    "UPDATE cg_identity_link SET valid_to = %(now)s "
    "WHERE customer_source_id = ANY(%(refs)s) AND valid_to IS NULL",
    "INSERT INTO cg_identity_link (organization_id, customer_source_id, customer_id, "
    "  rule, evidence, created_by, valid_from) "
    "SELECT %(org)s, m.ref, m.target, m.rule, m.evidence::jsonb, 'system', %(now)s "
    "FROM unnest(%(refs)s::bigint[], %(targets)s::bigint[], %(rules)s::text[], "
    "  %(evidence)s::text[]) AS m (ref, target, rule, evidence)",
    "UPDATE cg_customer_source c SET customer_id = m.target "
    "FROM unnest(%(refs)s::bigint[], %(targets)s::bigint[]) AS m (ref, target) "
    "WHERE c.id = m.ref",
    # A customer without identities points at who has the ones it was made with.
    "UPDATE cg_customer c SET merged_into_id = ("
    "  SELECT s.customer_id FROM cg_identity_link l "
    "  JOIN cg_customer_source s ON s.id = l.customer_source_id "
    "  WHERE l.customer_id = c.id ORDER BY l.id LIMIT 1) "
    "WHERE c.id = ANY(%(touched)s) AND NOT EXISTS ("
    "  SELECT 1 FROM cg_customer_source s WHERE s.customer_id = c.id)",
    "UPDATE cg_customer c SET merged_into_id = NULL "
    "WHERE c.id = ANY(%(touched)s) AND merged_into_id IS NOT NULL AND EXISTS ("
    "  SELECT 1 FROM cg_customer_source s WHERE s.customer_id = c.id)",
    "UPDATE cg_customer SET score_stale_at = coalesce(score_stale_at, %(now)s) "
    "WHERE id = ANY(%(touched)s)",
)


def _review(
    cur: Cursor, org_id: int, block: set[int], found: Partition, now: datetime
) -> None:
    """Open a review for each conflict; close open ones of this block that are gone.
    What a person has closed stays closed while it speaks of the same identities."""
    wanted: dict[tuple[str, str], Any] = {}
    for conflict in found.conflicts:
        if conflict.reason != DECIDED:
            wanted.setdefault((conflict.rule, conflict.key[:500]), conflict)
    cur.execute(
        "SELECT id, rule, key, members::text FROM an_identity_review "
        "WHERE organization_id = %s AND resolved_at IS NULL",
        [org_id],
    )
    over = [
        pk
        for pk, rule, key, members in cur.fetchall()
        if set(json.loads(members)) <= block and (rule, key) not in wanted
    ]
    if over:
        cur.execute(
            "UPDATE an_identity_review SET resolved_at = %s, resolved_by = 'system' "
            "WHERE id = ANY(%s)",
            [now, over],
        )
    for (rule, key), conflict in sorted(wanted.items()):
        cur.execute(
            "INSERT INTO an_identity_review (organization_id, rule, key, members, "
            "reason, created_at, resolved_by) SELECT n.*, '' FROM (VALUES ("
            "%s::bigint, %s, %s, %s::jsonb, %s, %s::timestamptz)) n "
            "(org, rule, key, members, reason, at) WHERE NOT EXISTS ("
            "  SELECT 1 FROM an_identity_review r WHERE r.organization_id = n.org "
            "  AND r.rule = n.rule AND r.key = n.key AND r.members = n.members "
            "  AND r.resolved_at IS NOT NULL AND r.resolved_by <> 'system') "
            "ON CONFLICT (organization_id, rule, key) WHERE resolved_at IS NULL "
            "DO UPDATE SET members = excluded.members, reason = excluded.reason",
            [
                org_id,
                rule,
                key,
                json.dumps(sorted(conflict.members)),
                conflict.reason,
                now,
            ],
        )
