"""One HubSpot account: how to call it, and what its records are read with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from churnguard.errors import ConfigError
from integrations.connectors.base import Connector, JsonDict
from integrations.connectors.hubspot import records, simple
from integrations.connectors.hubspot.objects import KINDS, Kind
from integrations.connectors.hubspot.paths import DATED, Paths
from integrations.http import Client, RefusedError, bearer
from integrations.limits import DAY_S, Window, per_second
from integrations.oauth import OAuthApp, refresh_tokens
from integrations.tokens import (
    MemoryTokenStore,
    TokenKeeper,
    TokenSet,
    token_fingerprint,
)

API = "https://api.hubapi.com"
SCOPES = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.companies.read",
    "crm.objects.deals.read",
    "crm.objects.owners.read",
    "tickets",
)
OPTIONAL_SCOPES = (
    "crm.objects.custom.read",
    "crm.schemas.custom.read",
    "crm.objects.marketing_events.read",
    "crm.objects.feedback_submissions.read",
    "sales-email-read",
)


class MissingScopeError(ConfigError):
    """HubSpot wants a scope this connection does not have."""

    code = "permission_denied"


class HubspotAccount:
    """What a connector knows of its account, asked for once and only if needed."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.settings = connector.settings
        self._defined: dict[str, list[JsonDict]] = {}

    @cached_property
    def paths(self) -> Paths:
        return paths_of(self.settings)

    @cached_property
    def http(self) -> Client:
        """The signed client. Raises ConfigError without credentials."""
        connector = self.connector
        # The specification calls a static token an API key.
        static = connector.secrets.get("api_key")
        token = str(connector.secrets.get("access_token") or static or "")
        renewal = str(connector.secrets.get("refresh_token") or "")
        if not token and not renewal:
            raise ConfigError(
                "Paste a service key or private app token, or connect with OAuth.",
                code="credentials_missing",
                fields={"access_token": "required"},
            )
        client: Client = connector.client.using(base_url=base_url_of(self.settings))
        signed = client.using(auth=bearer(token))
        if renewal:
            keeper = self._keeper(client, TokenSet(token, renewal))
            signed = client.using(
                auth=bearer(keeper.access_token), refresh=keeper.renew
            )
        burst = max(1, int(float(self.settings.get("requests_per_10s") or 100)))
        key = token_fingerprint(renewal or token)[:16]
        # The day's window is only there to be narrowed by the headers; a twentieth of
        # the smallest plan's 250,000 calls is kept for people.
        day = Window(1_000_000, DAY_S, reserve_share=0.0125)
        signed = signed.with_budget(key, Window(burst, 10), day)
        return signed.with_budget(key, per_second(4), name="search")

    @cached_property
    def details(self) -> JsonDict:
        """portalId, companyCurrency, accountType, uiDomain and so on."""
        found: JsonDict = told(lambda: self.http.get_json(self.paths.account))
        return found

    @cached_property
    def owners(self) -> dict[str, str]:
        """Owner id -> e-mail address; empty without the owners' scope."""
        try:
            return simple.owner_names(simple.Source(self.http, self.paths))
        except RefusedError as refusal:
            if refusal.status != 403:
                raise
            return {}

    def properties(self, kind_name: str) -> list[JsonDict]:
        """The property definitions of an object."""
        if kind_name not in self._defined:
            path = self.paths.properties(kind_name)
            answer = told(lambda: self.http.get_json(path))
            self._defined[kind_name] = list(answer.get("results") or [])
        return self._defined[kind_name]

    @property
    def extra_properties(self) -> tuple[str, ...]:
        given = str(self.settings.get("extra_properties") or "").split(",")
        return tuple(name.strip() for name in given if name.strip())

    def check_extra_properties(self) -> None:
        """Raises ConfigError for further properties that no object has."""
        if not self.extra_properties:
            return
        known: set[str] = set()
        for name in KINDS:
            # An object without its scope or plan has none.
            with suppress(MissingScopeError, RefusedError):
                known.update(str(each["name"]) for each in self.properties(name))
        if strange := [name for name in self.extra_properties if name not in known]:
            raise ConfigError(
                f"No object has the property {', '.join(strange)}; check “Further "
                "HubSpot properties” and enter internal names.",
                code="invalid_settings",
                fields={"extra_properties": f"unknown: {', '.join(strange)}"},
            )

    def check_order(self, kind: Kind) -> None:
        """Raises ConfigError where changes cannot be ordered by `kind.modified`."""
        types = {each["name"]: each.get("type") for each in self.properties(kind.name)}
        if types.get(kind.modified) not in ("date", "datetime"):
            raise ConfigError(
                f"{kind.name} have no date property “{kind.modified}”.",
                code="no_watermark",
                fields={"incremental_field": "no such date property"},
            )

    def property_names(self, kind: Kind) -> tuple[str, ...]:
        """What to ask for: ours as far as the account has them, its own, extras."""
        defined = self.properties(kind.name)
        known = {str(each["name"]) for each in defined}
        wanted = [
            *("hs_object_id", kind.modified, *kind.properties),
            *(each["name"] for each in defined if is_custom(each)),
            *self.extra_properties,
        ]
        return tuple(dict.fromkeys(name for name in wanted if name in known))

    def facts_for(self, kind: Kind) -> records.Account:
        """What the records of a kind are made with."""
        stages = {}
        if kind.name in simple.WITH_PIPELINES:
            answer = told(lambda: self.http.get_json(self.paths.pipelines(kind.name)))
            stages = records.stages_of(kind.name, answer.get("results") or [])
        currency = self.details.get("companyCurrency") if kind.name == "deals" else ""
        return records.Account(
            currency=currency or None,
            owners=self.owners if "hubspot_owner_id" in kind.properties else {},
            stages=stages,
            custom={
                str(each["name"]): str(each.get("type") or "string")
                for each in self.properties(kind.name)
                if is_custom(each) or each["name"] in self.extra_properties
            },
        )

    def schemas(self) -> list[JsonDict]:
        """The account's own objects; none without the scope or the plan."""
        try:
            answer = self.http.get_json(self.paths.schemas)
        except RefusedError as refusal:
            if refusal.status != 403:
                raise
            return []
        return [s for s in answer.get("results") or [] if not s.get("archived")]

    def _keeper(self, client: Client, tokens: TokenSet) -> TokenKeeper:
        app = oauth_app(self.settings, self.connector.secrets)
        now = self.connector.now
        return TokenKeeper(
            store=self.connector.token_store or MemoryTokenStore(tokens),
            grant=lambda old: refresh_tokens(client, app, old or tokens, now=now()),
            now=now,
        )


