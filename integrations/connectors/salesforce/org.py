"""One Salesforce org: signing in, calling it, and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from churnguard.errors import AuthenticationError, ConfigError
from integrations.connectors.base import Connector, JsonDict
from integrations.connectors.salesforce.objects import (
    KINDS,
    Described,
    describe,
    is_offered,
    kind_of,
)
from integrations.http import (
    Call,
    Client,
    RefusedError,
    Reply,
    bearer,
    ordered_map,
)
from integrations.http.dialects import dialect_of, read_usage
from integrations.limits import DAY_S, Window
from integrations.oauth import (
    OAuthApp,
    client_credentials,
    jwt_bearer,
    refresh_tokens,
)
from integrations.tokens import (
    MemoryTokenStore,
    TokenKeeper,
    TokenSet,
    token_fingerprint,
)

PRODUCTION, SANDBOX = "https://login.salesforce.com", "https://test.salesforce.com"
OLDEST_VERSION = 47
DEFAULT_VERSION = "66.0"
# Salesforce names no expiry; session policies are seldom shorter than this.
TOKEN_LIFE_S = 1800.0
MOST_CONCURRENT = 5
# Descriptions asked for at once; the other places are for reads under way.
WORKERS = 3
# What people copy from their browser; nobody can sign in there by OAuth.
_BROWSER_HOSTS = (".lightning.force.com", ".my.salesforce-setup.com")
_STALE_SESSION = ("InvalidSessionId", "INVALID_SESSION_ID")


class ObjectMissingError(ConfigError):
    """The org has no such object for this user."""

    code = "object_missing"


class Org:
    """What a connector knows of its org, asked for once and only if needed."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.settings = connector.settings
        self._described: dict[str, Described] = {}

    # --- calling --------------------------------------------------------------------
    @cached_property
    def version(self) -> str:
        """ "66.0". Raises ConfigError for one that Bulk API 2.0 queries lack."""
        given = str(self.settings.get("api_version") or DEFAULT_VERSION).lstrip("v")
        number = given if "." in given else f"{given}.0"
        try:
            is_known = float(number) >= OLDEST_VERSION
        except ValueError:
            is_known = False
        if not is_known:
            raise ConfigError(
                f"“{given}” is no API version this connector works with; use "
                f"{OLDEST_VERSION}.0 or later, such as {DEFAULT_VERSION}.",
                code="invalid_settings",
                fields={"api_version": f"{OLDEST_VERSION}.0 or later"},
            )
        return number

    def path(self, tail: str) -> str:
        """ "/query" -> "/services/data/v66.0/query"."""
        return f"/services/data/v{self.version}{tail}"

    @cached_property
    def http(self) -> Client:
        """The signed client, held to the org's daily quota."""
        # Every answer tells the quota; /limits does so only to users with the
        # permission “View Setup and Configuration”.
        reply = self._unlimited.get(
            self.path("/query"), params={"q": "SELECT Id FROM Organization"}
        )
        dialect = dialect_of(self._unlimited.adapter)
        usages = read_usage(reply.headers, dialect, self.connector.now())
        usage = next((each for each in usages if each.limit), None)
        if usage is None:
            return self._unlimited
        share = float(self.settings.get("quota_reserve_percent") or 0) / 100
        window = Window(usage.limit, DAY_S, reserve_share=min(max(share, 0.0), 0.9))
        client = self._unlimited.with_budget(
            self._account_key, window, max_concurrent=MOST_CONCURRENT
        )
        for budget in client.budgets:
            budget.report(
                limit=usage.limit,
                remaining=usage.remaining,
                window_s=usage.window_s,
                reset_s=usage.reset_s,
            )
        return client

    def send_bulk(self, call: Call) -> Reply:
        """A call below /jobs, where an ended session is a 400."""
        try:
            return self.http.send(call)
        except RefusedError as refusal:
            if refusal.provider_code not in _STALE_SESSION:
                raise
            self.keeper.renew(self.keeper.access_token())
            return self.http.send(call)

    # --- signing in -----------------------------------------------------------------
    @cached_property
    def keeper(self) -> TokenKeeper:
        connector = self.connector
        held = TokenSet(
            access_token=str(connector.secrets.get("access_token") or ""),
            refresh_token=str(connector.secrets.get("refresh_token") or ""),
            instance_url=str(connector.secrets.get("instance_url") or ""),
        )
        return TokenKeeper(
            store=connector.token_store or MemoryTokenStore(held),
            grant=self._grant,
            now=connector.now,
        )

    def _grant(self, held: TokenSet | None) -> TokenSet:
        flow = str(self.settings.get("auth_flow") or "oauth")
        secrets, now = self.connector.secrets, self.connector.now()
        app = oauth_app(self.settings, secrets)
        client = self.connector.client
        if flow == "jwt":
            return jwt_bearer(
                client,
                app,
                subject=str(self.settings.get("username") or ""),
                audience=audience_of(self.settings),
                private_key_pem=str(secrets.get("private_key") or ""),
                now=now,
            )
        if flow == "client_credentials":
            _require_my_domain(self.settings)
            return client_credentials(client, app, now=now)
        if held is None or not held.refresh_token:
            raise AuthenticationError(
                "Press Connect and sign in to Salesforce, or choose another way to "
                "sign in."
            )
        return refresh_tokens(client, app, held, now=now)

    @cached_property
    def _unlimited(self) -> Client:
        client: Client = self.connector.client
        return client.using(
            base_url=self._instance_url,
            auth=bearer(self.keeper.access_token),
            refresh=self.keeper.renew,
        )

    def _instance_url(self) -> str:
        return self.keeper.instance_url() or login_url(self.settings)

    @property
    def _account_key(self) -> str:
        """The org's id where the tokens came with it: all connections share its
        quota."""
        identity = str(self.keeper.tokens().raw.get("id") or "")
        parts = urlsplit(identity).path.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "id":
            return parts[1]
        return token_fingerprint(self._instance_url())[:16]

    # --- what the org says ----------------------------------------------------------
    def identity(self) -> JsonDict:
        """Id, Name, OrganizationType, IsSandbox and InstanceName of the org."""
        self._check_version()
        answer = self.http.get_json(
            self.path("/query"),
            params={
                "q": "SELECT Id, Name, OrganizationType, IsSandbox, InstanceName "
                "FROM Organization"
            },
        )
        found: JsonDict = (answer.get("records") or [{}])[0]
        return found

    def objects(self) -> list[JsonDict]:
        """The objects that can be streams: name, label, custom, queryable."""
        answer = self.http.get_json(self.path("/sobjects"))
        return [each for each in answer.get("sobjects") or [] if is_offered(each)]

    def described(self, name: str) -> Described:
        """An object's fields as this user sees them. Raises ObjectMissingError."""
        if name not in self._described:
            try:
                answer = self.http.get_json(self.path(f"/sobjects/{name}/describe"))
            except RefusedError as refusal:
                if refusal.status != 404:
                    raise
                raise ObjectMissingError(
                    f"The object {name} is gone, or this user may not read it; give "
                    "the user's profile read access and connect again."
                ) from refusal
            self._described[name] = describe(kind_of(name), answer, self.extra_fields)
        return self._described[name]

    @property
    def extra_fields(self) -> tuple[str, ...]:
        given = str(self.settings.get("extra_fields") or "").split(",")
        return tuple(name.strip() for name in given if name.strip())

    def hidden(self) -> list[str]:
        """What this user should see and does not: objects ("Case") and fields
        ("Contact.Email"). Raises ConfigError for further fields no object has."""
        found = {each["name"] for each in self.objects()}
        offered = [kind for kind in KINDS.values() if kind.name in found]
        names = [kind.name for kind in offered if kind.vital or self.extra_fields]
        fields = ordered_map(self._fields, names, workers=WORKERS)
        seen = dict(zip(names, fields, strict=True))
        known = set().union(*seen.values())
        if strange := [name for name in self.extra_fields if name not in known]:
            raise ConfigError(
                f"No object has the field {', '.join(strange)}, or this user may not "
                "see it; check “Further standard fields”.",
                code="invalid_settings",
                fields={"extra_fields": f"unknown: {', '.join(strange)}"},
            )
        missing = [k.name for k in KINDS.values() if k.vital and k.name not in found]
        return missing + [
            f"{kind.name}.{name}"
            for kind in offered
            for name in kind.vital
            if name not in seen[kind.name]
        ]

    def _fields(self, name: str) -> set[str]:
        try:
            return set(self.described(name).types)
        except (ObjectMissingError, RefusedError):
            return set()

    def _check_version(self) -> None:
        offered = [
            str(each.get("version"))
            for each in self._unlimited.get_json("/services/data/", auth=False)
        ]
        if self.version not in offered:
            raise ConfigError(
                f"This org does not offer API version {self.version}; it offers "
                f"{offered[0]} to {offered[-1]}."
                if offered
                else "The address does not answer as Salesforce does; check it.",
                code="invalid_settings",
                fields={"api_version": "not offered by this org"},
            )


