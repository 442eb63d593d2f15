"""Forms made from what a connector declares, and those of every integration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms

from integrations import storable
from integrations.connectors.base import Connector, Field
from integrations.models import SyncMode
from integrations.views.endpoints import EndpointsField
from integrations.views.endpoints import editor as endpoint_editor
from integrations.views.pairs import parse_pairs
from integrations.views.shared import schedule_choices

_OFF = {"autocomplete": "off", "spellcheck": "false"}
SYNC_MODES = (
    (SyncMode.INCREMENTAL, "Incremental: what changed since the last sync"),
    (SyncMode.FULL, "Full: everything each time"),
    (SyncMode.REAL_TIME, "Real time: incremental beside webhooks"),
)
BY_SIGN_IN = {"auth_flow": "oauth"}
"""The choice of connectors that a person may, but need not, sign in to."""
_PREFIX = "field-"
_HIDDEN = ("layouts",)
"""Fields with an editor of their own on another page."""
_ENDPOINTS = "endpoints"


class ConnectForm(forms.Form):
    """Name, then the connector's own fields in its order. Secrets are write-only: an
    empty one keeps what is set."""

    integration_name = forms.CharField(
        label="Name", max_length=200, help_text="How it shows in lists."
    )

    def __init__(
        self,
        cls: type[Connector],
        *args: Any,
        held: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.connector = cls
        self.held = held or {}
        self.order_fields(["integration_name"])
        self.fields["integration_name"].initial = cls.label
        self.fields["integration_name"].widget.attrs.update(_OFF)
        for field in self.declared():
            self.fields[_PREFIX + field.name] = _form_field(
                field, is_set=field.name in self.held
            )

    def declared(self) -> list[Field]:
        """The connector's fields that this form shows."""
        return [f for f in self.connector.fields if f.name not in _HIDDEN]

    def rows(self) -> list[dict[str, Any]]:
        """{bound, is_secret, set_at, last4, advanced, when, values, editor} per field,
        for the template; when and values: the field, by its name in the form, and what
        it has to hold for this one to mean something; editor: of the endpoints."""
        shown = [{"bound": self["integration_name"], "is_secret": False}]
        for field in self.declared():
            hint = self.held.get(field.name, {})
            shown.append(
                {
                    "bound": self[_PREFIX + field.name],
                    # A long secret (a key file) needs its own lines.
                    "is_secret": field.secret and field.kind != "textarea",
                    "set_at": _moment(hint.get("set_at")),
                    "last4": hint.get("last4", ""),
                    "advanced": field.advanced,
                    **_condition(field),
                    **_editor(self[_PREFIX + field.name]),
                }
            )
        return shown

    def plain_rows(self) -> list[dict[str, Any]]:
        """The rows everybody looks at."""
        return [row for row in self.rows() if not row.get("advanced")]

    def advanced_rows(self) -> list[dict[str, Any]]:
        """The rows most people leave as they are."""
        return [row for row in self.rows() if row.get("advanced")]

    def is_advanced_open(self) -> bool:
        """Whether something among the advanced rows was changed or is at fault."""
        return any(
            row["bound"].errors
            or row.get("set_at")
            or row["bound"].value() not in (None, "", row["bound"].field.initial)
            for row in self.advanced_rows()
        )

    def sign_in_flow(self) -> dict[str, str]:
        """The choice that means the provider's own sign-in; {} where none has to be
        made."""
        for field in self.connector.fields:
            if field.name in BY_SIGN_IN:
                name = _PREFIX + field.name
                return {"when": name, "values": BY_SIGN_IN[field.name]}
        return {}

    def settings(self) -> dict[str, Any]:
        """The open values; those left empty are None, so that an update clears them."""
        return {
            field.name: _value(self.cleaned_data[_PREFIX + field.name])
            for field in self.declared()
            if not field.secret
        }

    def secrets(self) -> dict[str, Any]:
        """The secrets that were typed."""
        given = {
            field.name: self.cleaned_data[_PREFIX + field.name]
            for field in self.declared()
            if field.secret
        }
        return {name: value for name, value in given.items() if value}

    def body(self) -> dict[str, Any]:
        """What `registry.create` and `registry.update` take."""
        secrets = self.secrets()
        body: dict[str, Any] = {
            "integration_name": self.cleaned_data["integration_name"],
            "settings": self.settings(),
        }
        if secrets:
            body["credentials"] = {"custom_fields": secrets}
        return body

    def place(self, message: str, faults: Mapping[str, str]) -> None:
        """Show an error of the engine at the fields it names, else above the form."""
        placed = False
        for name, why in faults.items():
            for key in (_PREFIX + name, name):
                if key in self.fields:
                    is_sentence = why.endswith(".") or len(why) >= 60
                    self.add_error(key, why if is_sentence else f"{message} ({why})")
                    placed = True
                    break
        if not placed:
            self.add_error(None, message)


class SyncForm(forms.Form):
    """When and how an integration syncs."""

    sync_frequency = forms.TypedChoiceField(
        label="Schedule", coerce=int, help_text="Missed times are not made up for."
    )
    sync_mode = forms.ChoiceField(
        label="Mode",
        choices=SYNC_MODES,
    )

    def __init__(self, *args: Any, current_s: int = 3600, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clock, mode = self.fields["sync_frequency"], self.fields["sync_mode"]
        assert isinstance(clock, forms.ChoiceField)
        assert isinstance(mode, forms.ChoiceField)
        clock.choices = schedule_choices(current_s)
        if self.initial.get("sync_mode") == SyncMode.SCHEDULED:
            scheduled = (SyncMode.SCHEDULED, "Scheduled: incremental on the clock")
            mode.choices = [scheduled, *SYNC_MODES]


class JsonField(forms.JSONField):
    """JSON that shows nothing where nothing is set."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value in (None, {}, []) else super().prepare_value(value)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if fault := storable.why_not(value):
            raise forms.ValidationError(fault)


class LimitsForm(SyncForm):
    """The settings of an integration that its provider feels."""

    batch_size = forms.IntegerField(
        label="Records per page", min_value=1, max_value=50_000
    )
    requests_per_minute = forms.IntegerField(
        label="Requests per minute, at most", min_value=1, max_value=1_000_000
    )
    concurrent_requests = forms.IntegerField(
        label="Requests at the same time", min_value=1, max_value=100
    )
    retry_attempts = forms.IntegerField(label="Tries again", min_value=0, max_value=100)
    retry_backoff = forms.IntegerField(
        label="First wait before a retry, seconds", min_value=0, max_value=86_400
    )
    tags = forms.CharField(
        label="Tags", required=False, help_text="Separated by commas."
    )
    incremental_field = forms.CharField(
        label="Field that tells a change",
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={**_OFF, "list": "known-fields"}),
        help_text="Such as updated_at: an incremental sync reads what has a newer "
        "value there. Empty = as the connector found it. A kind of data can have "
        "its own below.",
    )
    data_filters = JsonField(
        label="Only records that match",
        required=False,
        widget=forms.Textarea(attrs={**_OFF, "class": "mono", "rows": 3}),
        help_text='JSON, such as {"deals:stage": {"ne": "lost"}, "region": ["eu"]}; '
        "a name alone holds for every kind of data that has the field. Empty = all.",
    )

    def clean_data_filters(self) -> dict[str, Any]:
        given = self.cleaned_data["data_filters"] or {}
        if not isinstance(given, dict):
            raise forms.ValidationError("Give an object: {field: what it must be}.")
        return given

    def clean_tags(self) -> list[str]:
        words = [word.strip() for word in self.cleaned_data["tags"].split(",")]
        tags = list(dict.fromkeys(word for word in words if word))
        if any(len(tag) > 60 for tag in tags):
            raise forms.ValidationError("A tag has at most 60 letters.")
        return tags


class SharedFieldsForm(forms.Form):
    """field_mappings, one a line: our field = source field."""

    field_mappings = forms.CharField(
        label="Our field = source field, one a line",
        required=False,
        widget=forms.Textarea(
            attrs={**_OFF, "rows": 4, "placeholder": "name = company_name"}
        ),
        help_text="A name that is no field of ours becomes a custom field. Rules of a "
        "single kind of data, above, come before these.",
    )

    def clean_field_mappings(self) -> dict[str, Any]:
        pairs = parse_pairs(self.cleaned_data["field_mappings"])
        if fault := storable.why_not(pairs):
            raise forms.ValidationError(fault)
        return pairs


class MultipleFileInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One or several files."""

    widget = MultipleFileInput

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        files = data if isinstance(data, (list, tuple)) else [data]
        return [super(FilesField, self).clean(file, initial) for file in files]


class UploadForm(forms.Form):
    """Files for the file connector."""

    # Django takes a form's fields off its class, so this hides nothing.
    files = FilesField(  # type: ignore[assignment]
        label="Files",
        help_text="CSV, NDJSON or JSON, plain, .gz or .zst; several at once.",
        widget=MultipleFileInput(
            attrs={
                "accept": ".csv,.tsv,.json,.jsonl,.ndjson,.gz,.zst",
                "data-file-name": "chosen-files",
            }
        ),
    )


class FileForm(UploadForm):
    """A new file integration."""

    integration_name = forms.CharField(
        label="Name",
        max_length=200,
        initial="Files",
        help_text="Where the data is from, such as “Billing export”.",
        widget=forms.TextInput(attrs=_OFF),
    )
    currency = forms.CharField(
        label="Currency",
        min_length=3,
        max_length=3,
        initial="USD",
        help_text="Of amounts whose file does not say (ISO 4217).",
        widget=forms.TextInput(attrs=_OFF),
    )
    timezone = forms.CharField(
        label="Time zone",
        max_length=60,
        initial="UTC",
        help_text="Of times without a zone, e.g. Europe/Berlin.",
        widget=forms.TextInput(attrs=_OFF),
    )
    field_order = ["integration_name", "files", "currency", "timezone"]


def _editor(bound: forms.BoundField) -> dict[str, Any]:
    if not isinstance(bound.field, EndpointsField):
        return {}
    return {"editor": endpoint_editor(bound)}


def _condition(field: Field) -> dict[str, str]:
    if field.only_with is None:
        return {}
    name, values = field.only_with
    return {"when": _PREFIX + name, "values": " ".join(values)}


def _form_field(field: Field, *, is_set: bool) -> forms.Field:
    required = field.required and not (field.secret and is_set)
    common: dict[str, Any] = {
        "label": field.label,
        "required": required,
        "help_text": field.help,
        "initial": None if field.secret else field.default,
    }
    if field.choices:
        choices = list(field.choices)
        if not field.required and field.default is None:
            choices = [("", "Not set"), *choices]
        return forms.ChoiceField(choices=choices, **common)
    if field.kind == "bool":
        return forms.BooleanField(**{**common, "required": False})
    if field.kind == "number":
        return forms.FloatField(**common)
    if field.name == _ENDPOINTS:
        return EndpointsField(example=field.example, **common)
    if field.kind == "json":
        rows = field.example.count("\n") + 1 if field.example else 5
        area = forms.Textarea(
            attrs={
                **_OFF,
                "class": "mono",
                "rows": max(rows, 3),
                "placeholder": field.example,
            }
        )
        return JsonField(widget=area, **common)
    if field.kind == "textarea":
        area = forms.Textarea(attrs={**_OFF, "rows": 5})
        return forms.CharField(widget=area, strip=False, **common)
    if field.secret:
        return forms.CharField(widget=forms.PasswordInput(attrs=_OFF), **common)
    return forms.CharField(widget=forms.TextInput(attrs=_OFF), **common)


def _value(value: Any) -> Any:
    """Form value to setting: whole numbers stay whole, empty is None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return value.strip() or None
    return value


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def pretty(value: Any) -> str:
    """JSON for a person to read and edit."""
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False)
