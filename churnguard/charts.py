"""The words and the table that stand beside a chart, so that nobody needs the canvas.

Chart data: `{"x": [epoch seconds, oldest first], "series": [{"label", "values"}],
"unit": ""}`; values are as long as x, None is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from churnguard import formats

TABLE_ROWS = 200


def table_rows(data: Mapping[str, Any]) -> dict[str, Any]:
    """`rows` ({at, cells}, oldest first, the last 200) and the count left out."""
    series = data.get("series", [])
    moments = list(data.get("x", []))
    first = max(len(moments) - TABLE_ROWS, 0)
    rows = [
        {
            "at": datetime.fromtimestamp(moments[index], UTC),
            "cells": [line["values"][index] for line in series],
        }
        for index in range(first, len(moments))
    ]
    return {"rows": rows, "hidden_rows": first}


def summarize(data: Mapping[str, Any]) -> str:
    """`Min 12, average 48, max 81 records; rising.` for the first series, named where
    there are more.

    Rising or falling is a change over 5 % between the means of the two halves.
    """
    series = data.get("series", [])
    values = [v for v in (series[0]["values"] if series else []) if v is not None]
    if not values or not data.get("x"):
        return "No data in this period."
    half = len(values) // 2
    before = sum(values[:half]) / half if half else values[0]
    after = sum(values[half:]) / (len(values) - half)
    change = (after - before) / abs(before) if before else float(after > 0)
    trend = "rising" if change > 0.05 else "falling" if change < -0.05 else "steady"
    mean = round(sum(values) / len(values), 1)
    unit = f" {data['unit']}" if data.get("unit") else ""
    least = f"{series[0]['label']}: min" if len(series) > 1 else "Min"
    return (
        f"{least} {formats.compact(min(values))}, average {formats.compact(mean)}, "
        f"max {formats.compact(max(values))}{unit}; {trend}."
    )
