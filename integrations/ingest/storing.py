"""Storing a group of requests: one transaction, or what is left to try when it fails.

deadlock, serialization   the same again, a few times
a partition was dropped   look again, then the same again
database gone or slow     503 for all; the connection is made anew
bad data in a group       each request by itself
bad data in a request     find the records by halving, quarantine them
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from integrations import load
from integrations.ingest import database
from integrations.ingest.answers import IngestError, Receipt, RecordProblem
from integrations.ingest.keys import unavailable
from integrations.load import KnownCustomers, LoadResult, Lot, Refusal
from integrations.load.events import PreparedEvent, as_json, forget_months

if TYPE_CHECKING:
    from integrations.ingest.committer import Submission

log = logging.getLogger(__name__)

_ATTEMPTS = 6
_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure, errors.CheckViolation)
_TOO_SLOW = (errors.QueryCanceled, errors.LockNotAvailable)
_BAD_DATA = (psycopg.DataError, errors.ProgramLimitExceeded, errors.StatementTooComplex)
_RECONNECT_LEAST_S = 0.2
_RECONNECT_MOST_S = 3.0
_HALVING_S = 15.0
_HOPEFUL_AFTER = 4
"""Groups without a repeat after which the next is taken to have none either: the short
way loses its work where it is wrong."""


class Store:
    """One writer thread's connection and what it remembers."""

    def __init__(self) -> None:
        self._conn: psycopg.Connection[Any] | None = None
        self._known = KnownCustomers()
        self._sources: dict[tuple[int, str], int] = {}
        self._groups_without_repeats = _HOPEFUL_AFTER
        self._next_try = 0.0
        self._backoff_s = _RECONNECT_LEAST_S
        self.is_up = True
        self.last_error = ""

    def write(self, group: Sequence[Submission]) -> list[Receipt | IngestError]:
        """Store the group; an outcome for each, in order. Never raises for bad data
        or an absent database."""
        was_connected = self._conn is not None
        try:
            try:
                outcomes = self._write_group(self._connected(), group)
            except psycopg.OperationalError as exc:
                if not was_connected or isinstance(exc, _TOO_SLOW):
                    raise
                # The connection died of a restart. Once more on a new one: should the
                # lost transaction have been committed, this one finds duplicates.
                self._known.rollback()
                self.close()
                outcomes = self._write_group(self._connected(), group)
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            errors.ReadOnlySqlTransaction,
        ) as exc:
            return self._refuse_all(group, exc)
        self.is_up, self.last_error = True, ""
        return outcomes

    def close(self) -> None:
        """Close the connection; the next write opens one."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._conn is not None and not self._conn.closed:
            return self._conn
        wait_s = self._next_try - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        try:
            self._conn = database.connect("churnguard ingest")
        except psycopg.OperationalError:
            self._next_try = time.monotonic() + self._backoff_s
            self._backoff_s = min(_RECONNECT_MOST_S, self._backoff_s * 2)
            raise
        self._backoff_s = _RECONNECT_LEAST_S
        return self._conn

    def _refuse_all(
        self, group: Sequence[Submission], exc: psycopg.Error
    ) -> list[Receipt | IngestError]:
        self._known.rollback()
        self.last_error = type(exc).__name__
        self.is_up = isinstance(exc, _TOO_SLOW)
        log.warning(
            "ingest.database_unavailable",
            extra={"error": self.last_error, "requests": len(group)},
        )
        if not self.is_up:
            self.close()
        return [unavailable() for _submission in group]

    def _write_group(
        self, conn: psycopg.Connection[Any], group: Sequence[Submission]
    ) -> list[Receipt | IngestError]:
        try:
            return list(self._attempt(conn, group))
        except (psycopg.DataError, psycopg.IntegrityError, *_BAD_DATA) as exc:
            if len(group) > 1:
                return [
                    outcome
                    for submission in group
                    for outcome in self._write_group(conn, [submission])
                ]
            return [self._write_suspect(conn, group[0], exc)]

    def _attempt(
        self, conn: psycopg.Connection[Any], group: Sequence[Submission]
    ) -> list[Receipt]:
        """One transaction, again where the database asks for it."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._transaction(conn, group)
            except _AGAIN as exc:
                if attempt == _ATTEMPTS:
                    raise
                if isinstance(exc, errors.CheckViolation):
                    forget_months()
                time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311
        raise AssertionError

    def _transaction(
        self, conn: psycopg.Connection[Any], group: Sequence[Submission]
    ) -> list[Receipt]:
        lots, members = self._lots(conn, group)
        is_fresh = self._expects_new_events(lots)
        if len(lots) == 1 and not is_fresh:
            result = load.write_small(conn, lots[0], known=self._known)
            if result is not None:
                self._remember([result])
                return [receipt for _n, receipt in _share(result, group, members[0])]
        try:
            for lot in lots:
                load.prepare(conn, lot.items)
            results = self._write_lots(conn, lots, is_fresh=is_fresh)
        except BaseException:
            self._known.rollback()
            raise
        self._known.commit()
        receipts = {
            number: receipt
            for result, numbers in zip(results, members, strict=True)
            for number, receipt in _share(result, [group[n] for n in numbers], numbers)
        }
        return [receipts[number] for number in range(len(group))]

    def _write_lots(
        self, conn: psycopg.Connection[Any], lots: Sequence[Lot], *, is_fresh: bool
    ) -> list[LoadResult]:
        results = None
        if is_fresh:
            results = load.write_fresh(conn, lots, known=self._known)
        if results is None:
            with conn.transaction():
                results = load.write_lots(conn, lots, known=self._known)
        self._remember(results)
        return results

    def _expects_new_events(self, lots: Sequence[Lot]) -> bool:
        return (
            self._groups_without_repeats >= _HOPEFUL_AFTER
            and sum(len(lot.items) for lot in lots) >= load.LEAST_FRESH
        )

    def _remember(self, results: Sequence[LoadResult]) -> None:
        if any(result.duplicate or result.errors for result in results):
            self._groups_without_repeats = 0
        else:
            self._groups_without_repeats += 1

    def _lots(
        self, conn: psycopg.Connection[Any], group: Sequence[Submission]
    ) -> tuple[list[Lot], list[list[int]]]:
        """One lot per source; and which submissions are in it."""
        by_source: dict[int, list[int]] = {}
        for number, submission in enumerate(group):
            source_id = self._source_id(conn, submission.org_id, submission.source_name)
            by_source.setdefault(source_id, []).append(number)
        lots = []
        for source_id, numbers in by_source.items():
            members = [group[number] for number in numbers]
            refused = [r for m in members for _index, r in m.decoded.refused]
            lots.append(
                Lot(
                    org_id=members[0].org_id,
                    source_id=source_id,
                    origin="ingest",
                    items=(
                        members[0].decoded.items
                        if len(members) == 1
                        else [item for m in members for item in m.decoded.items]
                    ),
                    received_at=members[-1].received_at,
                    rejects=refused,
                    nbytes=sum(member.nbytes for member in members),
                )
            )
        return lots, list(by_source.values())

    def _source_id(self, conn: psycopg.Connection[Any], org_id: int, name: str) -> int:
        found = self._sources.get((org_id, name))
        if found is None:
            found = load.source_id(conn, org_id=org_id, name=name)
            self._sources[org_id, name] = found
        return found

    def _write_suspect(
        self, conn: psycopg.Connection[Any], submission: Submission, exc: psycopg.Error
    ) -> Receipt | IngestError:
        if isinstance(exc, psycopg.IntegrityError):
            if not isinstance(exc, errors.ForeignKeyViolation):
                raise exc
            # Its source or its organisation was deleted under us.
            self._sources.clear()
            return IngestError(
                401,
                "authentication_failed",
                "The organisation of this key has been deleted.",
            )
        log.warning(
            "ingest.unstorable",
            extra={
                "error": type(exc).__name__,
                "recordCount": submission.decoded.count,
            },
        )
        bad = self._find_unstorable(conn, submission)
        decoded = submission.decoded
        for place in sorted(bad, reverse=True):
            item = decoded.items.pop(place)
            decoded.refused.append((decoded.positions.pop(place), _unstorable(item)))
        return self._attempt(conn, [submission])[0]

    def _find_unstorable(
        self, conn: psycopg.Connection[Any], submission: Submission
    ) -> set[int]:
        """Places in decoded.items of what the database refuses, by halving.

        When there is so much of it that time runs out, the rest of the halves that
        failed counts as bad too.
        """
        until = time.monotonic() + _HALVING_S
        items = submission.decoded.items
        bad: set[int] = set()
        spans = [(0, len(items))]
        while spans:
            start, end = spans.pop()
            if start == end or self._can_store(conn, submission, start, end):
                continue
            if end - start == 1 or time.monotonic() > until:
                bad.update(range(start, end))
                continue
            middle = (start + end) // 2
            spans += [(start, middle), (middle, end)]
        return bad

    def _can_store(
        self,
        conn: psycopg.Connection[Any],
        submission: Submission,
        start: int,
        end: int,
    ) -> bool:
        lot = Lot(
            org_id=submission.org_id,
            source_id=self._source_id(conn, submission.org_id, submission.source_name),
            origin="ingest",
            items=submission.decoded.items[start:end],
            received_at=submission.received_at,
        )
        try:
            with conn.transaction(force_rollback=True):
                load.write_lots(conn, [lot])
                conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except _BAD_DATA:
            return False
        return True


