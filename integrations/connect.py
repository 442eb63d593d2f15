"""The OAuth round trip behind "Connect": send the browser off, take the code back.

The state is random, kept as a hash, tied to the person who pressed the button, usable
once and for ten minutes; PKCE ties the code to this server.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from churnguard import audit, crypto
from churnguard.errors import AuthenticationError, ConfigError
from churnguard.models import Organization, User
from integrations import connecting, connectors, credentials, notices, oauth, schedules
from integrations.models import Integration, OAuthState

LIFE = timedelta(minutes=10)
_TOKENS = {"access_token": None, "refresh_token": None, "expires_at": None}
"""What a sign-in gave us; saved like this, it is forgotten."""


def begin(integration: Integration, *, user: User, redirect_uri: str) -> str:
    """Where to send the browser. Raises ConfigError where the provider has no OAuth or
    its client id is missing."""
    app = _app(integration)
    state, pkce = oauth.new_state(), oauth.new_pkce()
    url = oauth.authorization_url(
        app, redirect_uri=redirect_uri, state=state, pkce=pkce
    )
    OAuthState.objects.filter(expires_at__lt=datetime.now(UTC)).delete()
    OAuthState.objects.create(
        integration=integration,
        user=user,
        state_hash=_hash(state),
        verifier=crypto.encrypt(pkce.verifier),
        redirect_uri=redirect_uri,
        expires_at=datetime.now(UTC) + LIFE,
    )
    return url


def finish(
    *,
    state: str,
    code: str,
    user: User,
    organization: Organization,
    request: HttpRequest,
    error: str = "",
) -> Integration:
    """Store the tokens the callback's code stands for; returns the integration.

    organization: where the person has the right to connect. Raises AuthenticationError
    for a state that is unknown, used, too old or somebody else's, and for a code the
    provider does not take.
    """
    waiting = _take(state, user, organization)
    integration = waiting.integration
    if error or not code:
        raise AuthenticationError(
            f"{integration.name} was not connected: the provider answered "
            f"“{error[:200] or 'no code'}”.",
            code="connect_refused",
        )
    secrets = credentials.load(integration)
    with connecting.opened(integration, interactive=True) as connector:
        tokens = oauth.exchange_code(
            connector.client,
            _app(integration, secrets),
            code=code,
            redirect_uri=waiting.redirect_uri,
            verifier=crypto.decrypt(waiting.verifier),
            now=datetime.now(UTC),
        )
    with transaction.atomic():
        _store(integration, tokens, by=audit.actor_of(request))
        Integration.objects.filter(pk=integration.pk).exclude(status="paused").update(
            status="active", status_detail=""
        )
        integration.refresh_from_db()
        schedules.keep(integration)
        notices.over(integration)
        audit.record(
            request,
            "integration.connected",
            organization=integration.organization,
            target_type="integration",
            target_id=integration.public_id,
        )
    return integration


def await_sign_in(integration: Integration) -> None:
    """Call an integration not set up until somebody has signed in at its provider."""
    label = connectors.get(integration.provider_name).label
    integration.status = "inactive"
    integration.status_detail = f"Somebody still has to sign in at {label}."
    integration.save(update_fields=["status", "status_detail"])
    schedules.keep(integration)


def revoke(integration: Integration, *, request: HttpRequest | str) -> bool:
    """End the access at the provider as far as it can be, and forget the tokens here.
    Returns whether the provider confirmed. Raises ConfigError where there are none."""
    secrets = credentials.load(integration)
    app = connectors.get(integration.provider_name).oauth_app(
        connecting.connector_settings(integration), secrets
    )
    if app is None and not secrets.keys() & _TOKENS.keys():
        raise _no_oauth(integration)
    confirmed = False
    if app is not None:
        token = secrets.get("refresh_token") or secrets.get("access_token") or ""
        with connecting.opened(integration, interactive=True) as connector:
            confirmed = oauth.revoke(connector.client, app, str(token))
    with transaction.atomic():
        credentials.save(integration, _TOKENS, by="system")
        Integration.objects.filter(pk=integration.pk).update(
            status="inactive", status_detail="The access was given back."
        )
        integration.refresh_from_db()
        schedules.keep(integration)
        audit.record(
            request,
            "integration.revoked",
            organization=integration.organization,
            target_type="integration",
            target_id=integration.public_id,
            after={"confirmed": confirmed},
        )
    return confirmed


def _app(
    integration: Integration, secrets: dict[str, Any] | None = None
) -> oauth.OAuthApp:
    cls = connectors.get(integration.provider_name)
    held = credentials.load(integration) if secrets is None else secrets
    app: oauth.OAuthApp | None = cls.oauth_app(
        connecting.connector_settings(integration), held
    )
    if app is None:
        raise _no_oauth(integration)
    return app


def _no_oauth(integration: Integration) -> ConfigError:
    label = connectors.get(integration.provider_name).label
    return ConfigError(
        f"{label} is not connected by a button; its key stands in the settings.",
        code="no_oauth",
    )


def _take(state: str, user: User, organization: Organization) -> OAuthState:
    """The waiting round trip, marked as used."""
    now = datetime.now(UTC)
    rows = OAuthState.objects.filter(
        state_hash=_hash(state),
        user=user,
        integration__organization=organization,
        used_at=None,
        expires_at__gt=now,
    )
    if rows.update(used_at=now) != 1:
        raise AuthenticationError(
            "This connection attempt is unknown, too old or was used already. Press "
            "Connect again.",
            code="bad_state",
        )
    return OAuthState.objects.select_related(
        "integration__organization", "integration__source"
    ).get(state_hash=_hash(state))


def _store(integration: Integration, tokens: oauth.TokenSet, *, by: str) -> None:
    values: dict[str, Any] = {
        "access_token": tokens.access_token,
        "token_raw": tokens.raw,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
        "issued_at": datetime.now(UTC).isoformat(),
    }
    for name in ("refresh_token", "instance_url", "scope"):
        if getattr(tokens, name):
            values[name] = getattr(tokens, name)
    credentials.save(integration, values, credential_type="oauth2", by=by)


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
