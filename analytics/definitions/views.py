"""The pages of the health definition. Every number comes from the API's functions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from analytics import queries
from analytics.definition import completed
from analytics.definitions import body, checks, form, show, store
from analytics.definitions.models import DefinitionCheck
from analytics.definitions.validation import check_spec, differences
from churnguard import audit
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest

_PAGES = {
    "edit": "health-definition",
    "preview": "health-preview",
    "backtest": "health-backtest",
    "versions": "health-versions",
}


@require_safe
@org_view
def edit(request: PageRequest) -> HttpResponse:
    """The definition as a form: the draft, else what is in use."""
    return _editor(request, *_standing(request))


@require_POST
@org_view(role="analyst")
def draft(request: PageRequest) -> HttpResponse:
    """Keep the posted form as the draft and lead to its preview."""
    standing, problem = _standing(request)
    if problem is not None:
        return _editor(request, standing, problem)
    given = form.read_form(request.POST)
    try:
        spec = check_spec(given)
    except ConfigError as exc:
        shown = form.show_form(given, exc.fields)
        return _page(request, "edit", standing, {"form": shown}, exc)
    segment = standing.segment
    if spec == completed(standing.active.spec) and standing.is_own:
        store.discard_draft(request, request.organization, segment)
        messages.info(request, "This is what is in use already: no draft is kept.")
        return _to("health-definition", segment)
    store.put_draft(request, request.organization, segment=segment, spec=spec)
    _request(request, "preview", segment, spec)
    return _to("health-preview", segment)


@require_POST
@org_view(role="analyst")
def discard(request: PageRequest) -> HttpResponse:
    """Forget the draft."""
    standing, problem = _standing(request)
    if problem is not None:
        return _editor(request, standing, problem)
    if store.discard_draft(request, request.organization, standing.segment):
        messages.success(request, "The draft was discarded; nothing else changed.")
    return _to("health-definition", standing.segment)


@require_safe
@org_view
def preview(request: PageRequest) -> HttpResponse:
    """What the draft would do to every account."""
    standing, problem = _standing(request)
    found = _newest(request, "preview", standing) if standing.draft else None
    return _page(
        request,
        "preview",
        standing,
        {
            "check": found,
            "changes": _changes(standing.active.spec, standing.shown_spec),
            "bars": show.distribution(found.result) if found else [],
            "moves": show.moves(found.result) if found else [],
            "next_version": standing.active.version + 1 if standing.is_own else 1,
        },
        problem,
    )


@require_POST
@org_view(role="admin")
def save(request: PageRequest) -> HttpResponse:
    """Make the draft a version and use it."""
    standing, problem = _standing(request)
    if problem is None and standing.draft is None:
        problem = ConfigError("There is no draft to save.", code="no_draft")
    if problem is not None or standing.draft is None:
        return _editor(request, standing, problem or _no_draft())
    based_on = request.POST.get("based_on", "")
    try:
        version, made = store.save(
            request,
            request.organization,
            segment=standing.segment,
            spec=standing.shown_spec,
            note=request.POST.get("note", ""),
            based_on=int(based_on[:9])
            if based_on.isascii() and based_on.isdigit()
            else None,
        )
    except ConfigError as exc:
        return _editor(request, standing, exc)
    messages.success(
        request,
        f"Version {version.version} is in use. Scores follow within minutes."
        if made
        else "The draft says what is in use already: no version was made.",
    )
    return _to("health-versions", standing.segment)


@require_POST
@org_view(role="admin")
def drop(request: PageRequest) -> HttpResponse:
    """Let a segment follow the organisation's definition again."""
    standing, problem = _standing(request)
    try:
        if problem is not None:
            raise problem
        store.drop_segment(request, request.organization, standing.segment)
    except ConfigError as exc:
        return _editor(request, standing, exc)
    messages.success(
        request,
        f"“{standing.segment}” follows the organisation's definition again.",
    )
    return _to("health-definition", standing.segment)


@require_safe
@org_view
def backtest(request: PageRequest) -> HttpResponse:
    """How well the definition told who left, and what weights the past suggests."""
    standing, problem = _standing(request)
    found = _newest(request, "backtest", standing)
    suggestion = checks.newest(
        request.organization, "suggestion", standing.segment, None
    )
    return _page(
        request,
        "backtest",
        standing,
        {
            "check": found,
            "columns": show.columns(found.result) if found else [],
            "suggestion": suggestion,
            "weights": show.weights(suggestion.result) if suggestion else [],
        },
        problem,
    )


