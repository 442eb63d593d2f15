"""HubSpot CRM as a source, over its REST API (date-versioned 2026-09 by default).

Documentation: developers.hubspot.com/docs/api-reference. Auth: OAuth 2 (code,
refresh), or a static bearer token (service key, private app token); `hapikey` died in
2022. Limits: 100 to 250 calls in 10 s by plan (110 for OAuth apps), 4 searches a
second, daily quotas; headers are followed. The hubspot-api-client package knows only
the v1 to v4 addresses, which end in 2027, and repeats no search after a 429, so HTTP
is spoken here. Not covered: webhooks, e-mail marketing campaigns, conversations inbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from churnguard.errors import RecordError
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
from integrations.connectors.hubspot import account as accounts
from integrations.connectors.hubspot import records, simple
from integrations.connectors.hubspot.account import API, HubspotAccount, told
from integrations.connectors.hubspot.objects import KINDS, Kind, kind_of
from integrations.connectors.hubspot.paths import DATED, LEGACY
from integrations.connectors.hubspot.reading import Place, Reader, ms_of
from integrations.http import RefusedError
from integrations.oauth import OAuthApp

ARCHIVED_EVERY = timedelta(hours=1)
"""Archived objects can only be listed as a whole; an incremental read does so this
often."""
LOOKBACK_S = 300
_TYPES = {
    "number": "number",
    "bool": "boolean",
    "date": "date",
    "datetime": "datetime",
    "json": "json",
}
_OBJECT_COLUMNS = (
    Column("id", "string"),
    Column("properties", "json"),
    Column("createdAt", "datetime"),
    Column("updatedAt", "datetime"),
    Column("archived", "boolean"),
    Column("associations", "json"),
)


class HubspotConnector(Connector):
    name: ClassVar[str] = "hubspot"
    label: ClassVar[str] = "HubSpot"
    category: ClassVar[str] = "CRM"
    integration_type: ClassVar[str] = "crm"
    summary: ClassVar[str] = (
        "Companies, contacts, deals, tickets, surveys and your own objects."
    )
    prepare: ClassVar[str] = (
        "Either press Connect with an OAuth app of your HubSpot developer account, or "
        "make a service key: in HubSpot open Settings, Integrations, Service keys, "
        "choose the read scopes listed in the documentation, and paste the key here."
    )
    docs: ClassVar[str] = "docs/connectors/hubspot.md"
    auth: ClassVar[tuple[str, ...]] = ("oauth2", "bearer_token")
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "access_token",
            "Service key or private app token",
            kind="secret",
            secret=True,
            required=False,
            help="Leave empty if you connect with OAuth.",
        ),
        Field("client_id", "OAuth client id", required=False),
        Field(
            "client_secret",
            "OAuth client secret",
            kind="secret",
            secret=True,
            required=False,
        ),
        Field(
            "api_version",
            "API version",
            kind="choice",
            required=False,
            default=DATED[0],
            choices=(*((each, each) for each in DATED), (LEGACY, "v3 (until 9/2027)")),
            advanced=True,
        ),
        Field(
            "extra_properties",
            "Further HubSpot properties",
            required=False,
            help="Internal names, separated by commas. Custom properties always come.",
            advanced=True,
        ),
        Field(
            "requests_per_10s",
            "Calls per 10 seconds of your plan",
            kind="number",
            required=False,
            default=100,
            help="100 for Free and Starter, 190 above; 110 for OAuth apps.",
            advanced=True,
        ),
        Field(
            "base_url",
            "API address",
            kind="url",
            required=False,
            default=API,
            advanced=True,
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = (
        *(
            Stream(
                name=kind.name,
                record_type=kind.record_type,
                cursor_field=kind.modified,
                lookback_s=LOOKBACK_S,
                deletes="sweep",
                selected_by_default=kind.selected,
                label=kind.label,
                depends_on=kind.links,
            )
            for kind in KINDS.values()
        ),
        *simple.STREAMS,
    )

    @classmethod
    def oauth_app(
        cls, settings: Mapping[str, Any], secrets: Mapping[str, Any]
    ) -> OAuthApp:
        return accounts.oauth_app(settings, secrets)

    def check(self) -> str:
        account = self.account.details
        # The least a sync needs; says which scope is missing.
        path = self.account.paths.objects("companies")
        told(lambda: self.account.http.get_json(path, params={"limit": 1}))
        self.account.check_extra_properties()
        name = account.get("portalName") or f"account {account.get('portalId')}"
        kind = str(account.get("accountType") or "STANDARD")
        told_kind = kind.lower().replace("_", " ")
        suffix = "" if kind == "STANDARD" else f", {told_kind}"
        return (
            f"Connected to HubSpot {name} "
            f"({account.get('portalId')}, {account.get('uiDomain')}{suffix})."
        )

    def discover(self) -> tuple[Stream, ...]:
        found = [self._described(stream) for stream in self.streams]
        for schema in self.account.schemas():
            name = str(schema["fullyQualifiedName"])
            labels = schema.get("labels") or {}
            found.append(
                Stream(
                    name=name,
                    record_type="object",
                    cursor_field="hs_lastmodifieddate",
                    lookback_s=LOOKBACK_S,
                    deletes="sweep",
                    selected_by_default=False,
                    label=str(labels.get("plural") or schema.get("name") or name),
                    columns=_columns(schema.get("properties") or []),
                    depends_on=("companies",),
                )
            )
        return tuple(found)

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        if stream.name in simple.NAMES:
            source = simple.Source(self.account.http, self.account.paths)
            pages = simple.read(source, stream.name, request)
        else:
            pages = self._read_objects(kind_of(stream.name), request)
        while True:
            page = told(lambda: next(pages, None))
            if page is None:
                return
            yield page

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        kind = kind_of(stream.name)
        reader = Reader(
            self.account.http, self.account.paths, kind, ("hs_object_id",), 100
        )
        for step in reader.listed(None):
            yield [str(row["id"]) for row in step.items]

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        if stream.name in simple.NAMES:
            return simple.parse(stream.name, raw)
        kind = kind_of(stream.name)
        return records.record_of(kind, raw, self.account.facts_for(kind))

    @cached_property
    def account(self) -> HubspotAccount:
        return HubspotAccount(self)

    # --- reading --------------------------------------------------------------------
    def _read_objects(self, kind: Kind, request: ReadRequest) -> Iterator[Page]:
        account = self.account.facts_for(kind)
        if chosen := request.incremental_field:
            # People choose among the columns, where it stands among the properties.
            kind = replace(kind, modified=chosen.removeprefix("properties."))
            self.account.check_order(kind)
        reader = Reader(
            http=self.account.http,
            paths=self.account.paths,
            kind=kind,
            names=self.account.property_names(kind),
            size=max(1, request.batch_size),
        )
        cursor = dict(request.cursor or {})
        if request.since is not None or request.until is not None:
            place = _place(cursor, ms_of(request.since) if request.since else 0)
            until = ms_of(request.until) if request.until else None
            for rows, at in reader.changes(place, until):
                yield _page(reader, rows, account, {"at": list(at)})
            return
        if "phase" not in cursor:
            cursor["phase"] = "changes" if "since" in cursor else "list"
        if cursor["phase"] == "list":
            yield from self._read_list(reader, account, cursor)
        elif cursor["phase"] == "changes":
            yield from self._read_changes(reader, account, cursor)
        if cursor["phase"] == "archived" or self._wants_archived(cursor):
            yield from self._read_archived(reader, cursor)

    def _read_list(
        self, reader: Reader, account: records.Account, cursor: JsonDict
    ) -> Iterator[Page]:
        """Every object; afterwards changes are read from the time it began."""
        total = None
        if "begun" not in cursor:
            cursor["begun"], total = reader.newest()
        for step in reader.listed(cursor.get("after")):
            cursor["after"] = step.position
            if step.position is None:
                begun = cursor["begun"]
                cursor.clear()
                cursor.update({"phase": "archived", "since": begun})
            page = _page(reader, step.items, account, dict(cursor))
            yield replace(page, total=total)

    def _read_changes(
        self, reader: Reader, account: records.Account, cursor: JsonDict
    ) -> Iterator[Page]:
        since = int(cursor["since"])
        start = _place(cursor, max(0, since - LOOKBACK_S * 1000))
        cursor["phase"] = "changes"
        for rows, at in reader.changes(start, None):
            cursor.update({"at": list(at), "since": max(since, at[0])})
            yield _page(reader, rows, account, dict(cursor))
        cursor.pop("at", None)
        cursor.pop("phase")
        yield Page(records=[], cursor=dict(cursor))
        cursor["phase"] = ""

    def _read_archived(self, reader: Reader, cursor: JsonDict) -> Iterator[Page]:
        since = cursor["since"]
        after = cursor.get("after") if cursor.get("phase") == "archived" else None
        for step in reader.listed(after, archived=True):
            place: JsonDict = {"phase": "archived", "after": step.position}
            if step.position is None:
                place = {"archived_at": self.now().isoformat()}
            yield Page(
                records=[],
                cursor={**place, "since": since},
                deleted_ids=[str(row["id"]) for row in step.items],
            )

    def _wants_archived(self, cursor: JsonDict) -> bool:
        seen = cursor.get("archived_at")
        return not seen or self.now() - datetime.fromisoformat(seen) >= ARCHIVED_EVERY

    def _described(self, stream: Stream) -> Stream:
        if stream.name not in KINDS:
            return stream
        try:
            columns = _columns(self.account.properties(stream.name))
        except (accounts.MissingScopeError, RefusedError):
            # Shown, so that a person learns that a scope or plan is missing.
            return replace(stream, selected_by_default=False)
        return replace(stream, columns=columns)


def _place(cursor: JsonDict, start_ms: int) -> Place:
    at, last_id = cursor.get("at") or (start_ms, "")
    return int(at), str(last_id)


def _page(
    reader: Reader, rows: list[JsonDict], account: records.Account, cursor: JsonDict
) -> Page:
    made: list[AnyRecord] = []
    rejects: list[Reject] = []
    merged: dict[str, str] = {}
    for raw in reader.linked(rows):
        for loser in records.merged_ids(raw):
            merged[loser] = str(raw["id"])
        try:
            made.append(records.record_of(reader.kind, raw, account))
        except RecordError as exc:
            rejects.append(Reject.of(exc, raw, str(raw.get("id") or "")))
    return Page(
        records=made,
        rejects=rejects,
        cursor=cursor,
        deleted_ids=list(merged),
        merged_ids=merged,
    )


def _columns(defined: list[JsonDict]) -> tuple[Column, ...]:
    return _OBJECT_COLUMNS + tuple(
        Column(
            name=f"properties.{each['name']}",
            type=_TYPES.get(str(each.get("type")), "string"),
            label=str(each.get("label") or ""),
            is_custom=accounts.is_custom(each),
        )
        for each in defined
        if not each.get("archived")
    )
