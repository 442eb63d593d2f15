"""A conversation with PostgreSQL in which several statements share a round trip.

psycopg's cursors wait for the answer of each statement, and a COPY can be mixed with
nothing else; where other threads want the interpreter, each wait costs more than the
statement. Here one query string holds several statements and COPYs. PostgreSQL runs it
as one transaction: all of it, or nothing.
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
"""

from __future__ import annotations

import select
from collections.abc import Iterable
from typing import Any, Self

import psycopg
from psycopg import Connection, pq
from psycopg.errors import error_from_result

_PATIENCE_MS = 40_000
"""Longer than any statement_timeout here: then the server is gone without a word."""
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)


class Talk:
    """One query string on its way. conn: in autocommit mode, outside a transaction.

    A context manager: a connection that is left in the middle of an exchange is
    closed, one on which the server reported an error is ready for the next statement.
    Every method raises psycopg errors.
    """

    def __init__(self, conn: Connection[Any]) -> None:
        self._conn = conn
        self._pg = conn.pgconn
        self._poll = select.poll()
        self._poll.register(conn.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._pg.transaction_status != pq.TransactionStatus.IDLE:
            self._conn.close()

    def ask(self, query: str) -> list[pq.abc.PGresult]:
        """Send the string; the results up to its end or its first COPY."""
        self._pg.send_query(query.encode())
        return self.hear()

    def give(self, chunks: Iterable[bytes]) -> None:
        """The data of the COPY that was asked for, to its end."""
        for chunk in chunks:
            # This chunk was made while the server took the one before.
            self._flush()
            self._pg.put_copy_data(chunk)
            self._pg.flush()
        self._flush()
        self._pg.put_copy_end()
        self._pg.flush()

    def hear(self) -> list[pq.abc.PGresult]:
        """The results from here up to the next COPY or the end."""
        self._flush()
        results: list[pq.abc.PGresult] = []
        error: psycopg.Error | None = None
        while True:
            while self._pg.is_busy():
                self._wait(select.POLLIN)
                self._pg.consume_input()
            result = self._pg.get_result()
            if result is None:
                break
            results.append(result)
            if result.status == pq.ExecStatus.COPY_IN:
                break
            if result.status in _FAILED:
                error = error or error_from_result(result)
        if error is not None:
            raise error
        return results

    def _flush(self) -> None:
        while self._pg.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                # A server that cannot get rid of a notice would stop reading.
                self._pg.consume_input()

    def _wait(self, events: int) -> int:
        self._poll.modify(self._pg.socket, events)
        ready = self._poll.poll(_PATIENCE_MS)
        if not ready:
            raise psycopg.OperationalError("the server has not answered in time")
        return ready[0][1]
