"""Salesforce objects: what each becomes, and which standard fields are read.

Fields an org or user does not have are left out after a describe; custom fields are
read besides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from integrations.connectors.base import JsonDict

STAMPS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")
"""Fields that order changes, the best first."""
# Compound and binary values are refused by Bulk API 2.0 and no use to us.
_UNREAD = frozenset({"address", "location", "base64", "complexvalue", "anyType"})
_ALWAYS = ("Id", "IsDeleted", "MasterRecordId", *STAMPS)
_TYPES = {
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "date": "date",
    "datetime": "datetime",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """name: the object's API name, also the stream's. fields: what the unified model
    needs of it; () = everything (custom objects). vital: those of them without which
    its records say little."""

    name: str
    record_type: str = "object"
    label: str = ""
    fields: tuple[str, ...] = ()
    vital: tuple[str, ...] = ()
    selected: bool = False


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "Account",
            "customer",
            "Accounts",
            (
                *("Name", "Type", "Industry", "AnnualRevenue", "NumberOfEmployees"),
                *("Website", "Phone", "BillingCountry", "OwnerId", "ParentId"),
                *("AccountSource", "LastActivityDate", "CurrencyIsoCode"),
            ),
            vital=("Name", "Website"),
            selected=True,
        ),
        Kind(
            "Contact",
            "contact",
            "Contacts",
            (
                *("AccountId", "FirstName", "LastName", "Email", "Phone", "Title"),
                *("LeadSource", "HasOptedOutOfEmail", "EmailBouncedDate"),
                *("LastActivityDate", "OwnerId"),
            ),
            vital=("AccountId", "Email"),
            selected=True,
        ),
        Kind(
            "Lead",
            "contact",
            "Leads",
            (
                *("Company", "FirstName", "LastName", "Email", "Phone", "Title"),
                *("Status", "HasOptedOutOfEmail", "LastActivityDate", "IsConverted"),
                *("ConvertedDate", "ConvertedAccountId", "ConvertedContactId"),
                *("ConvertedOpportunityId", "OwnerId"),
            ),
            vital=("Email", "Status"),
            selected=True,
        ),
        Kind(
            "Opportunity",
            "deal",
            "Opportunities",
            (
                *("AccountId", "Name", "StageName", "Amount", "Probability"),
                *("CloseDate", "IsClosed", "IsWon", "Type", "ForecastCategoryName"),
                *("ExpectedRevenue", "CurrencyIsoCode", "OwnerId"),
            ),
            vital=("AccountId", "Amount", "StageName", "CloseDate"),
            selected=True,
        ),
        Kind(
            "Case",
            "ticket",
            "Cases",
            (
                *("CaseNumber", "AccountId", "ContactId", "Status", "Priority"),
                *("Origin", "Type", "Reason", "Subject", "IsClosed", "IsEscalated"),
                *("ClosedDate", "OwnerId", "ParentId"),
            ),
            vital=("AccountId", "Status", "IsClosed"),
            selected=True,
        ),
        Kind(
            "Task",
            "conversation",
            "Tasks",
            (
                *("WhoId", "WhatId", "AccountId", "Subject", "Status", "Priority"),
                *("ActivityDate", "TaskSubtype", "CallDurationInSeconds", "CallType"),
                *("IsClosed", "CompletedDateTime", "IsArchived", "OwnerId"),
            ),
            vital=("AccountId", "Status"),
            selected=True,
        ),
        Kind(
            "Event",
            "conversation",
            "Events",
            (
                *("WhoId", "WhatId", "AccountId", "Subject", "StartDateTime"),
                *("EndDateTime", "EventSubtype", "IsArchived", "IsChild", "OwnerId"),
            ),
        ),
        Kind("User", label="Users", fields=("Name", "Email", "IsActive", "UserType")),
    )
}


@dataclass(frozen=True, slots=True)
class Described:
    """An object as the org describes it to this user. types: readable field -> its
    Salesforce type, "Owner.Name" included. custom: names of the org's own fields.
    account_field: the field that refers to the Account."""

    kind: Kind
    types: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    custom: frozenset[str] = frozenset()
    account_field: str = ""

    @property
    def stamp(self) -> str:
        return next((name for name in STAMPS if name in self.types), "")


def describe(kind: Kind, answer: JsonDict, extra: tuple[str, ...] = ()) -> Described:
    """What is read of an object. answer: of `/sobjects/<name>/describe`; extra:
    further standard fields."""
    wanted = {*_ALWAYS, *kind.fields, *extra}
    types: dict[str, str] = {}
    labels: dict[str, str] = {}
    custom: set[str] = set()
    account_field = ""
    for each in answer.get("fields") or []:
        name, type_ = str(each["name"]), str(each.get("type") or "string")
        if each.get("deprecatedAndHidden") or type_ in _UNREAD:
            continue
        if not account_field and each.get("referenceTo") == ["Account"]:
            account_field = name
        is_custom = each.get("custom") is True
        if kind.fields and not is_custom and name not in wanted:
            continue
        types[name] = type_
        labels[name] = str(each.get("label") or "")
        if is_custom or name in extra:
            custom.add(name)
        if name == "OwnerId" and each.get("relationshipName") == "Owner":
            types["Owner.Name"] = "string"
    return Described(kind, types, labels, frozenset(custom), account_field)


def column_type(salesforce_type: str) -> str:
    """A field type in the words of `Column.type`."""
    return _TYPES.get(salesforce_type, "string")


def kind_of(name: str) -> Kind:
    """The kind of an object; an unknown name is an object of the org's own."""
    return KINDS.get(name) or Kind(name)


def is_offered(sobject: dict[str, Any]) -> bool:
    """Whether an entry of `/sobjects` can be a stream."""
    if not sobject.get("queryable") or sobject.get("deprecatedAndHidden"):
        return False
    is_own = sobject.get("custom") is True and not sobject.get("customSetting")
    return sobject["name"] in KINDS or (is_own and sobject["name"].endswith("__c"))
