"""Changes a person makes: thresholds, and the wish to measure now."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from churnguard import audit
from churnguard.models import Organization
from monitoring.models import QualitySetting


def set_limits(
    organization: Organization, values: dict[str, Any], *, by: HttpRequest
) -> QualitySetting:
    """Keep least_score, most_fall and weights (already checked; what is not there
    stays) and audit the change. New weights count from the next measurement."""
    with transaction.atomic():
        row, _ = QualitySetting.objects.select_for_update().get_or_create(
            organization=organization
        )
        before = {name: getattr(row, name) for name in values}
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=list(values))
        if before != values:
            audit.record(
                by,
                "quality.thresholds_changed",
                organization=organization,
                target_type="quality",
                target_id=organization.public_id,
                before=before,
                after=dict(values),
            )
    return row


def ask(organization: Organization) -> None:
    """Have the next tick of a worker measure this organisation."""
    QualitySetting.objects.update_or_create(
        organization=organization, defaults={"asked_at": timezone.now()}
    )
