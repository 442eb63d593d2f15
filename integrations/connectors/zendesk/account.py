"""One Zendesk account: where it is, how to sign in, what its fields are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from churnguard.errors import AuthenticationError, ConfigError, TransientError
from integrations.connectors.base import Connector, JsonDict
from integrations.connectors.zendesk.records import rating_of
from integrations.http import Client, RefusedError, basic, bearer
from integrations.limits import per_minute
from integrations.oauth import OAuthApp, client_credentials, refresh_tokens
from integrations.pagination import Step, pages_by_cursor
from integrations.tokens import MemoryTokenStore, TokenKeeper, TokenSet

CLIENT, PERSON, LEGACY = "client_credentials", "oauth", "api_token"
LEGACY_ENDS = datetime(2027, 4, 30, tzinfo=UTC)
LIST_SIZE = 100
ACCESS_LIFE_S = 86_400
REFRESH_LIFE_S = 89 * 86_400
"""Zendesk gives a refresh token for at most 90 days, and only beside an access token
that ends (after 2 days at most)."""
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class ZendeskAccount:
    """What a connector knows of its account, asked for once and only if needed."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.settings = connector.settings
        self._top_ratings: dict[str, int | None] = {}

    @property
    def flow(self) -> str:
        return str(self.settings.get("auth_flow") or CLIENT)

    @property
    def host(self) -> str:
        """The account's host, by which Zendesk counts."""
        return urlsplit(base_url_of(self.settings)).netloc

    @cached_property
    def http(self) -> Client:
        """The signed client, held to the plan's limits. Raises ConfigError where
        the settings do not say how to sign in."""
        client: Client = self.connector.client.using(
            base_url=f"{base_url_of(self.settings)}/api/v2"
        )
        if self.flow == LEGACY:
            user, token = self._legacy()
            client = client.using(auth=basic(f"{user}/token", token))
        else:
            keeper = self._keeper(client)
            client = client.using(
                auth=bearer(keeper.access_token), refresh=keeper.renew
            )
        calls = _positive(self.settings, "calls_per_minute", 200)
        exports = _positive(self.settings, "exports_per_minute", 10)
        client = client.with_budget(self.host, per_minute(calls))
        return client.with_budget(self.host, per_minute(exports), name="export")

    @cached_property
    def ticket_fields(self) -> dict[str, str]:
        """Id -> name in `custom` of the account's own ticket fields."""
        names: dict[str, str] = {}
        for each in self._listed("/ticket_fields", "ticket_fields"):
            # Zendesk's own fields cannot be removed and stand on the ticket itself.
            if each.get("removable") is False:
                continue
            title = str(each.get("raw_title") or each.get("title") or each["id"])
            is_taken = title in names.values()
            names[str(each["id"])] = f"{title} ({each['id']})" if is_taken else title
        return names

    def own_fields(self, kind: str) -> list[JsonDict]:
        """Definitions of user_fields or organization_fields."""
        return self._listed(f"/{kind}", kind)

    def top_rating(self, survey: str, version: str) -> int | None:
        """The best rating of a survey's scale (they have 2, 3 or 5 steps, from 1);
        None where Zendesk does not show the survey."""
        # The locale is that of the texts, which are not looked at.
        path = f"/guide/en-us/surveys/{survey}/{version}"
        if path not in self._top_ratings:
            self._top_ratings[path] = self._ask_top_rating(path)
        return self._top_ratings[path]

    def pages(
        self,
        path: str,
        items: str,
        params: JsonDict,
        *,
        size: int = LIST_SIZE,
        start: Any = None,
        budget: str = "",
    ) -> Iterator[Step]:
        """A list by cursor pages, at most 100 a page."""

        def fetch(paging: JsonDict) -> Any:
            body = self.http.get_json(path, params={**params, **paging}, budget=budget)
            if "meta" not in body and body.get("next_page"):
                raise TransientError(
                    f"Zendesk answered {path} without cursors, so what follows its "
                    "first page cannot be read.",
                    code="bad_shape",
                )
            return body

        return pages_by_cursor(
            fetch,
            items=items,
            cursor="meta.after_cursor",
            cursor_param="page[after]",
            size_param="page[size]",
            size=size,
            start=start,
            has_more="meta.has_more",
        )

    def _listed(self, path: str, items: str) -> list[JsonDict]:
        try:
            return [row for step in self.pages(path, items, {}) for row in step.items]
        except RefusedError as refusal:
            # Without the right to read definitions custom values keep their ids.
            if refusal.status not in (403, 404):
                raise
            return []

    def _ask_top_rating(self, path: str) -> int | None:
        try:
            survey = self.http.get_json(path).get("survey") or {}
        except RefusedError as refusal:
            if refusal.status not in (403, 404):
                raise
            return None
        rated = rating_of(survey.get("questions"))
        steps = [step.get("rating") for step in (rated or {}).get("options") or []]
        return max((step for step in steps if isinstance(step, int)), default=None)

    def _legacy(self) -> tuple[str, str]:
        user = str(self.settings.get("email") or "")
        token = str(self.connector.secrets.get("api_token") or "")
        if self.connector.now() >= LEGACY_ENDS:
            raise ConfigError(
                "Zendesk takes no API tokens since 30 April 2027; make an OAuth "
                "client and choose client credentials.",
                code="invalid_settings",
                fields={"auth_flow": "API tokens are retired"},
            )
        if not user or not token:
            raise ConfigError(
                "Enter the e-mail address and the API token, or make an OAuth client "
                "and choose client credentials.",
                code="credentials_missing",
                fields={"email": "required", "api_token": "required"},
            )
        return user, token

    def _keeper(self, client: Client) -> TokenKeeper:
        connector = self.connector
        secrets, now = connector.secrets, connector.now
        app = oauth_app(self.settings, secrets)
        if not app.client_id:
            raise ConfigError(
                "Enter the identifier and secret of a Zendesk OAuth client (Admin "
                "Center, Apps and integrations, APIs, OAuth clients).",
                code="credentials_missing",
                fields={"client_id": "required", "client_secret": "required"},
            )
        held = TokenSet(
            access_token=str(secrets.get("access_token") or ""),
            refresh_token=str(secrets.get("refresh_token") or ""),
        )

        def grant(old: TokenSet | None) -> TokenSet:
            if self.flow == CLIENT:
                return client_credentials(client, app, now=now())
            if old is None or not old.refresh_token:
                raise AuthenticationError("Press Connect and sign in to Zendesk.")
            return refresh_tokens(client, app, old, now=now())

        return TokenKeeper(
            store=connector.token_store or MemoryTokenStore(held), grant=grant, now=now
        )

    def who(self) -> JsonDict:
        """The user we act as. Raises AuthenticationError for nobody, ConfigError for
        one who may not export."""
        try:
            user: JsonDict = self.http.get_json("/users/me").get("user") or {}
        except RefusedError as refusal:
            if refusal.status != 403:
                raise
            # A token without the scope is given out all the same.
            raise ConfigError(
                "Zendesk lets this connection read nothing: allow the OAuth client the "
                "scope “read” in Admin Center, then connect again.",
                code="permission_denied",
            ) from refusal
        # Bad credentials can be answered with 200 and an anonymous user.
        if user.get("id") is None:
            raise AuthenticationError(
                "Zendesk did not accept the credentials: it answers as to a visitor. "
                "Check the OAuth client, or connect again."
            )
        if user.get("role") != "admin":
            raise ConfigError(
                f"{user.get('name')} is {user.get('role')} in Zendesk, but only an "
                "administrator may read the incremental exports; connect as an admin.",
                code="permission_denied",
            )
        return user

    def soonest_start(self) -> int:
        """The latest start_time exports take, in unix seconds."""
        return int((self.connector.now() - timedelta(seconds=61)).timestamp())


