"""What an organisation counts as recurring revenue: two settings, with defaults.

Kept in Organization.settings["revenue"]. Trials never count; discounts are taken off
by each billing connection before the amount reaches us.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization

CHURN_DATES = ("ended_at", "canceled_at")
GRACE_MOST = 365


@dataclass(frozen=True, slots=True)
class Policy:
    """past_due_grace_days: how long an unpaid subscription still counts (0-365).
    churn_date: revenue is lost when the service ends (ended_at) or already when the
    cancellation is asked for (canceled_at)."""

    past_due_grace_days: int = 30
    churn_date: str = "ended_at"


def get_policy(organization: Organization) -> Policy:
    """The organisation's settings; defaults for what was never set."""
    return Policy(**organization.settings.get("revenue", {}))


def parse(given: Any) -> Policy:
    """A policy from JSON or form data. Raises ConfigError that names each bad field."""
    fields: dict[str, str] = {}
    if not isinstance(given, dict):
        raise ConfigError("Send an object with the settings.", code="invalid")
    unknown = set(given) - {"past_due_grace_days", "churn_date"}
    for name in unknown:
        fields[str(name)] = "not a setting"
    grace = given.get("past_due_grace_days", Policy().past_due_grace_days)
    if isinstance(grace, str) and grace.isascii() and grace.isdigit():
        grace = int(grace[:9])
    is_whole = isinstance(grace, int) and not isinstance(grace, bool)
    if not is_whole or not 0 <= grace <= GRACE_MOST:
        fields["past_due_grace_days"] = f"a whole number from 0 to {GRACE_MOST}"
    churn_date = given.get("churn_date", Policy().churn_date)
    if churn_date not in CHURN_DATES:
        fields["churn_date"] = f"one of {', '.join(CHURN_DATES)}"
    if fields:
        raise ConfigError("Some settings are not valid.", code="invalid", fields=fields)
    return Policy(past_due_grace_days=grace, churn_date=churn_date)


def save(request: HttpRequest, organization: Organization, policy: Policy) -> None:
    """Keep the settings and write the audit entry. The caller refreshes what depends
    on them."""
    with transaction.atomic():
        row = Organization.objects.select_for_update().get(pk=organization.pk)
        before = asdict(get_policy(row))
        row.settings = {**row.settings, "revenue": asdict(policy)}
        row.save(update_fields=["settings"])
        audit.record(
            request,
            "revenue.settings_changed",
            organization=row,
            target_type="organization",
            target_id=row.public_id,
            before=before,
            after=asdict(policy),
        )
    organization.settings = row.settings
