"""One HubSpot object as a record of ours. Pure.

`raw` is HubSpot's object without unset properties, with the associations read for it:
{"id", "properties", "createdAt", "updatedAt", "archived", "associations": {"companies":
{"results": [{"id", "associationTypes"}]}}}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from churnguard.errors import RecordError
from churnguard.records import (
    ENTITY_TYPES,
    AnyRecord,
    CampaignEngagementRecord,
    ObjectRecord,
)
from integrations.connectors.base import JsonDict
from integrations.connectors.hubspot.objects import Kind
from integrations.connectors.values import flag, minor, moment, real, text, whole

# HUBSPOT_DEFINED association types of the primary company of a contact, deal, ticket.
PRIMARY_COMPANY = frozenset({1, 5, 26})
_PRIORITIES = {"LOW": "low", "MEDIUM": "normal", "HIGH": "high", "URGENT": "urgent"}
_WAITING = ("waiting on contact", "waiting on customer", "pending")
_DIRECTIONS = {
    "INBOUND": "in",
    "OUTBOUND": "out",
    "INCOMING_EMAIL": "in",
    "EMAIL": "out",
    "FORWARDED_EMAIL": "out",
}
# knowledge.hubspot.com/customer-feedback/survey-response-properties
_SCALES = {"nps": (0.0, 10.0), "csat": (0.0, 2.0), "ces": (1.0, 7.0)}
_SUBJECTS = {
    "calls": "hs_call_title",
    "emails": "hs_email_subject",
    "meetings": "hs_meeting_title",
    "tasks": "hs_task_subject",
}
_STATES = {
    "calls": "hs_call_status",
    "emails": "hs_email_status",
    "meetings": "hs_meeting_outcome",
    "tasks": "hs_task_status",
}
_CONVERSATION_KINDS = {
    "calls": "call",
    "emails": "mail",
    "meetings": "meeting",
    "notes": "note",
    "tasks": "task",
}
ATTENDANCE = {"ATTENDED": "attended", "REGISTERED": "submitted"}
"""Participation states with a place in our model; others (CANCELLED, NO_SHOW, EMPTY)
have none."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A pipeline stage. status: ours, or "" where HubSpot does not tell."""

    label: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What records need to know of the account. owners: id -> e-mail or name. stages:
    (object, pipeline, stage) -> Stage. custom: types of the custom properties."""

    currency: str | None = None
    owners: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[tuple[str, str, str], Stage] = field(default_factory=dict)
    custom: Mapping[str, str] = field(default_factory=dict)


def record_of(kind: Kind, raw: JsonDict, account: Account) -> AnyRecord:
    """The record. Raises RecordError with the field that cannot be used."""
    if not isinstance(raw.get("id"), str) or not raw["id"]:
        raise RecordError("The object has no id.", code="missing_id", field="id")
    props = raw.get("properties")
    if not isinstance(props, dict):
        raise RecordError(
            "The object has no properties.", code="wrong_type", field="properties"
        )
    make = _MAKERS.get(kind.record_type, _object)
    return ENTITY_TYPES[kind.record_type](
        external_id=raw["id"],
        updated_at=moment(raw, "updatedAt"),
        deleted=raw.get("archived") is True,
        custom=_custom(props, account),
        raw=raw,
        **make(kind, raw, props, account),
    )


def stages_of(
    kind: str, pipelines: list[JsonDict]
) -> dict[tuple[str, str, str], Stage]:
    """The stages of the answer of the pipelines address."""
    return {
        (kind, str(pipeline["id"]), str(stage["id"])): Stage(
            str(stage.get("label") or ""), _stage_status(kind, stage)
        )
        for pipeline in pipelines
        for stage in pipeline.get("stages") or []
    }


def merged_ids(raw: JsonDict) -> list[str]:
    """Ids of the objects that were merged into this one."""
    listed = str((raw.get("properties") or {}).get("hs_merged_object_ids") or "")
    found = (part.strip() for part in listed.split(";"))
    return [each for each in found if each and each != raw.get("id")]


def participation(event: JsonDict, raw: JsonDict) -> CampaignEngagementRecord | None:
    """The record of one participation; None for a state without a place of ours."""
    props = raw.get("properties") or {}
    kind = ATTENDANCE.get(str(props.get("attendanceState")))
    if kind is None:
        return None
    contact = (raw.get("associations") or {}).get("contact") or {}
    return CampaignEngagementRecord(
        external_id=f"{event['objectId']}:{raw['id']}",
        contact_id=text(contact, "contactId"),
        campaign=text(event, "eventName"),
        kind=kind,
        occurred_at=moment(props, "occurredAt") or moment(raw, "createdAt"),
        raw=raw,
    )


def simple_object(kind: str, external_id: str, raw: JsonDict) -> ObjectRecord:
    """An owner, pipeline or marketing event."""
    return ObjectRecord(
        external_id=external_id,
        kind=kind,
        updated_at=moment(raw, "updatedAt"),
        occurred_at=moment(raw, "startDateTime"),
        raw=raw,
    )


_Maker = Callable[[Kind, JsonDict, JsonDict, Account], JsonDict]


def _company(
    _kind: Kind, _raw: JsonDict, props: JsonDict, account: Account
) -> JsonDict:
    return {
        "name": text(props, "name"),
        "domain": text(props, "domain"),
        "phone": text(props, "phone"),
        "country": text(props, "country"),
        "industry": text(props, "industry"),
        "segment": text(props, "type"),
        "employees": whole(props, "numberofemployees"),
        "owner": _owner(props, account),
        "lifecycle_stage": text(props, "lifecyclestage"),
        "status": text(props, "hs_lead_status"),
        "signup_at": moment(props, "closedate"),
        "parent_external_id": text(props, "hs_parent_company_id"),
    }


def _contact(
    _kind: Kind, raw: JsonDict, props: JsonDict, _account: Account
) -> JsonDict:
    names = (text(props, "firstname"), text(props, "lastname"))
    buying_role = text(props, "hs_buying_role")
    return {
        "customer_id": _company_id(raw) or text(props, "associatedcompanyid"),
        "email": text(props, "email"),
        "name": " ".join(filter(None, names)) or None,
        "phone": text(props, "phone"),
        "title": text(props, "jobtitle"),
        "role": buying_role,
        "lifecycle_stage": text(props, "lifecyclestage"),
        "is_champion": "CHAMPION" in buying_role.upper() if buying_role else None,
        "opted_out": flag(props, "hs_email_optout"),
        "last_contacted_at": moment(props, "notes_last_contacted"),
        "joined_at": moment(props, "createdate"),
    }


def _deal(kind: Kind, raw: JsonDict, props: JsonDict, account: Account) -> JsonDict:
    currency = text(props, "deal_currency_code") or account.currency
    stage = _stage(kind, props, account, "pipeline", "dealstage")
    amount = minor(props, "amount", currency)
    return {
        "customer_id": _company_id(raw),
        "name": text(props, "dealname"),
        "stage": stage.label or text(props, "dealstage"),
        "status": _deal_status(props, stage),
        "amount_minor": amount,
        "currency": currency if amount is not None else None,
        "opened_at": moment(props, "createdate"),
        "close_at": moment(props, "closedate"),
        "owner": _owner(props, account),
    }


def _ticket(kind: Kind, raw: JsonDict, props: JsonDict, account: Account) -> JsonDict:
    stage = _stage(kind, props, account, "hs_pipeline", "hs_pipeline_stage")
    closed_at = moment(props, "closed_date")
    status = stage.status or ("closed" if closed_at else "open")
    channel = text(props, "source_type")
    return {
        "customer_id": _company_id(raw),
        "contact_id": _linked(raw, "contacts"),
        "subject": text(props, "subject"),
        "status": status,
        "priority": _PRIORITIES.get((text(props, "hs_ticket_priority") or "").upper()),
        "channel": channel.lower() if channel else None,
        "team": text(props, "hubspot_team_id"),
        "assignee": _owner(props, account),
        "opened_at": moment(props, "createdate"),
        "first_replied_at": moment(props, "first_agent_reply_date"),
        "solved_at": closed_at if status == "closed" else None,
        "closed_at": closed_at if status == "closed" else None,
    }


def _survey(_kind: Kind, raw: JsonDict, props: JsonDict, _account: Account) -> JsonDict:
    kind = (text(props, "hs_survey_type") or "").lower() or None
    score = real(props, "hs_value")
    low, high = _scale(kind, score)
    return {
        "customer_id": _company_id(raw),
        "contact_id": text(props, "hs_contact_id") or _linked(raw, "contacts"),
        "kind": kind,
        "score": score,
        "scale_min": low,
        "scale_max": high,
        "comment": text(props, "hs_content"),
        "answered_at": moment(props, "hs_submission_timestamp")
        or moment(raw, "createdAt"),
    }


def _conversation(
    kind: Kind, raw: JsonDict, props: JsonDict, account: Account
) -> JsonDict:
    name = kind.name
    told = text(props, "hs_call_direction") or text(props, "hs_email_direction")
    ended = {"meetings": "hs_meeting_end_time", "tasks": "hs_task_completion_date"}
    return {
        "customer_id": _company_id(raw),
        "contact_id": _linked(raw, "contacts"),
        "kind": _CONVERSATION_KINDS.get(name, name),
        "subject": text(props, _SUBJECTS.get(name, "")),
        "status": text(props, _STATES.get(name, "")),
        "direction": _DIRECTIONS.get((told or "").upper())
        or ("both" if name == "meetings" else None),
        "owner": _owner(props, account),
        "started_at": moment(props, "hs_meeting_start_time")
        or moment(props, "hs_timestamp"),
        "last_message_at": None,
        "closed_at": _not_before(props, ended.get(name, "")),
    }


def _object(kind: Kind, raw: JsonDict, _props: JsonDict, _account: Account) -> JsonDict:
    return {
        "kind": kind.name,
        "customer_id": _company_id(raw),
        "occurred_at": moment(raw, "createdAt"),
    }


_MAKERS: dict[str, _Maker] = {
    "customer": _company,
    "contact": _contact,
    "deal": _deal,
    "ticket": _ticket,
    "survey_response": _survey,
    "conversation": _conversation,
}


def _custom(props: JsonDict, account: Account) -> JsonDict:
    """Custom properties with numbers and booleans as such; what does not fit its
    declared type stays text."""
    found: JsonDict = {}
    for name, kind in account.custom.items():
        if props.get(name) in (None, ""):
            continue
        value = props[name]
        try:
            if kind == "number":
                value = real(props, name)
            elif kind == "bool":
                value = flag(props, name)
        except RecordError:
            value = props[name]
        found[name] = value
    return found


def _linked(raw: JsonDict, target: str) -> str | None:
    results = ((raw.get("associations") or {}).get(target) or {}).get("results") or []
    return str(results[0]["id"]) if results else None


def _company_id(raw: JsonDict) -> str | None:
    """The primary company, else the first one."""
    linked = (raw.get("associations") or {}).get("companies") or {}
    results = linked.get("results") or []
    for each in results:
        if any(map(_is_primary, each.get("associationTypes") or ())):
            return str(each["id"])
    return str(results[0]["id"]) if results else None


def _is_primary(kind: JsonDict) -> bool:
    # Labels of the account's own have type ids of their own, which may be the same.
    if kind.get("category") != "HUBSPOT_DEFINED":
        return False
    return kind.get("typeId") in PRIMARY_COMPANY


def _owner(props: JsonDict, account: Account) -> str | None:
    owner_id = text(props, "hubspot_owner_id")
    return account.owners.get(owner_id, owner_id) if owner_id else None


def _stage(
    kind: Kind, props: JsonDict, account: Account, pipeline: str, stage: str
) -> Stage:
    key = (kind.name, str(props.get(pipeline) or ""), str(props.get(stage) or ""))
    return account.stages.get(key, Stage(""))


def _stage_status(kind: str, stage: JsonDict) -> str:
    facts = stage.get("metadata") or {}
    if kind == "tickets":
        if str(facts.get("ticketState") or "").upper() == "CLOSED":
            return "closed"
        label = str(stage.get("label") or "").lower()
        return "pending" if label.startswith(_WAITING) else "open"
    if str(facts.get("isClosed")).lower() != "true":
        return "open"
    return "won" if _probability(facts) > 0.5 else "lost"


def _probability(facts: JsonDict) -> float:
    try:
        return float(facts.get("probability") or 0)
    except ValueError:
        return 0.0


def _deal_status(props: JsonDict, stage: Stage) -> str:
    if flag(props, "hs_is_closed_won"):
        return "won"
    if flag(props, "hs_is_closed"):
        return "lost"
    return stage.status or "open"


def _scale(kind: str | None, score: float | None) -> tuple[float | None, float | None]:
    """The scale of a survey; none where it was asked on another one."""
    scale = _SCALES.get(kind or "")
    if scale is None or (score is not None and not scale[0] <= score <= scale[1]):
        return None, None
    return scale


def _not_before(props: JsonDict, name: str) -> Any:
    """The end, left out where somebody entered one before the start."""
    ended = moment(props, name)
    started = moment(props, "hs_meeting_start_time") or moment(props, "hs_timestamp")
    return None if ended and started and ended < started else ended
