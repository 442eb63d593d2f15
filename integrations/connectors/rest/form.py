"""What a person fills in to connect an API of no known kind."""

from __future__ import annotations

from integrations.connectors.base import Field
from integrations.connectors.rest.signing import KINDS

_WITH_KEY = ("auth_type", ("header_key", "query_key"))
_WITH_USER = ("auth_type", ("basic",))
_WITH_TOKEN = ("auth_type", ("bearer",))
_WITH_REFRESH = ("auth_type", ("oauth2_refresh",))
_WITH_OAUTH = ("auth_type", ("oauth2_client_credentials", "oauth2_refresh"))
_EXAMPLE = """[{
  "name": "people",
  "endpoint_url": "/people",
  "data_path": "data",
  "record_type": "contact",
  "primary_key": "id",
  "incremental": {"field": "updated_at", "param": "updated_since"},
  "pagination": {"type": "page", "param": "page"},
  "field_mappings": {"name": "full_name", "email": "email"}
}]"""

FIELDS = (
    Field(
        "base_url",
        "Address of the API",
        kind="url",
        help="Such as https://api.example.com/v2. Credentials go nowhere else.",
    ),
    Field(
        "auth_type",
        "Authentication",
        kind="choice",
        required=False,
        default="none",
        choices=KINDS,
    ),
    Field(
        "key_name",
        "Name of the key",
        required=False,
        help="Header (X-Api-Key) or parameter (api_key) the key goes into.",
        only_with=_WITH_KEY,
    ),
    Field(
        "api_key",
        "Key",
        kind="secret",
        secret=True,
        required=False,
        only_with=_WITH_KEY,
    ),
    Field("username", "User", required=False, only_with=_WITH_USER),
    Field(
        "password",
        "Password",
        kind="secret",
        secret=True,
        required=False,
        only_with=_WITH_USER,
    ),
    Field(
        "access_token",
        "Token",
        kind="secret",
        secret=True,
        required=False,
        only_with=_WITH_TOKEN,
    ),
    Field("client_id", "OAuth client id", required=False, only_with=_WITH_OAUTH),
    Field(
        "client_secret",
        "OAuth client secret",
        kind="secret",
        secret=True,
        required=False,
        only_with=_WITH_OAUTH,
    ),
    Field(
        "refresh_token",
        "OAuth refresh token",
        kind="secret",
        secret=True,
        required=False,
        only_with=_WITH_REFRESH,
    ),
    Field(
        "token_url",
        "OAuth token address",
        kind="url",
        required=False,
        only_with=_WITH_OAUTH,
    ),
    Field(
        "scope",
        "OAuth scopes",
        required=False,
        help="Separated by blanks.",
        only_with=_WITH_OAUTH,
    ),
    Field(
        "client_auth",
        "OAuth client goes into",
        kind="choice",
        required=False,
        default="body",
        choices=(("body", "the form"), ("basic", "a Basic header")),
        only_with=_WITH_OAUTH,
    ),
    Field(
        "token_params",
        "More fields of the token request",
        kind="json",
        required=False,
        help='Such as {"audience": "https://api.example.com"}.',
        only_with=_WITH_OAUTH,
        advanced=True,
    ),
    Field(
        "endpoints",
        "Endpoints",
        kind="json",
        help="Each endpoint becomes a kind of data.",
        example=_EXAMPLE,
    ),
    Field(
        "headers",
        "Headers",
        kind="json",
        secret=True,
        required=False,
        help='Sent with every request: {"X-Tenant": "acme"}.',
        advanced=True,
    ),
)
