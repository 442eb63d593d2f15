"""The churnguard app."""

from __future__ import annotations

from django.apps import AppConfig


class ChurnGuardConfig(AppConfig):
    name = "churnguard"
    verbose_name = "Organisations and customers"
