"""The people of a customer: who they are over all sources, and what they did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.http import Http404

from analytics.identity import queries
from analytics.identity.keys import mailbox, product_user
from analytics.identity.sayings import Field, Voice, fields_of, voices
from churnguard.models import Contact, Customer, Organization, Person

MOST = 200
"""People that are shown of one customer."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a product's user did: source and user there, last_at in UTC, events ever.
    rule: why the user is this person, of `queries.RULES`; "" before that is known."""

    source: str
    user: str
    last_at: datetime
    events: int
    rule: str = ""

    @property
    def evidence(self) -> str:
        """The rule in words."""
        return queries.RULES.get(self.rule, "")


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person as all sources together describe them. bills: sources in which theirs is
    the customer's own e-mail address (the one invoices go to)."""

    person: Person
    contacts: list[Contact]
    fields: list[Field]
    uses: list[Use] = field(default_factory=list)
    bills: list[str] = field(default_factory=list)

    @property
    def said(self) -> dict[str, Any]:
        """Field -> winning value."""
        return {one.name: one.value for one in self.fields}

    @property
    def name(self) -> str:
        said = self.said
        return str(
            said.get("name") or said.get("email") or self.contacts[0].external_id
        )

    @property
    def sources(self) -> list[str]:
        return sorted({one.source.name for one in self.contacts})

    @property
    def newest_at(self) -> datetime:
        """When any source last said something about the person (UTC)."""
        return max(one.source_updated_at or one.updated_at for one in self.contacts)

    @property
    def used_at(self) -> datetime | None:
        """Their last product use (UTC)."""
        return max((use.last_at for use in self.uses), default=None)

    @property
    def is_gone(self) -> bool:
        """Deleted in every source."""
        return all(one.deleted_at for one in self.contacts)


@dataclass(frozen=True, slots=True)
class People:
    """people: the most recently used first. total: of all; nameless_users: users of
    the product that are nobody's contact."""

    people: list[PersonView]
    total: int
    nameless_users: int


@dataclass(frozen=True, slots=True)
class PersonPage:
    """Everything known of one person."""

    view: PersonView
    voices: list[Voice]
    customers: list[Customer]
    identities: queries.Identities


def find_person(organization: Organization, person_id: str) -> Person:
    """By our id (per_…). One who was merged leads to the one that has their contacts.
    Raises Http404."""
    if "\x00" in person_id:
        raise Http404("No such person.")
    rows = Person.objects.filter(organization=organization)
    found = rows.filter(public_id=person_id).first()
    hops = 0
    while found is not None and found.merged_into_id is not None and hops < 20:
        found = rows.filter(pk=found.merged_into_id).first()
        hops += 1
    if found is None:
        raise Http404("No such person.")
    return found


def of_customer(customer: Customer) -> People:
    """The people whom the customer's sources name as its contacts."""
    named = Contact.objects.filter(
        organization_id=customer.organization_id,
        customer_source__customer=customer,
        person__isnull=False,
    )
    ids = sorted(set(named.values_list("person_id", flat=True)))
    uses = _uses(customer)
    shown = _views(customer.organization, ids[:MOST], uses, _billed(customer))
    known = {(use.source, use.user) for view in shown for use in view.uses}
    shown.sort(key=lambda view: (view.is_gone, -_epoch(view.used_at), view.name))
    nameless = sum((use.source, use.user) not in known for use in uses)
    return People(shown, len(ids), nameless if len(ids) <= MOST else 0)


def of_person(person: Person) -> PersonPage:
    """A person with every contact, wherever it belongs."""
    customers = list(
        Customer.objects.filter(sources__contact__person=person)
        .distinct()
        .order_by("name", "pk")[:20]
    )
    uses = [use for customer in customers for use in _uses(customer)]
    bills = {
        address: sources
        for customer in customers
        for address, sources in _billed(customer).items()
    }
    found = _views(person.organization, [person.pk], uses, bills)
    if not found:
        raise Http404("No such person.")
    (view,) = found
    return PersonPage(
        view=view,
        voices=voices(view.contacts),
        customers=customers,
        identities=queries.of_entity(person),
    )


def _views(
    organization: Organization,
    ids: Iterable[int],
    uses: list[Use],
    billed: dict[str, list[str]],
) -> list[PersonView]:
    contacts: dict[Person, list[Contact]] = defaultdict(list)
    rows = Contact.objects.filter(organization=organization, person__in=list(ids))
    rows = rows.select_related("source", "person", "customer_source__customer")
    for row in rows.order_by("pk"):
        assert row.person is not None
        contacts[row.person].append(row)
    by_user: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        # Some products call a user by the e-mail address, however it was typed.
        by_user[use.user.lower() if "@" in use.user else use.user].append(use)
    return [
        PersonView(
            person,
            mine,
            fields_of(mine),
            _uses_of(mine, by_user),
            sorted(
                {s for one in mine for s in billed.get(mailbox(one.email) or "", ())}
            ),
        )
        for person, mine in contacts.items()
    ]


def _uses_of(contacts: list[Contact], by_user: dict[str, list[Use]]) -> list[Use]:
    """Product use under the person's id in that source, their user id or address."""
    found: dict[tuple[str, str], Use] = {}
    # The surest sign first, whichever contact gives it.
    signs = {
        "own_id": lambda one: one.external_id,
        "user_id": lambda one: product_user(one.user_id),
        "email": lambda one: (one.email or "").strip().lower(),
    }
    for rule, sign in signs.items():
        for one in contacts:
            for use in by_user.get(sign(one) or "", ()):
                if rule != "own_id" or use.source == one.source.name:
                    found.setdefault((use.source, use.user), replace(use, rule=rule))
    return sorted(found.values(), key=lambda use: use.last_at, reverse=True)


def _uses(customer: Customer) -> list[Use]:
    with connection.cursor() as cur:
        cur.execute(
            "SELECT o.name, u.user_key, max(u.last_at), sum(u.n)::bigint "
            "FROM an_usage_seen u JOIN cg_customer_source s ON s.id = "
            "u.customer_source_id JOIN cg_source o ON o.id = s.source_id "
            "WHERE s.customer_id = %s AND u.user_key <> '' GROUP BY 1, 2",
            [customer.pk],
        )
        return [Use(*row) for row in cur.fetchall()]


def _billed(customer: Customer) -> dict[str, list[str]]:
    """Normalised e-mail of the customer -> sources that give it."""
    out: dict[str, list[str]] = defaultdict(list)
    for source, email in customer.sources.values_list("source__name", "email"):
        address = mailbox(email)
        if address:
            out[address].append(source)
    return out


def _epoch(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
