"""Files a person has uploaded, for the file connector."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models

from churnguard.ids import new_id
from churnguard.models import Organization
from integrations.models.connection import Integration


def _upload_id() -> str:
    return new_id("upl")


class Upload(models.Model):
    """One file under MEDIA_ROOT/<organisation>/<upload id>/<name>."""

    id = models.BigAutoField(primary_key=True)
    public_id = models.CharField(max_length=64, unique=True, default=_upload_id)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    integration = models.ForeignKey(
        Integration,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="uploads",
    )
    """Set once an integration reads it."""
    name = models.CharField(max_length=200)
    """The file name as given, without folders."""
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_by = models.CharField(max_length=254, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "int_upload"

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> Path:
        """Where the bytes are."""
        return (
            Path(settings.MEDIA_ROOT)
            / self.organization.public_id
            / self.public_id
            / self.name
        )
