"""From an integration's row to a live connector, and its connection test."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.conf import settings as django_settings

from churnguard import crypto
from churnguard.errors import AuthenticationError, ChurnGuardError, ConfigError
from churnguard.models import Organization
from integrations import connectors, credentials
from integrations.connectors.base import Connector, Stream
from integrations.counting import call_counter
from integrations.http import Client
from integrations.models import Integration, StreamState, Upload
from integrations.netguard import Guard
from integrations.outbound import make_breaker, make_budget, run_budget
from integrations.token_stores import StoredTokens, TriedTokens
from integrations.tokens import TokenStore

log = logging.getLogger(__name__)

_TRIES = 2
_PATIENCE_S = 20.0
"""Tries and seconds of a call that a person waits for."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a connection test found. sentence: for a person, without secrets."""

    ok: bool
    code: str
    sentence: str


@contextmanager
def opened(
    integration: Integration, *, interactive: bool = False
) -> Iterator[Connector]:
    """A connector for `integration`, closed afterwards.

    interactive: a person waits, so calls may use the reserved part of the budget.
    """
    secrets = credentials.load(integration)
    with opened_with(
        connectors.get(integration.provider_name),
        connector_settings(integration),
        secrets,
        integration=integration,
        interactive=interactive,
    ) as connector:
        yield connector


@contextmanager
def opened_with(
    cls: type[Connector],
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    *,
    integration: Integration | None = None,
    tried_by: Organization | None = None,
    interactive: bool = False,
) -> Iterator[Connector]:
    """A connector from values that may not be stored yet. Errors that leave the block
    have every secret in their sentence masked.

    tried_by: whose secrets are tried out; tokens renewed meanwhile are kept for when
    they are saved.
    """
    texts = credentials.secret_texts(secrets)
    client = Client(
        adapter=cls.name,
        title=cls.label,
        secrets=texts,
        guard=Guard(
            allow_private=tuple(django_settings.INTEGRATION_ALLOW_PRIVATE_HOSTS)
        ),
        make_budget=make_budget,
        budgets=run_budget(integration),
        breaker=make_breaker(integration),
        interactive=interactive,
        observer=call_counter(integration),
    )
    if interactive:
        client = _impatient(client)
    stored = integration if integration is not None and integration.pk else None
    connector = cls(
        settings=settings,
        secrets=secrets,
        client=client,
        now=partial(datetime.now, UTC),
        save_secrets=((lambda changed: _keep(stored, changed)) if stored else None),
        token_store=_token_store(stored, tried_by, secrets),
    )
    try:
        yield connector
    except ChurnGuardError as exc:
        exc.message = crypto.redact(exc.message, texts)
        exc.args = (exc.message,)
        raise
    finally:
        connector.close()
        client.close()


def _impatient(client: Client) -> Client:
    """For a page that waits: what a run tries for minutes is told at once."""
    return client.using(
        retry=replace(
            client.retry, max_attempts=min(client.retry.max_attempts, _TRIES)
        ),
        read_timeout_s=min(client.read_timeout_s, _PATIENCE_S),
    )


def _token_store(
    stored: Integration | None,
    tried_by: Organization | None,
    secrets: Mapping[str, Any],
) -> TokenStore | None:
    """None: renewed tokens live as long as the connector."""
    if stored is not None:
        return StoredTokens(stored.pk)
    if tried_by is not None and secrets.get("refresh_token"):
        return TriedTokens(tried_by.pk, secrets)
    return None


def _keep(integration: Integration, changed: Mapping[str, Any]) -> None:
    credentials.save(integration, changed, by="system")


def connector_settings(integration: Integration) -> dict[str, Any]:
    """The open settings with the connector's defaults, the specification's base_url
    and api_version, the files it was given, and which mode of Stripe it has read."""
    cls = connectors.get(integration.provider_name)
    values = {f.name: f.default for f in cls.fields if f.default is not None}
    if integration.base_url:
        values["base_url"] = integration.base_url
    if integration.api_version:
        values["api_version"] = integration.api_version
    values.update(
        {k: v for k, v in integration.settings.items() if v not in (None, "")}
    )
    values["entity_mappings"] = integration.entity_mappings
    if cls.name == "file":
        values["uploads"] = [
            {"id": upload.public_id, "name": upload.name, "path": str(upload.path)}
            for upload in Upload.objects.filter(integration=integration)
            .select_related("organization")
            .order_by("pk")
        ]
        values["roots"] = list(django_settings.FILE_SOURCE_ROOTS)
    if cls.name == "stripe":
        # Full syncs come without a cursor, but must not mix test and live data either.
        values["has_read_live"] = (
            StreamState.objects.filter(integration=integration, cursor__has_key="live")
            .values_list("cursor__live", flat=True)
            .first()
        )
    return values


def check(integration: Integration) -> Checked:
    """Ask the provider who we are. Never raises our errors: they become sentences."""
    try:
        with opened(integration, interactive=True) as connector:
            return Checked(True, "ok", connector.check())
    except ChurnGuardError as exc:
        log.info("connection.refused", extra={"code": exc.code})
        return Checked(False, exc.code, exc.message)


def status_of(error: ConfigError) -> str:
    """The integration status an error of a person's making leads to."""
    if isinstance(error, AuthenticationError):
        return "authentication_failed"
    return "error"


def discover(integration: Integration) -> tuple[Stream, ...]:
    """The provider's streams now. Raises ConfigError or TransientError."""
    with opened(integration, interactive=True) as connector:
        return connector.discover()
