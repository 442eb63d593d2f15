"""One Mixpanel event, profile or cohort as a record of ours. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from hashlib import blake2b
from typing import Any

import msgspec

from churnguard.errors import RecordError
from churnguard.records import (
    ContactRecord,
    CustomerRecord,
    EventRecord,
    ObjectRecord,
)
from integrations.connectors.base import JsonDict
from integrations.connectors.values import moment, text, whole
from integrations.mapping import parse_time

# When Mixpanel took an event in is no part of it: it differs between two copies.
_PROCESSING = ("mp_processing_time_ms", "$mp_api_timestamp_ms", "$mp_event_size")
_OWN = ("time", "distinct_id", "$insert_id", *_PROCESSING)
_encoder = msgspec.json.Encoder(order="deterministic")


def event_of(raw: JsonDict, zone: tzinfo, customer_property: str) -> EventRecord:
    """The event. Raises RecordError.

    zone: whose clock `time` (milliseconds) shows. customer_property: name of the
    property with the customer's id, "" for none.
    """
    props = raw.get("properties")
    if not isinstance(props, dict):
        raise RecordError(
            "The event has no properties.", code="wrong_type", field="properties"
        )
    name = text(raw, "event")
    if not name:
        raise RecordError("The event has no name.", code="missing_value", field="event")
    return EventRecord(
        event_id=event_id(name, props),
        event=name,
        timestamp=_time(props, zone),
        customer_id=_first(props, customer_property),
        user_id=text(props, "distinct_id"),
        properties={k: v for k, v in props.items() if k not in _OWN},
    )


def event_id(name: str, props: JsonDict) -> str:
    """Mixpanel's own key of an event: name, who, time and $insert_id.

    Who is the id the event was sent with: the canonical one changes when identities
    are merged, and the event would come a second time. Without $insert_id the whole
    content takes its place.
    """
    who = props.get("$distinct_id_before_identity") or props.get("distinct_id")
    insert_id = props.get("$insert_id") or {
        k: v for k, v in props.items() if k not in _OWN
    }
    key = _encoder.encode([name, str(who), props.get("time"), insert_id])
    return blake2b(key, digest_size=16).hexdigest()


def processed_ms(raw: JsonDict) -> float:
    """When Mixpanel took it in; of two copies the later one counts."""
    props = raw.get("properties")
    told = props.get("mp_processing_time_ms") if isinstance(props, dict) else None
    return float(told) if isinstance(told, (int, float)) else 0.0


def contact_of(raw: JsonDict, customer_property: str) -> ContactRecord:
    """A user profile. Raises RecordError."""
    external_id, props = _profile(raw)
    names = (text(props, "$first_name"), text(props, "$last_name"))
    return ContactRecord(
        external_id=external_id,
        updated_at=moment(props, "$last_seen"),
        customer_id=_first(props, customer_property),
        email=text(props, "$email"),
        name=text(props, "$name") or " ".join(filter(None, names)) or None,
        phone=text(props, "$phone"),
        joined_at=moment(props, "$created"),
        user_id=external_id,
        custom=_custom(props, customer_property),
        raw=raw,
    )


def customer_of(raw: JsonDict) -> CustomerRecord:
    """A group profile (company). Raises RecordError."""
    external_id, props = _profile(raw)
    return CustomerRecord(
        external_id=external_id,
        updated_at=moment(props, "$last_seen"),
        name=text(props, "$name") or text(props, "name"),
        email=text(props, "$email"),
        country=text(props, "$country_code"),
        signup_at=moment(props, "$created"),
        custom=_custom(props, ""),
        raw=raw,
    )


def cohort_of(raw: JsonDict) -> ObjectRecord:
    """A saved cohort. Raises RecordError."""
    if raw.get("id") in (None, ""):
        raise RecordError("The cohort has no id.", code="missing_id", field="id")
    return ObjectRecord(
        external_id=str(raw["id"]),
        kind="cohorts",
        occurred_at=moment(raw, "created"),
        custom={
            "name": text(raw, "name"),
            "description": text(raw, "description"),
            "count": whole(raw, "count"),
        },
        raw=raw,
    )


def _profile(raw: JsonDict) -> tuple[str, JsonDict]:
    if raw.get("$distinct_id") in (None, ""):
        raise RecordError(
            "The profile has no id.", code="missing_id", field="$distinct_id"
        )
    props = raw.get("$properties")
    if not isinstance(props, dict):
        raise RecordError(
            "The profile has no properties.", code="wrong_type", field="$properties"
        )
    return str(raw["$distinct_id"]), props


def _time(props: JsonDict, zone: tzinfo) -> datetime:
    value: Any = props.get("time")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise RecordError(
            f"time is “{str(value)[:60]}”, not a number.", code="bad_time", field="time"
        )
    try:
        shown = parse_time(value, unit="ms")
    except ValueError as exc:
        raise RecordError(f"time: {exc}", code="bad_time", field="time") from exc
    # For old projects the number is the local clock counted as if it were UTC.
    return shown if zone is UTC else shown.replace(tzinfo=zone).astimezone(UTC)


def _first(props: JsonDict, name: str) -> str | None:
    """The property as an id; group keys may hold several, the first one counts."""
    value = props.get(name) if name else None
    if isinstance(value, list):
        value = value[0] if value else None
    return text({name: value}, name)


def _custom(props: JsonDict, customer_property: str) -> JsonDict:
    return {
        name: value
        for name, value in props.items()
        if not name.startswith("$")
        and name != customer_property
        and value not in (None, "", [])
    }
