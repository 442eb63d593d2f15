"""The field mapping of a stream: its versions, a preview, a dry run, and the compiled
form for a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models import Max
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ChurnGuardError, ConfigError, RecordError
from churnguard.records import RECORD_TYPES, AnyRecord
from integrations import catalog, connecting, shaping, storable
from integrations.connectors.base import ReadRequest
from integrations.load.statements import TABLES
from integrations.mapping import (
    TRANSFORMS,
    CompiledMapping,
    compile_mapping,
    spec_from_field_mappings,
)
from integrations.models import Integration, MappingVersion, StreamState

PREVIEW_RECORDS = 20
DRY_RUN_RECORDS = 1000
_INTERNAL = frozenset({"raw", "custom", "properties", "links", "deleted", "version"})

Spec = dict[str, Any]


def compiled(integration: Integration, state: StreamState) -> CompiledMapping | None:
    """What `shaping.Shape.mapping` takes; None where nothing is mapped.

    The integration's field_mappings, with the stream's own version over them. Raises
    ConfigError for a mapping that cannot be used.
    """
    spec = effective(integration, state)
    return compile_mapping(spec) if spec["rules"] or spec["custom"] else None


def effective(
    integration: Integration, state: StreamState, own: Spec | None = None
) -> Spec:
    """The whole specification of a stream; `own` in place of its saved version."""
    base = spec_from_field_mappings(integration.field_mappings, state.record_type)
    spec = own if own is not None else _current(state)
    if spec is None:
        return base
    targets = {rule.get("target") for rule in spec.get("rules", [])}
    kept = [rule for rule in base["rules"] if rule["target"] not in targets]
    return {
        "version": 1,
        "record_type": state.record_type,
        "rules": kept + list(spec.get("rules", [])),
        "custom": spec.get("custom") or [],
    }


def describe(state: StreamState) -> dict[str, Any]:
    """What the mapping editor needs: the saved version, fields on both sides, and the
    kinds of transform."""
    fields = RECORD_TYPES[state.record_type].__struct_fields__
    return {
        "stream": state.name,
        "record_type": state.record_type,
        "version": state.mapping_version,
        "spec": _current(state)
        or {"version": 1, "record_type": state.record_type, "rules": [], "custom": []},
        "field_mappings": state.integration.field_mappings,
        "source_fields": state.columns,
        "target_fields": [name for name in fields if name not in _INTERNAL],
        "transforms": sorted(TRANSFORMS),
    }


def list_versions(state: StreamState) -> list[MappingVersion]:
    """Newest first."""
    return list(
        MappingVersion.objects.filter(
            integration_id=state.integration_id, stream=state.name
        ).order_by("-version")
    )


def save(
    state: StreamState,
    spec: Mapping[str, Any],
    *,
    note: str = "",
    by: HttpRequest | str,
) -> MappingVersion:
    """A new version, in use from the next page on. Records stored before change when a
    full sync reads them again. Raises ConfigError that names each wrong place."""
    checked = check(state, spec)
    actor = by if isinstance(by, str) else audit.actor_of(by)
    with transaction.atomic():
        locked = StreamState.objects.select_for_update().get(pk=state.pk)
        newest = MappingVersion.objects.filter(
            integration_id=state.integration_id, stream=state.name
        ).aggregate(n=Max("version"))["n"]
        made = MappingVersion.objects.create(
            organization_id=state.organization_id,
            integration_id=state.integration_id,
            stream=state.name,
            version=(newest or 0) + 1,
            spec=checked,
            note=note[:300],
            created_by=actor,
        )
        before = locked.mapping_version
        state.mapping_version = made.version
        state.save(update_fields=["mapping_version"])
        audit.record(
            by,
            "mapping.saved",
            organization=state.integration.organization,
            target_type="stream",
            target_id=f"{state.integration.public_id}/{state.name}",
            before={"version": before},
            after={"version": made.version, "note": note},
        )
    return made


def roll_back(
    state: StreamState, version: int, *, by: HttpRequest | str
) -> MappingVersion:
    """Make an old version the newest one. Raises ConfigError when it does not exist."""
    old = MappingVersion.objects.filter(
        integration_id=state.integration_id, stream=state.name, version=version
    ).first()
    if old is None:
        raise ConfigError(
            f"There is no version {version}.",
            code="unknown_version",
            fields={"version": "unknown"},
        )
    return save(state, old.spec, note=f"Back to version {version}", by=by)


def check(state: StreamState, spec: Mapping[str, Any]) -> Spec:
    """The specification if it can be used with the stream. Raises ConfigError."""
    checked = {"version": 1, "record_type": state.record_type, **spec}
    if checked["record_type"] != state.record_type:
        raise ConfigError(
            f"This stream holds {state.record_type} records; change that under "
            "entity_mappings.",
            code="invalid_mapping",
            fields={"record_type": state.record_type},
        )
    if fault := storable.why_not(checked):
        raise ConfigError(fault, code="invalid_mapping")
    compile_mapping(checked)
    return checked


def preview(state: StreamState, own: Spec | None = None) -> list[dict[str, Any]]:
    """What a mapping makes of 20 real records: [{raw, before, after, error}].

    own: a specification not saved yet. Raises ConfigError for one that cannot be used,
    TransientError when no record is stored yet and the provider cannot be asked.
    """
    mapping = _mapping(state, own)
    return [_show(record, mapping) for record in _sample(state, PREVIEW_RECORDS)]


def dry_run(state: StreamState, own: Spec | None = None) -> dict[str, Any]:
    """The same over up to 1,000 records, as counts: {records, changed, unchanged,
    refused, errors: [{code, detail, field, count}], fields: {field: changed}}."""
    mapping = _mapping(state, own)
    errors: Counter[tuple[str, str, str]] = Counter()
    fields: Counter[str] = Counter()
    changed = total = 0
    for record in _sample(state, DRY_RUN_RECORDS):
        total += 1
        try:
            made = mapping.apply(record) if mapping else record
        except RecordError as exc:
            errors[(exc.code, exc.message, exc.field or "")] += 1
            continue
        names = [
            name
            for name in record.__struct_fields__
            if getattr(record, name) != getattr(made, name)
        ]
        fields.update(names)
        changed += bool(names)
    refused = sum(errors.values())
    return {
        "records": total,
        "changed": changed,
        "unchanged": total - changed - refused,
        "refused": refused,
        "errors": [
            {"code": code, "detail": detail, "field": field, "count": count}
            for (code, detail, field), count in errors.most_common(20)
        ],
        "fields": dict(fields),
    }


def _current(state: StreamState) -> Spec | None:
    if state.mapping_version is None:
        return None
    return (
        MappingVersion.objects.filter(
            integration_id=state.integration_id,
            stream=state.name,
            version=state.mapping_version,
        )
        .values_list("spec", flat=True)
        .first()
    )


def _mapping(state: StreamState, own: Spec | None) -> CompiledMapping | None:
    if own is not None:
        own = check(state, own)
    spec = effective(state.integration, state, own)
    return compile_mapping(spec) if spec["rules"] or spec["custom"] else None


def _show(record: AnyRecord, mapping: CompiledMapping | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "raw": shaping.raw_of(record),
        "before": _values(record),
        "after": None,
        "error": None,
    }
    try:
        shown["after"] = _values(mapping.apply(record) if mapping else record)
    except RecordError as exc:
        shown["error"] = {
            "code": exc.code,
            "detail": exc.message,
            "field": exc.field or "",
        }
    return shown


def _values(record: AnyRecord) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(record)
    values.pop("raw", None)
    return {k: v for k, v in values.items() if v not in (None, "", {}, [], False)}


def _sample(state: StreamState, most: int) -> list[AnyRecord]:
    """Records as the connector makes them: of what is stored where it can read single
    objects, else fresh from the provider."""
    stream = catalog.stream_of(state)
    with connecting.opened(state.integration, interactive=True) as connector:
        found: list[AnyRecord] = []
        for raw in _stored_raws(state, most):
            try:
                found.append(
                    shaping.retype(connector.parse(stream, raw), state.record_type)
                )
            except ChurnGuardError:
                break
        if found:
            return found
        request = ReadRequest(mode="full", batch_size=min(most, 200))
        for page in islice(connector.read(stream, request), max(1, most // 200)):
            found += page.records
        return [shaping.retype(record, state.record_type) for record in found[:most]]


def _stored_raws(state: StreamState, most: int) -> list[dict[str, Any]]:
    table = TABLES.get(state.record_type)
    if table is None:
        return []
    shared = StreamState.objects.filter(
        integration_id=state.integration_id, record_type=state.record_type
    ).count()
    if shared > 1 and state.record_type != "object":
        # The rows do not say which of the streams they came from.
        return []
    kind = "AND kind = %(kind)s" if state.record_type == "object" else ""
    with connection.cursor() as cur:
        cur.execute(
            f"SELECT raw::text FROM {table} WHERE source_id = %(source)s {kind} "
            "AND deleted_at IS NULL AND raw::text <> '{}' "
            "ORDER BY id DESC LIMIT %(most)s",
            {
                "source": state.integration.source_id,
                "kind": state.name,
                "most": most,
            },
        )
        return [msgspec.json.decode(row[0]) for row in cur.fetchall()]
