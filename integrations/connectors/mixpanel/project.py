"""One Mixpanel project: its hosts, its credentials and its hourly quotas."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from churnguard.errors import ConfigError
from integrations.connectors.base import Connector
from integrations.http import Client, basic
from integrations.limits import per_hour, per_second

# region -> (query API, raw export)
HOSTS = {
    "us": ("https://mixpanel.com/api/query", "https://data.mixpanel.com/api/2.0"),
    "eu": ("https://eu.mixpanel.com/api/query", "https://data-eu.mixpanel.com/api/2.0"),
    "in": ("https://in.mixpanel.com/api/query", "https://data-in.mixpanel.com/api/2.0"),
}
QUERIES_PER_HOUR = 60
MOST_CONCURRENT = 5
FIRST_DAYS = 365


class MixpanelProject:
    """What a connector knows of its project."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self.settings = connector.settings

    @property
    def project_id(self) -> int:
        """Raises ConfigError where it is no number."""
        given = str(self.settings.get("project_id") or "").strip()
        if not given.isdigit():
            raise ConfigError(
                "Enter the project id, a number: it is in Project settings, Overview.",
                code="invalid_settings",
                fields={"project_id": "a number"},
            )
        return int(given)

    @property
    def region(self) -> str:
        return str(self.settings.get("region") or "us")

    @property
    def params(self) -> dict[str, Any]:
        """What stands in the address of every call."""
        workspace = str(self.settings.get("workspace_id") or "").strip()
        return {"project_id": self.project_id, "workspace_id": workspace or None}

    @cached_property
    def query(self) -> Client:
        """The query API: profiles and cohorts; pass budget="query"."""
        return self._signed(0)

    @cached_property
    def export(self) -> Client:
        """The raw export; pass budget="export"."""
        return self._signed(1)

    @cached_property
    def zone(self) -> tzinfo:
        """The zone whose clock the project's epochs show: UTC, or its own for
        projects made before 2023."""
        name = str(self.settings.get("project_timezone") or "UTC").strip()
        try:
            return UTC if name == "UTC" else ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ConfigError(
                f"“{name}” is no time zone; use a name such as Europe/Berlin, or UTC.",
                code="invalid_settings",
                fields={"project_timezone": "not a time zone"},
            ) from exc

    @property
    def today(self) -> date:
        """The project's day now."""
        return self.connector.now().astimezone(self.zone).date()

    @property
    def first_day(self) -> date:
        """Where the first export begins."""
        given = str(self.settings.get("start_date") or "").strip()
        if not given:
            return self.today - timedelta(days=FIRST_DAYS)
        try:
            return date.fromisoformat(given)
        except ValueError as exc:
            raise ConfigError(
                f"“{given}” is no date; write it as 2026-01-31.",
                code="invalid_settings",
                fields={"start_date": "YYYY-MM-DD"},
            ) from exc

    @property
    def reread_days(self) -> int:
        """How many days before the last one are exported again for late events."""
        given = self.settings.get("reread_days")
        return max(0, int(float(3 if given in (None, "") else given)))

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def _signed(self, which: int) -> Client:
        secrets = self.connector.secrets
        user = str(self.settings.get("username") or "")
        secret = str(secrets.get("secret") or "")
        if not user or not secret:
            raise ConfigError(
                "Enter the user name and the secret of a service account.",
                code="credentials_missing",
                fields={"username": "required", "secret": "required"},
            )
        client: Client = self.connector.client.using(
            base_url=self._base(which), auth=basic(user, secret)
        )
        key = str(self.project_id)
        client = client.with_budget(key, per_second(2))
        client = client.with_budget(
            key,
            per_hour(QUERIES_PER_HOUR),
            max_concurrent=MOST_CONCURRENT,
            name="query",
        )
        return client.with_budget(key, per_hour(QUERIES_PER_HOUR), name="export")

    def _base(self, which: int) -> str:
        given = str(self.settings.get("base_url") or "").rstrip("/")
        if given:
            return given + ("/api/query", "/api/2.0")[which]
        if self.region not in HOSTS:
            raise ConfigError(
                "The region is us, eu or in.",
                code="invalid_settings",
                fields={"region": "us, eu or in"},
            )
        return HOSTS[self.region][which]
