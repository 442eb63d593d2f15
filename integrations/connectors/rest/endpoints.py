"""The setting `endpoints`: what to read from an API, checked and compiled.

Field names are those of the specification's APIIngestionRule where it has one
(endpoint_url, http_method, headers, response_format, data_path, field_mappings).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from churnguard.errors import ConfigError
from churnguard.records import RECORD_TYPES
from integrations.connectors.base import JsonDict, Stream
from integrations.mapping import (
    CompiledMapping,
    compile_mapping,
    spec_from_field_mappings,
)
from integrations.netguard import names_user

# Endpoints are open settings; keys belong into the secret fields of the connection.
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_PLACE = re.compile(r"\[(?P<number>\d+)\]\.?(?P<part>[^`]*)")
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(\w+)`")
_NOT_BY_NAME = frozenset({"raw", "custom", "deleted", "version"})


class Pagination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to get from page to page.

    param: request parameter of the page number, offset, cursor or key. size_param:
    parameter of the page size, "" = none is sent. page_size: most rows the source
    gives at once (0 = the integration's batch size). first: number of the first page.
    cursor_path, next_path, has_more_path, total_path: where the answer has the next
    cursor, the next address, whether more follows, and the count (of rows for offset,
    of pages for page); "header:X-Next" instead of a path means a header. rel: relation
    of the Link header. key: for keyset, the field rows are sorted by. in_body: send the
    parameters in the JSON body of a POST; dots lead into its objects.
    """

    type: Literal["none", "page", "offset", "cursor", "link", "next_url", "keyset"] = (
        "none"
    )
    param: str = ""
    size_param: str = ""
    page_size: int = 0
    first: int = 1
    cursor_path: str = ""
    next_path: str = ""
    has_more_path: str = ""
    total_path: str = ""
    rel: str = "next"
    key: str = ""
    in_body: bool = False


