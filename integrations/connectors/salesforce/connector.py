"""Salesforce as a source, over REST and Bulk API 2.0 (version 66.0 by default).

Documentation: developer.salesforce.com/docs (REST API, Bulk API 2.0, SOQL). Auth: an
External Client App with code + PKCE and rotating refresh tokens, JWT bearer, or client
credentials; the SOAP login with password and security token ends in 2027 and is not
used. Limits: a daily quota per org, read from Sforce-Limit-Info, and few calls at
once. The simple-salesforce package has no time-outs, repeats no call and copies tokens
into its Bulk handlers, so HTTP is spoken here. Not covered: streaming (change data
capture), attachments, field history, person accounts as persons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
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
from integrations.connectors.salesforce import bulk, records, soql
from integrations.connectors.salesforce import org as orgs
from integrations.connectors.salesforce.objects import (
    KINDS,
    STAMPS,
    Kind,
    column_type,
    kind_of,
)
from integrations.connectors.salesforce.org import Org
from integrations.connectors.salesforce.reading import Place, Reader
from integrations.connectors.salesforce.rows import plain, stamp_of
from integrations.http import RefusedError, ordered_map
from integrations.oauth import OAuthApp

LOOKBACK_S = 300
BULK_FROM = 50_000
CONVERTED_FOR = timedelta(days=30)
"""How far back a full read looks for leads that became contacts."""


_WITH_JWT = ("auth_flow", ("jwt",))


class SalesforceConnector(Connector):
    name: ClassVar[str] = "salesforce"
    label: ClassVar[str] = "Salesforce"
    category: ClassVar[str] = "CRM"
    integration_type: ClassVar[str] = "crm"
    summary: ClassVar[str] = (
        "Accounts, contacts, leads, opportunities, cases, tasks and custom objects."
    )
    prepare: ClassVar[str] = (
        "In Salesforce Setup make an External Client App with OAuth, the scopes api "
        "and refresh_token, and the callback address shown here. Then enter its "
        "consumer key and secret and press Connect. The user who signs in needs the "
        "permission API Enabled and read access to what shall be synced."
    )
    docs: ClassVar[str] = "docs/connectors/salesforce.md"
    auth: ClassVar[tuple[str, ...]] = ("oauth2", "jwt_bearer", "client_credentials")
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "auth_flow",
            "Way to sign in",
            kind="choice",
            required=False,
            default="oauth",
            choices=(
                ("oauth", "A person signs in (Connect)"),
                ("jwt", "Certificate (JWT bearer)"),
                ("client_credentials", "Client credentials (run-as user)"),
            ),
        ),
        Field(
            "environment",
            "Environment",
            kind="choice",
            required=False,
            default="production",
            choices=(("production", "Production"), ("sandbox", "Sandbox")),
        ),
        Field(
            "base_url",
            "My Domain address",
            kind="url",
            required=False,
            help="Such as https://acme.my.salesforce.com; needed for client "
            "credentials, and where login.salesforce.com is switched off.",
        ),
        Field("client_id", "Consumer key", required=False),
        Field(
            "client_secret",
            "Consumer secret",
            kind="secret",
            secret=True,
            required=False,
            only_with=("auth_flow", ("oauth", "client_credentials")),
        ),
        Field("username", "User", required=False, only_with=_WITH_JWT),
        Field(
            "private_key",
            "Private key (PEM)",
            kind="textarea",
            secret=True,
            required=False,
            only_with=_WITH_JWT,
        ),
        Field(
            "currency",
            "Currency",
            kind="currency",
            required=False,
            help="ISO code of your org's currency, such as EUR; not needed with "
            "several currencies. Without it amounts are not used.",
        ),
        Field(
            "extra_fields",
            "Further standard fields",
            required=False,
            help="API names, separated by commas. Custom fields always come.",
            advanced=True,
        ),
        Field(
            "soql_streams",
            "Your own queries",
            kind="json",
            required=False,
            help="Each becomes a kind of data.",
            advanced=True,
            example='[{"name": "renewals", "query": "SELECT Id, Name FROM Contract"}]',
        ),
        Field(
            "bulk_threshold",
            "Rows from which Bulk API 2.0 is used",
            kind="number",
            required=False,
            default=BULK_FROM,
            advanced=True,
        ),
        Field(
            "quota_reserve_percent",
            "Share of the daily quota left to others, percent",
            kind="number",
            required=False,
            default=10,
            advanced=True,
        ),
        Field(
            "api_version",
            "API version",
            required=False,
            default=orgs.DEFAULT_VERSION,
            advanced=True,
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = tuple(
        Stream(
            name=kind.name,
            record_type=kind.record_type,
            cursor_field=STAMPS[0],
            lookback_s=LOOKBACK_S,
            deletes="sweep",
            selected_by_default=kind.selected,
            label=kind.label,
            depends_on=() if kind.name == "Account" else ("Account",),
        )
        for kind in KINDS.values()
    )

    @classmethod
    def oauth_app(
        cls, settings: Mapping[str, Any], secrets: Mapping[str, Any]
    ) -> OAuthApp:
        return orgs.oauth_app(settings, secrets)

    def check(self) -> str:
        soql.queries_of(self.settings)
        found = self.org.identity()
        kind = "sandbox" if found.get("IsSandbox") else found.get("OrganizationType")
        told = f"Connected to {found.get('Name')} ({found.get('Id')}, {kind})."
        if hidden := self.org.hidden():
            told += f" This user cannot see {', '.join(hidden)}."
        return told

    def discover(self) -> tuple[Stream, ...]:
        found = {each["name"]: each for each in self.org.objects()}
        offered = [stream for stream in self.streams if stream.name in found]
        offered += [
            replace(
                self.streams[0],
                name=name,
                record_type="object",
                selected_by_default=False,
                depends_on=("Account",),
                label=str(found[name].get("labelPlural") or name),
            )
            for name in sorted(found.keys() - KINDS.keys())
        ]
        described = ordered_map(self._described, offered, workers=orgs.WORKERS)
        return (*described, *soql.streams_of(self.settings))

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        queries = soql.queries_of(self.settings)
        if stream.name in queries:
            return soql.read(self.org, stream.name, queries[stream.name], request)
        return self._read_object(kind_of(stream.name), request)

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        reader = self._reader(kind_of(stream.name), ReadRequest("full"))
        for rows in reader.by_id("", fields=("Id",)):
            yield [str(row["Id"]) for row in rows]

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        if stream.name in soql.queries_of(self.settings):
            return soql.record_of(stream.name, raw)
        described = self.org.described(stream.name)
        return records.record_of(described, plain(raw, described.types), self._currency)

    @cached_property
    def org(self) -> Org:
        return Org(self)

    # --- reading --------------------------------------------------------------------
    def _read_object(self, kind: Kind, request: ReadRequest) -> Iterator[Page]:
        reader = self._reader(kind, request)
        cursor = dict(request.cursor or {})
        is_range = request.since is not None or request.until is not None
        if is_range and not reader.stamp:
            raise ConfigError(
                f"{kind.name} has no field that says when a row changed, so no range "
                "can be read. Read it in full.",
                code="no_watermark",
            )
        since = stamp_of(request.since) if request.since else ""
        until = stamp_of(request.until) if request.until else ""
        is_change = is_range or "at" in cursor or "since" in cursor
        if not is_range and is_change:
            since = _looked_back(str(cursor.get("since") or ""))
        if cursor.get("job") and cursor.get("version") != self.org.version:
            # Results can only be had by the version that made the job.
            cursor = bulk.without_job(cursor)
        condition = reader.since(since, until) if is_change else reader.alive
        total = None
        if not cursor.keys() & {"job", "at", "id"}:
            total = reader.count(condition)
            is_bulk = self._wants_bulk(reader, total, condition)
            if reader.stamp and not is_range and (is_bulk or not is_change):
                cursor["begun"] = reader.newest()
            if not is_change:
                yield from self._read_successions(reader, total)
            if is_bulk:
                # "" where Bulk API 2.0 does not offer this object.
                cursor["job"] = bulk.start(reader, condition)
        if cursor.get("job"):
            make_page = partial(self._page, reader, total=total)
            yield from bulk.read(reader, cursor, make_page)
        elif is_change:
            place = _place(cursor, since)
            yield from self._read_changes(reader, cursor, place, until, total)
            if not is_range:
                yield Page(records=[], cursor={"since": str(cursor["since"])})
        else:
            yield from self._read_all(reader, cursor, total)

    def _read_successions(self, reader: Reader, total: int | None) -> Iterator[Page]:
        """Only changes tell of them, and changes before a full read are never read."""
        since = stamp_of(self.now() - CONVERTED_FOR)
        for rows in reader.successions(since):
            yield self._page(reader, rows, {}, total)

    def _read_all(
        self, reader: Reader, cursor: JsonDict, total: int | None
    ) -> Iterator[Page]:
        for rows in reader.by_id(str(cursor.get("id") or "")):
            cursor["id"] = rows[-1]["Id"]
            yield self._page(reader, rows, dict(cursor), total)
        begun = cursor.get("begun")
        yield Page(records=[], cursor={} if begun is None else {"since": begun})

    def _read_changes(
        self,
        reader: Reader,
        cursor: JsonDict,
        place: Place,
        until: str,
        total: int | None,
    ) -> Iterator[Page]:
        for rows, at in reader.changes(place, until):
            cursor["at"] = list(at)
            cursor["since"] = max(str(cursor.get("since") or ""), at[0])
            yield self._page(reader, rows, dict(cursor), total)

    def _wants_bulk(self, reader: Reader, total: int | None, condition: str) -> bool:
        threshold = int(float(self.settings.get("bulk_threshold") or BULK_FROM))
        if total is None or total >= threshold:
            return True
        return total > 0 and reader.is_too_long(condition)

    def _page(
        self,
        reader: Reader,
        rows: list[JsonDict],
        cursor: JsonDict,
        total: int | None = None,
    ) -> Page:
        made: list[AnyRecord] = []
        rejects: list[Reject] = []
        gone: list[str] = []
        merged: dict[str, str] = {}
        for raw in rows:
            external_id = str(raw.get("Id") or "")
            if records.is_gone(raw) and external_id:
                gone.append(external_id)
                if winner := records.successor(raw):
                    merged[external_id] = winner
                continue
            try:
                made.append(records.record_of(reader.described, raw, self._currency))
            except RecordError as exc:
                rejects.append(Reject.of(exc, raw, external_id))
        return Page(
            records=made,
            rejects=rejects,
            cursor=cursor,
            deleted_ids=gone,
            merged_ids=merged,
            total=total,
        )

    # --- settings -------------------------------------------------------------------
    @property
    def _currency(self) -> str | None:
        return str(self.settings.get("currency") or "").strip().upper() or None

    def _reader(self, kind: Kind, request: ReadRequest) -> Reader:
        described = self.org.described(kind.name)
        stamp = request.incremental_field or described.stamp
        if stamp and described.types.get(stamp) != "datetime":
            raise ConfigError(
                f"{kind.name} has no date and time field “{stamp}” that this user "
                "may read.",
                code="no_watermark",
                fields={"incremental_field": "no such field"},
            )
        return Reader(self.org, described, max(1, request.batch_size), stamp)

    def _described(self, stream: Stream) -> Stream:
        try:
            described = self.org.described(stream.name)
        except (orgs.ObjectMissingError, RefusedError):
            # Shown, so that a person learns that it cannot be read.
            return replace(stream, selected_by_default=False)
        return replace(
            stream,
            cursor_field=described.stamp or None,
            columns=tuple(
                Column(
                    name=name,
                    type=column_type(type_),
                    label=described.labels.get(name, ""),
                    is_custom=name in described.custom,
                )
                for name, type_ in described.types.items()
            ),
        )


def _looked_back(since: str) -> str:
    """A little earlier, for transactions that were committed late."""
    if not since:
        return ""
    return stamp_of(datetime.fromisoformat(since) - timedelta(seconds=LOOKBACK_S))


def _place(cursor: JsonDict, since: str) -> Place:
    at, last_id = cursor.get("at") or (since, "")
    return str(at), str(last_id)