def oauth_app(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> OAuthApp:
    """The app of the settings; objects of higher plans are optional scopes."""
    token_url = base_url_of(settings) + paths_of(settings).token
    return OAuthApp(
        client_id=str(settings.get("client_id") or secrets.get("client_id") or ""),
        client_secret=str(secrets.get("client_secret") or ""),
        authorize_url="https://app.hubspot.com/oauth/authorize",
        token_url=token_url,
        revoke_url=f"{token_url}/revoke",
        scopes=SCOPES,
        extra_authorize={"optional_scope": " ".join(OPTIONAL_SCOPES)},
    )


def told(call: Callable[[], Any]) -> Any:
    """The call's result; where scopes are missing, MissingScopeError names them."""
    try:
        return call()
    except RefusedError as refusal:
        scopes = _missing_scopes(refusal)
        if not scopes:
            raise
        raise MissingScopeError(
            "HubSpot wants a scope that this connection does not have: "
            f"{', '.join(scopes)}. Add it to the service key or app, and connect again."
        ) from refusal


def is_custom(definition: JsonDict) -> bool:
    """Whether the account made this property itself."""
    return definition.get("hubspotDefined") is not True


def paths_of(settings: Mapping[str, Any]) -> Paths:
    return Paths(str(settings.get("api_version") or DATED[0]))


def base_url_of(settings: Mapping[str, Any]) -> str:
    return str(settings.get("base_url") or API).rstrip("/")


def _missing_scopes(refusal: RefusedError) -> list[str]:
    if refusal.status != 403 or not refusal.reply.is_json:
        return []
    answer = refusal.reply.json()
    found: set[str] = set()
    if isinstance(answer, dict):
        for part in (answer, *(answer.get("errors") or [])):
            context = part.get("context") or {}
            for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
                found.update(map(str, context.get(name) or ()))
    return sorted(found)
