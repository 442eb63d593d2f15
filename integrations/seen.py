"""Which ids of a stream each run has seen: one row per page, not one per id.

Runs that read on from a cursor add their pages to those before; once a complete look
has been dealt with, only its own pages are kept. Whether an id is stored and alive is
known to its table alone, so ids that were refused or deleted may stand here as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection

from integrations import load
from integrations.load.statements import TABLES
from integrations.quality import usable_ids

MOST_LISTS = 500
"""Pages kept of earlier runs; more are put together, once."""
_LONG = 5_000
_LONG_AGO = 0
"""The run of lists that were put together."""

_KNOWN = """
SELECT external_id FROM int_stream_seen, unnest(ids) AS external_id
WHERE stream_id = %(stream)s GROUP BY external_id
"""
_UNSEEN = f"{_KNOWN} HAVING max(run_id) < %(run)s ORDER BY external_id"
_ALIVE = """
SELECT external_id FROM {table} WHERE source_id = %s AND external_id = ANY(%s)
    AND deleted_at IS NULL ORDER BY external_id
"""
_DEAD = """t.source_id = %(source)s AND t.deleted_at < %(at)s
    AND t.content_hash IS NOT NULL"""
_ANY_DEAD = f"SELECT EXISTS (SELECT FROM {{table}} t WHERE {_DEAD})"
_BACK = f"""
SELECT t.external_id FROM {{table}} t WHERE {_DEAD} AND t.external_id IN (
    SELECT unnest(ids) FROM int_stream_seen
    WHERE stream_id = %(stream)s AND run_id = %(run)s
) ORDER BY t.external_id
"""
_COMPACT = f"""
WITH old AS MATERIALIZED (
    SELECT external_id, row_number() OVER (ORDER BY external_id) AS place
    FROM int_stream_seen, unnest(ids) AS external_id
    WHERE stream_id = %(stream)s AND run_id > {_LONG_AGO} AND run_id < %(run)s
    GROUP BY external_id
), deleted AS (
    DELETE FROM int_stream_seen
    WHERE stream_id = %(stream)s AND run_id > {_LONG_AGO} AND run_id < %(run)s
)
INSERT INTO int_stream_seen (stream_id, run_id, ids)
SELECT %(stream)s, {_LONG_AGO}, array_agg(external_id)
FROM old GROUP BY (place - 1) / {_LONG}
"""


def note(stream_id: int, run_id: int, ids: list[str]) -> None:
    """Remember that the run has seen these ids; those that no table could hold are
    left out. ids: as stored; repeats do no harm."""
    ids = usable_ids(ids)
    if ids:
        load.open_cursor(connection).execute(
            "INSERT INTO int_stream_seen (stream_id, run_id, ids) VALUES (%s, %s, %s)",
            [stream_id, run_id, load.text_array(ids)],
        )


def reappeared(
    stream_id: int, run_id: int, source_id: int, record_type: str, before: datetime
) -> list[str]:
    """Stored ids the run has seen although they carry a tombstone from before `before`
    (aware), in order."""
    table = TABLES[record_type]
    values: dict[str, Any] = {"source": source_id, "at": before}
    with connection.cursor() as cur:
        # Mostly nothing is dead, and then nothing need be joined.
        cur.execute(_ANY_DEAD.format(table=table), values)
        if cur.fetchone() == (False,):
            return []
        values |= {"stream": stream_id, "run": run_id}
        cur.execute(_BACK.format(table=table), values)
        return [row[0] for row in cur.fetchall()]


class Absences:
    """What no run from `older_than` on has seen of a stream, but runs before have.

    Rows are looked up list by list: no statistics tell how long these lists are, and a
    join in one statement would be planned for short ones.
    """

    def __init__(
        self, stream_id: int, source_id: int, record_type: str, older_than: int
    ) -> None:
        self._source_id = source_id
        self._alive = _ALIVE.format(table=TABLES[record_type])
        self._values = {"stream": stream_id, "run": older_than}

    def chunks(self, size: int) -> Iterator[list[str]]:
        """Their stored ids, those alive, in order. Holds no transaction."""
        return self._rows(_UNSEEN, size)

    def count(self) -> int:
        """How many of them are alive."""
        return sum(map(len, self._rows(_UNSEEN, _LONG)))

    def count_live(self) -> int:
        """How many rows of the stream are alive, absent or not."""
        return sum(map(len, self._rows(_KNOWN, _LONG)))

    def settle(self) -> None:
        """The absences are dealt with: the runs before have nothing more to say."""
        with connection.cursor() as cur:
            cur.execute(
                "DELETE FROM int_stream_seen "
                "WHERE stream_id = %(stream)s AND run_id < %(run)s",
                self._values,
            )

    def _rows(self, query: str, size: int) -> Iterator[list[str]]:
        cur = load.open_cursor(connection)
        with connection.chunked_cursor() as ids:
            ids.execute(query, self._values)
            while found := [row[0] for row in ids.fetchmany(size)]:
                cur.execute(self._alive, [self._source_id, load.text_array(found)])
                if alive := [row[0] for row in cur.fetchall()]:
                    yield alive


def compact(stream_id: int, run_id: int) -> None:
    """Put the pages of the runs before this one together where they are many."""
    values = {"stream": stream_id, "run": run_id}
    with connection.cursor() as cur:
        cur.execute(
            "SELECT count(*) FROM int_stream_seen WHERE stream_id = %(stream)s "
            f"AND run_id > {_LONG_AGO} AND run_id < %(run)s",
            values,
        )
        if cur.fetchone()[0] > MOST_LISTS:
            cur.execute(_COMPACT, values)
