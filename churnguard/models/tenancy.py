"""Who may see what: users, organisations, memberships, keys, and the audit log."""

from __future__ import annotations

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from churnguard.ids import new_id


class UserManager(BaseUserManager["User"]):
    """Creates users that sign in with their e-mail address."""

    def create_user(
        self, email: str, password: str | None = None, **extra: Any
    ) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str, **extra: Any) -> User:
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **extra
        )

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username or "")


class User(AbstractUser):
    """A person; the e-mail address is the sign-in name."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        db_table = "cg_user"

    def __str__(self) -> str:
        return self.email


def _org_id() -> str:
    return new_id("org")


def _key_id() -> str:
    return new_id("key")


def validate_timezone(name: str) -> None:
    """Raises ValidationError for what is no IANA name, such as “Europe/Berlin”."""
    if name not in available_timezones():
        raise ValidationError(f"“{name}” is no time zone, such as “Europe/Berlin”.")


validate_currency = RegexValidator(
    r"^[A-Z]{3}\Z", "A currency is three capital letters, such as “EUR”."
)


class Organization(models.Model):
    """A tenant. Every tenant row points here, every tenant query starts here."""

    public_id = models.CharField(max_length=64, unique=True, default=_org_id)
    name = models.CharField(max_length=200)
    timezone = models.CharField(
        max_length=64, default="UTC", validators=[validate_timezone]
    )
    """IANA name; usage is counted by this zone's calendar days."""
    base_currency = models.CharField(
        max_length=3, default="USD", validators=[validate_currency]
    )
    settings = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "cg_organization"

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """Each role may do all that the ones below it may."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    ANALYST = "analyst", "Analyst"
    VIEWER = "viewer", "Viewer"


class Membership(models.Model):
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "cg_membership"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user"], name="membership_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"


class Invitation(models.Model):
    """A link that lets one person join; only the hash of its token is kept."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "cg_invitation"


class ApiKey(models.Model):
    """A machine's access. The key itself is shown once; its SHA-256 is stored."""

    SCOPES = ("ingest", "read", "write", "admin")

    public_id = models.CharField(max_length=64, unique=True, default=_key_id)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="api_keys"
    )
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=16)
    key_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=16), default=list)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        db_table = "cg_api_key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(models.Model):
    """Who changed what, with secrets masked. Append-only."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="audit", null=True
    )
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=254)
    """The e-mail address, "key:<name>" or "system"."""
    action = models.CharField(max_length=64)
    """Dotted, e.g. "integration.updated"."""
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=128)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        db_table = "cg_audit_entry"
        indexes = [models.Index(fields=["organization", "-id"], name="audit_org_new")]
