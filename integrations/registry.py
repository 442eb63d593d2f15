"""Making, changing and removing integrations: the verbs behind the API, the pages, the
commands and the Python facade.

Bodies are the specification's: IntegrationConfiguration with `credentials` and
`sync_config`. Secrets go to `credentials` and never come back from here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from churnguard import audit, metrics
from churnguard.errors import ConfigError
from churnguard.ids import new_id
from churnguard.models import Organization, Source
from integrations import (
    catalog,
    connectors,
    credentials,
    netguard,
    schedules,
    shaping,
)
from integrations.connectors.base import Connector
from integrations.counting import names_of
from integrations.mapping import compile_mapping, spec_from_field_mappings
from integrations.models import (
    Integration,
    IntegrationType,
    SyncMode,
    Upload,
)

_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
_TAKEN = {"new", "bulk", "oauth"}
"""Pages beside those of integrations."""
_SOURCE = re.compile(r"[^a-z0-9_.-]+")

_TOP = {
    "integration_name": "name",
    "integration_type": "integration_type",
    "base_url": "base_url",
    "api_version": "api_version",
    "webhook_url": "webhook_url",
    "entity_mappings": "entity_mappings",
    "tags": "tags",
}
_SYNC = (
    "sync_mode",
    "sync_frequency",
    "batch_size",
    "retry_attempts",
    "retry_backoff",
    "data_filters",
    "field_mappings",
    "incremental_field",
    "requests_per_minute",
    "concurrent_requests",
)
_MOVED = ("base_url", "api_version")
"""Fields of some connectors that every integration has a column for."""
_RANGES = {
    "batch_size": (1, 50_000),
    "retry_attempts": (0, 100),
    "retry_backoff": (0, 86_400),
    "requests_per_minute": (1, 1_000_000),
    "concurrent_requests": (1, 100),
}

_WITHOUT_USER = "without user and password; enter them in their own fields"

Who = HttpRequest | str


def create(
    organization: Organization,
    body: Mapping[str, Any],
    *,
    by: Who,
    trusted_root: Path | None = None,
) -> Integration:
    """A new integration from an IntegrationConfiguration body, active if it has what
    it needs, else inactive.

    trusted_root: a folder the operator's own code lets a file integration read. Raises
    ConfigError with the fields at fault.
    """
    body = _with_columns(body)
    provider = str(body.get("provider_name") or "")
    cls = connectors.get(provider)
    public_id = str(body.get("integration_id") or new_id("int"))
    if not _ID.match(public_id) or public_id in _TAKEN:
        raise ConfigError(
            "integration_id must be 1 to 64 letters, digits, “_”, “-” or “.”, and none "
            f"of {', '.join(sorted(_TAKEN))}.",
            code="invalid_id",
            fields={"integration_id": "not valid"},
        )
    actor = by if isinstance(by, str) else audit.actor_of(by)
    values = _columns(body, cls)
    values.setdefault("name", cls.label)
    values.setdefault("integration_type", cls.integration_type)
    values.setdefault("batch_size", django_settings.INTEGRATION_DEFAULT_BATCH_SIZE)
    values.setdefault(
        "retry_attempts", django_settings.INTEGRATION_DEFAULT_RETRY_ATTEMPTS
    )
    kind, given = credentials.flatten(body.get("credentials") or {})
    open_values, secrets = credentials.split(cls, given)
    named = credentials.implied(
        cls, body.get("credentials") or {}, body["settings"] | open_values
    )
    settings = _filled({**_settings(body, cls), **open_values, **named})
    if trusted_root is not None:
        settings["_trusted_root"] = str(trusted_root)
    try:
        with transaction.atomic():
            integration = Integration.objects.create(
                public_id=public_id,
                organization=organization,
                provider_name=provider,
                source=_source(organization, public_id, provider, values["name"]),
                settings=settings,
                created_by=actor,
                **values,
            )
            if secrets:
                credentials.save(integration, secrets, credential_type=kind, by=actor)
            _claim_uploads(integration, body.get("uploads"))
            settle(integration, cls)
            audit.record(
                by,
                "integration.created",
                organization=organization,
                target_type="integration",
                target_id=public_id,
                after=_audited(integration),
            )
    except IntegrityError as exc:
        raise ConfigError(
            f"There is an integration “{public_id}” already.",
            code="duplicate_id",
            fields={"integration_id": "taken"},
        ) from exc
    metrics.prepare_integration(**names_of(integration))
    return integration


def update(integration: Integration, body: Mapping[str, Any], *, by: Who) -> None:
    """Change what `body` names; everything else stays. Raises ConfigError."""
    body = _with_columns(body)
    cls = connectors.get(integration.provider_name)
    actor = by if isinstance(by, str) else audit.actor_of(by)
    before = _audited(integration)
    for name in ("provider_name", "integration_id", "organization_id"):
        current = {
            "provider_name": integration.provider_name,
            "integration_id": integration.public_id,
            "organization_id": integration.organization.public_id,
        }[name]
        if name in body and body[name] != current:
            raise ConfigError(
                f"{name} cannot be changed.",
                code="immutable",
                fields={name: "cannot be changed"},
            )
    values = _columns(body, cls)
    kind, given = credentials.flatten(body.get("credentials") or {})
    open_values, secrets = credentials.split(cls, given)
    with transaction.atomic():
        integration = Integration.objects.select_for_update().get(pk=integration.pk)
        for name, value in values.items():
            setattr(integration, name, value)
        integration.settings = _filled(
            {**integration.settings, **_settings(body, cls), **open_values}
        )
        integration.save()
        if "entity_mappings" in values:
            catalog.apply_types(integration)
        if integration.incremental_field != before["incremental_field"]:
            catalog.apply_incremental_field(integration)
        if secrets:
            credentials.save(
                integration,
                secrets,
                credential_type=kind if "credential_type" in given else "",
                by=actor,
            )
        _claim_uploads(integration, body.get("uploads"))
        if secrets and integration.status == "authentication_failed":
            integration.status, integration.status_detail = "active", ""
            integration.save(update_fields=["status", "status_detail"])
        settle(integration, cls)
        audit.record(
            by,
            "integration.updated",
            organization=integration.organization,
            target_type="integration",
            target_id=integration.public_id,
            before=before,
            after=_audited(integration),
        )
        if secrets:
            audit.record(
                by,
                "integration.credentials_set",
                organization=integration.organization,
                target_type="integration",
                target_id=integration.public_id,
                after={"names": sorted(secrets)},
            )


def delete(integration: Integration, *, by: Who) -> None:
    """Remove an integration with its secrets, schedules and run history. What it
    brought stays, under its source. A running sync stops at its next page."""
    with transaction.atomic():
        audit.record(
            by,
            "integration.deleted",
            organization=integration.organization,
            target_type="integration",
            target_id=integration.public_id,
            before=_audited(integration),
        )
        schedules.remove(integration)
        integration.delete()


def settle(integration: Integration, cls: type[Connector]) -> None:
    """Status by what is filled in, and the schedule that follows."""
    held = credentials.describe(integration)["fields"]
    settings = {**integration.settings}
    for name in ("base_url", "api_version"):
        if getattr(integration, name):
            settings[name] = getattr(integration, name)
    missing = catalog.missing_fields(cls, settings, set(held))
    if missing and integration.status in ("inactive", "active"):
        integration.status = "inactive"
        integration.status_detail = f"Still to be filled in: {', '.join(missing)}."
    elif not missing and integration.status == "inactive":
        integration.status, integration.status_detail = "active", ""
    integration.save(update_fields=["status", "status_detail"])
    schedules.keep(integration)


def _with_columns(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its settings that have a column of their own moved there."""
    settings = dict(body.get("settings") or {})
    moved = {name: settings.pop(name) or "" for name in _MOVED if name in settings}
    return {**moved, **body, "settings": settings}


