"""Template tags and filters of the design system: `{% load cg %}`.

How each is called, with examples: templates/README.md. All of them render on the
`/styleguide/` page in every state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.forms import BoundField
from django.forms.widgets import CheckboxInput
from django.http import QueryDict
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from churnguard import formats, svg
from churnguard.charts import summarize, table_rows
from churnguard.icons import NAV_ICONS
from churnguard.icons import icon as draw_icon
from churnguard.statuses import Tone, get_band, get_status

register = template.Library()

CURSOR_PARAMS = ("after", "before", "cursor", "page")

register.filter("number", formats.number)
register.filter("figure", formats.figure)
register.filter("points", formats.points)
register.filter("compact", formats.compact)
register.filter("percent", formats.percent)
register.filter("money", formats.money)
register.filter("duration", formats.duration)


@register.filter
def words(name: object) -> str:
    """A machine's name as people read it: `survey_response` -> `Survey response`."""
    return str(name).replace("_", " ").strip().capitalize()


@register.simple_tag
def count_cell(label: str, count: int) -> SafeString:
    """A number in a table of counts; a zero steps back, and on a phone away."""
    return format_html(
        '<td class="num{}" data-label="{}">{}</td>',
        "" if count else " zero",
        label,
        formats.number(count),
    )


@register.simple_tag
def icon(name: str, size: int = 18) -> SafeString:
    """One of `churnguard.icons.ICONS` as inline SVG."""
    return draw_icon(name, size)


@register.simple_tag
def nav_icon(item: Mapping[str, Any]) -> SafeString:
    """The icon of a navigation entry, by its `icon` or its label."""
    return draw_icon(item.get("icon") or NAV_ICONS.get(item["label"], "dot"))


@register.simple_tag
def shape(status: str) -> SafeString:
    """Only the status shape, for legends."""
    return svg.shape(get_status(status).shape)


@register.filter
def tone(status: str | None) -> Tone:
    """The tone of a status word: ok, info, warn, danger or neutral."""
    return get_status(status).tone


@register.filter
def status_label(status: str | None) -> str:
    """The word people read for a status."""
    return get_status(status).label


@register.simple_tag
def status_pill(
    status: str | None, label: str = "", *, detail: str = "", tone: Tone | None = None
) -> SafeString:
    """Shape + word + colour; `detail` follows the word: "Rate limited · 4 min"."""
    look = get_status(status)
    text = label or look.label
    return format_html(
        '<span class="pill t-{}">{}{}</span>',
        tone or look.tone,
        svg.shape(look.shape),
        f"{text} · {detail}" if detail else text,
    )


@register.simple_tag
def score_badge(score: float | None, band: str | None = None) -> SafeString:
    """The score with the word of its band; None says that there is no score yet."""
    look = get_status(band or get_band(score))
    return format_html(
        '<span class="score t-{}"><b>{}</b><span>{}{}</span></span>',
        look.tone,
        formats.number(score),
        svg.shape(look.shape),
        look.label,
    )


@register.simple_tag
def delta(
    value: float | None, unit: str = "", good: str = "up", decimals: int = 0
) -> SafeString:
    """A change with arrow and sign; `good` is `up` or `down`, anything else neutral."""
    if value is None:
        return format_html('<span class="delta t-neutral">{}</span>', formats.DASH)
    direction = "up" if value > 0 else "down" if value < 0 else "flat"
    is_plain = direction == "flat" or good not in ("up", "down")
    look = "neutral" if is_plain else "ok" if direction == good else "danger"
    sign = "+" if value > 0 else ""
    return format_html(
        '<span class="delta t-{}">{}{}{}{}</span>',
        look,
        draw_icon(direction, 13),
        sign,
        formats.number(value, decimals),
        unit,
    )


@register.simple_tag
def sparkline(
    values: Sequence[float | None],
    label: str = "",
    *,
    tone: Tone = "info",
    width: int = 96,
    height: int = 28,
) -> SafeString:
    """A line, oldest first; give `label` unless the figure stands beside it."""
    return svg.sparkline(
        list(values), label=label, tone=tone, width=width, height=height
    )


@register.simple_tag
def strip(bars: Iterable[Mapping[str, object]], label: str = "") -> SafeString:
    """Bars of the last runs: `{"value", "tone" or "status", "title"}`, oldest first."""
    rows = [
        {**bar, "tone": bar.get("tone") or get_status(str(bar.get("status"))).tone}
        for bar in bars
    ]
    return svg.strip(rows, label=label)


@register.simple_tag
def stacked_bar(parts: Iterable[tuple[str, float, str]], label: str) -> SafeString:
    """One bar split by share; parts: (status word, amount, title)."""
    return svg.stacked_bar(
        [(get_status(word).tone, amount, title) for word, amount, title in parts],
        label=label,
    )


@register.simple_tag
def gauge(score: float | None, band: str | None = None) -> SafeString:
    """A ring for a score 0-100, named for readers."""
    look = get_status(band or get_band(score))
    said = "no score yet" if score is None else f"{round(score)} of 100"
    return svg.gauge(score, tone=look.tone, label=f"Health {said}, {look.label}")


