"""Reading CRM objects: lists, changes by search, archived ones and associations.

Changes come by search in order of the modification time, each page starting at the
last time of the one before: nothing is shifted by edits meanwhile, and the limit of
10,000 results per search never matters. More objects of one millisecond than fit on a
page (an import) are read by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from churnguard.errors import TransientError
from integrations.connectors.base import JsonDict
from integrations.connectors.hubspot.objects import Kind
from integrations.connectors.hubspot.paths import Paths
from integrations.http import Client, RefusedError
from integrations.loopguard import LoopGuard
from integrations.mapping import parse_time
from integrations.pagination import Step, pages_by_cursor, pick

MOST_LISTED = 100
MOST_FOUND = 200
# Longer addresses are refused (414); then properties are asked for by POST.
LONGEST_PROPERTIES = 4000
_KEPT = ("id", "createdAt", "updatedAt", "archived", "archivedAt")

Place = tuple[int, str]
"""Modification time in ms, and the last id where that time is being read by id."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One kind of object. names: the properties to ask for. size: rows a page."""

    http: Client
    paths: Paths
    kind: Kind
    names: tuple[str, ...]
    size: int

    def listed(self, after: str | None, *, archived: bool = False) -> Iterator[Step]:
        """Every object in HubSpot's order; archived ones with few properties."""
        joined = ",".join(("hs_merged_object_ids",) if archived else self.names)
        is_long = len(joined) > LONGEST_PROPERTIES

        def fetch(params: JsonDict) -> Any:
            params["properties"] = None if is_long else joined
            params["archived"] = "true" if archived else "false"
            return self.http.get_json(self.paths.objects(self.kind.name), params=params)

        steps = pages_by_cursor(
            fetch,
            items="results",
            cursor="paging.next.after",
            cursor_param="after",
            size_param="limit",
            size=min(self.size, MOST_LISTED),
            start=after,
        )
        for step in steps:
            rows = self._filled(step.items) if is_long else step.items
            yield Step(rows, step.body, step.position)

    def newest(self) -> tuple[int, int]:
        """(the latest modification time there is, 0 without any object; how many
        objects the search knows)."""
        known = {"propertyName": self.kind.modified, "operator": "HAS_PROPERTY"}
        answer = self._ask([known], self.kind.modified, "DESCENDING", 1)
        found = answer.get("results") or []
        newest_ms = self._modified_ms(found[0]) if found else 0
        return newest_ms, int(answer.get("total") or 0)

    def changes(
        self, start: Place, until_ms: int | None
    ) -> Iterator[tuple[list[JsonDict], Place]]:
        """Objects modified from start on (before until_ms), with the place after
        each page."""
        at, last_id = start
        size = min(self.size, MOST_FOUND)
        guard = LoopGuard()
        edge: set[str] = set()
        while True:
            if last_id:
                for rows, place in self._of_one_time(at, last_id, size):
                    yield rows, place
                at, last_id, edge = at + 1, "", set()
            filters = [_filter(self.kind.modified, "GTE", at)]
            if until_ms is not None:
                filters.append(_filter(self.kind.modified, "LT", until_ms))
            rows = self._search(filters, self.kind.modified, "ASCENDING", size)
            if len(rows) == size and self._modified_ms(rows[-1]) == at:
                # A whole page of one time: go on by id, from the first.
                guard.check((at, "0"), [])
                last_id = "0"
                continue
            if not rows:
                return
            fresh = [row for row in rows if row["id"] not in edge]
            at = self._modified_ms(rows[-1])
            edge = {row["id"] for row in rows if self._modified_ms(row) == at}
            if len(rows) == size:
                guard.check((at, ""), rows)
            yield fresh, (at, "")
            if len(rows) < size:
                return

    def linked(self, rows: list[JsonDict]) -> list[JsonDict]:
        """The rows as raw objects: without unset properties, with associations."""
        ids = [row["id"] for row in rows]
        found = {target: self._associations(ids, target) for target in self.kind.links}
        return [_raw(row, found) for row in rows]

    # --- single calls ---------------------------------------------------------------
    def _of_one_time(
        self, at: int, last_id: str, size: int
    ) -> Iterator[tuple[list[JsonDict], Place]]:
        guard = LoopGuard()
        while True:
            rows = self._search(
                [
                    _filter(self.kind.modified, "GTE", at),
                    _filter(self.kind.modified, "LT", at + 1),
                    _filter("hs_object_id", "GT", last_id),
                ],
                "hs_object_id",
                "ASCENDING",
                size,
            )
            if not rows:
                return
            last_id = str(rows[-1]["id"])
            guard.check(last_id, rows)
            yield rows, (at, last_id)
            if len(rows) < size:
                return

    def _search(
        self, filters: list[JsonDict], sort: str, direction: str, limit: int
    ) -> list[JsonDict]:
        return list(self._ask(filters, sort, direction, limit).get("results") or [])

    def _ask(
        self, filters: list[JsonDict], sort: str, direction: str, limit: int
    ) -> JsonDict:
        body: JsonDict = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": sort, "direction": direction}],
            "properties": list(self.names),
            "limit": limit,
        }
        answer: JsonDict = self.http.post_json(
            self.paths.objects(self.kind.name, "/search"),
            json=body,
            idempotent=True,
            budget="search",
        )
        return answer

    def _filled(self, rows: list[JsonDict]) -> list[JsonDict]:
        """The same rows with their properties."""
        if not rows:
            return rows
        answer = self.http.post_json(
            self.paths.objects(self.kind.name, "/batch/read"),
            json={
                "inputs": [{"id": row["id"]} for row in rows],
                "properties": list(self.names),
            },
            idempotent=True,
        )
        by_id = {row["id"]: row for row in answer.get("results") or []}
        return [by_id.get(row["id"], row) for row in rows]

    def _associations(self, ids: list[str], target: str) -> dict[str, list[JsonDict]]:
        """Object id -> what it is associated with, ordered by id."""
        found: dict[str, list[JsonDict]] = {}
        inputs: list[JsonDict] = [{"id": each} for each in ids]
        guard = LoopGuard()
        while inputs:
            guard.seen(inputs)
            answer = self._association_page(inputs, target)
            inputs = []
            for result in answer.get("results") or []:
                from_id = str(result["from"]["id"])
                made = map(_association, result.get("to") or [])
                found.setdefault(from_id, []).extend(made)
                if after := pick(result, "paging.next.after"):
                    inputs.append({"id": from_id, "after": after})
        for made_for_one in found.values():
            made_for_one.sort(key=lambda each: (len(each["id"]), each["id"]))
        return found

    def _association_page(self, inputs: list[JsonDict], target: str) -> JsonDict:
        """The answer; TransientError where HubSpot could not look all of them up."""
        try:
            answer: JsonDict = self.http.post_json(
                self.paths.associations(self.kind.name, target),
                json={"inputs": inputs},
                idempotent=True,
            )
        except RefusedError as refusal:
            if self.kind.has_sure_links or refusal.status not in (400, 404):
                raise
            return {}
        for error in answer.get("errors") or []:
            if error.get("category") != "OBJECT_NOT_FOUND":
                raise TransientError(
                    f"HubSpot did not tell which {target} some {self.kind.name} are "
                    f"associated with ({error.get('category')}: "
                    f"{error.get('message')}).",
                    code="partial_answer",
                )
        return answer

    def _modified_ms(self, row: JsonDict) -> int:
        return ms_of((row.get("properties") or {}).get(self.kind.modified))


def ms_of(value: Any) -> int:
    """A time of HubSpot's in unix milliseconds; 0 for none or an unreadable one."""
    try:
        at = value if isinstance(value, datetime) else parse_time(value)
    except ValueError:
        return 0
    return round(at.timestamp() * 1000)


def _filter(name: str, operator: str, value: int | str) -> JsonDict:
    return {"propertyName": name, "operator": operator, "value": str(value)}


def _association(found: JsonDict) -> JsonDict:
    kinds = found.get("associationTypes") or []
    return {
        "id": str(found["toObjectId"]),
        "associationTypes": sorted(
            kinds, key=lambda kind: (kind["category"], kind["typeId"])
        ),
    }


def _raw(row: JsonDict, found: dict[str, dict[str, list[JsonDict]]]) -> JsonDict:
    raw: JsonDict = {name: row[name] for name in _KEPT if row.get(name) is not None}
    props = row.get("properties")
    if isinstance(props, dict):
        props = {name: value for name, value in props.items() if value is not None}
    raw["properties"] = props
    if found:
        raw["associations"] = {
            target: {"results": by_id.get(row["id"], [])}
            for target, by_id in found.items()
        }
    return raw
