"""What an organisation counts as recurring revenue: settings with defaults.

Kept in Organization.settings["revenue"]. Trials never count; discounts are taken off
by each billing connection before the amount reaches us, as its own setting says.
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
LOGO_CHURNS = ("start", "start_and_joined")
GRACE_MOST = 365
USAGE_MONTHS_MOST = 24


@dataclass(frozen=True, slots=True)
class Policy:
    """past_due_grace_days: how long an unpaid subscription still counts (0-365).
    churn_date: revenue is lost when the service ends (ended_at) or already when the
    cancellation is asked for (canceled_at). logo_churn: customers lost as a share of
    those at the start, or of these and those who joined. gross_margin_pct: of revenue,
    for the lifetime value (0-100). usage_mean_months: whole months behind the mean of
    revenue by use (1-24)."""

    past_due_grace_days: int = 30
    churn_date: str = "ended_at"
    logo_churn: str = "start"
    gross_margin_pct: int = 100
    usage_mean_months: int = 3


_NUMBERS = (
    ("past_due_grace_days", 0, GRACE_MOST),
    ("gross_margin_pct", 0, 100),
    ("usage_mean_months", 1, USAGE_MONTHS_MOST),
)
_CHOICES = (("churn_date", CHURN_DATES), ("logo_churn", LOGO_CHURNS))


def get_policy(organization: Organization) -> Policy:
    """The organisation's settings; defaults for what was never set."""
    return Policy(**organization.settings.get("revenue", {}))


def parse(given: Any) -> Policy:
    """A policy from JSON or form data. Raises ConfigError that names each bad field."""
    fields: dict[str, str] = {}
    if not isinstance(given, dict):
        raise ConfigError("Send an object with the settings.", code="invalid")
    for name in set(given) - set(Policy.__dataclass_fields__):
        fields[str(name)] = "not a setting"
    values: dict[str, Any] = {}
    for name, least, most in _NUMBERS:
        value = given.get(name, getattr(Policy(), name))
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:9])
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most:
            fields[name] = f"a whole number from {least} to {most}"
        values[name] = value
    for name, legal in _CHOICES:
        value = given.get(name, getattr(Policy(), name))
        if value not in legal:
            fields[name] = f"one of {', '.join(legal)}"
        values[name] = value
    if fields:
        raise ConfigError("Some settings are not valid.", code="invalid", fields=fields)
    return Policy(**values)


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
