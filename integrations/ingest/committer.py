"""Group commit: requests of this process gather into few transactions.

Two threads with a connection each take what waits, store it in one transaction by
`integrations.load`, and only then tell the callers. A group that fails is tried again
request by request, so that one bad request cannot hurt its neighbours.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from churnguard import metrics
from integrations.ingest.answers import IngestError, Receipt
from integrations.ingest.decode import Decoded
from integrations.ingest.keys import unavailable
from integrations.ingest.storing import Store

log = logging.getLogger(__name__)

THREADS = 2
_GROUP_RECORDS = 10_000
_GROUP_REQUESTS = 500
_SECOND_FROM = 50
"""Waiting records from which on a second thread joins in. A commit of few costs nearly
as much as one of many, so what comes in during one had better wait for its end."""
_PATIENCE_S = 0.1
"""But not for the end of a commit that lasts longer: it may be waiting for a lock."""
_MOST_WAITING_RECORDS = 150_000
_MOST_WAITING_BYTES = 128 * 1024 * 1024
_MOST_WAITING_REQUESTS = 5_000
_REPORT_EVERY_S = 10.0

Outcome = Receipt | IngestError


class Listener(Protocol):
    """Who is told what became of submissions."""

    def hear(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
        """Called from a writer thread, with several at a time."""
        ...


@dataclass(slots=True, eq=False)
class Submission:
    """A decoded request on its way into the database.

    listener: hears once of each submission, the receipt or the refusal.
    """

    org_id: int
    tenant_id: str
    source_name: str
    decoded: Decoded
    nbytes: int
    received_at: datetime
    listener: Listener
    cancelled: bool = False


@dataclass(slots=True)
class WriterState:
    """What health checks and metrics read. All counts are since the start."""

    running: bool = False
    is_database_up: bool = True
    waiting_requests: int = 0
    waiting_records: int = 0
    waiting_bytes: int = 0
    committed_requests: int = 0
    committed_records: int = 0
    groups: int = 0
    failures: int = 0
    last_commit_at: datetime | None = None
    last_error: str = ""


@dataclass(slots=True)
class _Report:
    at: float = field(default_factory=time.monotonic)
    requests: int = 0
    records: int = 0
    groups: int = 0


class Committer:
    """The queue and its threads. Started by the first submission."""

    def __init__(self, threads: int = THREADS) -> None:
        self._count = threads
        self._queue: deque[list[Submission]] = deque()
        self._queued_records = 0
        self._committing = 0
        self._since = 0.0
        self._turn = threading.Condition(threading.Lock())
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closing = False
        self.state = WriterState()
        self._report = _Report()

    def submit(self, submission: Submission) -> None:
        """Queue it. Raises IngestError (503) when too much is waiting already."""
        self.admit(submission)
        self.hand_over([submission])

    def hand_over(self, admitted: list[Submission]) -> None:
        """Queue what has been admitted, each submission once."""
        with self._turn:
            self._queue.append(admitted)
            self._queued_records += sum(each.decoded.count for each in admitted)
            if self._is_due():
                self._turn.notify()

    def admit(self, submission: Submission) -> None:
        """Count it in; `hand_over` has to follow. Raises as `submit` does."""
        records = submission.decoded.count
        with self._lock:
            if self._closing:
                raise unavailable()
            state = self.state
            if not state.is_database_up and state.waiting_requests >= self._count:
                # Some requests may wait, to find out when it is back.
                raise unavailable()
            if state.waiting_requests and (
                state.waiting_records + records > _MOST_WAITING_RECORDS
                or state.waiting_bytes + submission.nbytes > _MOST_WAITING_BYTES
                or state.waiting_requests >= _MOST_WAITING_REQUESTS
            ):
                raise IngestError(
                    503,
                    "overloaded",
                    "More is arriving than the database takes. Nothing was stored; "
                    "send it again shortly.",
                    retry_after_s=1,
                )
            self._count_waiting(submission, 1)
            if not self._threads:
                self._start()

    def drain(self, timeout_s: float = 20.0) -> None:
        """Store what waits, then stop the threads. A later submission starts anew."""
        with self._lock:
            threads, self._threads = self._threads, []
            self._closing = True
        with self._turn:
            self._turn.notify_all()
        for thread in threads:
            thread.join(timeout_s)
        with self._lock:
            self._closing = False
            self.state.running = False

    def _start(self) -> None:
        self.state.running = True
        for number in range(self._count):
            thread = threading.Thread(
                target=self._run, name=f"ingest-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        store = Store()
        while group := self._take():
            try:
                self._commit(store, group)
            finally:
                with self._turn:
                    self._committing -= 1
        store.close()

    def _take(self) -> list[Submission]:
        """What waits, up to a group's size; empty when this thread is to stop."""
        group: list[Submission] = []
        records = 0
        with self._turn:
            while not self._is_due():
                if threading.current_thread() not in self._threads:
                    return group
                self._turn.wait(_PATIENCE_S)
            while (
                self._queue
                and records < _GROUP_RECORDS
                and len(group) < _GROUP_REQUESTS
            ):
                bundle = self._queue.popleft()
                records += sum(each.decoded.count for each in bundle)
                group += bundle
            self._queued_records -= records
            self._committing += 1
            self._since = time.monotonic()
            if self._is_due():
                self._turn.notify()
        return group

    def _is_due(self) -> bool:
        """Whether a thread that waits should take a group now."""
        return bool(self._queue) and (
            not self._committing
            or self._queued_records >= _SECOND_FROM
            or self._closing
            or time.monotonic() - self._since >= _PATIENCE_S
        )

    def _commit(self, store: Store, group: list[Submission]) -> None:
        wanted = [each for each in group if not each.cancelled]
        outcomes: list[Outcome] = []
        try:
            if wanted:
                started = time.monotonic()
                outcomes = store.write(wanted)
                metrics.ingest_commit(time.monotonic() - started)
        except Exception as exc:
            # The outermost loop of this thread: callers must hear, and it must go on.
            log.exception("ingest.failed", extra={"recordCount": len(wanted)})
            outcomes = [unavailable() for _each in wanted]
            store.close()
            self.state.last_error = type(exc).__name__
        self._note(store, group, outcomes)
        _count(wanted, outcomes)
        heard: dict[int, list[tuple[Submission, Outcome]]] = {}
        for submission, outcome in zip(wanted, outcomes, strict=True):
            heard.setdefault(id(submission.listener), []).append((submission, outcome))
        for pairs in heard.values():
            pairs[0][0].listener.hear(pairs)

    def _note(
        self, store: Store, group: list[Submission], outcomes: list[Outcome]
    ) -> None:
        stored = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        records = sum(r.accepted + r.duplicates + r.quarantined for r in stored)
        with self._lock:
            state, report = self.state, self._report
            for submission in group:
                self._count_waiting(submission, -1)
            state.groups += 1
            state.committed_requests += len(stored)
            state.committed_records += records
            state.failures += len(outcomes) - len(stored)
            state.is_database_up = store.is_up
            state.last_error = store.last_error
            if stored:
                state.last_commit_at = datetime.now(UTC)
            report.groups += 1
            report.requests += len(stored)
            report.records += records
            now = time.monotonic()
            due = now - report.at >= _REPORT_EVERY_S
            if due:
                self._report = _Report()
        if due:
            log.info(
                "ingest.committed",
                extra={
                    "entity": "batch",
                    "recordCount": report.records,
                    "requests": report.requests,
                    "groups": report.groups,
                    "duration": round((now - report.at) * 1000, 1),
                },
            )

    def _count_waiting(self, submission: Submission, sign: int) -> None:
        state = self.state
        state.waiting_requests += sign
        state.waiting_records += sign * submission.decoded.count
        state.waiting_bytes += sign * submission.nbytes


