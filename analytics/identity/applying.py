"""Writing what the partition found: links, entities, reviews."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from psycopg import Cursor

from analytics.identity.levels import Level
from analytics.identity.partition import DECIDED, Partition
from churnguard.resolve import resolve_customers


def apply_partition(
    cur: Cursor, level: Level, org_id: int, found: Partition, now: datetime
) -> int:
    """Re-point identities; returns how many. An entity is the oldest of those its
    identities were created with, so the answer does not depend on the way there."""
    ids = [pk for entity in found.entities for pk in entity]
    cur.execute(
        level.sql(
            "SELECT DISTINCT ON (l.{ref}) l.{ref}, l.{pointer}, c.{pointer} "
            "FROM {links} l JOIN {member} c ON c.id = l.{ref} "
            "WHERE l.{ref} = ANY(%s) ORDER BY l.{ref}, l.id"
        ),
        [ids],
    )
    home = {}
    current = {}
    for pk, home_id, entity_id in cur.fetchall():
        home[pk], current[pk] = home_id, entity_id
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
        level.sql(
            "SELECT id FROM {entity} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
        ),
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
        cur.execute(level.sql(statement), values)
    if level.is_person:
        cur.execute(_STALE_OF_CHAMPIONS, values)
    else:
        cur.execute(_STALE, values)
        resolve_customers(cur, touched, now)
    return len(moves)


_MOVE = (
    "UPDATE {links} SET valid_to = %(now)s "
    "WHERE {ref} = ANY(%(refs)s) AND valid_to IS NULL",
    "INSERT INTO {links} (organization_id, {ref}, {pointer}, "
    "  rule, evidence, created_by, valid_from) "
    "SELECT %(org)s, m.ref, m.target, m.rule, m.evidence::jsonb, 'system', %(now)s "
    "FROM unnest(%(refs)s::bigint[], %(targets)s::bigint[], %(rules)s::text[], "
    "  %(evidence)s::text[]) AS m (ref, target, rule, evidence)",
    "UPDATE {member} c SET {pointer} = m.target "
    "FROM unnest(%(refs)s::bigint[], %(targets)s::bigint[]) AS m (ref, target) "
    "WHERE c.id = m.ref",
    # An entity without identities points at who has the ones it was made with.
    "UPDATE {entity} c SET merged_into_id = ("
    "  SELECT s.{pointer} FROM {links} l JOIN {member} s ON s.id = l.{ref} "
    "  WHERE l.{pointer} = c.id ORDER BY l.id LIMIT 1) "
    "WHERE c.id = ANY(%(touched)s) AND NOT EXISTS ("
    "  SELECT 1 FROM {member} s WHERE s.{pointer} = c.id)",
    "UPDATE {entity} c SET merged_into_id = NULL "
    "WHERE c.id = ANY(%(touched)s) AND merged_into_id IS NOT NULL AND EXISTS ("
    "  SELECT 1 FROM {member} s WHERE s.{pointer} = c.id)",
)
_STALE = (
    "UPDATE cg_customer SET score_stale_at = coalesce(score_stale_at, %(now)s) "
    "WHERE id = ANY(%(touched)s)"
)
# Health asks what the person does whom a source calls a champion.
_STALE_OF_CHAMPIONS = """
UPDATE cg_customer SET score_stale_at = coalesce(score_stale_at, %(now)s)
WHERE id IN (
    SELECT u.id FROM cg_customer u WHERE u.id IN (
        SELECT s.customer_id FROM cg_contact c
        JOIN cg_customer_source s ON s.id = c.customer_source_id
        WHERE c.person_id = ANY(%(touched)s) AND c.is_champion)
    ORDER BY u.id FOR NO KEY UPDATE)
"""


def keep_reviews(
    cur: Cursor,
    level: Level,
    org_id: int,
    block: set[int],
    found: Partition,
    now: datetime,
) -> None:
    """Open a review for each conflict; close open ones of this block that are gone.
    What a person has closed stays closed while it speaks of the same identities."""
    wanted: dict[tuple[str, str], Any] = {}
    for conflict in found.conflicts:
        if conflict.reason != DECIDED:
            wanted.setdefault((conflict.rule, conflict.key[:500]), conflict)
    cur.execute(
        level.sql(
            "SELECT id, rule, key, members::text FROM {reviews} "
            "WHERE organization_id = %s AND resolved_at IS NULL"
        ),
        [org_id],
    )
    over = [
        pk
        for pk, rule, key, members in cur.fetchall()
        if set(json.loads(members)) <= block and (rule, key) not in wanted
    ]
    if over:
        cur.execute(
            level.sql(
                "UPDATE {reviews} SET resolved_at = %s, resolved_by = 'system' "
                "WHERE id = ANY(%s)"
            ),
            [now, over],
        )
    for (rule, key), conflict in sorted(wanted.items()):
        cur.execute(
            level.sql(_OPEN_REVIEW),
            [
                org_id,
                rule,
                key,
                json.dumps(sorted(conflict.members)),
                conflict.reason,
                now,
            ],
        )


_OPEN_REVIEW = """
INSERT INTO {reviews} (organization_id, rule, key, members, reason, created_at,
    resolved_by)
SELECT n.*, '' FROM (VALUES (%s::bigint, %s, %s, %s::jsonb, %s, %s::timestamptz)) n
    (org, rule, key, members, reason, at)
WHERE NOT EXISTS (
    SELECT 1 FROM {reviews} r WHERE r.organization_id = n.org AND r.rule = n.rule
    AND r.key = n.key AND r.members = n.members AND r.resolved_at IS NOT NULL
    AND r.resolved_by <> 'system')
ON CONFLICT (organization_id, rule, key) WHERE resolved_at IS NULL
DO UPDATE SET members = excluded.members, reason = excluded.reason
"""
