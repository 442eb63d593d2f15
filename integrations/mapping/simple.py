"""The specification's short forms: `field_mappings` and `entity_mappings`.

field_mappings={"customer_id": "external_customer_id"} reads "our customer_id comes
from their external_customer_id". The other direction {"Website": "domain"} is taken
where no key, but every value, is a field of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from churnguard.errors import ConfigError
from churnguard.records import RECORD_TYPES
from integrations.mapping.records import record_class
from integrations.mapping.spec import BAGS, VERSION

_ID = "external_id"
_COMMON = {"id": _ID, "modified_at": "updated_at", "last_modified": "updated_at"}

# Names people use for our fields, by record type.
ALIASES: dict[str, dict[str, str]] = {
    "customer": {
        "customer_id": _ID,
        "account_id": _ID,
        "company": "name",
        "company_name": "name",
        "website": "domain",
        "created_at": "signup_at",
        "parent_id": "parent_external_id",
    },
    "contact": {
        "contact_id": _ID,
        "user_id": _ID,
        "created_at": "joined_at",
        "company_id": "customer_id",
        "account_id": "customer_id",
    },
    "subscription": {"subscription_id": _ID, "created_at": "started_at"},
    "invoice": {"invoice_id": _ID, "created_at": "issued_at"},
    "deal": {"deal_id": _ID, "opportunity_id": _ID, "created_at": "opened_at"},
    "ticket": {
        "ticket_id": _ID,
        "case_id": _ID,
        "created_at": "opened_at",
        "resolved_at": "solved_at",
    },
    "conversation": {"conversation_id": _ID, "created_at": "started_at"},
    "survey_response": {"response_id": _ID, "created_at": "answered_at"},
    "campaign_engagement": {"created_at": "occurred_at", "timestamp": "occurred_at"},
    "object": {"object_id": _ID, "created_at": "occurred_at", "type": "kind"},
    "event": {
        "id": "event_id",
        "event_name": "event",
        "event_type": "event",
        "name": "event",
        "created_at": "timestamp",
        "occurred_at": "timestamp",
        "event_timestamp": "timestamp",
        "account_id": "customer_id",
    },
}


def spec_from_field_mappings(
    field_mappings: Mapping[str, Any],
    record_type: str,
    *,
    custom: Iterable[str] = (),
) -> dict[str, Any]:
    """The full specification of the short form.

    A value may be a source field, or an object with source(s), transform and default.
    A name that is no field of ours becomes a custom field of that name. Raises
    ConfigError for anything else.
    """
    record_class(record_type)
    pairs = dict(field_mappings)
    if _is_reversed(pairs, record_type):
        pairs = {target: source for source, target in pairs.items()}
    rules = []
    for name, source in pairs.items():
        rule: dict[str, Any] = {"target": target_of(name, record_type)}
        if isinstance(source, str) and source:
            rule["source"] = source
        elif isinstance(source, Mapping):
            rule.update(source)
        else:
            raise ConfigError(
                f"field_mappings: {name} needs the name of a source field.",
                code="invalid_mapping",
                fields={f"field_mappings.{name}": "Enter a source field."},
            )
        rules.append(rule)
    return {
        "version": VERSION,
        "record_type": record_type,
        "rules": rules,
        "custom": list(custom),
    }


def target_of(name: str, record_type: str) -> str:
    """Our field for a name people use; "custom.<name>" if it is none."""
    known = _known(name, record_type)
    if known:
        return known
    return f"{'properties' if record_type == 'event' else 'custom'}.{name}"


def compile_entity_mappings(
    entity_mappings: Mapping[str, str], streams: Iterable[str]
) -> dict[str, str]:
    """{stream: record type} from {"customer": "accounts"} or {"accounts": "customer"}.

    Raises ConfigError where a pair names no stream or no record type.
    """
    names = {name.lower(): name for name in streams}
    kinds = {name: name for name in RECORD_TYPES} | {
        f"{name}s": name for name in RECORD_TYPES
    }
    found: dict[str, str] = {}
    for one, other in entity_mappings.items():
        for kind, stream in ((one, other), (other, one)):
            if kind.lower() in kinds and stream.lower() in names:
                found[names[stream.lower()]] = kinds[kind.lower()]
                break
        else:
            raise ConfigError(
                f"entity_mappings: {one!r} and {other!r} are not a record type and a "
                f"stream; streams: {', '.join(sorted(names.values()))}.",
                code="invalid_mapping",
                fields={f"entity_mappings.{one}": "No such stream or record type."},
            )
    return found


def _is_reversed(pairs: Mapping[str, Any], record_type: str) -> bool:
    """No key, but every value, is a field of ours."""
    values = list(pairs.values())
    return (
        bool(values)
        and not any(_known(name, record_type) for name in pairs)
        and all(isinstance(v, str) and _known(v, record_type) for v in values)
        and len(set(values)) == len(values)
    )


def _known(name: str, record_type: str) -> str:
    fields = record_class(record_type).__struct_fields__
    if name in fields and name != "raw":
        return name
    bag, dot, key = name.partition(".")
    if dot and key and bag in BAGS and bag in fields:
        return name
    aliases = ALIASES.get(record_type, {})
    found = aliases.get(name) or _COMMON.get(name, "")
    return found if found in fields else ""
