"""The churnguard app."""

from __future__ import annotations

from django.apps import AppConfig


class ChurnGuardConfig(AppConfig):
    name = "churnguard"
    verbose_name = "Organisations and customers"

    def ready(self) -> None:
        """Once the settings stand: error reports, the broker, context of task logs."""
        from churnguard import celery, logs, metrics, sentry  # read settings

        sentry.start()
        # For every thread: else a request's thread nudges a broker that is not ours.
        celery.app.set_default()
        logs.carry_context_through_celery()
        metrics.count_celery_tasks()
