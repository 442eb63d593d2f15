"""Finds rows of an event log whose date cannot be right: far from all the others.

One row dated 2099 would make the log end there, and everybody look gone.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

DayArray = NDArray[np.int32]

MOST_SHARE = 0.005
"""More rows than this share are no strays but part of the log."""
FUTURE_SHARE = 0.05
"""More rows than this share after today: the log lives in another time, as made-up
ones do, and all of it is kept."""
EARLY_GAP_DAYS = 365
COMPARED_DAYS = 56
THIN = 0.05
"""A tail with less than this share of the rate of the eight weeks before it."""
BUSY = 0.2
"""Share of the usual rate that the last week before such a tail must have."""
SHORTEST_TAIL_DAYS = 14
_EPOCH = date(1970, 1, 1)


def find_strays(days: DayArray, *, today: int) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows are strays, and sentences about them.

    days: whole days since 1970 (n,), in any order; today: the same.
    """
    strays = np.zeros(len(days), dtype=bool)
    notes = []
    future = days > today + 1
    if 0 < future.sum() <= FUTURE_SHARE * len(days):
        strays |= future
        notes.append(f"{int(future.sum())} rows are dated after today: left out.")
    distinct, counts = np.unique(days[~strays], return_counts=True)
    begin = _first_day(distinct, counts)
    end = _last_day(distinct, counts)
    for which, side in ((days < begin, "before"), (days > end, "after")):
        outside = which & ~strays
        if outside.any():
            edge = _EPOCH + timedelta(days=int(begin if side == "before" else end))
            notes.append(
                f"{int(outside.sum())} rows are dated {side} {edge}, far from all "
                "others: left out."
            )
            strays |= outside
    return strays, notes


def _first_day(distinct: DayArray, counts: NDArray[np.int64]) -> int:
    """The day after the last gap of a year before which lie hardly any rows."""
    before = np.cumsum(counts) / counts.sum()
    gaps = np.flatnonzero(np.diff(distinct) >= EARLY_GAP_DAYS)
    few = [gap for gap in gaps if before[gap] <= MOST_SHARE]
    return int(distinct[few[-1] + 1]) if few else int(distinct[0])


def _last_day(distinct: DayArray, counts: NDArray[np.int64]) -> int:
    """The last day before the log falls to next to nothing for good."""
    total = np.concatenate([[0], np.cumsum(counts)])
    newest = int(distinct[-1])
    for place in range(len(distinct) - 2, -1, -1):
        tail = total[-1] - total[place + 1]
        if tail > MOST_SHARE * total[-1]:
            break
        day = int(distinct[place])
        length = newest - day
        if length < SHORTEST_TAIL_DAYS:
            continue
        usual, lately = (
            _rate(distinct, total, day, min(span, day - int(distinct[0]) + 1))
            for span in (COMPARED_DAYS, 7)
        )
        # A lone row inside the tail has busy weeks behind it too, but no busy days.
        if tail / length < THIN * usual and lately > BUSY * usual:
            return day
    return newest


def _rate(distinct: DayArray, total: NDArray[np.int64], day: int, span: int) -> float:
    """Rows a day over the `span` days that end with `day`."""
    first, end = np.searchsorted(distinct, [day - span + 1, day + 1])
    return float(total[end] - total[first]) / span
