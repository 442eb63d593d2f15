"""The two levels of identity: customers (companies) and people.

Both are a pointer from what a source knows to an entity, a log of links, keys,
decisions and reviews; only the tables differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.models import (
    IdentityDecision,
    IdentityReview,
    PersonDecision,
    PersonReview,
)
from churnguard.models import Contact, Customer, CustomerSource, Person


@dataclass(frozen=True, slots=True)
class Level:
    """Member: what a source knows, with the column `pointer` to its entity. ref: the
    column by which links and keys name a member. signs: columns that identify a member
    as a SELECT list (domain, email, user_id, links)."""

    name: str
    lock: int
    """Advisory lock, with the organisation: one resolution at a time."""
    Member: type[Any]
    Entity: type[Any]
    Decision: type[Any]
    Review: type[Any]
    pointer: str
    ref: str
    links: str
    keys: str
    signs: str

    @property
    def is_person(self) -> bool:
        return self.Entity is Person

    def sql(self, template: str) -> str:
        """The template with {member}, {entity}, {pointer}, {ref}, {links}, {keys},
        {decisions}, {reviews} and {record_type} in it replaced."""
        return template.format(
            member=self.Member._meta.db_table,
            entity=self.Entity._meta.db_table,
            decisions=self.Decision._meta.db_table,
            reviews=self.Review._meta.db_table,
            pointer=self.pointer,
            ref=self.ref,
            links=self.links,
            keys=self.keys,
            signs=self.signs,
            record_type="contact" if self.is_person else "customer",
        )


CUSTOMERS = Level(
    name="customer",
    lock=7_220_003,
    Member=CustomerSource,
    Entity=Customer,
    Decision=IdentityDecision,
    Review=IdentityReview,
    pointer="customer_id",
    ref="customer_source_id",
    links="cg_identity_link",
    keys="an_identity_key",
    signs="coalesce(c.domain, ''), coalesce(c.email, ''), '', c.links::text",
)
PEOPLE = Level(
    name="person",
    lock=7_220_004,
    Member=Contact,
    Entity=Person,
    Decision=PersonDecision,
    Review=PersonReview,
    pointer="person_id",
    ref="contact_id",
    links="cg_person_link",
    keys="an_person_key",
    signs="'', coalesce(c.email, ''), coalesce(c.user_id, ''), c.links::text",
)
LEVELS = (CUSTOMERS, PEOPLE)


def level_of(row: Any) -> Level:
    """The level an entity, a member, a decision or a review is of."""
    kinds = (Contact, Person, PersonDecision, PersonReview)
    return PEOPLE if isinstance(row, kinds) else CUSTOMERS
