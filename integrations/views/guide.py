"""The guide of a connector: its page of documentation, readable where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from churnguard.auth import org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from integrations import connectors


@require_safe
@org_view
def guide(request: PageRequest, provider: str) -> HttpResponse:
    """What the connector reads, how to connect it, and its limits."""
    try:
        cls = connectors.get(provider)
    except ConfigError as exc:
        raise Http404("No such provider.") from exc
    home = reverse("integrations")
    add = reverse("integration-connect-new", args=[provider])
    return render(
        request,
        "integrations/guide.html",
        {
            "label": cls.label,
            "summary": cls.summary,
            "connect_url": add,
            "text": _page(settings.BASE_DIR / cls.docs),
            "breadcrumbs": [
                {"label": "Integrations", "url": home},
                {"label": cls.label, "url": add},
            ],
        },
    )


@cache
def _page(path: Path) -> SafeString:
    """The file as HTML without its title. The files are ours; HTML in them is shown as
    text all the same."""
    text = path.read_text(encoding="utf-8").partition("\n")[2]
    made = _renderer()
    tokens = made.parse(text)
    _label_cells(tokens)
    # What CommonMark makes of our own files, with HTML off.
    return mark_safe(made.renderer.render(tokens, made.options, {}))  # noqa: S308


def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("table_open", _table_open)
    made.add_render_rule("table_close", _table_close)
    made.add_render_rule("fence", _fence)
    made.add_render_rule("link_open", _link_open)
    return made


def _label_cells(tokens: Sequence[Token]) -> None:
    """Name each cell after its column, for the cards that rows are on a phone."""
    heads: list[str] = []
    column = 0
    for token, following in pairwise(tokens):
        if token.type == "table_open":
            heads = []
        elif token.type == "th_open":
            heads.append(following.content.capitalize())
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("class", "wide")
            if column:
                token.attrSet("data-label", heads[column])
            column += 1


def _table_open(*_: Any) -> str:
    return '<div class="table-wrap" tabindex="0"><table class="data cards">'


def _table_close(*_: Any) -> str:
    return "</table></div>"


def _fence(_renderer: Any, tokens: Any, index: int, *_: Any) -> str:
    return format_html(
        '<div class="code"><pre tabindex="0">{}</pre></div>', tokens[index].content
    )


def _link_open(_renderer: Any, tokens: Any, index: int, *_: Any) -> str:
    """Links between the guides lead to each other's pages."""
    address = str(tokens[index].attrGet("href"))
    name = address.partition(".md")[0]
    if address.startswith(f"{name}.md") and name in connectors.REGISTRY:
        address = reverse("integration-guide", args=[name])
    return f'<a href="{escape(address)}">'
