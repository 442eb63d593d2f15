"""Zendesk Support as a source, over its Support API v2.

Documentation: developer.zendesk.com/api-reference (incremental exports, ticket
metrics, satisfaction ratings, CSAT survey responses, OAuth). Auth: OAuth client
credentials, or a person's consent with rotating refresh tokens; API tokens work until
30 April 2027. Limits: calls a minute by plan, 10 incremental exports a minute (30 with
the high-volume add-on). The zenpy package can neither renew tokens nor be held to our
budgets (it sleeps by itself), so HTTP is spoken here. Not covered: ticket comments and
audits, Talk, Chat, Guide articles, webhooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from churnguard.errors import ConfigError, RecordError
from churnguard.records import AnyRecord
from integrations.connectors.base import (
    Column,
    Connector,
    Field,
    JsonDict,
    Page,
    ReadRequest,
    Reject,
    Stream,
)
from integrations.connectors.zendesk import account as accounts
from integrations.connectors.zendesk import reading, records
from integrations.connectors.zendesk.account import (
    CLIENT,
    LEGACY,
    PERSON,
    ZendeskAccount,
)
from integrations.connectors.zendesk.columns import documented
from integrations.http import RefusedError
from integrations.oauth import OAuthApp

_CSAT = {"satisfaction_ratings": "/satisfaction_ratings"}
_CSAT["survey_responses"] = "/guide/survey_responses"
_TYPES = {
    "integer": "integer",
    "decimal": "number",
    "checkbox": "boolean",
    "date": "date",
    "multiselect": "array",
}


_WITH_CLIENT = ("auth_flow", (CLIENT, PERSON))
_WITH_TOKEN = ("auth_flow", (LEGACY,))


class ZendeskConnector(Connector):
    name: ClassVar[str] = "zendesk"
    label: ClassVar[str] = "Zendesk"
    category: ClassVar[str] = "Support"
    integration_type: ClassVar[str] = "support"
    summary: ClassVar[str] = (
        "Tickets with response and resolution metrics, satisfaction, SLA events, users "
        "and organizations."
    )
    prepare: ClassVar[str] = (
        "As an administrator open Admin Center, Apps and integrations, APIs, OAuth "
        "clients, and add a confidential client. Enter its identifier and secret here "
        "with your subdomain. To sign in as a person instead, add the redirect address "
        "shown here to the client and press Connect."
    )
    docs: ClassVar[str] = "docs/connectors/zendesk.md"
    auth: ClassVar[tuple[str, ...]] = ("client_credentials", "oauth2", "api_key")
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "subdomain",
            "Subdomain",
            required=False,
            help="acme for acme.zendesk.com; a sandbox has a subdomain of its own.",
        ),
        Field(
            "auth_flow",
            "Way to sign in",
            kind="choice",
            required=False,
            default=CLIENT,
            choices=(
                (CLIENT, "OAuth client credentials"),
                (PERSON, "A person signs in (Connect)"),
                (LEGACY, "API token (legacy, until 30 April 2027)"),
            ),
        ),
        Field(
            "client_id",
            "OAuth client identifier",
            required=False,
            only_with=_WITH_CLIENT,
        ),
        Field(
            "client_secret",
            "OAuth client secret",
            kind="secret",
            secret=True,
            required=False,
            only_with=_WITH_CLIENT,
        ),
        Field(
            "email",
            "E-mail address of the API token's admin",
            required=False,
            only_with=_WITH_TOKEN,
        ),
        Field(
            "api_token",
            "API token",
            kind="secret",
            secret=True,
            required=False,
            only_with=_WITH_TOKEN,
        ),
        Field(
            "escalation_tags",
            "Tags of escalated tickets",
            required=False,
            default="escalated, escalation",
            help="Separated by commas. Tickets that changed their group count too.",
            advanced=True,
        ),
        Field(
            "calls_per_minute",
            "Calls per minute of your plan",
            kind="number",
            required=False,
            default=200,
            help="200 Team, 400 Growth and Professional, 700 Enterprise.",
            advanced=True,
        ),
        Field(
            "exports_per_minute",
            "Incremental exports per minute",
            kind="number",
            required=False,
            default=10,
            help="30 with the high-volume add-on.",
            advanced=True,
        ),
        Field(
            "base_url",
            "Address",
            kind="url",
            required=False,
            help="Only where it is not subdomain.zendesk.com.",
            advanced=True,
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "organizations",
            "customer",
            cursor_field="updated_at",
            deletes="sweep",
            label="Organizations",
        ),
        Stream(
            "users",
            "contact",
            cursor_field="updated_at",
            deletes="flag",
            label="Users",
            depends_on=("organizations",),
        ),
        Stream(
            "tickets",
            "ticket",
            cursor_field="generated_timestamp",
            deletes="flag",
            label="Tickets and their metrics",
            depends_on=("organizations", "users"),
        ),
        Stream(
            "satisfaction_ratings",
            "survey_response",
            cursor_field="created_at",
            label="Satisfaction ratings (legacy CSAT)",
            depends_on=("users",),
        ),
        Stream(
            "survey_responses",
            "survey_response",
            cursor_field="created_at",
            label="CSAT survey responses",
            depends_on=("users",),
        ),
        Stream(
            "sla_events",
            "object",
            cursor_field="time",
            deletes="flag",
            label="SLA events",
        ),
        Stream(
            "ticket_metrics",
            "object",
            selected_by_default=False,
            label="Ticket metrics (also on tickets)",
        ),
    )

    @classmethod
    def oauth_app(
        cls, settings: Mapping[str, Any], secrets: Mapping[str, Any]
    ) -> OAuthApp | None:
        if settings.get("auth_flow") != PERSON:
            return None
        return accounts.oauth_app(settings, secrets)

    def check(self) -> str:
        user = self.account.who()
        return (
            f"Connected to Zendesk {self.account.host} as {user.get('name')} "
            f"({user.get('role')})."
        )

    def discover(self) -> tuple[Stream, ...]:
        return tuple(self._described(stream) for stream in self.streams)

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        pages = reading.read_rows(self.account, stream.name, request)
        while True:
            found = self._next(stream, pages)
            if found is None:
                return
            yield self._page(stream, request, *found)

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        return reading.list_organization_ids(self.account)

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        is_ticket = stream.name == "tickets"
        fields = self.account.ticket_fields if is_ticket else {}
        try:
            return records.record_of(stream.name, raw, fields, self._escalation_tags)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            # A list where an object should be, and the like.
            raise RecordError(
                f"The object has an unexpected shape: {exc}.", code="wrong_type"
            ) from exc

    @cached_property
    def account(self) -> ZendeskAccount:
        return ZendeskAccount(self)

    @cached_property
    def _escalation_tags(self) -> frozenset[str]:
        given = self.settings.get("escalation_tags")
        listed = "escalated,escalation" if given is None else str(given)
        tags = (tag.strip().lower() for tag in listed.split(","))
        return frozenset(tag for tag in tags if tag)

    def _next(
        self, stream: Stream, pages: reading.Rows
    ) -> tuple[list[JsonDict], JsonDict] | None:
        try:
            return next(pages, None)
        except RefusedError as refusal:
            if stream.name in _CSAT and refusal.status in (403, 404):
                raise ConfigError(
                    f"Zendesk offers no {stream.label} here: an account has either "
                    "legacy satisfaction ratings or CSAT surveys. Choose the other "
                    "stream.",
                    code="permission_denied",
                ) from refusal
            if refusal.status == 403:
                raise ConfigError(
                    f"Zendesk does not let this connection read {stream.label}: it "
                    "needs an administrator and the OAuth scope “read”. A token with "
                    "a wrong scope is refused in the same way; connect again.",
                    code="permission_denied",
                ) from refusal
            raise

    def _page(
        self,
        stream: Stream,
        request: ReadRequest,
        rows: list[JsonDict],
        cursor: JsonDict,
    ) -> Page:
        made: list[AnyRecord] = []
        rejects: list[Reject] = []
        staff: list[str] = []
        filtered = 0
        until = reading.unix(request.until) if request.until else None
        for raw in rows:
            is_late = until is not None and reading.changed_at(raw) >= until
            if is_late or not records.is_ours(stream.name, raw):
                filtered += 1
                if stream.name == "users" and not is_late:
                    staff.append(str(raw.get("id")))
                continue
            try:
                made.append(self.parse(stream, raw))
            except RecordError as exc:
                rejects.append(Reject.of(exc, raw, str(raw.get("id") or "")))
        return Page(
            records=made,
            rejects=rejects,
            cursor=cursor,
            filtered=filtered,
            # An end user may have been made an agent.
            deleted_ids=staff,
        )

    def _described(self, stream: Stream) -> Stream:
        own: list[Column] = []
        if stream.name == "tickets":
            named = self.account.ticket_fields.items()
            own = [
                Column(f"custom_fields.{key}", "string", label=title, is_custom=True)
                for key, title in named
            ]
        elif stream.name in ("users", "organizations"):
            own = self._own_columns(f"{stream.name[:-1]}_fields")
        described = replace(stream, columns=(*documented(stream.name), *own))
        return self._csat(described) if stream.name in _CSAT else described

    def _own_columns(self, kind: str) -> list[Column]:
        return [
            Column(
                f"{kind}.{each['key']}",
                _TYPES.get(str(each.get("type")), "string"),
                label=str(each.get("title") or ""),
                is_custom=True,
            )
            for each in self.account.own_fields(kind)
        ]

    def _csat(self, stream: Stream) -> Stream:
        """Chosen at first only where the account has this kind of survey."""
        try:
            self.account.http.get_json(_CSAT[stream.name], params={"page[size]": 1})
        except RefusedError as refusal:
            if refusal.status not in (400, 403, 404):
                raise
            return replace(stream, selected_by_default=False)
        return stream
