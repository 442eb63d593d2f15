"""Reading one object: by REST in keyset pages, or by Bulk API 2.0 when it is large.

Keyset paging (WHERE after the last row, ORDER BY, LIMIT) instead of query locators,
because a rotated refresh token ends the session and every locator with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from churnguard.errors import ConfigError, TransientError
from integrations.connectors.base import JsonDict
from integrations.connectors.salesforce.objects import Described
from integrations.connectors.salesforce.org import Org
from integrations.connectors.salesforce.rows import csv_rows, plain, quoted, select
from integrations.http import Call, RefusedError
from integrations.pagination import LoopGuard

MOST_ROWS = 2_000
# Addresses beyond 16 kB are refused; such a query goes into the body of a job.
LONGEST_QUERY = 12_000
_WAITS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0)
_RUNNING = ("UploadComplete", "InProgress")

Place = tuple[str, str]
"""Time of change and Id of the last row; Id "" = from that time on."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One object of an org. size: rows a page. stamp: the field that orders changes,
    "" where there is none."""

    org: Org
    described: Described
    size: int
    stamp: str

    @property
    def name(self) -> str:
        return self.described.kind.name

    @property
    def alive(self) -> str:
        """What a full read leaves out: deleted rows, and leads that are contacts."""
        conditions = ["IsDeleted = false"] if self.described.has_deleted else []
        if "IsConverted" in self.described.types:
            conditions.append("IsConverted = false")
        return " AND ".join(conditions)

    def since(self, at: str, until: str = "") -> str:
        """The condition of rows changed from `at` on and before `until`."""
        parts = [f"{self.stamp} >= {at}"] if at else []
        if until:
            parts.append(f"{self.stamp} < {until}")
        return " AND ".join(parts)

    # --- by REST --------------------------------------------------------------------
    def count(self, condition: str) -> int | None:
        """How many rows; None where counting takes Salesforce too long."""
        query = select(("COUNT()",), self.name, condition)
        try:
            answer = self.org.http.get_json(
                self.org.path("/queryAll"), params={"q": query}
            )
        except RefusedError as refusal:
            if refusal.provider_code != "QUERY_TIMEOUT":
                raise
            return None
        return int(answer.get("totalSize") or 0)

    def newest(self) -> str:
        """The latest time of change; "" without rows."""
        query = select(
            (self.stamp,), self.name, "", order=f"{self.stamp} DESC", limit=1
        )
        rows, _more = self._query(query, 1, "/query")
        return str(rows[0].get(self.stamp) or "") if rows else ""

    def by_id(
        self, after: str, *, fields: tuple[str, ...] = ()
    ) -> Iterator[list[JsonDict]]:
        """Rows that are alive, in order of Id; fields: all where empty."""
        guard = LoopGuard()
        while True:
            limit = MOST_ROWS if fields else self._limit
            query = select(
                fields or self.described.types,
                self.name,
                self.alive,
                f"Id > {quoted(after)}" if after else "",
                order="Id ASC",
                limit=limit,
            )
            rows, has_more = self._query(query, limit)
            if not rows:
                return
            after = str(rows[-1]["Id"])
            guard.check(after, rows)
            yield rows
            if not has_more:
                return

    def changes(
        self, start: Place, until: str
    ) -> Iterator[tuple[list[JsonDict], Place]]:
        """Rows, deleted ones too, in order of change, with the place after each
        page."""
        at, last_id = start
        guard = LoopGuard()
        while True:
            after = self.since(at)
            if last_id:
                after = (
                    f"({self.stamp} > {at} OR ({self.stamp} = {at} "
                    f"AND Id > {quoted(last_id)}))"
                )
            query = select(
                self.described.types,
                self.name,
                after,
                self.since("", until),
                order=f"{self.stamp} ASC, Id ASC",
                limit=self._limit,
            )
            rows, has_more = self._query(query, self._limit)
            if not rows:
                return
            at, last_id = str(rows[-1][self.stamp]), str(rows[-1]["Id"])
            guard.check((at, last_id), rows)
            yield rows, (at, last_id)
            if not has_more:
                return

    def is_too_long(self, condition: str) -> bool:
        """Whether the query does not fit into an address."""
        query = select(self.described.types, self.name, self.alive, condition)
        return len(query) > LONGEST_QUERY

    # --- by Bulk API 2.0 ------------------------------------------------------------
    def start_job(self, condition: str) -> str:
        """Id of a new query job, "" where Bulk API 2.0 does not offer the object. No
        ORDER BY: Salesforce splits the work by key."""
        body = {
            "operation": "queryAll",
            "query": select(self.described.types, self.name, condition),
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        call = Call(method="POST", url=self.org.path("/jobs/query"), json=body)
        try:
            return str(self.org.send_bulk(call).json()["id"])
        except RefusedError as refusal:
            if refusal.provider_code.upper() != "INVALIDENTITY":
                raise
            return ""

    def wait_for(self, job: str) -> Iterator[None]:
        """Yields between looks, so that the caller can stop; ends when the job is
        complete. TransientError when it takes long, to look again later."""
        for wait_s in _WAITS_S:
            call = Call(method="GET", url=self._job(job))
            state = self.org.send_bulk(call).json()
            if state.get("state") == "JobComplete":
                return
            if state.get("state") not in _RUNNING:
                raise ConfigError(
                    f"Salesforce ended the Bulk job {job} of {self.name} "
                    f"({state.get('state')}): {state.get('errorMessage') or ''}",
                    code="job_failed",
                )
            yield
            self.org.http.sleep(wait_s)
        raise TransientError(
            f"The Bulk job {job} of {self.name} is not finished yet.",
            code="job_running",
            retry_after_s=30.0,
        )

    def results(self, job: str, locator: str) -> Iterator[tuple[list[JsonDict], str]]:
        """Pages of a complete job, each with the locator of the next, "" at the end."""
        guard = LoopGuard()
        while True:
            call = Call(
                method="GET",
                url=f"{self._job(job)}/results",
                params={"maxRecords": self.size, "locator": locator or None},
                headers={"Accept": "text/csv"},
            )
            reply = self.org.send_bulk(call)
            rows = [plain(row, self.described.types) for row in csv_rows(reply.text)]
            promised = reply.headers.get("sforce-numberofrecords")
            if promised is not None and int(promised) != len(rows):
                raise TransientError(
                    f"Salesforce promised {promised} rows of {self.name} and sent "
                    f"{len(rows)}.",
                    code="bad_shape",
                )
            locator = reply.headers.get("sforce-locator") or "null"
            # The end is the text "null".
            locator = "" if locator == "null" else locator
            if locator:
                guard.check(locator, rows)
            yield rows, locator
            if not locator:
                return

    def drop_job(self, job: str) -> None:
        """Remove a job that was read; it would end by itself after a week."""
        call = Call(method="DELETE", url=self._job(job), ok=(400, 403, 404))
        self.org.http.send(call)

    # --- single calls ---------------------------------------------------------------
    @property
    def _limit(self) -> int:
        return min(MOST_ROWS, self.size)

    def _job(self, job: str) -> str:
        return self.org.path(f"/jobs/query/{job}")

    def _query(
        self, query: str, limit: int, tail: str = "/queryAll"
    ) -> tuple[list[JsonDict], bool]:
        """(rows, whether there may be more). Salesforce may send fewer rows than
        asked for when they are wide; then it is not done."""
        answer = self.org.http.get_json(
            self.org.path(tail),
            params={"q": query},
            headers={"Sforce-Query-Options": f"batchSize={max(200, limit)}"},
        )
        found = answer.get("records") or []
        rows = [plain(row, self.described.types) for row in found]
        return rows, len(rows) >= limit or answer.get("done") is False
