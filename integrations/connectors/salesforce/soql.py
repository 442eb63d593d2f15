"""Streams of a person's own SOQL queries, read as a whole each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from churnguard.errors import ConfigError
from churnguard.records import ObjectRecord
from integrations.connectors.base import JsonDict, Page, ReadRequest, Stream
from integrations.connectors.salesforce.objects import KINDS
from integrations.connectors.salesforce.org import Org
from integrations.connectors.salesforce.rows import plain
from integrations.http import RefusedError
from integrations.loopguard import LoopGuard

_LOST = ("INVALID_QUERY_LOCATOR", "INVALID_SESSION_ID")


def queries_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """{stream name: query} of the setting. Raises ConfigError for a bad one."""
    given = settings.get("soql_streams") or []
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError as exc:
            raise _bad(f"is no JSON: {exc}") from exc
    if not isinstance(given, list):
        raise _bad("must be a list")
    found: dict[str, str] = {}
    for each in given:
        if not isinstance(each, dict) or not each.get("name"):
            raise _bad("needs a name for each query")
        query = " ".join(str(each.get("query") or "").split()).rstrip(";")
        name = str(each["name"])
        if not query.upper().startswith("SELECT ") or " FROM " not in query.upper():
            raise _bad(f"“{name}” must be a query: SELECT … FROM …")
        if name in found or name in KINDS or name.endswith("__c"):
            raise _bad(f"has a second stream “{name}”; choose another name")
        found[name] = query
    return found


def streams_of(settings: Mapping[str, Any]) -> list[Stream]:
    """A stream for each query."""
    return [
        Stream(name, "object", deletes="full", label=name)
        for name in queries_of(settings)
    ]


def read(org: Org, name: str, query: str, request: ReadRequest) -> Iterator[Page]:
    """Pages by query locator; a lost one (the session was renewed) starts again."""
    cursor = request.cursor or {}
    following = str(cursor.get("next") or "")
    restarted = False
    guard = LoopGuard()
    while True:
        try:
            answer = (
                org.http.get_json(following)
                if following
                else org.http.get_json(org.path("/query"), params={"q": query})
            )
        except RefusedError as refusal:
            if not following or restarted or refusal.provider_code not in _LOST:
                raise
            following, restarted, guard = "", True, LoopGuard()
            continue
        rows = [plain(_whole(org, row), {}) for row in answer.get("records") or []]
        following = str(answer.get("nextRecordsUrl") or "")
        if following:
            guard.check(following, rows)
        yield Page(
            records=[record_of(name, row) for row in rows],
            cursor={"next": following or None},
            total=answer.get("totalSize"),
        )
        if not following:
            return


def record_of(name: str, row: JsonDict) -> ObjectRecord:
    """A row by its Id; rows of aggregates have none and go by their values."""
    external_id = row.get("Id")
    if not external_id:
        encoded = msgspec.json.encode(row, order="sorted")
        external_id = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    account = row.get("AccountId")
    return ObjectRecord(
        external_id=str(external_id),
        kind=name,
        customer_id=str(account) if account else None,
        raw=row,
    )


def _whole(org: Org, row: JsonDict) -> JsonDict:
    """The row with all rows of its subqueries; Salesforce sends only the first."""
    for value in row.values():
        if isinstance(value, dict) and value.get("done") is False:
            guard = LoopGuard()
            while following := value.pop("nextRecordsUrl", None):
                more = org.http.get_json(following)
                guard.check(following, more.get("records") or [])
                value["records"] += more.get("records") or []
                value["nextRecordsUrl"] = more.get("nextRecordsUrl")
    return row


def _bad(reason: str) -> ConfigError:
    return ConfigError(
        f"The list of SOQL queries {reason}.",
        code="invalid_settings",
        fields={"soql_streams": reason},
    )
