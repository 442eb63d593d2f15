"""What can be connected, and which streams an integration has."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import msgspec
from django.db import transaction

from churnguard.currencies import ISO_4217
from churnguard.errors import ConfigError
from churnguard.records import RECORD_TYPES
from integrations import connectors, drift, netguard, runs
from integrations.connectors.base import Connector, Field, Stream
from integrations.mapping import compile_entity_mappings
from integrations.models import Integration, StreamSeen, StreamState

# msgspec crashes where threads work out a type for the first time together.
msgspec.json.Decoder(Stream)
_OF_THE_TYPE = ("cursor", "mapping_version", "checked_deletes_at", "brake")


def list_providers() -> list[dict[str, Any]]:
    """Every provider with its fields, for the catalogue and its forms."""
    return [describe(cls) for cls in connectors.all_connectors()]


def describe(cls: type[Connector]) -> dict[str, Any]:
    """One provider: what it is, what to prepare, which fields to fill in."""
    return {
        "provider_name": cls.name,
        "label": cls.label,
        "category": cls.category,
        "integration_type": cls.integration_type,
        "summary": cls.summary,
        "prepare": cls.prepare,
        "docs": cls.docs,
        "auth": list(cls.auth),
        "fields": [_field(field) for field in cls.fields],
        "streams": [
            {
                "name": stream.name,
                "label": stream.label or stream.name,
                "record_type": stream.record_type,
                "selected_by_default": stream.selected_by_default,
            }
            for stream in cls.streams
        ],
    }


def needs_discovery(integration: Integration, cls: type[Connector]) -> bool:
    """Whether the list of streams is older than the connector likes."""
    at = integration.discovered_at
    if at is None:
        return True
    return datetime.now(UTC) - at >= timedelta(seconds=cls.discover_every_s)


def keep_streams(integration: Integration, found: Sequence[Stream]) -> None:
    """Store what discovery found: new streams appear, known ones keep their choices,
    those not offered any more are marked gone. Idempotent."""
    ordered = in_order(found)
    with transaction.atomic():
        Integration.objects.select_for_update().get(pk=integration.pk)
        known = {s.name: s for s in StreamState.objects.filter(integration=integration)}
        for position, stream in enumerate(ordered):
            state = known.pop(stream.name, None) or StreamState(
                organization_id=integration.organization_id,
                integration=integration,
                name=stream.name,
                is_enabled=stream.selected_by_default,
            )
            _take_over(state, stream, position, integration)
            state.save()
        for gone in known.values():
            gone.is_gone = True
            gone.save(update_fields=["is_gone"])
        integration.discovered_at = datetime.now(UTC)
        integration.save(update_fields=["discovered_at"])


def stream_of(state: StreamState) -> Stream:
    """The connector's `Stream` as stored."""
    return msgspec.convert(state.spec, Stream)


def record_types(integration: Integration, names: Sequence[str]) -> dict[str, str]:
    """{stream: record type} as entity_mappings says; pairs about streams that are not
    among `names` are left out."""
    found: dict[str, str] = {}
    for one, other in integration.entity_mappings.items():
        try:
            found |= compile_entity_mappings({one: other}, names)
        except ConfigError:
            continue
    return found


def check_types(entity_mappings: Mapping[str, Any]) -> None:
    """Refuse pairs of which none is a record type. Raises ConfigError."""
    kinds = {*RECORD_TYPES, *(f"{name}s" for name in RECORD_TYPES)}
    faults = {
        f"entity_mappings.{one}": "neither is a record type"
        for one, other in entity_mappings.items()
        if not kinds & {str(one).lower(), str(other).lower()}
    }
    if faults:
        raise ConfigError(
            "entity_mappings pairs a stream with a record type, one of "
            f"{', '.join(RECORD_TYPES)}.",
            code="invalid_mapping",
            fields=faults,
        )


def own_type(state: StreamState) -> str:
    """The record type the connector itself gives a stream."""
    return str(state.spec.get("record_type") or state.record_type)


def types_for(state: StreamState) -> list[str]:
    """The record types a stream may be stored as, its own first. Events stay events,
    and a file's type belongs to its layout."""
    own = own_type(state)
    if own == "event" or state.integration.provider_name == "file":
        return [own]
    return [own, *(name for name in RECORD_TYPES if name != own)]


