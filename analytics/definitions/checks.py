"""Previews, back-tests and suggestions as claimed work, since they read everything.

See `analytics.claiming`; small organisations get their preview at once.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest
from django.utils import timezone

from analytics import claiming
from analytics.churn.threads import limited_threads
from analytics.definition import completed
from analytics.definitions import backtest, looks, preview, store, weights
from analytics.definitions.models import DefinitionCheck, DefinitionDraft
from analytics.definitions.past import LEFT_OUT
from analytics.definitions.validation import digest
from analytics.predict import labels, snapshots
from analytics.predict.models import ModelVersion
from analytics.scoring import active_definition, active_definitions
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization

log = logging.getLogger(__name__)

LOCK = 7_306_021_902
AT_ONCE = 5_000
"""A preview of so many customers takes about a second: it is made while one waits."""
KEPT_FOR = timedelta(days=30)
FRESH_FOR = timedelta(hours=12)
"""A result of the same question is shown for so long instead of computed again."""


def request(
    organization: Organization,
    kind: str,
    segment: str,
    spec: dict[str, Any] | None,
    by: str,
    *,
    again: bool = False,
) -> DefinitionCheck:
    """The check that answers this question: an open one, a fresh result (unless asked
    `again`), or a new one, which for a small preview is done on return."""
    active = active_definition(organization.pk, segment)
    key = digest(active.pk, spec)
    same = DefinitionCheck.objects.filter(
        organization=organization, kind=kind, segment=segment, digest=key
    ).order_by("-pk")
    for _ in range(2):
        found = same.filter(state__in=DefinitionCheck.OPEN).first()
        if found is None and not again:
            found = same.filter(
                state__in=("succeeded", "refused"),
                finished_at__gt=timezone.now() - FRESH_FOR,
            ).first()
        if found is not None:
            return found
        try:
            with transaction.atomic():
                made = DefinitionCheck.objects.create(
                    organization=organization,
                    kind=kind,
                    segment=segment,
                    spec=spec,
                    digest=key,
                    requested_by=by,
                )
        except IntegrityError:
            continue
        if kind == "preview" and _is_small(organization):
            _finish(made, datetime.now(UTC))
        return made
    raise RuntimeError("A check could neither be found nor made.")


def newest(
    organization: Organization, kind: str, segment: str, spec: dict[str, Any] | None
) -> DefinitionCheck | None:
    """The newest check of this question, whatever its state."""
    active = active_definition(organization.pk, segment)
    return (
        DefinitionCheck.objects.filter(
            organization=organization,
            kind=kind,
            segment=segment,
            digest=digest(active.pk, spec),
        )
        .order_by("-pk")
        .first()
    )


def accept(
    http: HttpRequest, organization: Organization, segment: str
) -> DefinitionDraft:
    """Make a draft of the newest suggestion for what is in use.

    Raises ConfigError when there is none, or its weights did not prove better.
    """
    found = newest(organization, "suggestion", segment, None)
    if found is None or found.state != "succeeded" or found.result is None:
        raise ConfigError(
            found.message
            if found is not None and found.state == "refused"
            else "There is no finished suggestion for the definition in use.",
            code="no_suggestion",
        )
    if not found.result["is_better"]:
        raise ConfigError(found.result["verdict"], code="not_better")
    spec = store.get_standing(organization, segment).active.spec
    return store.put_draft(
        http,
        organization,
        segment=segment,
        spec={**completed(spec), "components": found.result["weights"]},
        origin="suggested weights",
    )


def work(now: datetime | None = None) -> int:
    """Loop: run one open check; forget old ones. Returns 1 if one was run."""
    at = now or datetime.now(UTC)
    if not DefinitionCheck.objects.filter(state__in=DefinitionCheck.OPEN).exists():
        return 0
    with claiming.alone(LOCK) as is_alone:
        if not is_alone:
            return 0
        DefinitionCheck.objects.filter(finished_at__lt=at - KEPT_FOR).delete()
        check = claiming.claim_oldest(
            DefinitionCheck, "The worker stopped three times while it computed this."
        )
        if check is not None and check.state == "running":
            with limited_threads():
                _finish(check, at)
        return int(check is not None)


def _finish(check: DefinitionCheck, now: datetime) -> None:
    """Compute and store the answer. A fault of ours is stored as failed and raised."""
    began = time.monotonic()
    with claiming.failing_loudly(
        check, "This could not be computed; the reason is in the log."
    ):
        try:
            check.result, check.message = _ANSWERS[check.kind](check, now)
            check.state = "succeeded"
        except backtest.NotEnoughOutcomesError as exc:
            check.state, check.message = "refused", exc.message
    check.finished_at = timezone.now()
    check.save()
    log.info(
        "definition.checked",
        extra={
            "kind": check.kind,
            "outcome": check.state,
            "duration_s": round(time.monotonic() - began, 3),
        },
    )


def _preview(check: DefinitionCheck, now: datetime) -> tuple[dict[str, Any], str]:
    if check.spec is None:
        raise ConfigError("A preview needs a draft.", code="no_draft")
    found = preview.preview(
        check.organization, check.segment, completed(check.spec), now
    )
    return found, ""


def _backtest(check: DefinitionCheck, now: datetime) -> tuple[dict[str, Any], str]:
    label, found = _load(check, now)
    counted = backtest.require_outcomes(found, label.horizon_days)
    active = active_definition(check.organization_id, check.segment)
    specs = {"active": completed(active.spec)}
    if check.spec is not None:
        specs["draft"] = completed(check.spec)
    champion = ModelVersion.objects.filter(
        organization=check.organization, state="champion"
    ).first()
    return {
        **_about(label, found),
        "looks": counted.looks,
        "leavers": counted.leavers,
        "stayers": counted.stayers,
        "version": active.version,
        **backtest.compare(found, specs),
        "model_auc": champion.metrics.get("auc") if champion else None,
    }, ""


def _suggestion(check: DefinitionCheck, now: datetime) -> tuple[dict[str, Any], str]:
    label, found = _load(check, now)
    backtest.require_outcomes(found, label.horizon_days)
    active = active_definition(check.organization_id, check.segment)
    made = weights.suggest(found, completed(active.spec), labels.maturing_days(label))
    return {**_about(label, found), "version": active.version, **made}, made["verdict"]


_ANSWERS = {"preview": _preview, "backtest": _backtest, "suggestion": _suggestion}


def _load(check: DefinitionCheck, now: datetime) -> tuple[Any, list[looks.Look]]:
    own = set(active_definitions(check.organization_id)) - {""}
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        label = labels.active_label(cur, check.organization_id)
        clock = snapshots.get_clock(cur, check.organization_id, now)
        return label, looks.load_looks(
            cur, check.organization_id, label, clock, check.segment, own
        )


def _about(label: Any, found: list[looks.Look]) -> dict[str, Any]:
    return {
        "label": {
            "kind": label.kind,
            "horizon_days": label.horizon_days,
            "grace_days": label.grace_days,
        },
        "first_cutoff": snapshots.cutoff_date(found[0].day).isoformat(),
        "last_cutoff": snapshots.cutoff_date(found[-1].day).isoformat(),
        "is_backfilled": any(look.is_backfilled for look in found),
        "left_out": LEFT_OUT,
    }


def _is_small(organization: Organization) -> bool:
    rows = Customer.objects.filter(organization=organization)
    return rows[: AT_ONCE + 1].count() <= AT_ONCE
