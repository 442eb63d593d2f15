"""What a person does with an integration that exists: test, pause, resume, choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization
from integrations import (
    catalog,
    connecting,
    connectors,
    notices,
    registry,
    runs,
    schedules,
)
from integrations.models import Integration, StreamState, SyncRun

Who = HttpRequest | str


def pause(integration: Integration, *, by: Who) -> None:
    """No runs until `resume`; the running one stops at its next page."""
    _set_status(integration, "paused", "integration.paused", by)
    active = runs.get_active(integration)
    if active is not None:
        runs.request_cancel(active)


def resume(integration: Integration, *, by: Who) -> None:
    """Let an integration run again, whatever had stopped it; one that is not set up
    yet stays inactive."""
    _set_status(integration, "active", "integration.resumed", by)
    registry.settle(integration, connectors.get(integration.provider_name))


def pause_many(organization: Organization, ids: list[str], *, by: Who) -> list[str]:
    """Pause those of `ids` that are not paused yet; returns their ids. Raises Http404,
    with nothing done, where one is not the organisation's."""
    with transaction.atomic():
        found = [i for i in _all_of(organization, ids) if i.status != "paused"]
        for integration in found:
            pause(integration, by=by)
    return [integration.public_id for integration in found]


def resume_many(organization: Organization, ids: list[str], *, by: Who) -> list[str]:
    """Resume those of `ids` that are paused; returns their ids. Raises Http404, with
    nothing done, where one is not the organisation's."""
    with transaction.atomic():
        found = [i for i in _all_of(organization, ids) if i.status == "paused"]
        for integration in found:
            resume(integration, by=by)
    return [integration.public_id for integration in found]


def _all_of(organization: Organization, ids: list[str]) -> list[Integration]:
    known = [each for each in set(ids) if "\0" not in each]
    found = list(
        Integration.objects.select_related("organization")
        .filter(organization=organization, public_id__in=known)
        .order_by("pk")
    )
    if len(found) != len(set(ids)):
        raise Http404("No such integration.")
    return found


def test(integration: Integration, *, by: Who) -> connecting.Checked:
    """Ask the provider who we are; a bad answer shows in the integration's status, and
    a good one ends an error."""
    checked = connecting.check(integration)
    rows = Integration.objects.filter(pk=integration.pk)
    if checked.ok:
        stopped = rows.filter(status__in=("error", "authentication_failed", "inactive"))
        with transaction.atomic():
            stopped.update(status="active", status_detail="")
            notices.over(integration, ["credential_failed"])
    elif checked.code == "authentication_failed":
        rows.exclude(status__in=("paused", "inactive")).update(
            status="authentication_failed", status_detail=checked.sentence
        )
    integration.refresh_from_db()
    schedules.keep(integration)
    audit.record(
        by,
        "integration.tested",
        organization=integration.organization,
        target_type="integration",
        target_id=integration.public_id,
        after={"ok": checked.ok, "code": checked.code},
    )
    return checked


def update_stream(state: StreamState, body: Mapping[str, Any], *, by: Who) -> None:
    """Choose a stream or not, its own clock, its cursor field, the record type it is
    stored as ("" = the connector's). Raises ConfigError, and AlreadyRunningError for
    another type during a sync."""
    fields = ("is_enabled", "sync_frequency", "incremental_field", "record_type")
    before = {name: getattr(state, name) for name in fields}
    if "enabled" in body:
        state.is_enabled = bool(body["enabled"])
    if "sync_frequency" in body:
        every_s = body["sync_frequency"]
        state.sync_frequency = (
            None if every_s is None else schedules.check_frequency(int(every_s))
        )
    if "incremental_field" in body:
        chosen = str(body["incremental_field"] or "")
        known = {column["name"] for column in state.columns}
        if chosen and known and chosen not in known:
            raise ConfigError(
                f"The stream has no field “{chosen}”.",
                code="unknown_field",
                fields={"incremental_field": "unknown"},
            )
        if chosen != state.incremental_field:
            # Another order of changes: the old position means nothing in it.
            state.cursor = None
        state.incremental_field = chosen
    with transaction.atomic():
        state.save(update_fields=[*fields, "cursor"])
        if "record_type" in body:
            _choose_type(state, str(body["record_type"] or ""))
        schedules.keep(state.integration)
        audit.record(
            by,
            "stream.updated",
            organization=state.integration.organization,
            target_type="stream",
            target_id=f"{state.integration.public_id}/{state.name}",
            before=before,
            after={name: getattr(state, name) for name in fields},
        )


