"""What pages and API show about identities; both read from these functions alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from analytics.identity import actions
from analytics.identity.suggestions import Found, Suggestion
from analytics.models import IdentityDecision, IdentityReview
from churnguard.api import keyset_by_id
from churnguard.models import Customer, CustomerSource, IdentityLink, Organization

RULES = {
    "created": "First named by a source",
    "manual": "A person said so",
    "foreign_id": "A source names the other's id",
    "email": "Same personal e-mail address",
    "domain": "Same company domain",
    "separate": "No evidence joins it to others any more",
}
"""Rule of a link or a review -> what it says."""


@dataclass(frozen=True, slots=True)
class Review:
    """An open review with the identities it speaks of, as far as they exist."""

    row: IdentityReview
    identities: list[CustomerSource]

    @property
    def evidence(self) -> str:
        """The rule in words."""
        return RULES.get(self.row.rule, self.row.rule)


@dataclass(frozen=True, slots=True)
class Pair:
    """A suggestion with its two identities."""

    suggestion: Suggestion
    first: CustomerSource
    second: CustomerSource


@dataclass(frozen=True, slots=True)
class Belonging:
    """An identity of a customer: why it is there (rule, key) and since when (UTC;
    None where nothing was recorded)."""

    identity: CustomerSource
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

    link: IdentityLink

    @property
    def evidence(self) -> str:
        """The rule in words, with its key."""
        words = RULES.get(self.link.rule, self.link.rule)
        key = self.link.evidence.get("key", "")
        return f"{words}: {key}" if key else words


@dataclass(frozen=True, slots=True)
class Identities:
    """What the panel of a customer shows. history is newest first, at most 50 rows."""

    customer: Customer
    belongings: list[Belonging]
    history: list[Moment] = field(default_factory=list)
    decisions: list[IdentityDecision] = field(default_factory=list)


def list_reviews(
    organization: Organization, *, cursor: str | None, limit: int
) -> tuple[list[Review], str | None]:
    """Open reviews, newest first, by keyset pages."""
    rows, after = keyset_by_id(
        IdentityReview.objects.filter(
            organization=organization, resolved_at__isnull=True
        ),
        cursor=cursor,
        limit=limit,
    )
    by_id = _load(organization, (pk for row in rows for pk in row.members))
    return [
        Review(row, [by_id[pk] for pk in row.members if pk in by_id]) for row in rows
    ], after


def count_reviews(organization: Organization) -> int:
    """How many reviews are open."""
    return IdentityReview.objects.filter(
        organization=organization, resolved_at__isnull=True
    ).count()


def pairs(organization: Organization, found: Found) -> list[Pair]:
    """The suggestions with their identities, best first."""
    by_id = _load(organization, (pk for s in found.items for pk in (s.first, s.second)))
    return [
        Pair(one, by_id[one.first], by_id[one.second])
        for one in found.items
        if one.first in by_id and one.second in by_id
    ]


def of_customer(customer: Customer) -> Identities:
    """The identities of a customer, the decisions about them, and the log of every
    identity that is or was the customer's."""
    identities = list(
        customer.sources.select_related("source", "customer").order_by("pk")
    )
    ids = [one.pk for one in identities]
    open_links = {
        link.customer_source_id: link
        for link in IdentityLink.objects.filter(
            customer_source__in=ids, valid_to__isnull=True
        )
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
    logged = IdentityLink.objects.filter(
        organization_id=customer.organization_id, customer_source__in=ids
    ) | IdentityLink.objects.filter(
        organization_id=customer.organization_id, customer=customer
    )
    history = logged.select_related("customer_source__source", "customer").order_by(
        "-pk"
    )[:50]
    return Identities(
        customer=customer,
        belongings=belongings,
        history=[Moment(link) for link in history],
        decisions=actions.open_decisions(customer.organization, ids),
    )


def _load(organization: Organization, ids: Iterable[int]) -> dict[int, CustomerSource]:
    rows = CustomerSource.objects.filter(organization=organization, pk__in=set(ids))
    return {row.pk: row for row in rows.select_related("source", "customer")}
