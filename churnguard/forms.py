"""The forms of signing in, joining, members, keys and the account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils import timezone

from churnguard import attempts, keys, organizations
from churnguard.models import Organization, Role, User

_EXPIRIES = (("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never"))


class SignInForm(AuthenticationForm):
    """E-mail and password. Wrong, unknown and inactive answer alike; too many
    failures have to wait."""

    error_messages = {
        "invalid_login": "This e-mail address and password do not match.",
        "inactive": "This e-mail address and password do not match.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "E-mail"
        self.fields["username"].widget = forms.EmailInput(
            attrs={"autocomplete": "username", "autofocus": True, "maxlength": 254}
        )

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username", "")
        if self.request is not None and attempts.are_used_up(self.request, email):
            raise ValidationError(
                "Too many failed tries. Wait 15 minutes, then try again.",
                code="too_many",
            )
        try:
            cleaned = super().clean()
        except ValidationError:
            if self.request is not None:
                attempts.count_failure(self.request, email)
            raise
        if self.request is not None and self.get_user() is not None:
            attempts.forget(self.request, email)
        return cleaned


class JoinForm(forms.Form):
    """A new person's name and password; `email` is what the invitation says."""

    name = forms.CharField(
        label="Your name",
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
    )
    email = forms.EmailField(
        label="E-mail",
        disabled=True,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        max_length=256,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 8 characters, not only digits, not a common one.",
    )

    def clean_password(self) -> str:
        password = self.cleaned_data["password"]
        person = User(
            email=self.initial.get("email", ""),
            first_name=self.cleaned_data.get("name", ""),
        )
        password_validation.validate_password(password, person)
        return password


class InviteForm(forms.Form):
    """Whom to invite; `roles` are those the inviting person may give."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(label="Role")

    def __init__(self, *args: Any, roles: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [  # type: ignore[attr-defined]
            (value, label) for value, label in Role.choices if value in roles
        ]
        self.fields["role"].initial = Role.VIEWER


class OrganizationForm(forms.Form):
    """What an organisation is called and counts by; see `organizations`."""

    name = forms.CharField(
        label="Name",
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    timezone = forms.ChoiceField(
        label="Time zone",
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        help_text="Its calendar days are those of every report.",
    )
    base_currency = forms.CharField(
        label="Base currency",
        min_length=3,
        max_length=3,
        help_text="Three letters, such as EUR. Other currencies are converted to it by "
        "dated rates.",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters"}
        ),
    )

    def __init__(
        self, *args: Any, organization: Organization, may_change: bool, **kwargs: Any
    ) -> None:
        fields = organizations.FIELDS
        kwargs["initial"] = {name: getattr(organization, name) for name in fields}
        super().__init__(*args, **kwargs)
        self.is_fixed = organizations.is_counting(organization)
        for name, field in self.fields.items():
            field.disabled = not may_change or (self.is_fixed and name != "name")

    def clean_base_currency(self) -> str:
        return str(self.cleaned_data["base_currency"]).upper()


class ApiKeyForm(forms.Form):
    """Name, scopes and lifetime of a new key."""

    name = forms.CharField(
        label="Name",
        max_length=120,
        help_text="What uses it, such as “billing export”.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="May",
        choices=list(keys.SCOPES.items()),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick at least one."},
    )
    lifetime_days = forms.ChoiceField(
        label="Ends after", choices=_EXPIRIES, required=False, initial="365"
    )

    def expires_at(self) -> datetime | None:
        """When the key ends; None = never."""
        days = self.cleaned_data["lifetime_days"]
        return timezone.now() + timedelta(days=int(days)) if days else None
