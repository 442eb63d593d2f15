"""Reading one object by REST in keyset pages (`bulk` reads the large ones).

Keyset paging (WHERE after the last row, ORDER BY, LIMIT) instead of query locators,
because a rotated refresh token ends the session and every locator with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from churnguard.errors import TransientError
from integrations.connectors.base import JsonDict
from integrations.connectors.salesforce.objects import Described
from integrations.connectors.salesforce.org import Org
from integrations.connectors.salesforce.records import NOT_KEPT, SUCCESSION
from integrations.connectors.salesforce.rows import plain, quoted, select
from integrations.http import RefusedError
from integrations.loopguard import LoopGuard

MOST_ROWS = 2_000
# Addresses beyond 16 kB are refused; such a query goes into the body of a job.
LONGEST_QUERY = 12_000
QUERY_TIMEOUT = "QUERY_TIMEOUT"

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
        """The condition of rows that are records of their own."""
        flags = [name for name in NOT_KEPT if name in self.described.types]
        return " AND ".join(f"{name} = false" for name in flags)

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
            if refusal.provider_code != QUERY_TIMEOUT:
                raise
            return None
        return int(answer.get("totalSize") or 0)

    def newest(self) -> str:
        """The latest time of change; "" without rows."""
        query = select(
            (self.stamp,),
            self.name,
            "",
            order=f"{self.stamp} DESC NULLS LAST",
            limit=1,
        )
        rows, _more = self._query(query, 1, "/query")
        return str(rows[0].get(self.stamp) or "") if rows else ""

    def by_id(
        self, after: str, *, fields: tuple[str, ...] = ()
    ) -> Iterator[list[JsonDict]]:
        """Rows that are alive, in order of Id; fields: all where empty."""
        return self._in_order_of_id(self.alive, after, fields)

    def successions(self, converted_since: str) -> Iterator[list[JsonDict]]:
        """Rows that live on under another Id: merged ones that are still in the
        recycle bin, and leads converted from then on."""
        types = self.described.types
        conditions = []
        if "MasterRecordId" in types:
            conditions.append("(IsDeleted = true AND MasterRecordId != null)")
        if "ConvertedContactId" in types:
            conditions.append(
                f"(IsConverted = true AND {self.stamp} >= {converted_since})"
            )
        if conditions and self.stamp:
            fields = tuple(name for name in SUCCESSION if name in types)
            yield from self._in_order_of_id(
                f"({' OR '.join(conditions)})", "", ("Id", *fields)
            )

    def _in_order_of_id(
        self, condition: str, after: str, fields: tuple[str, ...]
    ) -> Iterator[list[JsonDict]]:
        guard = LoopGuard()
        while True:
            limit = MOST_ROWS if fields else self._limit
            query = select(
                fields or self.described.types,
                self.name,
                condition,
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
            # Salesforce sorts rows without the time first; they have no place here.
            after = self.since(at) or f"{self.stamp} != null"
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

    # --- single calls ---------------------------------------------------------------
    @property
    def _limit(self) -> int:
        return min(MOST_ROWS, self.size)

    def _query(
        self, query: str, limit: int, tail: str = "/queryAll"
    ) -> tuple[list[JsonDict], bool]:
        """(rows, whether there may be more). Salesforce may send fewer rows than
        asked for when they are wide; then it is not done."""
        try:
            answer = self.org.http.get_json(
                self.org.path(tail),
                params={"q": query},
                headers={"Sforce-Query-Options": f"batchSize={max(200, limit)}"},
            )
        except RefusedError as refusal:
            if refusal.provider_code != QUERY_TIMEOUT:
                raise
            raise TransientError(
                f"Salesforce took too long to look rows of {self.name} up.",
                code="query_timeout",
            ) from refusal
        found = answer.get("records") or []
        rows = [plain(row, self.described.types) for row in found]
        return rows, len(rows) >= limit or answer.get("done") is False
