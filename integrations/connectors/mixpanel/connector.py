"""Mixpanel as a source: raw event export 2.0 and the query API.

Documentation: developer.mixpanel.com/reference (raw-event-export, engage-query,
cohorts-list, service-accounts). Auth: HTTP Basic with a service account and the
project's id; project secrets end on 3 March 2027 and are not offered. Limits, each per
project: 60 queries an hour and 5 at a time, 60 exports an hour. The mixpanel-utils
package holds whole exports in memory, repeats without a pause and raises BaseException,
so HTTP is spoken here. Not covered: funnels, retention, JQL, cohort members, webhooks.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from integrations.connectors.mixpanel import records
from integrations.connectors.mixpanel.events import EventReader
from integrations.connectors.mixpanel.profiles import ProfileReader
from integrations.connectors.mixpanel.project import MixpanelProject
from integrations.drift import type_of
from integrations.http import RefusedError
from integrations.pagination import rows_of

_PROFILE_COLUMNS = (
    Column("$distinct_id", "string"),
    Column("$properties", "json"),
    *(
        Column(f"$properties.{name}", kind)
        for name, kind in (
            ("$name", "string"),
            ("$email", "string"),
            ("$phone", "string"),
            ("$created", "datetime"),
            ("$last_seen", "datetime"),
        )
    ),
)


class MixpanelConnector(Connector):
    name: ClassVar[str] = "mixpanel"
    label: ClassVar[str] = "Mixpanel"
    category: ClassVar[str] = "Product analytics"
    integration_type: ClassVar[str] = "analytics"
    summary: ClassVar[str] = "Every product event, user and company profiles, cohorts."
    prepare: ClassVar[str] = (
        "In Mixpanel open Organization settings, Service accounts, add one with the "
        "role Consumer or Analyst for the project, and copy its user name and secret. "
        "The project id and the data region are in Project settings, Overview. "
        "Profiles and cohorts need a Growth or Enterprise plan."
    )
    docs: ClassVar[str] = "docs/connectors/mixpanel.md"
    auth: ClassVar[tuple[str, ...]] = ("basic_auth",)
    fields: ClassVar[tuple[Field, ...]] = (
        Field("project_id", "Project id", kind="number"),
        Field("username", "Service account user name"),
        Field("secret", "Service account secret", kind="secret", secret=True),
        Field(
            "region",
            "Data region",
            kind="choice",
            required=False,
            default="us",
            choices=(("us", "United States"), ("eu", "Europe"), ("in", "India")),
        ),
        Field(
            "customer_property",
            "Property with the customer's id",
            required=False,
            help="On events and profiles, such as company_id.",
        ),
        Field(
            "data_group_id",
            "Group id of companies",
            required=False,
            help="Project settings, Group keys; adds company profiles.",
        ),
        Field(
            "events",
            "Only these events",
            required=False,
            help="Names, separated by commas; empty for all.",
            advanced=True,
        ),
        Field(
            "start_date",
            "First day to export",
            required=False,
            help="YYYY-MM-DD; empty for the last 365 days.",
        ),
        Field(
            "reread_days",
            "Days to export again for late events",
            kind="number",
            required=False,
            default=3,
            advanced=True,
        ),
        Field(
            "project_timezone",
            "Project time zone",
            kind="timezone",
            required=False,
            default="UTC",
            help="Only for projects made before 2023, such as Europe/Berlin.",
            advanced=True,
        ),
        Field(
            "workspace_id", "Workspace (data view) id", required=False, advanced=True
        ),
        Field("base_url", "API address", kind="url", required=False, advanced=True),
    )
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "group_profiles",
            "customer",
            cursor_field="$last_seen",
            lookback_s=3600,
            deletes="full",
            label="Company profiles",
            columns=_PROFILE_COLUMNS,
        ),
        Stream("cohorts", "object", deletes="full", label="Cohorts"),
        Stream(
            "events",
            "event",
            cursor_field="time",
            label="Events",
        ),
        # Last: they can use up the queries of many hours, and a run waits as a whole.
        Stream(
            "profiles",
            "contact",
            cursor_field="$last_seen",
            lookback_s=3600,
            deletes="full",
            label="User profiles",
            columns=_PROFILE_COLUMNS,
        ),
    )

    def check(self) -> str:
        project = f"Mixpanel project {self.project.project_id}"
        region = self.project.region.upper()
        try:
            cohorts = len(self._cohorts())
        except ConfigError as exc:
            if exc.code != "plan_required":
                raise
            self._told(self._first_event)
            return (
                f"Connected to {project} ({region}). Only events can be read: profiles "
                "and cohorts need a Growth or Enterprise plan."
            )
        return f"Connected to {project} ({region}, {cohorts} cohorts)."

    def discover(self) -> tuple[Stream, ...]:
        """Streams of the query API are left to a person to choose where Mixpanel does
        not let us use it."""
        wanted = [s for s in self.streams if s.name != "group_profiles"]
        if self._group_id:
            wanted = list(self.streams)
        try:
            return tuple(self._described(stream) for stream in wanted)
        except RefusedError as refusal:
            if refusal.status not in (402, 403):
                raise
            return tuple(
                replace(stream, selected_by_default=stream.name == "events")
                for stream in wanted
            )

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        pages = self._pages(stream, request)
        while True:
            page = self._told(lambda: next(pages, None))
            if page is None:
                return
            yield page

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        if stream.name == "events":
            return records.event_of(raw, self.project.zone, self._customer_property)
        if stream.name == "group_profiles":
            return records.customer_of(raw)
        if stream.name == "cohorts":
            return records.cohort_of(raw)
        return records.contact_of(raw, self._customer_property)

    @cached_property
    def project(self) -> MixpanelProject:
        return MixpanelProject(self)

    @property
    def _customer_property(self) -> str:
        return str(self.settings.get("customer_property") or "").strip()

    @property
    def _group_id(self) -> str:
        return str(self.settings.get("data_group_id") or "").strip()

    def _described(self, stream: Stream) -> Stream:
        """Profiles with the properties of Mixpanel's first page of them."""
        if stream.name not in ("profiles", "group_profiles"):
            return stream
        page = next(self._pages(stream, ReadRequest(mode="full")))
        known = {column.name for column in _PROFILE_COLUMNS}
        found: dict[str, str] = {}
        for record in page.records:
            props = getattr(record, "raw", {}).get("$properties") or {}
            for name, value in props.items():
                if value is not None and f"$properties.{name}" not in known:
                    found.setdefault(name, type_of(value))
        own = (
            Column(f"$properties.{name}", kind, is_custom=not name.startswith("$"))
            for name, kind in found.items()
        )
        return replace(stream, columns=(*_PROFILE_COLUMNS, *own))

    def _pages(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        if stream.name == "events":
            listed = str(self.settings.get("events") or "").split(",")
            names = tuple(name.strip() for name in listed if name.strip())
            return EventReader(
                self.project, request, self._customer_property, names
            ).pages()
        if stream.name == "cohorts":
            return self._cohort_pages(stream)
        return ProfileReader(
            project=self.project,
            request=request,
            group_id=self._group_id if stream.name == "group_profiles" else "",
            make=lambda raw: self.parse(stream, raw),
        ).pages()

    def _cohort_pages(self, stream: Stream) -> Iterator[Page]:
        page = Page(records=[], cursor={})
        for raw in self._cohorts():
            try:
                page.records.append(self.parse(stream, raw))
            except RecordError as exc:
                page.rejects.append(Reject.of(exc, raw))
        yield replace(page, total=len(page.records) + len(page.rejects))

    def _cohorts(self) -> list[JsonDict]:
        body = self._told(
            lambda: self.project.query.post_json(
                "/cohorts/list",
                params=self.project.params,
                idempotent=True,
                budget="query",
            )
        )
        return rows_of(body, "")

    def _first_event(self) -> None:
        """One event of today, to see whether we may."""
        day = self.project.today.isoformat()
        params = {
            **self.project.params,
            "workspace_id": None,
            "from_date": day,
            "to_date": day,
            "limit": 1,
        }
        self.project.export.get("/export", params=params, budget="export")

    def _told(self, call: Any) -> Any:
        """The call's result; a missing right or plan becomes a sentence."""
        try:
            return call()
        except RefusedError as refusal:
            if refusal.status == 402:
                raise ConfigError(
                    "Mixpanel's query API needs a Growth or Enterprise plan. Choose "
                    "only the stream “Events”, or change the plan.",
                    code="plan_required",
                ) from refusal
            if refusal.status == 403:
                raise ConfigError(
                    "The service account may not read this project: give it the role "
                    "Consumer or Analyst in Project settings, and check the project "
                    "id and the region.",
                    code="permission_denied",
                    fields={"project_id": "not open to this service account"},
                ) from refusal
            raise