class Incremental(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """How to ask for changes only.

    field: where an object says when it changed (or a number that only grows). param,
    until_param: request parameters of the range; without param everything is read
    and unchanged objects are left out here. format: how the API wants the value;
    number = the field is no time. lookback_s: re-read this much, for late commits.
    in_body: as in `Pagination`.
    """

    field: str
    param: str = ""
    until_param: str = ""
    format: Literal["iso", "date", "unix", "unix_ms", "number"] = "iso"
    lookback_s: int = 60
    in_body: bool = False


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stream. data_path: where the list is in the answer, "" = the answer itself.
    primary_key: field, or fields, of an object's id. missing_means_empty: an answer
    without data_path is an empty page. params: of each request, a list is repeated.
    deleted_field: true (or a time) in objects that are gone. custom: fields kept as
    custom fields, "*" = all without a mapping."""

    name: str
    endpoint_url: str
    description: str = ""
    http_method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    params: dict[str, str | int | float | bool | list[str | int | float]] = {}
    body: JsonDict = {}
    response_format: Literal["json", "ndjson", "csv", "xml"] = "json"
    csv_delimiter: str = ","
    data_path: str = ""
    missing_means_empty: bool = False
    record_type: str = "object"
    primary_key: str | list[str] = ""
    incremental: Incremental | None = None
    pagination: Pagination = Pagination()
    deletes: Literal["", "sweep", "full", "none"] = ""
    deleted_field: str = ""
    field_mappings: JsonDict = {}
    custom: list[str] | None = None

    @property
    def stream(self) -> Stream:
        return Stream(
            name=self.name,
            label=self.name,
            record_type=self.record_type,
            cursor_field=self.incremental.field if self.incremental else None,
            lookback_s=self.incremental.lookback_s if self.incremental else 0,
            deletes=self._detector(),
        )

    def _detector(self) -> Any:
        if self.record_type == "event":
            return "none"
        if self.deletes:
            return self.deletes
        if self.deleted_field:
            return "flag"
        return "sweep" if self.incremental else "full"


# msgspec crashes where threads work out a type for the first time together.
msgspec.convert([], list[Endpoint])


def parse_endpoints(given: Any) -> dict[str, Endpoint]:
    """{name: endpoint} of the setting: a list, or its JSON text.

    Raises ConfigError that names the place at fault.
    """
    if isinstance(given, str) and given.strip():
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError as exc:
            raise _wrong(f"The endpoints are no valid JSON: {exc}.") from exc
    if isinstance(given, Mapping):
        given = [given]
    if not given:
        raise _wrong("Name at least one endpoint.")
    try:
        found = msgspec.convert(given, list[Endpoint])
    except msgspec.ValidationError as exc:
        raise _wrong(_in_words(exc)) from exc
    for endpoint in found:
        _check(endpoint)
    by_name = {endpoint.name: endpoint for endpoint in found}
    if len(by_name) != len(found):
        raise _wrong("Two endpoints have the same name.")
    return by_name


def mapping_of(endpoint: Endpoint) -> CompiledMapping:
    """How the endpoint's objects become records.

    Without field_mappings, fields named as ours are taken. The id comes from
    primary_key ("id" if that is empty too) unless field_mappings has one.
    """
    kind = endpoint.record_type
    custom = endpoint.custom
    if custom is None:
        custom = [] if kind == "object" else ["*"]
    spec = spec_from_field_mappings(endpoint.field_mappings, kind, custom=custom)
    rules: list[JsonDict] = spec["rules"]
    targets = {rule["target"] for rule in rules}
    for rule in _given_rules(endpoint):
        if rule["target"] not in targets:
            targets.add(rule["target"])
            rules.append(rule)
    if not endpoint.field_mappings and kind != "object":
        names = RECORD_TYPES[kind].__struct_fields__
        rules += [
            {"target": name, "source": name}
            for name in names
            if name not in targets | _NOT_BY_NAME
        ]
    return compile_mapping(spec)


def key_paths(endpoint: Endpoint) -> list[str]:
    """Source fields of an object's id."""
    key = endpoint.primary_key
    if key:
        return [key] if isinstance(key, str) else list(key)
    for name, source in endpoint.field_mappings.items():
        spec = spec_from_field_mappings({name: source}, endpoint.record_type)
        rule = spec["rules"][0]
        if rule["target"] == _id_field(endpoint) and "source" in rule:
            return [str(rule["source"])]
    return ["id"]


def _given_rules(endpoint: Endpoint) -> list[JsonDict]:
    rules: list[JsonDict] = []
    paths = key_paths(endpoint)
    if len(paths) == 1:
        rules.append({"target": _id_field(endpoint), "source": paths[0]})
    else:
        join = {"kind": "join", "separator": ":"}
        rules.append(
            {"target": _id_field(endpoint), "sources": paths, "transform": join}
        )
    if endpoint.record_type == "event":
        return rules
    if endpoint.incremental and endpoint.incremental.format != "number":
        rules.append({"target": "updated_at", "source": endpoint.incremental.field})
    if endpoint.record_type == "object":
        named = {"kind": "constant", "value": endpoint.name}
        rules.append({"target": "kind", "transform": named})
    return rules


def _check(endpoint: Endpoint) -> None:
    where = f"Endpoint “{endpoint.name}”"
    if not endpoint.name.strip() or len(endpoint.name) > 100:
        raise _wrong("Each endpoint needs a name of at most 100 letters.")
    if endpoint.record_type not in RECORD_TYPES:
        raise _wrong(
            f"{where}: record_type must be one of {', '.join(sorted(RECORD_TYPES))}."
        )
    pages = endpoint.pagination
    needed = {
        "cursor": ("param", "cursor_path"),
        "next_url": ("next_path",),
        "keyset": ("param", "key"),
    }.get(pages.type, ())
    for name in needed:
        if not getattr(pages, name):
            raise _wrong(f"{where}: pagination of type {pages.type} needs {name}.")
    for name, how in (("pagination", pages), ("incremental", endpoint.incremental)):
        if how is not None and how.in_body and endpoint.http_method != "POST":
            raise _wrong(f"{where}: {name}.in_body needs http_method POST.")
    if len(endpoint.csv_delimiter) != 1 or endpoint.csv_delimiter in '"\r\n':
        raise _wrong(f"{where}: csv_delimiter must be one character, such as ; or \\t.")
    if endpoint.body and endpoint.http_method != "POST":
        raise _wrong(f"{where}: a body needs http_method POST.")
    if names_user(endpoint.endpoint_url):
        raise _wrong(
            f"{where}: the user or password in endpoint_url would be stored openly; "
            "enter them in the connection's authentication."
        )
    for name in endpoint.headers:
        if name.lower() in _SECRET_HEADERS or "key" in name.lower():
            raise _wrong(
                f"{where}: the header {name} would be stored openly; put it into the "
                "connection's own headers or its authentication."
            )
    mapping_of(endpoint)


def _in_words(error: msgspec.ValidationError) -> str:
    """What msgspec says of a list of endpoints, as people count and read."""
    said, _, place = str(error).partition(" - at `$")
    found = _PLACE.match(place)
    if found is None:
        return f"The endpoints are not valid: {said}."
    where = f"Endpoint {int(found['number']) + 1}"
    part = f"{found['part']}." if found["part"] else ""
    if missing := _MISSING.fullmatch(said):
        return f"{where}: {part}{missing[1]} is missing."
    if unknown := _UNKNOWN.fullmatch(said):
        return f"{where}: {part}{unknown[1]} is not known."
    return f"{where}, {found['part']}: {said}." if part else f"{where}: {said}."


def _id_field(endpoint: Endpoint) -> str:
    return "event_id" if endpoint.record_type == "event" else "external_id"


def _wrong(sentence: str) -> ConfigError:
    return ConfigError(
        sentence, code="invalid_settings", fields={"endpoints": sentence}
    )