def _count(group: list[Submission], outcomes: list[Outcome]) -> None:
    """Count the records that were taken, once per tenant of the group."""
    sums: dict[str, list[int]] = {}
    for submission, outcome in zip(group, outcomes, strict=True):
        if isinstance(outcome, Receipt):
            of_tenant = sums.setdefault(submission.tenant_id, [0, 0, 0])
            of_tenant[0] += outcome.accepted
            of_tenant[1] += outcome.duplicates
            of_tenant[2] += outcome.quarantined
    for tenant_id, (accepted, duplicates, quarantined) in sums.items():
        metrics.ingest_records(
            tenant_id=tenant_id,
            accepted=accepted,
            duplicates=duplicates,
            quarantined=quarantined,
        )


_committers: dict[int, Committer] = {}
# By process id: a forked child has none of its parent's threads.
_make = threading.Lock()


def committer() -> Committer:
    """The committer of this process."""
    pid = os.getpid()
    found = _committers.get(pid)
    if found is None:
        with _make:
            found = _committers.get(pid)
            if found is None:
                found = _committers[pid] = Committer()
                atexit.register(found.drain, 5.0)
    return found


def writer_state() -> dict[str, Any]:
    """The state of this process's writer, JSON-safe, for health checks."""
    state = committer().state
    return {
        "running": state.running,
        "database": "up" if state.is_database_up else "down",
        "waiting_requests": state.waiting_requests,
        "waiting_records": state.waiting_records,
        "committed_requests": state.committed_requests,
        "committed_records": state.committed_records,
        "failures": state.failures,
        "last_commit_at": (
            state.last_commit_at.isoformat() if state.last_commit_at else None
        ),
        "last_error": state.last_error,
    }
