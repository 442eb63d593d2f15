"""Which events make a customer or user active: the organisation's choice.

System messages, mails and imports arrive as events too; being mailed is no use. The
choice counts for active members, lifecycle, the members of retention and what adoption
is a share of, unless a question names its events itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from analytics.models import UsageSetting
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization

MODES = ("all", "only", "except")
MOST_EVENTS = 500
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Qualifying:
    """mode: every event, only `events`, or all but them."""

    mode: str = "all"
    events: tuple[str, ...] = ()

    @property
    def sql(self) -> str:
        """The condition on rows `x` with a name; "" where every event counts. Takes
        %(qualifying)s."""
        if self.mode == "only":
            return "x.name = ANY(%(qualifying)s)"
        if self.mode == "except" and self.events:
            return "x.name <> ALL(%(qualifying)s)"
        return ""

    @property
    def body(self) -> dict[str, Any]:
        """As API and reports show it."""
        return {"mode": self.mode, "events": list(self.events)}


EVERYTHING = Qualifying()


def qualifying_of(organization: Organization) -> Qualifying:
    """What the organisation chose; every event without a choice."""
    row = UsageSetting.objects.filter(organization=organization).first()
    return Qualifying(row.mode, tuple(row.events)) if row else EVERYTHING


def parse(data: Any) -> Qualifying:
    """From a body {mode, events}. Raises ConfigError naming what is not valid."""
    fields: dict[str, str] = {}
    given: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    mode = given.get("mode", "")
    if mode not in MODES:
        fields["mode"] = f"one of {', '.join(MODES)}"
    names = given.get("events", [])
    is_list = isinstance(names, list) and len(names) <= MOST_EVENTS
    if not is_list or not all(_is_name(name) for name in names):
        fields["events"] = (
            f"a list of at most {MOST_EVENTS} event names of 1 to {_LONGEST} characters"
        )
    elif mode == "only" and not names:
        fields["events"] = "at least one; without any nobody would be active"
    if fields:
        raise ConfigError(
            "This choice of events is not valid.", code="invalid", fields=fields
        )
    chosen = [] if mode == "all" else sorted(set(names))
    return Qualifying(str(mode), tuple(chosen))


def save(
    request: HttpRequest, organization: Organization, chosen: Qualifying
) -> Qualifying:
    """Keep the choice and audit the change. Reports follow at once: nothing that is
    stored depends on it."""
    with transaction.atomic():
        UsageSetting.objects.get_or_create(organization=organization)
        row = UsageSetting.objects.select_for_update().get(organization=organization)
        before = Qualifying(row.mode, tuple(row.events))
        if before == chosen:
            return chosen
        row.mode, row.events = chosen.mode, list(chosen.events)
        row.save(update_fields=["mode", "events"])
        audit.record(
            request,
            "usage.qualifying_changed",
            organization=organization,
            target_type="organization",
            target_id=organization.public_id,
            before=before.body,
            after=chosen.body,
        )
    return chosen


def _is_name(name: Any) -> bool:
    """Text that can be stored: no zero byte, no half of a surrogate pair."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST:
        return False
    return "\x00" not in name and not any("\ud800" <= c <= "\udfff" for c in name)
