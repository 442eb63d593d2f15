"""Small pictures as inline SVG text: sparkline, strip of bars, gauge, stacked bar.

Widths and heights are SVG attributes because the content security policy forbids
style attributes. Every picture is either labelled (`role="img"`) or hidden from
assistive technology when the figure stands beside it in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from churnguard.statuses import Tone

SHAPES: dict[str, SafeString] = {
    "circle": mark_safe('<circle cx="5" cy="5" r="4.2"/>'),
    "diamond": mark_safe('<path d="M5 0 10 5 5 10 0 5z"/>'),
    "square": mark_safe('<rect x="1" y="1" width="8" height="8" rx=".8"/>'),
    "ring": mark_safe(
        '<circle cx="5" cy="5" r="3.4" fill="none" stroke="currentColor"'
        ' stroke-width="1.8"/>'
    ),
}


def shape(name: str) -> SafeString:
    """A 10 x 10 status shape in the text colour, hidden from readers."""
    return format_html(
        '<svg class="shape" viewBox="0 0 10 10" width="10" height="10"'
        ' aria-hidden="true">{}</svg>',
        SHAPES.get(name, SHAPES["ring"]),
    )


def sparkline(
    values: Sequence[float | None],
    *,
    label: str = "",
    width: int = 96,
    height: int = 28,
    tone: Tone = "info",
) -> SafeString:
    """A line through values, oldest first; None leaves a gap."""
    known = [value for value in values if value is not None]
    attributes = _named(label)
    if not known:
        return format_html(
            '<svg class="spark t-neutral" viewBox="0 0 {} {}" width="{}" height="{}"'
            ' {}><path class="spark-none" d="M2 {}H{}"/></svg>',
            width, height, width, height, attributes, height / 2, width - 2,
        )  # fmt: skip
    low, high = min(known), max(known)
    spread = (high - low) or 1.0
    step = (width - 6) / max(len(values) - 1, 1)
    middle = height / 2
    points: list[tuple[float, float] | None] = []
    for index, value in enumerate(values):
        if value is None:
            points.append(None)
            continue
        share = (value - low) / spread
        y = middle if high == low else height - 3 - share * (height - 6)
        points.append((round(3 + index * step, 1), round(y, 1)))
    last = next(point for point in reversed(points) if point is not None)
    return format_html(
        '<svg class="spark t-{}" viewBox="0 0 {} {}" width="{}" height="{}" {}>'
        '<path class="spark-area" d="{}"/><path class="spark-line" d="{}"/>'
        '<circle cx="{}" cy="{}" r="2.4"/></svg>',
        tone, width, height, width, height, attributes,
        _area(points, height), _path(points), last[0], last[1],
    )  # fmt: skip


def strip(
    bars: Iterable[Mapping[str, object]],
    *,
    label: str = "",
    height: int = 24,
    bar_width: int = 6,
    gap: int = 2,
) -> SafeString:
    """Bars of the last runs, oldest first.

    bars: `{"value": number, "tone": Tone, "title": text}`; a bar of value 0 keeps a
    2 px foot, so that a run that moved nothing still shows.
    """
    rows = list(bars)
    top = max((_as_float(row.get("value")) for row in rows), default=0.0) or 1.0
    pitch = bar_width + gap
    width = max(len(rows) * pitch - gap, pitch)
    drawn = format_html_join(
        "",
        '<rect class="t-{}" x="{}" y="{}" width="{}" height="{}" rx="1">'
        "<title>{}</title></rect>",
        (
            (
                row.get("tone") or "ok",
                index * pitch,
                round(height - (size := _bar(row.get("value"), top, height)), 1),
                bar_width,
                round(size, 1),
                row.get("title") or row.get("value") or 0,
            )
            for index, row in enumerate(rows)
        ),
    )
    return format_html(
        '<svg class="strip" viewBox="0 0 {} {}" width="{}" height="{}" {}>{}</svg>',
        width, height, width, height, _named(label), drawn,
    )  # fmt: skip


def gauge(score: float | None, *, tone: Tone, label: str) -> SafeString:
    """A three-quarter ring for a score 0-100 with its number in the middle."""
    start, sweep, radius = 135.0, 270.0, 50.0
    share = 0.0 if score is None else min(max(score, 0.0), 100.0) / 100
    arc = (
        format_html(
            '<path class="gauge-value" d="{}"/>',
            _arc(start, start + sweep * share, radius),
        )
        if share > 0
        else ""
    )
    return format_html(
        '<svg class="gauge t-{}" viewBox="0 0 120 112" width="160" height="149" {}>'
        '<path class="gauge-track" d="{}"/>{}'
        '<text class="gauge-number" x="60" y="70">{}</text>'
        '<text class="gauge-of" x="60" y="88">of 100</text></svg>',
        tone, _named(label), _arc(start, start + sweep, radius), arc,
        "\u2013" if score is None else round(score),
    )  # fmt: skip


def stacked_bar(
    parts: Iterable[tuple[Tone, float, str]], *, label: str, width: int = 240
) -> SafeString:
    """One bar split by share; parts: (tone, amount, title), drawn in order."""
    rows = [part for part in parts if part[1] > 0]
    total = sum(amount for _, amount, _ in rows) or 1.0
    drawn: list[tuple[str, float, float, str]] = []
    x = 0.0
    for tone, amount, title in rows:
        size = amount / total * width
        is_last = len(drawn) == len(rows) - 1
        shown = size if is_last else size - 1.5
        drawn.append((tone, round(x, 2), round(max(shown, 1.0), 2), title))
        x += size
    return format_html(
        '<svg class="stack" viewBox="0 0 {} 10" width="{}" height="10"'
        ' preserveAspectRatio="none" {}>{}</svg>',
        width, width, _named(label),
        format_html_join(
            "",
            '<rect class="t-{}" x="{}" y="0" width="{}" height="10" rx="2">'
            "<title>{}</title></rect>",
            drawn,
        ),
    )  # fmt: skip


def _named(label: str) -> SafeString:
    if label:
        return format_html('role="img" aria-label="{}"', label)
    return mark_safe('aria-hidden="true"')


def _as_float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _bar(value: object, top: float, height: int) -> float:
    return max(_as_float(value) / top * height, 2.0)


def _runs(
    points: Sequence[tuple[float, float] | None],
) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    return "".join("M" + "L".join(f"{x} {y}" for x, y in run) for run in _runs(points))


def _area(points: Sequence[tuple[float, float] | None], height: int) -> str:
    return "".join(
        f"M{run[0][0]} {height}L"
        + "L".join(f"{x} {y}" for x, y in run)
        + f"L{run[-1][0]} {height}Z"
        for run in _runs(points)
    )


def _arc(start_deg: float, end_deg: float, radius: float) -> str:
    def at(degrees: float) -> str:
        angle = math.radians(degrees)
        return (
            f"{60 + radius * math.cos(angle):.2f} {60 + radius * math.sin(angle):.2f}"
        )

    large = 1 if end_deg - start_deg > 180 else 0
    return f"M{at(start_deg)}A{radius} {radius} 0 {large} 1 {at(end_deg)}"