@register.simple_tag
def time_ago(
    moment: datetime | date | None, stale_after_s: float | None = None
) -> SafeString:
    """`2 min ago` as <time>, UTC in the title; warning colour past `stale_after_s`.

    The text keeps itself current in the browser. None reads "never".
    """
    if not moment:
        return format_html('<span class="muted">{}</span>', "never")
    if not isinstance(moment, datetime):
        return format_html('<time datetime="{0}">{0}</time>', moment.isoformat())
    now = datetime.now(UTC)
    limit = timedelta(seconds=stale_after_s) if stale_after_s else None
    return format_html(
        '<time class="age{}" datetime="{}" title="{}" data-ago="{}">{}</time>',
        " stale" if limit and now - moment > limit else "",
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        formats.utc(moment),
        stale_after_s or "",
        formats.ago(moment, now),
    )


@register.simple_tag
def time_utc(moment: datetime | date | None) -> SafeString:
    """The full UTC time as <time>; None is a dash."""
    if not moment:
        return format_html('<span class="muted">{}</span>', formats.DASH)
    machine = (
        moment.astimezone(UTC).isoformat(timespec="seconds")
        if isinstance(moment, datetime)
        else moment.isoformat()
    )
    return format_html(
        '<time class="nowrap" datetime="{}">{}</time>', machine, formats.utc(moment)
    )


@register.simple_tag(takes_context=True)
def qs(context: Context, **changes: object) -> str:
    """The current query with `changes`; None removes a key, cursors always go.

    Give a cursor back explicitly: `{% qs after=page.next %}`.
    """
    request = context.get("request")
    query = request.GET.copy() if request else QueryDict(mutable=True)
    for name in CURSOR_PARAMS:
        query.pop(name, None)
    for name, value in changes.items():
        if value is None or value == "":
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.inclusion_tag("components/sort_th.html", takes_context=True)
def sort_th(
    context: Context, key: str, label: str, css: str = "", param: str = "order"
) -> dict[str, Any]:
    """A sortable column head: `?order=key` or `?order=-key`, with aria-sort."""
    request = context.get("request")
    current = request.GET.get(param, "") if request else ""
    current = current or str(context.get("default_order", ""))
    state = {key: "ascending", f"-{key}": "descending"}.get(current, "none")
    target = f"-{key}" if current == key else key
    return {
        "url": qs(context, **{param: target}),
        "label": label,
        "css": css,
        "state": state,
    }


@register.inclusion_tag("components/tile.html")
def tile(
    label: str,
    value: object,
    hint: str = "",
    *,
    url: str = "",
    tone: Tone | None = None,
    values: Sequence[float | None] | None = None,
) -> dict[str, Any]:
    """One figure with its name, a hint (target, split) and an optional sparkline."""
    return {
        "label": label,
        "value": formats.DASH if value is None else value,
        "hint": hint,
        "url": url,
        "tone": tone,
        "values": values,
    }


@register.inclusion_tag("components/banner.html")
def banner(
    kind: str,
    title: str,
    text: str = "",
    *,
    action: str = "",
    url: str = "",
    post: str = "",
) -> dict[str, Any]:
    """kind: info, ok, warn or danger; one action: link `url`, or htmx `post`."""
    return {
        "kind": kind,
        "title": title,
        "text": text,
        "action": action,
        "url": url,
        "post": post,
    }


@register.inclusion_tag("components/state.html")
def empty_state(
    title: str,
    text: str = "",
    *,
    icon: str = "info",
    action: str = "",
    url: str = "",
    docs: str = "",
    tone: Tone | None = None,
) -> dict[str, Any]:
    """What this place is, one primary action, a link to the documentation."""
    return {
        "title": title,
        "text": text,
        "icon": icon,
        "action": action,
        "url": url,
        "docs": docs,
        "tone": tone,
    }


@register.inclusion_tag("components/progress.html")
def progress(
    value: float | None, total: float | None = 100, *, label: str, hint: str = ""
) -> dict[str, Any]:
    """A bar; value or total None means that the end is not known yet."""
    known = value is not None and bool(total)
    share = min(float(value or 0) / float(total or 1), 1.0) if known else None
    return {"value": value, "total": total, "share": share, "label": label,
            "hint": hint}  # fmt: skip


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, help_text: str = "") -> dict[str, Any]:
    """A form field with label, help and errors tied to it by aria-describedby."""
    described = []
    text = help_text or bound.help_text
    if text:
        described.append(f"{bound.auto_id}_help")
    if bound.errors:
        described.append(f"{bound.auto_id}_errors")
    attrs: dict[str, Any] = {}
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    widget = bound.as_widget(attrs=attrs)
    return {
        "field": bound,
        "widget": widget,
        "text": text,
        "is_check": isinstance(bound.field.widget, CheckboxInput),
    }


@register.inclusion_tag("components/secret_field.html")
def secret_field(
    bound: BoundField, set_at: datetime | None = None, last4: str = ""
) -> dict[str, Any]:
    """A write-only secret: shows when it was set and its last 4, never the value."""
    return {"field": bound, "set_at": set_at, "last4": last4}


@register.inclusion_tag("components/chart.html")
def chart(
    chart_id: str,
    title: str,
    data: Mapping[str, Any],
    *,
    summary: str = "",
    css: str = "",
) -> dict[str, Any]:
    """A time chart with caption, summary and "view as table".

    data: `{"x": [epoch seconds], "series": [{"label", "values"}], "unit": ""}`;
    values as long as x, None leaves a gap. `summary` is made from the first series
    when it is not given.
    """
    return {
        "chart_id": chart_id,
        # No script element: htmx drops those of what it swaps in.
        "data_json": json.dumps(data, cls=DjangoJSONEncoder),
        "title": title,
        "data": data,
        "series": data.get("series", []),
        "summary": summary or summarize(data),
        "css": css,
        **table_rows(data),
    }
