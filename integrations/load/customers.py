"""Source identities of customers: found, or made as stubs on first mention."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg import Cursor

from churnguard.ids import new_id
from integrations.load import wire

Refs = dict[tuple[int, str], int]
"""(source id, customer id in the source) -> id of the CustomerSource."""

_FIND = (
    "SELECT external_id, id FROM cg_customer_source "
    "WHERE source_id = %s AND external_id = ANY(%s)"
)

# Foreign keys are checked at the end of the transaction, so the identity goes first
# (its uniqueness decides a race) and only the winner makes a customer.
_CREATE = """
WITH wanted AS (
    SELECT * FROM unnest(%(external_ids)s::text[], %(public_ids)s::text[])
        AS w(external_id, public_id)
), ref AS (
    INSERT INTO cg_customer_source (organization_id, source_id, external_id,
        customer_id, is_stub, links, custom, raw, created_at, updated_at)
    SELECT %(org)s, %(source)s, external_id, nextval('cg_customer_id_seq'), true,
           '{}', '{}', '{}', %(now)s, %(now)s
    FROM wanted ORDER BY external_id
    ON CONFLICT (source_id, external_id) DO NOTHING
    RETURNING id, external_id, customer_id
), customer AS (
    INSERT INTO cg_customer (id, public_id, organization_id, name, domain, email,
        country, industry, segment, plan, owner, lifecycle_stage, custom, band,
        created_at, updated_at, score_stale_at)
    SELECT ref.customer_id, wanted.public_id, %(org)s, left(ref.external_id, 300),
           '', '', '', '', '', '', '', '', '{}', 'unknown', %(now)s, %(now)s, %(now)s
    FROM ref JOIN wanted USING (external_id)
), link AS (
    INSERT INTO cg_identity_link (organization_id, customer_source_id, customer_id,
        rule, evidence, created_by, valid_from)
    SELECT %(org)s, id, customer_id, 'created', '{}', 'system', %(now)s FROM ref
)
SELECT external_id, id FROM ref
"""

# Each row is locked, so that a scorer waits for our facts; one that is stale already
# need not be written again. What the lock finds counts, not what the statement saw.
_MARK_STALE = """
UPDATE cg_customer c SET score_stale_at = %s
FROM (
    SELECT id, score_stale_at FROM cg_customer WHERE id IN (
        SELECT customer_id FROM cg_customer_source WHERE id = ANY(%s)
    ) ORDER BY id FOR NO KEY UPDATE
) touched WHERE c.id = touched.id AND touched.score_stale_at IS NULL
"""


class KnownCustomers:
    """Identities one writer has seen committed, so that it need not ask again.

    Call `commit` or `rollback` after each transaction. An identity is removed only
    together with its organisation, so an entry never turns false.
    """

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._known: Refs = {}
        self._pending: Refs = {}

    def find(self, source_id: int, external_ids: Iterable[str]) -> Refs:
        """Those of the identities that were seen."""
        known = self._known
        keys = [(source_id, each) for each in external_ids]
        return {key: known[key] for key in keys if key in known}

    def add(self, refs: Refs) -> None:
        self._pending.update(refs)

    def commit(self) -> None:
        if len(self._known) + len(self._pending) > self._most:
            self._known.clear()
        self._known.update(self._pending)
        self._pending.clear()

    def rollback(self) -> None:
        self._pending.clear()


def find_or_create(
    cur: Cursor,
    *,
    org_id: int,
    source_id: int,
    external_ids: Iterable[str],
    now: datetime,
    known: KnownCustomers | None = None,
) -> Refs:
    """The identity of every external id; missing ones become stubs with a customer.

    Safe against others doing the same at the same time: ids are inserted in order,
    and who comes second waits and then finds the row of the first.
    """
    wanted = set(external_ids)
    refs = known.find(source_id, wanted) if known else {}
    missing = _without(wanted, source_id, refs)
    if not missing:
        return refs
    found = _find(cur, source_id, missing)
    missing = _without(missing, source_id, found)
    if missing:
        cur.execute(
            _CREATE,
            {
                "external_ids": missing,
                "public_ids": [new_id("cus") for _ in missing],
                "org": org_id,
                "source": source_id,
                "now": now,
            },
        )
        found.update({(source_id, name): ref for name, ref in cur.fetchall()})
        lost = _without(missing, source_id, found)
        if lost:
            found.update(_find(cur, source_id, lost))
    if known is not None:
        known.add(found)
    refs.update(found)
    return refs


def find(
    cur: Cursor, *, source_id: int, external_ids: Iterable[str], known: KnownCustomers
) -> Refs | None:
    """The identities of the external ids, or None unless all are there.

    cur: outside any transaction, so that what is found is committed.
    """
    wanted = set(external_ids)
    refs = known.find(source_id, wanted)
    missing = _without(wanted, source_id, refs)
    if missing:
        found = _find(cur, source_id, missing)
        known.add(found)
        known.commit()
        if len(found) < len(missing):
            return None
        refs.update(found)
    return refs


def mark_stale(cur: Cursor, refs: Iterable[int], now: datetime) -> None:
    """Have the customers of these identities scored again."""
    ids = sorted(set(refs))
    if ids:
        wire.open_cursor(cur).execute(_MARK_STALE, [now, wire.bigint_array(ids)])


def _without(names: Iterable[str], source_id: int, refs: Refs) -> list[str]:
    """The names that `refs` does not have."""
    return [name for name in names if (source_id, name) not in refs]


def _find(cur: Cursor, source_id: int, external_ids: list[str]) -> Refs:
    cur = wire.open_cursor(cur)
    cur.execute(_FIND, [source_id, wire.text_array(external_ids)])
    return {(source_id, name): ref for name, ref in cur.fetchall()}
