"""What a currency was worth in the organisation's base currency, by day."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from churnguard.models.tenancy import Organization


class ExchangeRate(models.Model):
    """Holds from its day on until the next one; before the first day of a currency
    its amounts cannot be converted."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    currency = models.CharField(max_length=3)
    """ISO 4217, upper case."""
    day = models.DateField()
    rate = models.DecimalField(max_digits=20, decimal_places=10)
    """One unit of `currency` in units of the base currency."""
    origin = models.CharField(max_length=16, default="manual")
    """Who set it: manual, api or sample."""
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "cg_exchange_rate"
        constraints = [
            models.UniqueConstraint(
                F("organization"), F("currency"), F("day").desc(), name="rate_once"
            ),
            models.CheckConstraint(condition=Q(rate__gt=0), name="rate_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.day} {self.rate}"
