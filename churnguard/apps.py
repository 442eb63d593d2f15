"""The kernel app."""

from __future__ import annotations

from django.apps import AppConfig


class ChurnGuardConfig(AppConfig):
    name = "churnguard"
    verbose_name = "Organisations and customers"

    def ready(self) -> None:
        # Makes our Celery app the default one for every process that loads Django.
        import churnguard.celery  # noqa: F401