def _share(
    result: LoadResult, members: Sequence[Submission], numbers: Sequence[int]
) -> Iterator[tuple[int, Receipt]]:
    """(number, receipt) of each member: its part of the ledger line."""
    start = 0
    for nth, (number, member) in enumerate(zip(numbers, members, strict=True)):
        decoded = member.decoded
        end = start + len(decoded.items)
        repeats = sum(start <= place < end for place in result.repeats)
        problems = decoded.problems() if decoded.refused else []
        problems += [
            RecordProblem(decoded.positions[each.index - start], each.code, each.detail)
            for each in result.errors
            if start <= each.index < end
        ]
        problems.sort(key=lambda problem: problem.index)
        yield (
            number,
            Receipt(
                batch_id=f"bat_{result.batch_id}_{nth}",
                accepted=decoded.count - repeats - len(problems),
                duplicates=repeats,
                quarantined=len(problems),
                errors=problems,
            ),
        )
        start = end


def _unstorable(item: Any) -> Refusal:
    detail = "The database cannot hold a value of this record."
    if isinstance(item, PreparedEvent):
        return Refusal("event", item.event_id, "unstorable", detail, as_json(item))
    return Refusal(
        item.TYPE, item.external_id, "unstorable", detail, dict(item.raw), ""
    )