def _choose_type(state: StreamState, record_type: str) -> None:
    """Write the choice into the integration's entity_mappings, and apply it."""
    legal = catalog.types_for(state)
    record_type = record_type or legal[0]
    if record_type not in legal:
        raise ConfigError(
            f"{state} cannot become “{record_type}”; it can become {', '.join(legal)}.",
            code="bad_entity_type",
            fields={"record_type": f"one of {', '.join(legal)}"},
        )
    integration = Integration.objects.select_for_update().get(pk=state.integration_id)
    kept = {
        one: other
        for one, other in integration.entity_mappings.items()
        if state.name.lower() not in (one.lower(), other.lower())
    }
    if record_type != legal[0]:
        kept[state.name] = record_type
    integration.entity_mappings = kept
    integration.save(update_fields=["entity_mappings"])
    catalog.apply_types(integration)
    state.integration.entity_mappings = kept
    state.refresh_from_db(fields=["record_type", "cursor", "mapping_version"])


def _set_status(integration: Integration, status: str, action: str, by: Who) -> None:
    before = integration.status
    with transaction.atomic():
        integration.status, integration.status_detail = status, ""
        integration.resumes_at = None
        integration.save(update_fields=["status", "status_detail", "resumes_at"])
        schedules.keep(integration)
        audit.record(
            by,
            action,
            organization=integration.organization,
            target_type="integration",
            target_id=integration.public_id,
            before={"status": before},
            after={"status": status},
        )


def confirm_deletes(state: StreamState, *, by: Who) -> SyncRun:
    """Let the deletes happen that the brake stopped, by a run of this stream alone.

    Raises ConfigError when nothing is waiting, AlreadyRunningError during a sync.
    """
    if not state.brake:
        raise ConfigError("No deletes are waiting here.", code="no_brake")
    actor = by if isinstance(by, str) else audit.actor_of(by)
    stopped = SyncRun.objects.filter(pk=state.brake["run_id"]).first()
    with transaction.atomic():
        state.brake = {**state.brake, "confirmed_by": actor}
        state.save(update_fields=["brake"])
        run = runs.start(
            state.integration,
            trigger="confirm",
            by=actor,
            mode=stopped.mode if stopped else "incremental",
            streams=[state.name],
        )
        audit.record(
            by,
            "stream.deletes_confirmed",
            organization=state.integration.organization,
            target_type="stream",
            target_id=f"{state.integration.public_id}/{state.name}",
            after={"would_delete": state.brake["would_delete"]},
        )
    return run


def keep_records(state: StreamState, *, by: Who) -> None:
    """Forget the deletes the brake stopped; the next look that finds them asks again.

    Raises ConfigError when nothing is waiting.
    """
    if not state.brake:
        raise ConfigError("No deletes are waiting here.", code="no_brake")
    stopped = state.brake["would_delete"]
    with transaction.atomic():
        state.brake, state.status = None, "active"
        state.last_error = state.last_error_code = ""
        state.save(update_fields=["brake", "status", "last_error", "last_error_code"])
        states = StreamState.objects.filter(integration=state.integration)
        if not states.filter(status="brake").exists():
            notices.over(state.integration, ["delete_brake"])
        if not states.filter(status__in=("brake", "error")).exists():
            rows = Integration.objects.filter(pk=state.integration_id)
            rows.exclude(status="rate_limited").update(status_detail="")
        _record(by, state, "stream.records_kept", {"would_delete": stopped})


def forget_drift(state: StreamState, *, by: Who) -> None:
    """Mark the notes on changed fields as read."""
    with transaction.atomic():
        noted, state.drift = len(state.drift), []
        state.save(update_fields=["drift"])
        _record(by, state, "stream.drift_read", {"notes": noted})


def reset_cursor(state: StreamState, *, by: Who) -> None:
    """Forget where a stream stands: its next sync reads everything again. Raises
    AlreadyRunningError during a sync."""
    active = runs.get_active(state.integration)
    if active is not None:
        raise runs.AlreadyRunningError(active)
    with transaction.atomic():
        state.cursor = None
        state.save(update_fields=["cursor"])
        _record(by, state, "stream.cursor_reset", {})


def _record(by: Who, state: StreamState, action: str, after: dict[str, Any]) -> None:
    audit.record(
        by,
        action,
        organization=state.integration.organization,
        target_type="stream",
        target_id=f"{state.integration.public_id}/{state.name}",
        after=after,
    )
