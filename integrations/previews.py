"""A REST endpoint tried out before anything is stored: what was asked, what came back,
and what our records of it would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from churnguard import crypto
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.models import Organization
from integrations import catalog, connecting, connectors, credentials
from integrations.connectors.rest import signing
from integrations.connectors.rest.connector import RestConnector
from integrations.connectors.rest.endpoints import parse_endpoints
from integrations.http.recorder import Recorder
from integrations.models import Integration

MOST = 50
_READ_TIMEOUT_S = 15.0


def preview_new(
    organization: Organization,
    body: Mapping[str, Any],
    *,
    stream: str = "",
    limit: int = 10,
) -> dict[str, Any]:
    """`preview` of an IntegrationConfiguration body that is stored nowhere. Raises
    ConfigError for another provider and for secrets among the settings."""
    cls = connectors.get(str(body.get("provider_name") or "rest"))
    _require_rest(cls)
    sent = body.get("credentials") or {}
    _kind, given = credentials.flatten(sent)
    opened, secrets = credentials.split(cls, given)
    settings = {**(body.get("settings") or {}), **opened}
    settings |= credentials.implied(cls, sent, settings)
    if body.get("base_url"):
        settings["base_url"] = body["base_url"]
    return preview(organization, settings, secrets, stream=stream, limit=limit)


def preview_saved(
    integration: Integration,
    *,
    settings: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    stream: str = "",
    limit: int = 10,
) -> dict[str, Any]:
    """`preview` of a stored integration with changed settings or secrets, which are
    not kept. Raises ConfigError where it is none of a REST API."""
    _require_rest(connectors.get(integration.provider_name))
    changed = {k: v for k, v in (secrets or {}).items() if v not in (None, "")}
    values = {**connecting.connector_settings(integration), **(settings or {})}
    # A stored refresh token that this spends must be renewed where it is stored.
    spends_stored = (
        values.get("auth_type") == "oauth2_refresh" and "refresh_token" not in changed
    )
    return preview(
        integration.organization,
        values,
        {**credentials.load(integration), **changed},
        # Renewed tokens are kept, unless they belong to secrets that are not.
        integration=integration if spends_stored or not changed else None,
        stream=stream,
        limit=limit,
    )


def preview(
    organization: Organization,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    *,
    integration: Integration | None = None,
    stream: str = "",
    limit: int = 10,
) -> dict[str, Any]:
    """One page of an endpoint ("" = the first): ok, code, detail (a sentence), stream,
    record_type, fields, has_more, rows ({raw, record, error}) and requests (method,
    url, headers, body, status, duration_ms; secrets masked). Never raises our errors.
    """
    cls = RestConnector
    defaults = {f.name: f.default for f in cls.fields if f.default is not None}
    given = {k: v for k, v in settings.items() if v not in (None, "")}
    texts = credentials.secret_texts(secrets)
    found: dict[str, Any] = {
        "ok": False,
        "code": "",
        "detail": "",
        "problems": {},
        "stream": stream,
        "record_type": "",
        "fields": [],
        "has_more": False,
        "rows": [],
        "requests": [],
    }
    recorder: Recorder | None = None
    try:
        catalog.check_fields(cls, given)
        with connecting.opened_with(
            cls,
            {**defaults, **given},
            secrets,
            integration=integration,
            tried_by=organization,
            interactive=True,
        ) as connector:
            assert isinstance(connector, RestConnector)
            recorder = _record(connector, given, secrets)
            seen = connector.preview(stream, max(1, min(limit, MOST)))
    except ChurnGuardError as exc:
        found |= {
            "code": exc.code,
            "detail": crypto.redact(exc.message, texts),
            "problems": dict(getattr(exc, "fields", None) or {}),
        }
    else:
        found |= {
            "ok": True,
            "code": "ok",
            "detail": _sentence(seen.stream, seen.rows, seen.has_more),
            "stream": seen.stream,
            "record_type": seen.record_type,
            "fields": seen.fields,
            "has_more": seen.has_more,
            "rows": [_masked(asdict(row), texts) for row in seen.rows],
        }
    if recorder is not None:
        found["requests"] = [asdict(sent) for sent in recorder.sent]
    return found


def _record(
    connector: RestConnector, settings: Mapping[str, Any], secrets: Mapping[str, Any]
) -> Recorder:
    """Have everything the connector sends written down. Raises ConfigError for
    endpoints that cannot work, before anything is sent."""
    endpoints = parse_endpoints(settings.get("endpoints")).values()
    client = connector.client
    recorder = Recorder(
        client.wire,
        clean=partial(client.masks.clean, limit=4000),
        open_names=[name for each in endpoints for name in each.headers],
        secret_names=[
            str(settings.get("key_name") or signing.DEFAULT_PARAM),
            *signing.headers_of(secrets),
        ],
    )
    connector.client = client.using(transport=recorder, read_timeout_s=_READ_TIMEOUT_S)
    return recorder


def _sentence(stream: str, rows: list[Any], has_more: bool) -> str:
    if not rows:
        return f"{stream}: the answer is understood, but holds no records."
    bad = sum(row.record is None for row in rows)
    more = ", and more follow" if has_more else ""
    noun = "record" if len(rows) == 1 else "records"
    text = f"{stream}: {len(rows)} {noun} read{more}"
    if not bad:
        return f"{text}; each can be stored."
    return f"{text}; {len(rows) - bad} can be stored, {bad} would be quarantined."


def _masked(value: Any, secrets: list[str]) -> Any:
    """The value with known secrets taken out of its texts (an API may echo them)."""
    if isinstance(value, str):
        return crypto.redact(value, secrets)
    if isinstance(value, Mapping):
        return {
            crypto.redact(str(name), secrets): _masked(each, secrets)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_masked(each, secrets) for each in value]
    return value


def _require_rest(cls: type[Any]) -> None:
    if cls is not RestConnector:
        raise ConfigError(
            f"{cls.label} has no live preview; connect it, then preview its mapping.",
            code="no_preview",
            fields={"provider_name": "rest"},
        )