def _filled(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _columns(body: Mapping[str, Any], cls: type[Connector]) -> dict[str, Any]:
    values = {ours: body[theirs] for theirs, ours in _TOP.items() if theirs in body}
    sync = body.get("sync_config") or {}
    values.update({name: sync[name] for name in _SYNC if name in sync})
    faults: dict[str, str] = {}
    if values.get("integration_type", cls.integration_type) not in IntegrationType:
        faults["integration_type"] = f"one of {', '.join(IntegrationType.values)}"
    if values.get("sync_mode", "full") not in SyncMode:
        faults["sync_mode"] = f"one of {', '.join(SyncMode.values)}"
    for name, (least, most) in _RANGES.items():
        if name in values and not _is_within(values[name], least, most):
            faults[name] = f"{least} to {most}"
    for theirs, ours in _TOP.items():
        longest = getattr(Integration._meta.get_field(ours), "max_length", None)
        if longest and len(str(values.get(ours) or "")) > longest:
            faults[theirs] = f"at most {longest} characters"
    for name in ("base_url", "webhook_url"):
        if netguard.names_user(str(values.get(name) or "")):
            faults[name] = _WITHOUT_USER
    if "name" in values and not str(values["name"]).strip():
        faults["integration_name"] = "must not be empty"
    if faults:
        raise ConfigError("Some fields are not valid.", code="invalid", fields=faults)
    if "sync_frequency" in values:
        schedules.check_frequency(int(values["sync_frequency"]))
    if "field_mappings" in values:
        compile_mapping(spec_from_field_mappings(values["field_mappings"], "customer"))
    if "entity_mappings" in values:
        catalog.check_types(values["entity_mappings"])
    if "data_filters" in values:
        shaping.check_filters(values["data_filters"])
    return values


def _is_within(value: Any, least: int, most: int) -> bool:
    try:
        return least <= int(value) <= most
    except (TypeError, ValueError):
        return False


def _settings(body: Mapping[str, Any], cls: type[Connector]) -> dict[str, Any]:
    known = {field.name for field in cls.fields}
    given = dict(body.get("settings") or {})
    if "host" in known and "host" not in given and body.get("base_url"):
        given |= _host_and_port(str(body["base_url"]))
    secret = {field.name for field in cls.fields if field.secret}
    faults = {name: "unknown" for name in given if name not in known}
    faults.update(
        {name: "send it under credentials" for name in given if name in secret}
    )
    if faults:
        raise ConfigError(
            f"{cls.label} has no such settings: {', '.join(sorted(faults))}.",
            code="invalid_settings",
            fields=faults,
        )
    catalog.check_fields(cls, given)
    return given


def _host_and_port(base_url: str) -> dict[str, Any]:
    """The fields host and port of "db.example.com:3306", with or without a scheme, or
    of a socket's path. None: not in there."""
    if base_url.startswith("/"):
        return {"host": base_url, "port": None}
    try:
        address = urlsplit(base_url if "://" in base_url else f"//{base_url}")
        return {"host": address.hostname, "port": address.port}
    except ValueError as exc:
        raise ConfigError(
            f"“{base_url}” is no address of a server, such as db.example.com:3306.",
            code="invalid_settings",
            fields={"base_url": "not an address"},
        ) from exc


def _source(
    organization: Organization, public_id: str, provider: str, name: str
) -> Source:
    """The source named after the integration: its own id where it brought one."""
    wanted = public_id
    if public_id.startswith("int_"):
        wanted = _SOURCE.sub("_", name.lower()).strip("_") or provider
    source = wanted[:90]
    number = 2
    while Integration.objects.filter(
        organization=organization, source__name=source
    ).exists():
        source = f"{wanted[:90]}_{number}"
        number += 1
    found, _created = Source.objects.get_or_create(
        organization=organization, name=source, defaults={"kind": provider}
    )
    return found


def _claim_uploads(integration: Integration, ids: Any) -> None:
    if not ids:
        return
    rows = Upload.objects.filter(
        organization_id=integration.organization_id, public_id__in=list(ids)
    )
    if rows.count() != len(set(ids)):
        raise ConfigError(
            "Some of these uploads do not exist.",
            code="unknown_upload",
            fields={"uploads": "unknown"},
        )
    rows.update(integration=integration)


def _audited(integration: Integration) -> dict[str, Any]:
    return {
        name: getattr(integration, name)
        for name in ("name", "status", "base_url", "settings", "tags", *_SYNC)
    }
