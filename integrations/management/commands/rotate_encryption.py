"""Encrypt every stored secret anew with the first key of the ring."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from integrations import credentials


class Command(BaseCommand):
    help = (
        "Re-encrypts stored secrets with the first key of INTEGRATION_ENCRYPTION_KEY. "
        "Safe while everything runs; afterwards the old keys can be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        count = credentials.rotate_all()
        self.stdout.write(f"{count} secrets are encrypted with the first key.")
