"""Django's admin for the kernel: people may be managed, facts only looked at.

The unified model has one writer (`integrations.load`); changing it by hand would
break versions and rollups, so its pages are read-only.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.db import connection, models, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from churnguard import keys, members
from churnguard.admin_base import OperatorAdmin, ReadOnlyAdmin, sign_in
from churnguard.models import (
    ApiKey,
    AuditEntry,
    Batch,
    CampaignEngagement,
    Contact,
    Conversation,
    Customer,
    CustomerSource,
    Deal,
    ExchangeRate,
    Heartbeat,
    IdentityLink,
    Invitation,
    Invoice,
    Membership,
    Notice,
    Organization,
    OrgDay,
    OrgHour,
    Person,
    PersonLink,
    Quarantine,
    RunKey,
    Schedule,
    Source,
    SourceMerge,
    SourceObject,
    StreamNote,
    StreamSequence,
    Subscription,
    SubscriptionChange,
    SurveyResponse,
    Ticket,
    UsageDay,
    UsageEvent,
    UsageWindow,
    User,
)
from churnguard.notices import resolve_notice

admin.site.site_header = admin.site.site_title = "ChurnGuard operations"
admin.site.index_title = "All tables"
admin.site.login = sign_in  # type: ignore[method-assign]
admin.site.unregister(Group)

Rows = models.QuerySet[Any]


class NewUserForm(BaseUserCreationForm):
    """A new person; the e-mail address is the sign-in name."""

    class Meta:
        model = User
        fields = ("email",)
        field_classes: ClassVar[dict[str, Any]] = {}


@admin.register(User)
class UserAdmin(OperatorAdmin, DjangoUserAdmin):
    add_form = NewUserForm
    list_display = ("email", "first_name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "first_name", "last_name")
    ordering = ("email",)
    secret_fields = ("password",)
    readonly_fields = ("last_login", "date_joined", "new_password")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "first_name", "last_name", "new_password")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Times (UTC)", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "password1", "password2")}),)

    @admin.display(description="Password")
    def new_password(self, user: User) -> str:
        """Not even the hash is shown."""
        return format_html('<a href="{}">Set a new password</a>', "../password/")


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Organization)
class OrganizationAdmin(OperatorAdmin):
    list_display = ("name", "public_id", "timezone", "base_currency", "created_at")
    search_fields = ("name", "public_id")
    readonly_fields = ("public_id", "created_at")
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(OperatorAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    list_filter = ("role",)
    search_fields = ("user__email", "organization__name")
    autocomplete_fields = ("user", "organization")


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ReadOnlyAdmin):
    list_display = ("organization", "currency", "day", "rate", "origin")
    list_select_related = ("organization",)
    list_filter = ("currency", "origin")
    search_fields = ("currency", "organization__name")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = (
        "email",
        "organization",
        "role",
        "expires_at",
        "accepted_at",
        "revoked_at",
    )
    list_select_related = ("organization",)
    list_filter = ("role",)
    search_fields = ("email", "organization__name")
    secret_fields = ("token_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke the chosen invitations")
    def revoke(self, request: HttpRequest, rows: Rows) -> None:
        usable = rows.filter(members.usable(timezone.now()))
        count = 0
        for row in usable.select_related("organization"):
            with transaction.atomic():
                Invitation.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
                self.record(request, row, "revoked", before={"email": row.email})
            count += 1
        messages.success(request, f"{count} invitation(s) revoked.")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "organization",
        "prefix",
        "scopes",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_select_related = ("organization",)
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "public_id", "organization__name")
    secret_fields = ("key_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, rows: Rows) -> None:
        count = sum(
            keys.revoke(request, key) for key in rows.select_related("organization")
        )
        messages.success(request, f"{count} key(s) revoked.")


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("title", "organization", "severity", "kind", "created_at", "state")
    list_select_related = ("organization",)
    list_filter = ("severity", "kind", ("resolved_at", admin.EmptyFieldListFilter))
    search_fields = ("title", "key", "organization__name")
    actions = ("resolve",)

    @admin.display(description="State")
    def state(self, notice: Notice) -> str:
        return "resolved" if notice.resolved_at else "open"

    @admin.action(description="Resolve the chosen notices")
    def resolve(self, request: HttpRequest, rows: Rows) -> None:
        count = 0
        for notice in rows.select_related("organization").order_by("organization_id"):
            with transaction.atomic():
                self.record(request, notice, "resolved", before={"key": notice.key})
                count += resolve_notice(connection, notice.organization_id, notice.key)
        messages.success(request, f"{count} notice(s) resolved.")


@admin.register(Schedule)
class ScheduleAdmin(OperatorAdmin):
    list_display = (
        "kind",
        "organization",
        "target_id",
        "stream",
        "every_s",
        "at_utc",
        "next_run_at",
        "last_run_at",
        "is_enabled",
    )
    list_select_related = ("organization",)
    list_filter = ("kind", "is_enabled")
    search_fields = ("kind", "stream", "organization__name")
    fields = ("every_s", "at_utc", "next_run_at", "is_enabled")
    actions = ("run_now", "enable", "disable")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Schedules come from integrations and analyses."""
        return False

    @admin.action(description="Run the chosen schedules now")
    def run_now(self, request: HttpRequest, rows: Rows) -> None:
        self._change(request, rows, "run_now", next_run_at=timezone.now())

    @admin.action(description="Enable the chosen schedules")
    def enable(self, request: HttpRequest, rows: Rows) -> None:
        self._change(request, rows, "enabled", is_enabled=True)

    @admin.action(description="Disable the chosen schedules")
    def disable(self, request: HttpRequest, rows: Rows) -> None:
        self._change(request, rows, "disabled", is_enabled=False)

    def _change(
        self, request: HttpRequest, rows: Rows, verb: str, **values: Any
    ) -> None:
        with transaction.atomic():
            for row in rows.select_related("organization"):
                self.record(request, row, verb, after={"kind": row.kind})
            count = rows.update(**values)
        messages.success(request, f"{count} schedule(s) changed.")


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    """Newest partitions only by search: the table has no index on its key."""

    list_display = ("name", "ts", "event_id", "customer_source_id", "batch_id")
    list_display_links = None
    search_fields = ("customer_source_id",)
    search_help_text = "The id of a customer source"
    ordering = ("-ts",)

    def get_queryset(self, request: HttpRequest) -> Rows:
        rows = super().get_queryset(request)
        return rows if request.GET.get("q") else rows.none()

    def get_search_results(
        self, request: HttpRequest, queryset: Rows, search_term: str
    ) -> tuple[Rows, bool]:
        text = search_term.strip()
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            return queryset.none(), False
        return queryset.filter(customer_source_id=int(text)), False


