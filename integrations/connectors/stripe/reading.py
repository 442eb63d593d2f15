"""The ways to read a kind of Stripe object, each page with a cursor true once stored.

Cursors: {"list": place} inside a full list, {"follow": unix seconds, "asked_at": our
time, "seen": event ids} between reads, the same with "walk": place inside one. All
moments but asked_at are by Stripe's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from churnguard.errors import TransientError
from integrations.connectors.base import JsonDict
from integrations.connectors.stripe.account import Account
from integrations.connectors.stripe.kinds import OVERLAP_S, Kind
from integrations.connectors.stripe.records import reference
from integrations.http import RefusedError, ordered_map
from integrations.loopguard import LoopGuard

EVENTS_KEPT = timedelta(days=28)
"""Stripe keeps events for 30 days; an older cursor means a full list."""
_MOST_REMEMBERED = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A page: objects, ids of those that are gone, and its cursor."""

    rows: list[JsonDict]
    cursor: JsonDict
    gone: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one kind. size: objects or events a page; workers: parallel fetches."""

    account: Account
    kind: Kind
    now: datetime
    size: int
    workers: int

    def read(
        self, cursor: JsonDict, since: datetime | None, until: datetime | None
    ) -> Iterator[Found]:
        """A range by creation, the rest of a full list, or what changed since."""
        if since is not None or until is not None:
            return self._range(cursor, since, until)
        if "list" in cursor or not self._can_follow(cursor):
            return self._everything(cursor)
        if self.kind.events:
            return self._changes(cursor)
        return self._since(cursor)

    def _everything(self, cursor: JsonDict) -> Iterator[Found]:
        """Every object, newest first. What changes meanwhile is in the events since
        the moment the list began; after a long pause, what was deleted in those that
        are left."""
        place = cursor.get("list") or self._beginning()
        if "follow" in cursor and self.kind.events:
            oldest = int((self.now - EVENTS_KEPT).timestamp())
            place["follow"] = min(place["follow"], max(cursor["follow"], oldest))
        for rows, after in self._walk({}, place):
            done = {"follow": place["follow"], "asked_at": place["asked_at"]}
            yield Found(rows, done if after is None else {"list": after})

    def _since(self, cursor: JsonDict) -> Iterator[Found]:
        """Objects made since the last read, for kinds without events."""
        place = cursor.get("walk") or self._beginning()
        limits = {"created": {"gte": cursor["follow"] - self.kind.lookback_s}}
        for rows, after in self._walk(limits, place):
            following = {**cursor, "walk": after}
            if after is None:
                following = {
                    "follow": max(place["follow"], cursor["follow"]),
                    "asked_at": place["asked_at"],
                }
            yield Found(rows, following)

    def _range(
        self, cursor: JsonDict, since: datetime | None, until: datetime | None
    ) -> Iterator[Found]:
        created = {}
        if since is not None:
            created["gte"] = int(since.timestamp())
        if until is not None:
            created["lt"] = int(until.timestamp())
        place = cursor.get("range") or {}
        if place.get("done"):
            return
        for rows, after in self._walk({"created": created}, place):
            yield Found(rows, {"range": after or {"done": True}})

    def _changes(self, cursor: JsonDict) -> Iterator[Found]:
        """Objects named by events since the last read, as they are now."""
        known = set(cursor.get("seen") or ())
        walk: JsonDict = cursor.get("walk") or {
            "newest": cursor["follow"],
            "asked_at": self.now.isoformat(),
            "recent": [],
        }
        fetched: set[str] = set()
        guard = LoopGuard()
        while True:
            body = self.account.get(
                "/v1/events",
                types=list(self.kind.events),
                created={"gte": max(0, cursor["follow"] - OVERLAP_S)},
                limit=self.size,
                **({"starting_after": walk["after"]} if "after" in walk else {}),
            )
            events = body["data"]
            named = {
                external_id: None
                for event in events
                if event["id"] not in known
                for external_id in self._changed(event)
            }
            ids = [external_id for external_id in named if external_id not in fetched]
            fetched.update(ids)
            walk = _advanced(walk, events)
            is_last = not body.get("has_more") or not events
            following: JsonDict = {**cursor, "walk": walk}
            if is_last:
                following = {
                    "follow": walk["newest"],
                    "asked_at": walk["asked_at"],
                    "seen": walk["recent"],
                }
            yield self._fetched(ids, following)
            if is_last:
                return
            guard.check(walk["after"], events)

    def _fetched(self, ids: list[str], cursor: JsonDict) -> Found:
        gone: list[str] = []
        rows: list[JsonDict] = []
        answers = ordered_map(
            lambda external_id: self.account.one(self.kind, external_id),
            ids,
            workers=self.workers,
        )
        for external_id, raw in zip(ids, answers, strict=True):
            if raw is None or raw.get("deleted"):
                gone.append(external_id)
            else:
                rows.append(raw)
        return Found(rows, cursor, gone)

    def _changed(self, event: JsonDict) -> list[str]:
        """Ids of the objects an event is about. Only ids are taken from it: its
        object is in the version of the moment it was made."""
        told = (event.get("data") or {}).get("object") or {}
        if told.get("object") == self.kind.object:
            return [told["id"]] if told.get("id") else []
        found = reference(told, self.kind.related.get(str(told.get("object")), ""))
        if found is not None:
            return [found]
        payer = reference(told, "customer")
        if self.kind.stream == "subscriptions" and payer:
            # A discount of the customer lowers all its subscriptions.
            rows = self.account.every(
                self.kind.path, customer=payer, **self.kind.params
            )
            return [each["id"] for each in rows]
        return []

    def _walk(
        self, limits: JsonDict, place: JsonDict
    ) -> Iterator[tuple[list[JsonDict], JsonDict | None]]:
        """(rows, place of the next page; None after the last) of a list."""
        guard = LoopGuard()
        options: JsonDict = {**self.kind.params, **limits, "limit": self.size}
        if self.kind.expand:
            options["expand"] = [f"data.{name}" for name in self.kind.expand]
        while True:
            position = {}
            if place.get("after"):
                position = {"starting_after": place["after"]}
            try:
                body = self.account.get(self.kind.path, **options, **position)
            except RefusedError as refusal:
                if not position or not _is_about(refusal, "starting_after"):
                    raise
                # The last object of the page before was deleted meanwhile.
                place = {**place, "after": ""}
                created = {**options.get("created", {}), "lte": place["created"]}
                options["created"] = created
                continue
            rows = body["data"]
            if not rows or not body.get("has_more"):
                yield rows, None
                return
            place = {**place, "after": rows[-1]["id"], "created": rows[-1]["created"]}
            guard.check(place["after"], rows)
            yield rows, place

    def _beginning(self) -> JsonDict:
        """Where following starts once a list that begins now has been read: at the
        newest event (or object)."""
        path = "/v1/events" if self.kind.events else self.kind.path
        newest = self.account.get(path, limit=1)["data"]
        return {
            "follow": newest[0]["created"] if newest else 0,
            "asked_at": self.now.isoformat(),
        }

    def _can_follow(self, cursor: JsonDict) -> bool:
        if "follow" not in cursor:
            return False
        asked_at = datetime.fromisoformat(cursor["asked_at"])
        return self.now - asked_at < EVENTS_KEPT


def _advanced(walk: JsonDict, events: list[JsonDict]) -> JsonDict:
    """The walk after a page of events, which come newest first."""
    if not events:
        return walk
    newest = max(walk["newest"], *(event["created"] for event in events))
    recent = walk["recent"] + [
        event["id"] for event in events if event["created"] >= newest - OVERLAP_S
    ]
    return {
        **walk,
        "after": events[-1]["id"],
        "newest": newest,
        "recent": recent[:_MOST_REMEMBERED],
    }


def _is_about(refusal: RefusedError, param: str) -> bool:
    try:
        body: Any = refusal.reply.json()
    except TransientError:
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("param") == param
