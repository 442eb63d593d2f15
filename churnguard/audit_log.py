"""Reading the audit log: one query for the page and the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from churnguard.api import keyset_by_id
from churnguard.errors import ConfigError
from churnguard.models import AuditEntry, Organization

_MOST_ACTIONS = 200


@dataclass(slots=True, frozen=True)
class AuditFilter:
    """What to show. `actor` and `target` match parts, `action` a whole or its start
    ("member" finds "member.invited"); `since` and `until` are ISO days or times."""

    actor: str = ""
    action: str = ""
    target: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> AuditFilter:
        return cls(
            **{
                name: query.get(name, "").replace("\x00", "").strip()
                for name in cls.__slots__
            }
        )

    def apply(self, rows: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Raises ConfigError for a date that is none."""
        if self.actor:
            rows = rows.filter(actor__icontains=self.actor)
        if self.action:
            rows = rows.filter(action__startswith=self.action)
        if self.target:
            rows = rows.filter(target_id__icontains=self.target)
        if self.since:
            rows = rows.filter(at__gte=_moment("since", self.since))
        if self.until:
            rows = rows.filter(at__lt=_moment("until", self.until))
        return rows


def list_entries(
    organization: Organization, chosen: AuditFilter, *, cursor: str | None, limit: int
) -> tuple[list[AuditEntry], str | None]:
    """Newest first, and the cursor of the next page or None."""
    rows = chosen.apply(AuditEntry.objects.filter(organization=organization))
    return keyset_by_id(rows, cursor=cursor, limit=limit)


@dataclass(slots=True, frozen=True)
class Change:
    """One value of an entry as texts; "" = there was none."""

    name: str
    before: str
    after: str


def changes_of(entry: AuditEntry) -> list[Change]:
    """What an entry says has changed, by name; what was empty and stays so is left
    out."""
    before, after = entry.before or {}, entry.after or {}
    changes = [
        Change(name, _text(before.get(name)), _text(after.get(name)))
        for name in sorted({**before, **after})
    ]
    return [change for change in changes if change.before or change.after]


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def list_actions(organization: Organization) -> list[str]:
    """The actions that occur, for the filter."""
    found = AuditEntry.objects.filter(organization=organization).order_by("action")
    return list(found.values_list("action", flat=True).distinct()[:_MOST_ACTIONS])


def _moment(name: str, text: str) -> str:
    try:
        is_date = parse_date(text) is not None or parse_datetime(text) is not None
    except ValueError:
        is_date = False
    if not is_date:
        raise ConfigError(
            f"{name} must be a day or a time like 2026-01-31 or 2026-01-31T08:00Z.",
            code="invalid",
            fields={name: "not a date"},
        )
    # A bare day or time is UTC, like every time of the log.
    if len(text) == 10:
        return f"{text}T00:00:00+00:00"
    return text if text[-1] in "Zz" or text[-6] in "+-" else f"{text}+00:00"
