"""What pages and API show about identities; both read from these functions alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse

from analytics.identity import actions
from analytics.identity.levels import CUSTOMERS, PEOPLE, Level, level_of
from analytics.identity.suggestions import Found, Suggestion
from churnguard.api import keyset_by_id
from churnguard.models import (
    Contact,
    Customer,
    CustomerSource,
    IdentityLink,
    Organization,
    Person,
    PersonLink,
)

RULES = {
    "created": "First named by a source",
    "manual": "A person said so",
    "merged": "Merged in their source",
    "foreign_id": "A source names the other's id",
    "own_id": "The id of the contact in that source",
    "user_id": "Same user of the product",
    "email": "Same personal e-mail address",
    "domain": "Same company domain",
    "separate": "No evidence joins it to others any more",
}
"""Rule of a link or a review -> what it says."""


@dataclass(frozen=True, slots=True)
class Review:
    """An open review with the identities it speaks of, as far as they exist."""

    row: Any
    identities: list[Any]

    @property
    def evidence(self) -> str:
        """The rule in words."""
        return RULES.get(self.row.rule, self.row.rule)


@dataclass(frozen=True, slots=True)
class Pair:
    """A suggestion with its two identities."""

    suggestion: Suggestion
    first: CustomerSource | Contact
    second: CustomerSource | Contact

    @property
    def identities(self) -> tuple[CustomerSource | Contact, ...]:
        return self.first, self.second


@dataclass(frozen=True, slots=True)
class Belonging:
    """An identity of a customer or person: why it is there (rule, key) and since when
    (UTC; None where nothing was recorded)."""

    identity: CustomerSource | Contact
    rule: str
    key: str
    since: datetime | None

    @property
    def evidence(self) -> str:
        """The rule in words."""
        return RULES.get(self.rule, self.rule)


@dataclass(frozen=True, slots=True)
class Moment:
    """One row of the log, in words."""

    link: IdentityLink | PersonLink

    @property
    def member(self) -> CustomerSource | Contact:
        """What was linked."""
        if isinstance(self.link, PersonLink):
            return self.link.contact
        return self.link.customer_source

    @property
    def entity(self) -> Customer | Person:
        """To whom."""
        if isinstance(self.link, PersonLink):
            return self.link.person
        return self.link.customer

    @property
    def evidence(self) -> str:
        """The rule in words, with its key."""
        words = RULES.get(self.link.rule, self.link.rule)
        key = self.link.evidence.get("key", "")
        return f"{words}: {key}" if key else words


@dataclass(frozen=True, slots=True)
class Identities:
    """What the panel of a customer or person shows. history is newest first, at most
    50 rows."""

    entity: Customer | Person
    belongings: list[Belonging]
    history: list[Moment] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)

    @property
    def noun(self) -> str:
        """customer or person; also the name of its page and of its forms."""
        return level_of(self.entity).name

    @property
    def merge_url(self) -> str:
        return reverse(f"{self.noun}-merge", args=[self.entity.public_id])

    @property
    def split_url(self) -> str:
        return reverse(f"{self.noun}-split", args=[self.entity.public_id])

    @property
    def revoke_name(self) -> str:
        return "person-revoke" if self.noun == PEOPLE.name else "identity-revoke"


def list_reviews(
    organization: Organization,
    *,
    cursor: str | None,
    limit: int,
    level: Level = CUSTOMERS,
) -> tuple[list[Review], str | None]:
    """Open reviews, newest first, by keyset pages."""
    rows, after = keyset_by_id(
        level.Review.objects.filter(
            organization=organization, resolved_at__isnull=True
        ),
        cursor=cursor,
        limit=limit,
    )
    by_id = _load(organization, (pk for row in rows for pk in row.members), level)
    return [
        Review(row, [by_id[pk] for pk in row.members if pk in by_id]) for row in rows
    ], after


def count_reviews(organization: Organization, level: Level = CUSTOMERS) -> int:
    """How many reviews are open."""
    return level.Review.objects.filter(
        organization=organization, resolved_at__isnull=True
    ).count()


def pairs(
    organization: Organization, found: Found, level: Level = CUSTOMERS
) -> list[Pair]:
    """The suggestions with their identities, best first."""
    ids = (pk for one in found.items for pk in (one.first, one.second))
    by_id = _load(organization, ids, level)
    return [
        Pair(one, by_id[one.first], by_id[one.second])
        for one in found.items
        if one.first in by_id and one.second in by_id
    ]


def of_entity(entity: Customer | Person) -> Identities:
    """The identities of a customer or person, the decisions about them, and the log of
    every identity that is or was theirs."""
    level = level_of(entity)
    pointer = level.pointer.removesuffix("_id")
    ref = level.ref.removesuffix("_id")
    identities = list(
        level.Member.objects.filter(
            **{"organization": entity.organization_id, pointer: entity}
        )
        .select_related("source", pointer)
        .order_by("pk")
    )
    ids = [one.pk for one in identities]
    log = PersonLink.objects if level is PEOPLE else IdentityLink.objects
    open_links = {
        getattr(link, level.ref): link
        for link in log.filter(**{f"{ref}__in": ids, "valid_to__isnull": True})
    }
    belongings = []
    for one in identities:
        link = open_links.get(one.pk)
        belongings.append(
            Belonging(
                identity=one,
                rule=link.rule if link else "created",
                key=link.evidence.get("key", "") if link else "",
                since=link.valid_from if link else None,
            )
        )
    mine = log.filter(organization_id=entity.organization_id)
    logged = mine.filter(Q(**{f"{ref}__in": ids}) | Q(**{pointer: entity}))
    history = logged.select_related(f"{ref}__source", pointer).order_by("-pk")[:50]
    return Identities(
        entity=entity,
        belongings=belongings,
        history=[Moment(link) for link in history],
        decisions=actions.open_decisions(entity.organization, ids, level),
    )


def _load(
    organization: Organization, ids: Iterable[int], level: Level = CUSTOMERS
) -> dict[int, Any]:
    rows = level.Member.objects.filter(organization=organization, pk__in=set(ids))
    related = ["source", level.pointer.removesuffix("_id")]
    if level.is_person:
        related.append("customer_source__customer")
    return {row.pk: row for row in rows.select_related(*related)}