def login_url(settings: Mapping[str, Any]) -> str:
    """Where to sign in: My Domain where one is given, else by environment."""
    given = str(settings.get("base_url") or "").strip()
    if given:
        parts = urlsplit(given if "://" in given else f"https://{given}")
        host = parts.netloc
        for browser in _BROWSER_HOSTS:
            if host.endswith(browser):
                host = host.removesuffix(browser) + ".my.salesforce.com"
        return f"{parts.scheme}://{host}"
    return SANDBOX if settings.get("environment") == "sandbox" else PRODUCTION


def audience_of(settings: Mapping[str, Any]) -> str:
    """The audience of a signed assertion: the login host, never My Domain."""
    host = urlsplit(login_url(settings)).hostname or ""
    is_sandbox = settings.get("environment") == "sandbox" or ".sandbox." in host
    return SANDBOX if is_sandbox else PRODUCTION


def oauth_app(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> OAuthApp:
    """The External Client App of the settings."""
    services = f"{login_url(settings)}/services/oauth2"
    is_client = settings.get("auth_flow") == "client_credentials"
    return OAuthApp(
        client_id=str(settings.get("client_id") or secrets.get("client_id") or ""),
        client_secret=str(secrets.get("client_secret") or ""),
        authorize_url=f"{services}/authorize",
        token_url=f"{services}/token",
        revoke_url=f"{services}/revoke",
        # This grant takes the scopes of the app and refuses any in the request.
        scopes=() if is_client else ("api", "refresh_token"),
        client_auth="basic" if is_client else "body",
        default_life_s=TOKEN_LIFE_S,
    )


def _require_my_domain(settings: Mapping[str, Any]) -> None:
    if login_url(settings) in (PRODUCTION, SANDBOX):
        raise ConfigError(
            "With client credentials Salesforce wants your My Domain address, such as "
            "https://acme.my.salesforce.com.",
            code="invalid_settings",
            fields={"base_url": "required for client credentials"},
        )
