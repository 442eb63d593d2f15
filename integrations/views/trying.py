"""The part of a connection form that tries it out: the live preview of a REST API."""

from __future__ import annotations

from typing import Any

from django import forms

from churnguard.middleware import PageRequest
from integrations import previews
from integrations.models import Integration
from integrations.views.forms import ConnectForm, pretty

_ROWS = 5
_MOST_CHARS = 4000


def preview_of(
    request: PageRequest, form: ConnectForm, integration: Integration | None = None
) -> dict[str, Any]:
    """`previews.preview` of what the form holds (over what is stored), with texts for
    the page; faults are placed at the fields they name."""
    stream = request.POST.get("preview-stream", "").replace("\x00", "").strip()
    if integration is None:
        seen = previews.preview(
            request.organization,
            form.settings(),
            form.secrets(),
            stream=stream,
            limit=_ROWS,
        )
    else:
        seen = previews.preview_saved(
            integration,
            settings=form.settings(),
            secrets=form.secrets(),
            stream=stream,
            limit=_ROWS,
        )
    for row in seen["rows"]:
        row["text"] = _short(row["raw"])
        row["pairs"] = [
            (name, value)
            for name, value in (row["record"] or {}).items()
            if value not in ("", False, {}, [])
        ]
    for sent in seen["requests"]:
        sent["body_text"] = "" if sent["body"] is None else _short(sent["body"])
    if not seen["ok"]:
        form.place(seen["detail"], seen["problems"])
    return seen


def faults_of(form: forms.Form) -> list[str]:
    """What keeps the form from being tried: "Host: This field is required."."""
    if not form.is_bound:
        return []
    return [
        f"{form[name].label if name in form.fields else ''}: {error}".removeprefix(": ")
        for name, errors in form.errors.items()
        for error in errors
    ]


def _short(value: Any) -> str:
    text = pretty(value)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}\n…"
