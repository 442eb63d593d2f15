"""Reads an event log of unknown origin from a file into an `EventLog`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analytics.churn.cells import is_missing, slashed_parts
from analytics.churn.eventlog import EventLog, build_log
from analytics.churn.readings import (
    DateReading,
    NumberReading,
    date_reading,
    number_reading,
    read_dates,
    read_numbers,
)
from analytics.churn.strays import find_strays
from analytics.churn.table import find_name, iter_rows
from churnguard.errors import ConfigError

IntArray = NDArray[np.int64]

CHUNK_ROWS = 100_000
MAX_ROWS = 30_000_000
PROBE_ROWS = 20_000
CROWD_SHARE = 0.1
"""One customer with so many of the rows is more likely a collective name."""


@dataclass(frozen=True, slots=True)
class EventFile:
    """The log, what was left out and why, and notes for the reader."""

    log: EventLog
    rows: int
    dropped: dict[str, str]
    notes: list[str]


@dataclass(slots=True)
class _Gathered:
    """Usable rows so far, and how many were not."""

    who: list[NDArray[np.int32]] = field(default_factory=list)
    when: list[NDArray[np.int32]] = field(default_factory=list)
    spent: list[NDArray[np.float64]] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    by_label: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    nameless: int = 0
    timeless: int = 0

    def code(self, cell: str) -> int:
        """The number of a customer; "17850.0" and "17850" are one."""
        known = self.codes.get(cell)
        if known is not None:
            return known
        label = cell[:-2] if cell.endswith(".0") and cell[:-2].isdigit() else cell
        made = self.by_label.setdefault(label, len(self.labels))
        if made == len(self.labels):
            self.labels.append(label)
        self.codes[cell] = made
        return made


def read_events(
    path: str | Path,
    *,
    customer: str,
    time: str,
    amount: str | None = None,
    today: date | None = None,
) -> EventFile:
    """Events of the file; rows without customer or readable time are counted out.

    So are a few rows far before or after all others, or dated after `today` (UTC, now
    by default). Raises ConfigError where a column is absent or no row is usable. Rows
    are read in chunks, so memory holds 24 bytes a row and not the text.
    """
    rows = iter_rows(path)
    names = tuple(next(rows))
    wanted = [names.index(find_name(names, name)) for name in (customer, time)]
    if amount is not None:
        wanted.append(names.index(find_name(names, amount)))
    customer, time = names[wanted[0]], names[wanted[1]]
    if len(set(wanted)) < len(wanted):
        listed = ", ".join(names[place] for place in wanted)
        raise ConfigError(f"Customer, time and amount must be different, not {listed}.")
    probe = list(islice(rows, PROBE_ROWS))
    when = _time_reading(path, probe, wanted[1], time)
    money = NumberReading()
    if amount is not None:
        money = number_reading(_cell(row, wanted[2]) for row in probe)
    found = _gather(chain(probe, rows), wanted, when, money)
    if found.rows == found.nameless + found.timeless:
        sample = next((c for row in probe if (c := _cell(row, wanted[1]))), "")
        raise ConfigError(
            f"No row has both a {customer} and a readable {time}"
            + (f" (the first {time} is {sample!r})." if sample else ".")
        )
    notes = _reading_notes(found, customer, time, when, probe, wanted[1])
    who, days = np.concatenate(found.who), np.concatenate(found.when)
    now = (today or datetime.now(tz=UTC).date()).toordinal() - date(
        1970, 1, 1
    ).toordinal()
    strays, told = find_strays(days, today=now)
    notes += told
    amounts = np.concatenate(found.spent) if amount is not None else None
    if strays.any():
        who, days = who[~strays], days[~strays]
        amounts = None if amounts is None else amounts[~strays]
    if amounts is not None:
        if bool(np.all(amounts < 0)):
            raise ConfigError(
                f"Every {amount} is negative, so nobody was active; leave --amount out "
                "where the sign means something else."
            )
        notes += _amount_notes(amounts, str(amount))
    notes += _crowd_notes(who, found.labels)
    used = {names[place] for place in wanted}
    dropped = {
        name: "not used: only customer, time and amount are read from an event log"
        for name in names
        if name not in used
    }
    log = build_log(who, days, amounts, labels=found.labels)
    return EventFile(log, found.rows, dropped, notes)


def _gather(
    rows: Iterator[list[str]],
    wanted: list[int],
    when: DateReading,
    money: NumberReading,
) -> _Gathered:
    found = _Gathered()
    while chunk := list(islice(rows, CHUNK_ROWS)):
        found.rows += len(chunk)
        if found.rows > MAX_ROWS:
            raise ConfigError(f"The file has more than {MAX_ROWS:,} rows; split it.")
        people = [_cell(row, wanted[0]) for row in chunk]
        named = np.array([not is_missing(cell) for cell in people], dtype=bool)
        days = read_dates([_cell(row, wanted[1]) for row in chunk], when)
        timed = np.isfinite(days) & (days >= 0) & (days < 1e6)
        found.nameless += int((~named).sum())
        found.timeless += int((named & ~timed).sum())
        usable = np.flatnonzero(named & timed)
        codes = (found.code(people[place]) for place in usable)
        found.who.append(np.fromiter(codes, np.int32, len(usable)))
        found.when.append(days[usable].astype(np.int32))
        if len(wanted) > 2:
            spent = [_cell(chunk[place], wanted[2]) for place in usable]
            found.spent.append(read_numbers(spent, money))
    return found


def _time_reading(
    path: str | Path, probe: list[list[str]], place: int, time: str
) -> DateReading:
    cells = [_cell(row, place) for row in probe]
    reading = date_reading(cells)
    if reading is None:
        sample = next((cell for cell in cells if not is_missing(cell)), "")
        raise ConfigError(
            f"The column {time} holds no readable times"
            + (f" (the first is {sample!r})." if sample else ": its cells are blank.")
        )
    if reading.is_certain or len(probe) < PROBE_ROWS:
        return reading
    # 01/02/2024: only a later row may show which of the two is the month.
    first = second = 0
    for row in islice(iter_rows(path), 1, None):
        parts = slashed_parts(_cell(row, place))
        if parts:
            first += parts[0] > 12
            second += parts[1] > 12
    if first == second:
        return reading
    return DateReading("text", first > second, is_certain=True)


def _reading_notes(
    found: _Gathered,
    customer: str,
    time: str,
    when: DateReading,
    probe: list[list[str]],
    place: int,
) -> list[str]:
    notes = []
    if found.nameless:
        notes.append(f"{found.nameless} rows have no {customer} and were left out.")
    if found.timeless:
        notes.append(
            f"{found.timeless} rows have no readable {time} and were left out."
        )
    if not when.is_certain:
        order = "day first" if when.day_first else "month first"
        sample = next(c for row in probe if slashed_parts(c := _cell(row, place)))
        notes.append(f"Nothing shows how {time} {sample!r} is meant: read {order}.")
    return notes


def _amount_notes(amounts: NDArray[np.float64], name: str) -> list[str]:
    notes = []
    if negative := int((amounts < 0).sum()):
        notes.append(
            f"{negative} rows have a negative {name}: kept as refunds, not as activity."
        )
    if unknown := int(np.isnan(amounts).sum()):
        notes.append(f"{unknown} rows have no readable {name}: counted as activity.")
    return notes


def _crowd_notes(who: NDArray[np.int32], labels: list[str]) -> list[str]:
    counts = np.bincount(who)
    largest = int(counts.argmax())
    if len(labels) < 50 or counts[largest] < CROWD_SHARE * len(who):
        return []
    return [
        f"Customer {labels[largest]!r} has {counts[largest] / len(who):.0%} of the "
        "rows: check that it is one customer and not a name for many."
    ]


def _cell(row: list[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""