def oauth_app(settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> OAuthApp:
    """The OAuth client of the settings; read access is all it is asked for."""
    base = base_url_of(settings)
    wanted: dict[str, str | int] = {"scope": "read", "expires_in": ACCESS_LIFE_S}
    if settings.get("auth_flow") == PERSON:
        wanted["refresh_token_expires_in"] = REFRESH_LIFE_S
    return OAuthApp(
        client_id=str(settings.get("client_id") or secrets.get("client_id") or ""),
        client_secret=str(secrets.get("client_secret") or ""),
        authorize_url=f"{base}/oauth/authorizations/new",
        token_url=f"{base}/oauth/tokens",
        scopes=("read",),
        body="json",
        extra_token=wanted,
    )


def base_url_of(settings: Mapping[str, Any]) -> str:
    """ "https://acme.zendesk.com". Raises ConfigError without a usable name."""
    given = str(settings.get("base_url") or "").strip().rstrip("/")
    if given:
        return given.removesuffix("/api/v2")
    name = str(settings.get("subdomain") or "").strip().lower()
    name = name.removeprefix("https://").split("/")[0].removesuffix(".zendesk.com")
    if not _SUBDOMAIN.fullmatch(name):
        raise ConfigError(
            "Enter the subdomain of your Zendesk, such as acme for acme.zendesk.com.",
            code="invalid_settings",
            fields={"subdomain": "required"},
        )
    return f"https://{name}.zendesk.com"


def _positive(settings: Mapping[str, Any], name: str, default: int) -> int:
    return max(1, int(float(settings.get(name) or default)))
