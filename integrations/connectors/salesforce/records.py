"""One Salesforce row as a record of ours. Pure. `raw` is the row as `rows.plain`
gives it."""

from __future__ import annotations

from collections.abc import Callable

from churnguard.errors import RecordError
from churnguard.records import ENTITY_TYPES, AnyRecord
from integrations.connectors.base import JsonDict
from integrations.connectors.salesforce.objects import Described
from integrations.connectors.values import flag, minor, moment, text, whole

_PRIORITIES = {
    "low": "low",
    "medium": "normal",
    "normal": "normal",
    "high": "high",
    "critical": "urgent",
    "urgent": "urgent",
}
_CASE_STATES = (
    ("on hold", "on_hold"),
    ("waiting", "pending"),
    ("pending", "pending"),
    ("awaiting", "pending"),
    ("resolved", "solved"),
    ("solved", "solved"),
)
_TASK_KINDS = {"Call": "call", "Email": "mail", "ListEmail": "mail", "Task": "task"}
_CALL_TYPES = {"Inbound": "in", "Outbound": "out", "Internal": None}
_PEOPLE = ("003", "00Q")
"""Key prefixes of Contact and Lead."""
SUCCESSION = ("IsDeleted", "MasterRecordId", "IsConverted", "ConvertedContactId")
"""What `is_gone` and `successor` look at."""
NOT_KEPT = ("IsDeleted", "IsConverted", "IsChild")
"""Flags of rows that are no record of their own: deleted or merged, a lead that became
a contact, an invitee's copy of an event."""


def record_of(described: Described, raw: JsonDict, currency: str | None) -> AnyRecord:
    """The record. currency: of amounts without one of their own. Raises RecordError
    with the field that cannot be used."""
    external_id = text(raw, "Id")
    if external_id is None:
        raise RecordError("The row has no Id.", code="missing_id", field="Id")
    kind = described.kind
    values = _MAKERS.get(kind.name, _object)(described, raw, currency)
    return ENTITY_TYPES[kind.record_type](
        external_id=external_id,
        updated_at=moment(raw, described.stamp) if described.stamp else None,
        deleted=flag(raw, "IsDeleted") is True,
        custom={name: raw[name] for name in sorted(described.custom) if name in raw},
        raw=raw,
        **values,
    )


def successor(raw: JsonDict) -> str | None:
    """The id an object lives on under: the winner of a merge, or the contact a lead
    was converted to."""
    if raw.get("IsConverted") is True:
        return text(raw, "ConvertedContactId")
    return text(raw, "MasterRecordId")


def is_gone(raw: JsonDict) -> bool:
    return any(raw.get(name) is True for name in NOT_KEPT)


def _account(_: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    return {
        "name": text(raw, "Name"),
        "domain": text(raw, "Website"),
        "phone": text(raw, "Phone"),
        "country": text(raw, "BillingCountry"),
        "industry": text(raw, "Industry"),
        "segment": text(raw, "Type"),
        "employees": whole(raw, "NumberOfEmployees"),
        "owner": text(raw, "Owner.Name") or text(raw, "OwnerId"),
        "parent_external_id": text(raw, "ParentId"),
    }


def _contact(_: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    names = (text(raw, "FirstName"), text(raw, "LastName"))
    return {
        "customer_id": text(raw, "AccountId") or text(raw, "ConvertedAccountId"),
        "email": text(raw, "Email"),
        "name": " ".join(filter(None, names)) or None,
        "phone": text(raw, "Phone"),
        "title": text(raw, "Title"),
        "opted_out": flag(raw, "HasOptedOutOfEmail"),
        "last_contacted_at": moment(raw, "LastActivityDate"),
        "joined_at": moment(raw, "CreatedDate"),
    }


def _lead(described: Described, raw: JsonDict, currency: str | None) -> JsonDict:
    stage = text(raw, "Status")
    return {**_contact(described, raw, currency), "lifecycle_stage": stage}


def _opportunity(_: Described, raw: JsonDict, currency: str | None) -> JsonDict:
    currency = text(raw, "CurrencyIsoCode") or currency
    amount = minor(raw, "Amount", currency)
    status = "won" if flag(raw, "IsWon") else "open"
    if flag(raw, "IsClosed") and status != "won":
        status = "lost"
    return {
        "customer_id": text(raw, "AccountId"),
        "name": text(raw, "Name"),
        "stage": text(raw, "StageName"),
        "status": status,
        "amount_minor": amount,
        "currency": currency if amount is not None else None,
        "opened_at": moment(raw, "CreatedDate"),
        "close_at": moment(raw, "CloseDate"),
        "owner": text(raw, "Owner.Name") or text(raw, "OwnerId"),
    }


def _case(_: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    closed_at = moment(raw, "ClosedDate")
    channel = text(raw, "Origin")
    return {
        "customer_id": text(raw, "AccountId"),
        "contact_id": text(raw, "ContactId"),
        "subject": text(raw, "Subject") or text(raw, "CaseNumber"),
        "status": _case_status(raw),
        "priority": _PRIORITIES.get((text(raw, "Priority") or "").lower()),
        "channel": channel.lower() if channel else None,
        "assignee": text(raw, "Owner.Name") or text(raw, "OwnerId"),
        "opened_at": moment(raw, "CreatedDate"),
        "solved_at": closed_at,
        "closed_at": closed_at,
        "is_escalated": flag(raw, "IsEscalated"),
    }


def _task(_: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    started_at = moment(raw, "CreatedDate")
    closed_at = moment(raw, "CompletedDateTime")
    if started_at and closed_at and closed_at < started_at:
        # A call that was logged afterwards.
        started_at = closed_at
    return {
        **_activity(raw),
        "kind": _TASK_KINDS.get(text(raw, "TaskSubtype") or "", "task"),
        "status": text(raw, "Status"),
        "direction": _CALL_TYPES.get(text(raw, "CallType") or ""),
        "started_at": started_at,
        "closed_at": closed_at,
    }


def _event(_: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    return {
        **_activity(raw),
        "kind": "meeting",
        "direction": "both",
        "started_at": moment(raw, "StartDateTime"),
        "closed_at": moment(raw, "EndDateTime"),
    }


def _activity(raw: JsonDict) -> JsonDict:
    who = text(raw, "WhoId") or ""
    return {
        "customer_id": text(raw, "AccountId"),
        "contact_id": who if who.startswith(_PEOPLE) else None,
        "subject": text(raw, "Subject"),
        "owner": text(raw, "Owner.Name") or text(raw, "OwnerId"),
    }


def _object(described: Described, raw: JsonDict, _currency: str | None) -> JsonDict:
    field = described.account_field
    return {
        "kind": described.kind.name,
        "customer_id": text(raw, field) if field else None,
        "occurred_at": moment(raw, "CreatedDate"),
    }


_MAKERS: dict[str, Callable[[Described, JsonDict, str | None], JsonDict]] = {
    "Account": _account,
    "Contact": _contact,
    "Lead": _lead,
    "Opportunity": _opportunity,
    "Case": _case,
    "Task": _task,
    "Event": _event,
}


def _case_status(raw: JsonDict) -> str:
    if flag(raw, "IsClosed"):
        return "closed"
    status = (text(raw, "Status") or "").lower()
    return next(
        (ours for start, ours in _CASE_STATES if status.startswith(start)), "open"
    )
