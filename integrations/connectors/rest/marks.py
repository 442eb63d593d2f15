"""Which objects an incremental read asks for, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from integrations.connectors.base import JsonDict
from integrations.connectors.rest.endpoints import Incremental
from integrations.mapping import parse_time
from integrations.pagination import pick

# A datetime, or a Decimal where the format is "number"; never both in one stream.
Mark = Any


@dataclass
class Marks:
    """The range of one read, and the greatest mark seen so far.

    since, until: inclusive and exclusive limits. watermark: where the last complete
    read ended; reached: where this one was when its cursor was stored (both JSON).
    now: when the read began.
    """

    how: Incremental | None
    now: datetime
    since: Mark | None = None
    until: Mark | None = None
    watermark: Any = None
    reached: Any = None
    is_range: bool = False

    @property
    def params(self) -> JsonDict:
        """Request parameters of the range."""
        if self.how is None:
            return {}
        wanted: JsonDict = {}
        if self.how.param and self.since is not None:
            wanted[self.how.param] = _asked(self.how, self.since)
        if self.how.until_param and self.until is not None:
            wanted[self.how.until_param] = _asked(self.how, _rounded_up(self))
        return wanted

    def takes(self, raw: Any) -> bool:
        """Whether the object belongs to the range; notes its mark.

        Objects without a readable mark are taken.
        """
        if self.how is None:
            return True
        mark = mark_of(self.how, pick(raw, self.how.field))
        if mark is None:
            return True
        if self.until is not None and not mark < self.until:
            return False
        if self.since is not None and not self.how.param and mark < self.since:
            return False
        if self.is_range and self.since is not None and mark < self.since:
            return False
        reached = mark_of(self.how, self.reached)
        if reached is None or mark > reached:
            self.reached = _stored(mark)
        return True

    def cursor(self, place: JsonDict | None) -> JsonDict:
        """The cursor that is true after these pages; place None = all were read.

        A finished read goes no further than the moment it began: what changed while
        it ran may have been on a page already passed.
        """
        if place is not None:
            kept = {"begun_at": self.now.isoformat(), **place}
            if self.watermark is not None:
                kept["watermark"] = self.watermark
            if self.reached is not None:
                kept["reached"] = self.reached
            return kept
        if self.how is None or self.is_range:
            return {"done": True}
        reached = mark_of(self.how, self.reached)
        if isinstance(reached, datetime):
            reached = min(reached, self.now)
        before = mark_of(self.how, self.watermark)
        if reached is None or (before is not None and before > reached):
            reached = before
        return {} if reached is None else {"watermark": _stored(reached)}


def edge(how: Incremental, watermark: Any) -> Mark | None:
    """Where the next read starts: the watermark less the lookback."""
    mark = mark_of(how, watermark)
    if isinstance(mark, datetime):
        return mark - timedelta(seconds=how.lookback_s)
    return mark


def mark_of(how: Incremental, value: Any) -> Mark | None:
    """A value of the incremental field; None where it cannot be read as one."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if how.format == "number":
            number = Decimal(str(value))
            return number if number.is_finite() else None
        return parse_time(value)
    except (ValueError, ArithmeticError):
        return None


def _rounded_up(marks: Marks) -> Mark:
    """The upper limit in whole units of the format; `takes` drops what is beyond."""
    assert marks.how is not None
    assert marks.until is not None
    if not isinstance(marks.until, datetime):
        return marks.until
    unit = timedelta(days=1) if marks.how.format == "date" else timedelta(seconds=1)
    return marks.until + unit


def _asked(how: Incremental, mark: Mark) -> str | int:
    """A limit as the API wants it."""
    if not isinstance(mark, datetime):
        return str(mark)
    if how.format == "unix":
        return int(mark.timestamp())
    if how.format == "unix_ms":
        return int(mark.timestamp() * 1000)
    moment = mark.astimezone(UTC)
    if how.format == "date":
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _stored(mark: Mark) -> str:
    return mark.isoformat() if isinstance(mark, datetime) else str(mark)
