"""The raw event export, window of days by window, in constant memory.

Mixpanel has no "changed since", and events come late. Each read goes back some days;
the event ids make the second reading harmless. A window is one query of the 60 an hour
the project has: it grows while days are small, and shrinks when they are large or an
answer breaks off. A page's cursor names the first day of its window, so an interrupted
window is read anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import msgspec

from churnguard.errors import RateLimitedError, RecordError, TransientError
from churnguard.records import EventRecord
from integrations.connectors.base import JsonDict, Page, ReadRequest, Reject
from integrations.connectors.mixpanel import records
from integrations.connectors.mixpanel.project import MixpanelProject

FIRST_WINDOW, MOST_DAYS = 7, 30
MANY_LINES, FEW_LINES = 500_000, 100_000


@dataclass(slots=True)
class Window:
    """Days first to last, both exported; lines: how many events they had."""

    first: date
    last: date
    lines: int = 0


@dataclass(frozen=True, slots=True)
class EventReader:
    """names: only these events; () = all."""

    project: MixpanelProject
    request: ReadRequest
    customer_property: str
    names: tuple[str, ...]

    def pages(self) -> Iterator[Page]:
        """Pages of at most batch_size events.

        Raises TransientError for an answer that broke off, after a page that lets the
        next try ask for fewer days.
        """
        cursor = self.request.cursor or {}
        day, end = self._begin(cursor), self._end()
        days = int(cursor.get("days") or FIRST_WINDOW)
        while day <= end:
            window = Window(day, min(end, day + timedelta(days=days - 1)))
            here: JsonDict = {"next": day.isoformat(), "days": days}
            try:
                yield from self._window(window, here)
            except RateLimitedError:
                raise
            except TransientError:
                if days > 1:
                    yield Page(records=[], cursor={**here, "days": days // 2})
                raise
            days = _next_size(days, window.lines)
            day = window.last + timedelta(days=1)
            following: JsonDict = {"next": day.isoformat(), "days": days}
            if day > end:
                following = {"done": end.isoformat(), "days": days}
            yield Page(records=[], cursor=following)

    def _begin(self, cursor: JsonDict) -> date:
        if "next" in cursor:
            return date.fromisoformat(cursor["next"])
        if self.request.since is not None:
            return self.project.day_of(self.request.since)
        if "done" in cursor:
            done = date.fromisoformat(cursor["done"])
            return done - timedelta(days=self.project.reread_days)
        return self.project.first_day

    def _end(self) -> date:
        today = self.project.today
        until = self.request.until
        if until is None:
            return today
        return min(today, self.project.day_of(until - timedelta(microseconds=1)))

    def _window(self, window: Window, cursor: JsonDict) -> Iterator[Page]:
        params = {
            **self.project.params,
            "workspace_id": None,
            "from_date": window.first.isoformat(),
            "to_date": window.last.isoformat(),
            "time_in_ms": "true",
            "event": msgspec.json.encode(self.names).decode() if self.names else None,
        }
        size = max(1, self.request.batch_size)
        with self.project.export.stream(
            "GET", "/export", params=params, budget="export"
        ) as stream:
            batch: list[bytes] = []
            for line in stream.iter_lines():
                # The last line is kept back: only there a broken one means a cut.
                if len(batch) > size:
                    yield self._page(batch[:size], cursor)
                    del batch[:size]
                batch.append(line)
                window.lines += 1
        if batch and _decoded(batch[-1]) is None:
            raise TransientError(
                "Mixpanel's export broke off in the middle of an event; the days "
                "are read again.",
                code="connection_lost",
            )
        for start in range(0, len(batch), size):
            yield self._page(batch[start : start + size], cursor)

    def _page(self, lines: list[bytes], cursor: JsonDict) -> Page:
        found: dict[str, tuple[float, EventRecord]] = {}
        rejects: list[Reject] = []
        filtered = 0
        for line in lines:
            raw = _decoded(line)
            if raw is None:
                text = line[:2000].decode("utf-8", "replace")
                rejects.append(
                    Reject("not_json", "The line is no JSON object.", {"line": text})
                )
                continue
            try:
                made = records.event_of(raw, self.project.zone, self.customer_property)
            except RecordError as exc:
                rejects.append(Reject.of(exc, raw))
                continue
            if not self._is_wanted(made):
                filtered += 1
                continue
            processed = records.processed_ms(raw)
            held = found.get(made.event_id)
            filtered += held is not None
            if held is None or processed > held[0]:
                found[made.event_id] = (processed, made)
        return Page(
            records=[made for _at, made in found.values()],
            rejects=rejects,
            filtered=filtered,
            cursor=dict(cursor),
        )

    def _is_wanted(self, made: EventRecord) -> bool:
        since, until = self.request.since, self.request.until
        if since is not None and made.timestamp < since:
            return False
        return until is None or made.timestamp < until


def _next_size(days: int, lines: int) -> int:
    if lines > MANY_LINES:
        return max(1, days // 2)
    return min(MOST_DAYS, days * 2) if lines < FEW_LINES else days


def _decoded(line: bytes) -> JsonDict | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None