@require_POST
@org_view(role="analyst")
def check(request: PageRequest) -> HttpResponse:
    """Ask for a preview, back-test or suggestion, again if there is one."""
    standing, problem = _standing(request)
    kind = request.POST.get("kind", "")
    if problem is None and kind not in dict(DefinitionCheck.KINDS):
        problem = ConfigError("There is no such check.", code="invalid")
    if problem is None and kind == "preview" and standing.draft is None:
        problem = _no_draft()
    if problem is not None:
        return _editor(request, standing, problem)
    spec = None
    if kind != "suggestion" and standing.draft is not None:
        spec = completed(standing.draft.spec)
    _request(request, kind, standing.segment, spec)
    page = "health-preview" if kind == "preview" else "health-backtest"
    return _to(page, standing.segment)


@require_POST
@org_view(role="analyst")
def accept(request: PageRequest) -> HttpResponse:
    """Take the suggested weights into a draft and lead to its preview."""
    standing, problem = _standing(request)
    try:
        if problem is not None:
            raise problem
        made = checks.accept(request, request.organization, standing.segment)
    except ConfigError as exc:
        return _editor(request, standing, exc)
    _request(request, "preview", standing.segment, completed(made.spec))
    messages.success(
        request, "The weights are a draft now. Nothing is used before it is saved."
    )
    return _to("health-preview", standing.segment)


@require_safe
@org_view
def versions(request: PageRequest) -> HttpResponse:
    """Every version with what it changed."""
    standing, problem = _standing(request)
    try:
        rows, after = body.list_versions(
            request.organization,
            standing.segment,
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit"), default=20),
        )
    except ConfigError as exc:
        problem = exc
        rows, after = body.list_versions(
            request.organization, standing.segment, cursor=None, limit=20
        )
    for row in rows:
        row["changes"] = [_change(**change) for change in row["changes"]]
    return _page(request, "versions", standing, {"rows": rows, "after": after}, problem)


@require_POST
@org_view(role="admin")
def restore(request: PageRequest) -> HttpResponse:
    """Use the content of an old version again."""
    standing, problem = _standing(request)
    try:
        if problem is not None:
            raise problem
        version, made = store.restore(
            request,
            request.organization,
            segment=standing.segment,
            number=request.POST.get("version", ""),
        )
    except ConfigError as exc:
        return _editor(request, standing, exc)
    messages.success(
        request,
        f"Version {version.version} is in use. Scores follow within minutes."
        if made
        else "That is what is in use already: no version was made.",
    )
    return _to("health-versions", standing.segment)


def _editor(
    request: PageRequest, standing: store.Standing, problem: ConfigError | None
) -> HttpResponse:
    """The form of the draft or of what is in use, with what was wrong."""
    shown = form.show_form(standing.shown_spec, {})
    return _page(request, "edit", standing, {"form": shown}, problem)


def _standing(request: PageRequest) -> tuple[store.Standing, ConfigError | None]:
    """What the page is about; for a wrong segment the organisation's, and why."""
    given = (request.POST if request.method == "POST" else request.GET).get("segment")
    try:
        segment = store.read_segment(request.organization, given)
    except ConfigError as exc:
        return store.get_standing(request.organization), exc
    return store.get_standing(request.organization, segment), None


def _newest(
    request: PageRequest, kind: str, standing: store.Standing
) -> DefinitionCheck | None:
    spec = completed(standing.draft.spec) if standing.draft else None
    return checks.newest(request.organization, kind, standing.segment, spec)


def _request(
    request: PageRequest, kind: str, segment: str, spec: dict[str, Any] | None
) -> None:
    checks.request(
        request.organization, kind, segment, spec, audit.actor_of(request), again=True
    )


def _no_draft() -> ConfigError:
    return ConfigError("There is no draft; change something first.", code="no_draft")


def _to(name: str, segment: str) -> HttpResponse:
    query = f"?{urlencode({'segment': segment})}" if segment else ""
    return redirect(reverse(name) + query)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, str]]:
    return [_change(*one) for one in differences(before, after)]


def _change(path: str, before: Any, after: Any) -> dict[str, str]:
    return {
        "label": form.label_of(path),
        "before": form.words_of(before),
        "after": form.words_of(after),
    }


def _page(
    request: PageRequest,
    tab: str,
    standing: store.Standing,
    more: dict[str, Any],
    problem: ConfigError | None,
) -> HttpResponse:
    organization = request.organization
    segment = standing.segment
    own = body.own_segments(organization)
    query = f"?{urlencode({'segment': segment})}" if segment else ""
    page_url = reverse(_PAGES[tab])
    return render(
        request,
        f"analytics/definition_{tab}.html",
        {
            "tab": tab,
            "standing": standing,
            "segment": segment,
            "segment_query": query,
            "page_url": page_url,
            "here": page_url + query,
            "segments": sorted({*queries.choices(organization, "segment"), *own}),
            "own_segments": own,
            "problem": problem,
            "can_draft": has_role(request, "analyst"),
            "can_save": has_role(request, "admin"),
            "api_path": reverse("api-health-definition"),
            **more,
        },
        status=400 if problem else 200,
    )
