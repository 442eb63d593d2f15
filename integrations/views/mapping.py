"""The Mapping tab: source fields to unified fields, tried on real records, versioned.

Rules of the form, n from 0: target-n, source-n (several separated by commas),
transform-n, params-n (JSON object), default-n, required-n. Rows without a target are
left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods, require_POST

from churnguard.auth import has_role, org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import mappings, queries, registry
from integrations.mapping import TRANSFORMS
from integrations.models import Integration, StreamState
from integrations.views.detail import frame
from integrations.views.forms import SharedFieldsForm
from integrations.views.pairs import pair_lines
from integrations.views.shared import go, refuse

BLANK_ROWS = 2
MOST_ROWS = 200


@require_http_methods(["GET", "HEAD", "POST"])
@org_view
def mapping(request: PageRequest, integration_id: str) -> HttpResponse:
    """`do=preview` and `do=dry` try the rules of the form, `do=save` keeps them;
    `do=shared` keeps the fields of every kind of data."""
    found = queries.get_integration(request.organization, integration_id)
    context = frame(request, found, "mapping")
    streams = list(
        StreamState.objects.select_related("integration__organization")
        .filter(integration=found, is_gone=False)
        .order_by("-is_enabled", "position", "pk")
    )
    wanted = request.GET.get("stream", "")
    state = next((s for s in streams if s.name == wanted), None) or next(
        iter(streams), None
    )
    context |= {"streams": streams, "state": state}
    do = request.POST.get("do", "")
    shared = SharedFieldsForm(
        request.POST if do == "shared" else None,
        initial={"field_mappings": pair_lines(found.field_mappings)},
    )
    context |= {"shared": shared, "can_share": has_role(request, "admin")}
    if do == "shared" and _keep_shared(request, found, shared):
        return go(request, "integration-mapping", found.public_id)
    if state is None:
        return render(
            request, "integrations/mapping.html", context, status=_status(shared.errors)
        )
    shown = mappings.describe(state)
    rules, custom, problem = shown["spec"]["rules"], shown["spec"].get("custom"), ""
    faults: dict[int, dict[str, str]] = {}
    if request.method == "POST" and do != "shared":
        try:
            rules, custom = _rules(request.POST), _words(request.POST.get("custom", ""))
            spec = {"rules": rules, "custom": custom}
            if do == "save":
                if not has_role(request, "analyst"):
                    raise PermissionDenied("Saving a mapping needs the role analyst.")
                return _save(request, state, spec)
            mappings.check(state, spec)
            if do == "dry":
                context["result"] = mappings.dry_run(state, spec)
            else:
                context["preview"] = _shown(mappings.preview(state, spec))
        except ChurnGuardError as exc:
            faults = _faults(getattr(exc, "fields", {}))
            problem = _said(faults) or exc.message
    context |= {
        **shown,
        "rows": [
            {**_row(rule), "faults": faults.get(number)}
            for number, rule in enumerate([*rules, *[{}] * BLANK_ROWS])
        ],
        "custom": ", ".join(custom or []),
        "problem": problem,
        "kinds": [(name, kind.summary) for name, kind in TRANSFORMS.items()],
        "transforms_help": [
            (name, kind.summary, ", ".join(f"{k}: {v}" for k, v in kind.params.items()))
            for name, kind in TRANSFORMS.items()
        ],
        "versions": mappings.list_versions(state),
        "can_edit": has_role(request, "analyst"),
    }
    status = _status(problem or shared.errors)
    return render(request, "integrations/mapping.html", context, status=status)


@require_POST
@org_view(role="analyst")
def roll_back(request: PageRequest, integration_id: str) -> HttpResponse:
    """Make an old version the newest."""
    found = queries.get_integration(request.organization, integration_id)
    state = get_object_or_404(
        StreamState.objects.select_related("integration__organization"),
        integration=found,
        name=request.POST.get("stream", "").replace("\x00", ""),
    )
    version = request.POST.get("version", "")
    try:
        made = mappings.roll_back(
            state, int(version) if version.isdigit() else 0, by=request
        )
        messages.success(request, f"Version {made.version} is in use.")
    except ChurnGuardError as exc:
        refuse(request, exc)
    return _back(request, state)


def _save(
    request: PageRequest, state: StreamState, spec: dict[str, Any]
) -> HttpResponse:
    made = mappings.save(
        state,
        spec,
        note=request.POST.get("note", "").replace("\x00", "").strip(),
        by=request,
    )
    messages.success(
        request,
        f"Version {made.version} is in use from the next page on. A full sync applies "
        "it to what is stored already.",
    )
    return _back(request, state)


def _keep_shared(
    request: PageRequest, integration: Integration, form: SharedFieldsForm
) -> bool:
    """Whether the integration's field_mappings were saved; else the form says why."""
    if not has_role(request, "admin"):
        raise PermissionDenied("Changing these fields needs the role admin.")
    if not form.is_valid():
        return False
    try:
        registry.update(integration, {"sync_config": form.cleaned_data}, by=request)
    except ConfigError as exc:
        form.add_error("field_mappings", exc.message)
        return False
    messages.success(
        request,
        "The fields of every kind of data were saved; they hold from the next page on.",
    )
    return True


