"""What an organisation is called, and by which clock and in which money it counts.

Usage is counted by the calendar days of the time zone as it arrives, and money is
converted to the base currency, so both are fixed once something is stored.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Batch, ExchangeRate, Organization

FIELDS = ("name", "timezone", "base_currency")
_FIXED = {
    "timezone": "usage is counted by its days already",
    "base_currency": "amounts are counted in it already",
}


def is_counting(organization: Organization) -> bool:
    """Whether records or rates are stored, so that time zone and currency are fixed."""
    return any(
        model.objects.filter(organization=organization).exists()
        for model in (Batch, ExchangeRate)
    )


def change(
    request: HttpRequest, organization: Organization, given: dict[str, Any]
) -> Organization:
    """Set those of `FIELDS` that `given` has; the organisation as it is then.

    Raises ConfigError with the fields at fault: not valid, or fixed by now.
    """
    with transaction.atomic():
        organization = Organization.objects.select_for_update().get(pk=organization.pk)
        before = {name: getattr(organization, name) for name in FIELDS}
        after = {**before, **{name: given[name] for name in FIELDS if name in given}}
        changed = [name for name in FIELDS if before[name] != after[name]]
        if not changed:
            return organization
        for name in changed:
            setattr(organization, name, after[name])
        check(organization)
        fixed = {name: why for name, why in _FIXED.items() if name in changed}
        if fixed and is_counting(organization):
            raise ConfigError(
                "Time zone and base currency are fixed once data are stored.",
                code="fixed",
                fields=fixed,
            )
        organization.save(update_fields=changed)
        audit.record(
            request,
            "organization.changed",
            organization=organization,
            target_type="organization",
            target_id=organization.public_id,
            before=before,
            after=after,
        )
    return organization


def check(organization: Organization) -> None:
    """Raises ConfigError where a field is not valid."""
    try:
        organization.clean_fields(exclude={"settings", "public_id"})
    except ValidationError as exc:
        raise ConfigError(
            "Some fields are not valid.",
            code="invalid",
            fields={name: texts[0] for name, texts in exc.message_dict.items()},
        ) from exc