_TENANT = ("organization__name",)
_ENTITY = ("external_id", "source", "customer_source", "source_updated_at")
READ_ONLY: dict[type[models.Model], dict[str, tuple[str, ...]]] = {
    AuditEntry: {
        "list_display": ("at", "actor", "action", "target_type", "target_id"),
        "list_filter": ("target_type",),
        "search_fields": ("actor", "action", "target_id", *_TENANT),
    },
    Batch: {
        "list_display": (
            *("id", "source", "origin", "received_at", "fetched", "inserted"),
            *("updated", "unchanged", "duplicate", "quarantined", "filtered"),
        ),
        "list_filter": ("origin",),
        "search_fields": ("source__name", *_TENANT),
    },
    Quarantine: {
        "list_display": ("code", "record_type", "external_id", "source", "state"),
        "list_filter": ("state", "record_type"),
        "search_fields": ("code", "external_id", "source__name", *_TENANT),
    },
    RunKey: {
        "list_display": ("key", "stream", "run_id"),
        "search_fields": ("stream",),
    },
    Source: {
        "list_display": ("name", "kind", "organization", "first_seen_at"),
        "list_filter": ("kind",),
        "search_fields": ("name", *_TENANT),
    },
    Customer: {
        "list_display": ("name", "public_id", "organization", "score", "band"),
        "list_filter": ("band",),
        "search_fields": ("name", "public_id", "domain", *_TENANT),
    },
    CustomerSource: {
        "list_display": ("external_id", "source", "customer", "is_stub"),
        "list_filter": ("is_stub",),
        "search_fields": ("external_id", "name", "email", "source__name"),
    },
    IdentityLink: {},
    SourceMerge: {
        "list_display": ("loser", "winner", "record_type", "source", "seen_at"),
        "list_filter": ("record_type",),
        "search_fields": ("loser", "winner", "source__name", *_TENANT),
    },
    Person: {
        "list_display": ("public_id", "organization", "created_at"),
        "search_fields": ("public_id", *_TENANT),
    },
    PersonLink: {},
    **{
        model: {
            "list_display": _ENTITY,
            "search_fields": ("external_id", "source__name", *_TENANT),
        }
        for model in (
            *(Contact, Subscription, Invoice, Deal, Ticket, Conversation),
            *(SurveyResponse, CampaignEngagement, SourceObject),
        )
    },
    SubscriptionChange: {
        "list_display": ("subscription", "effective_at", "status", "mrr_minor"),
        "search_fields": ("subscription__external_id",),
    },
    UsageDay: {"list_display": ("customer_source", "day", "name", "n")},
    UsageWindow: {"list_display": ("customer_source", "base_day", "events_total")},
    OrgHour: {
        "list_display": ("organization", "hour", "name", "n"),
        "search_fields": ("name", *_TENANT),
    },
    OrgDay: {
        "list_display": ("organization", "day", "name", "n"),
        "search_fields": ("name", *_TENANT),
    },
    StreamNote: {
        "list_display": ("organization", "channel", "seq", "created_at"),
        "list_filter": ("channel",),
        "search_fields": _TENANT,
    },
    StreamSequence: {
        "list_display": ("organization", "channel", "seq"),
        "list_filter": ("channel",),
        "search_fields": _TENANT,
    },
    Heartbeat: {
        "list_display": ("name", "role", "at"),
        "list_filter": ("role",),
        "search_fields": ("name",),
    },
}
"""Model -> options of its read-only page."""


def _register() -> None:
    for model, options in READ_ONLY.items():
        names = {field.name for field in model._meta.get_fields()}
        related = tuple(
            name
            for name in options.get("list_display", ())
            if name in names and model._meta.get_field(name).is_relation
        )
        attributes = {**options, "list_select_related": related or False}
        admin.register(model)(
            type(f"{model.__name__}Admin", (ReadOnlyAdmin,), attributes)
        )


_register()