def _status(problem: object) -> int:
    return 422 if problem else 200


def _back(request: PageRequest, state: StreamState) -> HttpResponse:
    query = QueryDict(mutable=True)
    query["stream"] = state.name
    return go(
        request,
        "integration-mapping",
        state.integration.public_id,
        anchor=f"?{query.urlencode()}",
    )


def _rules(data: QueryDict) -> list[dict[str, Any]]:
    """The rules of the form. Raises ConfigError for JSON that is none."""
    rules = []
    for n in range(MOST_ROWS):
        if f"target-{n}" not in data:
            break
        target = data.get(f"target-{n}", "").strip()
        if not target:
            continue
        rule: dict[str, Any] = {"target": target}
        sources = _words(data.get(f"source-{n}", ""))
        if len(sources) == 1:
            rule["source"] = sources[0]
        elif sources:
            rule["sources"] = sources
        kind = data.get(f"transform-{n}", "rename")
        params = _json(data.get(f"params-{n}", ""), target)
        chain = _chain(data.get(f"chain-{n}", ""))
        if isinstance(chain, list) and kind == "chain":
            rule["transform"] = chain
        elif kind != "rename" or params:
            rule["transform"] = {"kind": kind, **params}
        default = data.get(f"default-{n}", "").strip()
        if default:
            rule["default"] = default
        if data.get(f"required-{n}"):
            rule["required"] = True
        rules.append(rule)
    return rules


def _chain(text: str) -> Any:
    """What the form gave itself for several transforms in a row; None for no JSON."""
    try:
        return json.loads(text or "null")
    except json.JSONDecodeError:
        return None


def _json(text: str, target: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigError(
            f"The details of “{target}” are no JSON object: {exc.msg}. Write them like "
            '{"value": "eu"}.',
            code="invalid_mapping",
        ) from exc
    if not isinstance(value, dict):
        raise ConfigError(
            f"The details of “{target}” must be a JSON object.", code="invalid_mapping"
        )
    return value


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _row(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as the form shows it; several transforms in a row stay as they are."""
    transform = rule.get("transform") or {"kind": "rename"}
    is_chain = isinstance(transform, list)
    head = {"kind": "chain"} if is_chain else transform
    if isinstance(head, str):
        head = {"kind": head}
    params = {k: v for k, v in head.items() if k != "kind"}
    return {
        "target": rule.get("target", ""),
        "source": ", ".join(rule.get("sources") or [rule.get("source") or ""]),
        "kind": head.get("kind", "rename"),
        "params": json.dumps(params, ensure_ascii=False) if params else "",
        "default": rule.get("default", ""),
        "required": rule.get("required", False),
        "chain": json.dumps(transform, ensure_ascii=False) if is_chain else "",
    }


def _faults(fields: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """{rule from 0: {source, transform, target or default: sentence}} of an error of
    `mappings.check`."""
    faults: dict[int, dict[str, str]] = {}
    for place, sentence in fields.items():
        head, _, rest = place.partition(".")
        number, _, part = rest.partition(".")
        if head == "rules" and number.isdecimal():
            part = "source" if part == "sources" else part.partition(".")[0]
            faults.setdefault(int(number), {})[part] = sentence
    return faults


def _said(faults: Mapping[int, object]) -> str:
    """ "Rules 1 and 3 cannot be used."; "" where no rule is at fault."""
    numbers = [str(number + 1) for number in sorted(faults)]
    if len(numbers) < 2:
        return f"Rule {numbers[0]} cannot be used." if numbers else ""
    return f"Rules {', '.join(numbers[:-1])} and {numbers[-1]} cannot be used."


def _shown(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What changed in each record of a preview: {external_id, error, changes}."""
    rows = []
    for record in records:
        before, after = _flat(record["before"]), _flat(record["after"] or {})
        names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        rows.append(
            {
                "external_id": before.get("external_id", ""),
                "error": record["error"],
                "changes": [
                    (name, before.get(name), after.get(name)) for name in sorted(names)
                ]
                if record["after"] is not None
                else [],
            }
        )
    return rows


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose custom fields are named one by one: custom.region."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat
