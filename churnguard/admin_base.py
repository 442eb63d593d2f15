"""What every admin page of the operators shares.

Lists count by estimate and follow no foreign key row by row, so that they open on
large tables; read-only pages offer no form; changes leave an audit entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection, models, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from churnguard import audit
from churnguard.models import Organization

COUNT_MOST = 10_000
"""Longer results are counted as this many, or by PostgreSQL's own estimate."""


class EstimatingPaginator(Paginator):
    """Exact up to COUNT_MOST rows; beyond, the planner's figure of the whole table,
    or COUNT_MOST when the list is filtered."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, models.QuerySet):
            return len(rows)
        found = rows.order_by()[: COUNT_MOST + 1].values_list("pk").count()
        if found <= COUNT_MOST:
            return found
        if rows.query.where:
            return COUNT_MOST
        with connection.cursor() as cur:
            cur.execute(
                "SELECT sum(reltuples)::bigint FROM pg_class WHERE oid = %s::regclass "
                "OR oid IN (SELECT inhrelid FROM pg_inherits "
                "WHERE inhparent = %s::regclass)",
                [rows.model._meta.db_table] * 2,
            )
            return max(int(cur.fetchone()[0] or 0), COUNT_MOST)


class OperatorAdmin(admin.ModelAdmin):
    """Base of all: 50 rows a page, estimated counts, audited changes.

    `secret_fields` are never shown, in no list and in no form.
    """

    list_per_page = 50
    show_full_result_count = False
    paginator = EstimatingPaginator
    secret_fields: Sequence[str] = ()

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*(super().get_exclude(request, obj) or ()), *self.secret_fields)

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm, change: bool
    ) -> None:
        """Save, and record what changed in the same transaction."""
        names = form.changed_data if change else list(form.cleaned_data)
        names = [name for name in names if name not in self.secret_fields]
        before = {name: _plain(form.initial.get(name)) for name in names}
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self.record(
                request,
                obj,
                "changed" if change else "created",
                before=before if change else None,
                after={name: _plain(form.cleaned_data.get(name)) for name in names},
            )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self.record(request, obj, "deleted", before={"name": str(obj)})
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def record(self, request: HttpRequest, obj: Any, verb: str, **sides: Any) -> None:
        """An audit entry "admin.<model>_<verb>" about `obj`."""
        organization = obj if isinstance(obj, Organization) else None
        if verb != "deleted" or organization is None:
            organization = getattr(obj, "organization", organization)
        else:
            # An entry must outlive what it tells of.
            organization = None
        audit.record(
            request,
            f"admin.{obj._meta.model_name}_{verb}",
            organization=organization,
            target_type=obj._meta.model_name,
            target_id=str(getattr(obj, "public_id", obj.pk)),
            **sides,
        )


class ReadOnlyAdmin(OperatorAdmin):
    """For what only the product writes: facts, the ledger, the audit log, notes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def sign_in(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """The admin has no door of its own: the sign-in page, with its limits, is it."""
    if request.user.is_authenticated:
        raise PermissionDenied("The admin is for operators; your account is none.")
    target = request.GET.get(REDIRECT_FIELD_NAME) or request.get_full_path()
    return redirect_to_login(target)


def _plain(value: Any) -> Any:
    """Something JSON can hold, for the audit log."""
    if isinstance(value, (str, int, float, bool, dict, list)) or value is None:
        return value
    if isinstance(value, models.QuerySet):
        return [str(item) for item in value]
    return str(value)
