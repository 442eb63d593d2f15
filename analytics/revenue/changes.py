"""Changing what revenue depends on, and bringing every customer up to date."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from analytics.revenue import mrr, policy, rates
from churnguard.models import Organization


def change_policy(
    request: HttpRequest, organization: Organization, chosen: policy.Policy
) -> int:
    """Keep the settings; returns how many customers' MRR changed by it."""
    with transaction.atomic():
        policy.save(request, organization, chosen)
        return mrr.refresh_customers(organization, timezone.now())


def change_rates(
    who: HttpRequest | str,
    organization: Organization,
    given: list[rates.Rate],
    *,
    origin: str,
) -> int:
    """Keep the rates; returns how many customers' MRR changed by it."""
    with transaction.atomic():
        rates.save_rates(who, organization, given, origin=origin)
        return mrr.refresh_customers(organization, timezone.now())
