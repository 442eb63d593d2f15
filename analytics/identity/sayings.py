"""What each source says of a customer or a person, field by field, and who wins.

The rule is that of `churnguard.resolve`: the newest value that is not empty, newest by
the source's own time or else by when it was stored; what is deleted in its source comes
last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from churnguard.models import Contact, CustomerSource

_CUSTOMER_FIELDS = {
    "name": "Name",
    "domain": "Domain",
    "email": "E-mail",
    "phone": "Phone",
    "country": "Country",
    "industry": "Industry",
    "segment": "Segment",
    "plan": "Plan",
    "seats": "Seats",
    "employees": "Employees",
    "owner": "Owner",
    "lifecycle_stage": "Lifecycle stage",
    "status": "Status",
    "signup_at": "Customer since",
    "churned_at": "Left",
}
_PERSON_FIELDS = {
    "name": "Name",
    "email": "E-mail",
    "phone": "Phone",
    "title": "Title",
    "role": "Role",
    "lifecycle_stage": "Lifecycle stage",
    "user_id": "User in the product",
    "is_champion": "Champion",
    "opted_out": "Opted out of mail",
    "last_contacted_at": "Last contact",
    "joined_at": "Since",
}


@dataclass(frozen=True, slots=True)
class Saying:
    """One source's value of a field. at: UTC; is_own_time: the source's own time, else
    when we stored it."""

    source: str
    external_id: str
    value: Any
    at: datetime
    is_own_time: bool
    is_deleted: bool
    is_winner: bool

    @property
    def text(self) -> str:
        """The value as people read it."""
        if isinstance(self.value, bool):
            return "yes" if self.value else "no"
        if isinstance(self.value, datetime):
            return self.value.date().isoformat()
        return str(self.value)


@dataclass(frozen=True, slots=True)
class Field:
    """A field with every source that knows it, the winner first. why: a sentence."""

    name: str
    label: str
    value: Any
    why: str
    sayings: list[Saying]

    @property
    def text(self) -> str:
        """The winning value as people read it."""
        return self.sayings[0].text


@dataclass(frozen=True, slots=True)
class Voice:
    """A source that knows the customer or person. heard_at: when it last delivered
    anything at all; None when nothing is on record."""

    member: CustomerSource | Contact
    heard_at: datetime | None

    @property
    def said_at(self) -> datetime:
        """The time of the member's own values (UTC)."""
        return self.member.source_updated_at or self.member.updated_at


def fields_of(members: Sequence[CustomerSource | Contact]) -> list[Field]:
    """The fields that at least one member knows, in a fixed order. members: with their
    source selected."""
    is_person = bool(members) and isinstance(members[0], Contact)
    labels = _PERSON_FIELDS if is_person else _CUSTOMER_FIELDS
    ranked = sorted(members, key=_rank, reverse=True)
    out = []
    for name, label in labels.items():
        known = [one for one in ranked if getattr(one, name) not in (None, "")]
        if known:
            sayings = [_saying(one, name, one is known[0]) for one in known]
            out.append(Field(name, label, sayings[0].value, _why(sayings), sayings))
    return out


def voices(members: Sequence[CustomerSource | Contact]) -> list[Voice]:
    """The members with how fresh their sources are, by name of the source."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT s.id, (SELECT b.received_at FROM cg_batch b "
            "WHERE b.source_id = s.id ORDER BY b.received_at DESC LIMIT 1) "
            "FROM cg_source s WHERE s.id = ANY(%s)",
            [sorted({one.source_id for one in members})],
        )
        heard = dict(cur.fetchall())
    rows = sorted(members, key=lambda one: (one.source.name, one.pk))
    return [Voice(one, heard.get(one.source_id)) for one in rows]


def _rank(one: CustomerSource | Contact) -> tuple[bool, datetime, int]:
    return (one.deleted_at is None, one.source_updated_at or one.updated_at, one.pk)


def _saying(one: CustomerSource | Contact, name: str, is_winner: bool) -> Saying:
    return Saying(
        source=one.source.name,
        external_id=one.external_id,
        value=getattr(one, name),
        at=one.source_updated_at or one.updated_at,
        is_own_time=one.source_updated_at is not None,
        is_deleted=one.deleted_at is not None,
        is_winner=is_winner,
    )


def _why(sayings: list[Saying]) -> str:
    first, *others = sayings
    if not others:
        return f"Only {first.source} says it."
    if all(one.text == first.text for one in others):
        return "Both agree." if len(sayings) == 2 else f"All {len(sayings)} agree."
    if first.at == others[0].at and first.is_deleted == others[0].is_deleted:
        return f"{first.source} came last of those of the same time."
    if all(one.is_deleted for one in others) and not first.is_deleted:
        return f"{first.source} is the only one where it is not deleted."
    return f"{first.source} is the newest of {len(sayings)}."
