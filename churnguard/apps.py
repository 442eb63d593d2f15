"""The churnguard app."""

from __future__ import annotations

from django.apps import AppConfig


class ChurnGuardConfig(AppConfig):
    name = "churnguard"
    verbose_name = "Organisations and customers"

    def ready(self) -> None:
        """Once the settings stand: error reports, and the context of task logs."""
        from churnguard import logs, metrics, sentry  # read settings

        sentry.start()
        logs.carry_context_through_celery()
        metrics.count_celery_tasks()
