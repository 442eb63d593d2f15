"""Addresses of the pages of integrations, syncs and quarantine."""

from __future__ import annotations

from django.urls import path

from integrations.api import base  # noqa: F401  (registers the converter public_id)
from integrations.views import (
    adding,
    detail,
    files,
    guide,
    listing,
    mapping,
    quarantine,
    running,
    settings,
)

_ONE = "integrations/<public_id:integration_id>/"

urlpatterns = [
    path("integrations/", listing.integrations, name="integrations"),
    path("integrations/bulk/", listing.bulk, name="integrations-bulk"),
    path("integrations/new/", adding.catalogue, name="integration-new"),
    path(
        "integrations/new/<slug:provider>/",
        adding.connect,
        name="integration-connect-new",
    ),
    path(
        "integrations/new/<slug:provider>/guide/",
        guide.guide,
        name="integration-guide",
    ),
    path(_ONE, detail.integration, name="integration"),
    path(f"{_ONE}setup/", adding.setup, name="integration-setup"),
    path(f"{_ONE}files/", files.files, name="integration-files"),
    path(f"{_ONE}files/upload/", files.upload, name="integration-upload"),
    path(
        f"{_ONE}files/<str:upload_id>/remove/",
        files.remove,
        name="integration-upload-remove",
    ),
    path(f"{_ONE}runs/", detail.run_list, name="integration-runs"),
    path(f"{_ONE}ledger/", detail.ledger, name="integration-ledger"),
    path(f"{_ONE}mapping/", mapping.mapping, name="integration-mapping"),
    path(
        f"{_ONE}mapping/roll-back/",
        mapping.roll_back,
        name="integration-mapping-roll-back",
    ),
    path(f"{_ONE}settings/", settings.settings, name="integration-settings"),
    path(f"{_ONE}sync/", listing.sync, name="integration-sync"),
    path(f"{_ONE}cancel/", listing.cancel, name="integration-cancel"),
    path(f"{_ONE}pause/", listing.pause, name="integration-pause"),
    path(f"{_ONE}resume/", listing.resume, name="integration-resume"),
    path(f"{_ONE}test/", settings.test, name="integration-test"),
    path(f"{_ONE}authorize/", settings.authorize, name="integration-authorize"),
    path(f"{_ONE}discover/", settings.discover, name="integration-discover"),
    path(f"{_ONE}reset/", settings.reset, name="integration-reset"),
    path(f"{_ONE}delete/", settings.delete, name="integration-delete"),
    path(f"{_ONE}stream/", detail.stream, name="integration-stream"),
    path(f"{_ONE}brake/", detail.brake, name="integration-brake"),
    path(f"{_ONE}drift/", detail.forget_drift, name="integration-drift"),
    path("syncs/", running.run_index, name="runs"),
    path("syncs/<public_id:sync_id>/", running.run, name="run"),
    path("syncs/<public_id:sync_id>/cancel/", running.cancel, name="run-cancel"),
    path("syncs/<public_id:sync_id>/retry/", running.retry, name="run-retry"),
    path("quarantine/", quarantine.quarantine, name="quarantine"),
    path("quarantine/bulk/", quarantine.bulk, name="quarantine-bulk"),
    path(
        "quarantine/<int:record_id>/",
        quarantine.record,
        name="quarantine-record",
    ),
]
