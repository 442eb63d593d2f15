"""Reads an event log of unknown origin from a file into an `EventLog`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from analytics.churn.cells import is_missing, parse_days, parse_number
from analytics.churn.eventlog import EventLog, build_log
from analytics.churn.table import find_name, iter_rows
from churnguard.errors import ConfigError

CHUNK_ROWS = 100_000
MAX_ROWS = 30_000_000
PROBE_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class EventFile:
    """The log, what was left out and why, and notes for the reader."""

    log: EventLog
    rows: int
    dropped: dict[str, str]
    notes: list[str]


def read_events(
    path: str | Path, *, customer: str, time: str, amount: str | None = None
) -> EventFile:
    """Events of the file; rows without customer or readable time are counted out.

    Raises ConfigError where a column is absent or no row is usable. Rows are read in
    chunks, so memory holds 24 bytes a row and not the text.
    """
    rows = iter_rows(path)
    names = tuple(next(rows))
    wanted = [names.index(find_name(names, name)) for name in (customer, time)]
    if amount is not None:
        wanted.append(names.index(find_name(names, amount)))
    who: list[np.ndarray] = []
    when: list[np.ndarray] = []
    spent: list[np.ndarray] = []
    codes: dict[str, int] = {}
    total = unusable = 0
    # One reading of ambiguous dates must fit the whole file, so probe its beginning.
    probe = list(islice(rows, PROBE_ROWS))
    probe_cells = [_cell(row, wanted[1]) for row in probe]
    rows = chain(probe, rows)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        total += len(chunk)
        if total > MAX_ROWS:
            raise ConfigError(f"The file has more than {MAX_ROWS:,} rows; split it.")
        labels = [_cell(row, wanted[0]) for row in chunk]
        cells = [_cell(row, wanted[1]) for row in chunk]
        days = parse_days(cells, like=probe_cells)
        usable = [
            place
            for place, (label, day) in enumerate(zip(labels, days, strict=True))
            if day is not None and 0 <= day < 1e6 and not is_missing(label)
        ]
        unusable += len(chunk) - len(usable)
        who.append(
            np.array(
                [codes.setdefault(labels[p], len(codes)) for p in usable], np.int32
            )
        )
        when.append(np.array([int(days[p] or 0) for p in usable], np.int32))
        if amount is not None:
            values = [parse_number(_cell(chunk[p], wanted[2])) for p in usable]
            spent.append(np.array([np.nan if v is None else v for v in values]))
    if total == 0 or total == unusable:
        sample = next((cell for cell in probe_cells if cell), "")
        raise ConfigError(
            f"No row has both a {customer} and a readable {time}"
            + (f" (the first {time} is {sample!r})." if sample else ".")
        )
    amounts = np.concatenate(spent) if amount is not None else None
    notes = (
        [f"{unusable} rows had no customer or no readable time."] if unusable else []
    )
    if amounts is not None and (negative := int((amounts < 0).sum())):
        notes.append(
            f"{negative} rows have a negative amount: kept as refunds, not as activity."
        )
    used = {names[place] for place in wanted}
    dropped = {
        name: "not used: only customer, time and amount are read from an event log"
        for name in names
        if name not in used
    }
    log = build_log(
        np.array(list(codes), dtype=str)[np.concatenate(who)],
        np.concatenate(when),
        amounts,
    )
    return EventFile(log, total, dropped, notes)


def _cell(row: list[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""