def apply_types(integration: Integration) -> list[str]:
    """Store streams as entity_mappings says from the next run on; returns the names of
    those that changed. Each of them is read anew, without the mapping made for the old
    type. Raises AlreadyRunningError where one would change during a sync."""
    states = list(StreamState.objects.filter(integration=integration))
    wanted = record_types(integration, [state.name for state in states])
    changed = [
        state
        for state in states
        if state.record_type != wanted.get(state.name, own_type(state))
    ]
    if not changed:
        return []
    active = runs.get_active(integration)
    if active is not None:
        raise runs.AlreadyRunningError(active)
    for state in changed:
        state.record_type = wanted.get(state.name, own_type(state))
        for name in _OF_THE_TYPE:
            setattr(state, name, None)
        state.save(update_fields=["record_type", *_OF_THE_TYPE])
        # They are ids of the other type's rows.
        StreamSeen.objects.filter(stream=state).delete()
    return [state.name for state in changed]


def apply_incremental_field(integration: Integration) -> None:
    """Follow the integration's incremental_field from the next run on: the streams
    without one of their own are read anew, since a position in another order of
    changes means nothing. Raises ConfigError where some of them have no such field."""
    name = integration.incremental_field
    states = StreamState.objects.filter(
        integration=integration, is_gone=False, incremental_field=""
    )
    lacking = [
        str(state)
        for state in states
        if name
        and state.is_enabled
        and state.columns
        and name not in {column["name"] for column in state.columns}
    ]
    if lacking:
        raise ConfigError(
            f"No field “{name}” in {', '.join(lacking)}. Leave it empty here and "
            "choose it for the single kinds of data that have it.",
            code="unknown_field",
            fields={"incremental_field": "unknown"},
        )
    states.update(cursor=None)


def in_order(streams: Sequence[Stream]) -> list[Stream]:
    """Streams after those they depend on, otherwise as given."""
    names = {stream.name for stream in streams}
    done: set[str] = set()
    ordered: list[Stream] = []
    queue = deque(streams)
    waited = 0
    while queue:
        stream = queue.popleft()
        needs = set(stream.depends_on) & names
        if needs <= done or waited > len(queue):
            ordered.append(stream)
            done.add(stream.name)
            waited = 0
        else:
            queue.append(stream)
            waited += 1
    return ordered


def check_fields(cls: type[Connector], settings: dict[str, Any]) -> None:
    """Refuse values a connector's form would not take. Raises ConfigError."""
    faults: dict[str, str] = {}
    for field in cls.fields:
        value = settings.get(field.name)
        if value in (None, ""):
            continue
        if wrong := _wrong(field, value):
            faults[field.name] = f"{field.label} {wrong}."
    if faults:
        raise ConfigError(
            " ".join(faults.values()), code="invalid_settings", fields=faults
        )


def missing_fields(
    cls: type[Connector], settings: dict[str, Any], secret_names: set[str]
) -> list[str]:
    """Names of required fields that are not set yet."""
    return [
        field.name
        for field in cls.fields
        if field.required
        and settings.get(field.name, field.default) in (None, "")
        and field.name not in secret_names
    ]


def _take_over(
    state: StreamState, stream: Stream, position: int, integration: Integration
) -> None:
    spec = msgspec.to_builtins(stream)
    state.drift = drift.merge_notes(
        state.drift, drift.compare_discovery(state.columns, stream.columns)
    )
    if stream.columns:
        state.columns = drift.merge_columns(state.columns, [*spec["columns"]])
    own_order = state.incremental_field or integration.incremental_field
    if state.cursor_field != (stream.cursor_field or "") and not own_order:
        # A position in another order of changes means nothing.
        state.cursor = None
    state.spec = {**spec, "columns": []}
    state.label = stream.label
    state.record_type = record_types(integration, [stream.name]).get(
        stream.name, stream.record_type
    )
    state.position = position
    state.is_gone = False
    state.cursor_field = stream.cursor_field or ""
    state.deletes = stream.deletes


def _field(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.label,
        "kind": field.kind,
        "required": field.required,
        "secret": field.secret,
        "default": field.default,
        "choices": [{"value": value, "label": label} for value, label in field.choices],
        "help": field.help,
        "advanced": field.advanced,
        "only_with": (
            {"field": field.only_with[0], "values": list(field.only_with[1])}
            if field.only_with
            else None
        ),
        "example": field.example,
    }


def _wrong(field: Field, value: Any) -> str:
    """What is wrong with a value, to go after the field's label; "" = nothing."""
    allowed = [choice for choice, _label in field.choices]
    if allowed and str(value) not in allowed:
        return f"must be one of {', '.join(allowed)}"
    if field.kind == "number" and not _is_number(value):
        return "must be a number"
    if field.kind == "bool" and not isinstance(value, bool):
        return "must be true or false"
    if field.kind == "url" and netguard.names_user(str(value)):
        return "must not hold a user or password; enter them in their own fields"
    if field.kind == "timezone" and str(value) not in available_timezones():
        return "must be the IANA name of a zone, such as Europe/Berlin"
    if field.kind == "currency" and str(value).upper() not in ISO_4217:
        return "must be a code of ISO 4217, such as EUR"
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
