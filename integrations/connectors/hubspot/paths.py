"""HubSpot's addresses, in the date-versioned shape and in the one before it.

The version stands at another place in each family of the dated shape, and the old
shape mixes v3 and v4 (developers.hubspot.com/docs/api-reference).
"""

from __future__ import annotations

from dataclasses import dataclass

DATED = ("2026-09", "2026-03")
LEGACY = "v3"


@dataclass(frozen=True, slots=True)
class Paths:
    """version: "2026-09", "2026-03" or "v3"."""

    version: str

    @property
    def is_dated(self) -> bool:
        return self.version != LEGACY

    def objects(self, kind: str, tail: str = "") -> str:
        """tail: "/search" or "/batch/read"."""
        if self.is_dated:
            return f"/crm/objects/{self.version}/{kind}{tail}"
        return f"/crm/v3/objects/{kind}{tail}"

    def associations(self, kind: str, target: str) -> str:
        if self.is_dated:
            return f"/crm/associations/{self.version}/{kind}/{target}/batch/read"
        return f"/crm/v4/associations/{kind}/{target}/batch/read"

    def properties(self, kind: str) -> str:
        if self.is_dated:
            return f"/crm/properties/{self.version}/{kind}"
        return f"/crm/v3/properties/{kind}"

    def pipelines(self, kind: str) -> str:
        if self.is_dated:
            return f"/crm/pipelines/{self.version}/{kind}"
        return f"/crm/v3/pipelines/{kind}"

    @property
    def owners(self) -> str:
        if self.is_dated:
            return f"/crm/owners/{self.version}"
        return "/crm/v3/owners"

    @property
    def schemas(self) -> str:
        if self.is_dated:
            return f"/crm-object-schemas/{self.version}/schemas"
        return "/crm/v3/schemas"

    def marketing_events(self, tail: str = "") -> str:
        """tail: "/participations/<event id>/breakdown"."""
        if self.is_dated:
            return f"/marketing/marketing-events/{self.version}{tail}"
        return f"/marketing/v3/marketing-events{tail}"

    @property
    def account(self) -> str:
        return f"/account-info/{self.version}/details"

    @property
    def token(self) -> str:
        """Never /oauth/v1, which ends on 2027-02-16."""
        return f"/oauth/{self.version}/token"
