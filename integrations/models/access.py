"""Secrets of a connection, and OAuth round trips that are under way."""

from __future__ import annotations

from django.db import models

from churnguard.models import Organization, User
from integrations.models.connection import Integration


class Credential(models.Model):
    """The specification's IntegrationCredentials, encrypted as one JSON object.

    Read and written by `integrations.credentials` alone.
    """

    id = models.BigAutoField(primary_key=True)
    integration = models.OneToOneField(
        Integration, on_delete=models.CASCADE, related_name="credential"
    )
    credential_type = models.CharField(max_length=40, default="api_key")
    """oauth2, api_key, basic_auth, bearer, none or a connector's own word."""
    blob = models.TextField()
    hints = models.JSONField(default=dict)
    """{field: {"last4", "set_at"}}: all that is ever shown."""
    expires_at = models.DateTimeField(null=True, blank=True)
    """When the access token ends; null = does not expire."""
    spending = models.CharField(max_length=64, blank=True, default="")
    """Fingerprint of a refresh token that was sent and not yet answered."""
    version = models.IntegerField(default=1)
    set_by = models.CharField(max_length=254, blank=True, default="")
    refreshed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "int_credential"
        indexes = [models.Index(fields=["expires_at"], name="credential_expiry")]


class OAuthState(models.Model):
    """One press of "Connect": usable once, by the same person, for ten minutes."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="oauth_states"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True)
    state_hash = models.CharField(max_length=64, unique=True)
    verifier = models.TextField(blank=True, default="")
    """The PKCE verifier, encrypted."""
    redirect_uri = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "int_oauth_state"


class TriedToken(models.Model):
    """What a refresh token that was only tried out has been renewed to.

    It may work only once, so saving it must store these instead
    (`integrations.token_stores`). Forgotten after a week.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    mark = models.CharField(max_length=64)
    """Fingerprint of the refresh token as it was typed."""
    blob = models.TextField(blank=True, default="")
    """The newest tokens, encrypted."""
    spending = models.CharField(max_length=64, blank=True, default="")
    """As in `Credential`."""
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "int_tried_token"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "mark"], name="tried_token_once"
            )
        ]
