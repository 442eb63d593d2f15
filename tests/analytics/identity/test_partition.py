"""Entities do not depend on the order of arrival, and follow only sound evidence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.identity.keys import company_domain, mailbox
from analytics.identity.partition import Identity, Partition, partition
from tests import examples


def one(pk: int, source: str, external_id: str, **more: object) -> Identity:
    return Identity(pk, source, str(more.pop("kind", "")), external_id, **more)


def sets(found: Partition) -> set[frozenset[int]]:
    return {frozenset(entity) for entity in found.entities}


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("https://www.Acme.example/pricing", "acme.example"),
        ("mail.eu.acme.example", "acme.example"),
        ("shop.acme.co.uk", "acme.co.uk"),
        ("anna@Müller.example", "xn--mller-kva.example"),
        ("bob@gmail.com", None),
        ("n/a", None),
        ("not a domain", None),
        (None, None),
    ],
)
def test_company_domain(text: str | None, domain: str | None) -> None:
    assert company_domain(text) == domain


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Anna.Lee+crm@Acme.example ", "anna.lee+crm@acme.example"),
        ("billing@acme.example", None),
        ("No-Reply@acme.example", None),
        ("acme.example", None),
        ("a b@acme.example", None),
    ],
)
def test_mailbox(text: str, address: str | None) -> None:
    assert mailbox(text) == address


@pytest.mark.parametrize(("accounts", "reviews"), [(1, 0), (2, 1), (3, 1), (4, 0)])
def test_a_domain_of_many_accounts_names_nobody_and_asks_nothing(
    accounts: int, reviews: int
) -> None:
    rows = [one(n, "crm", f"{n}", domain="agency.example") for n in range(accounts)]
    rows.append(one(9, "web", "w", domain="agency.example"))

    found = partition(rows)

    assert len(found.conflicts) == reviews
    assert len(sets(found)) == (1 if accounts == 1 else accounts + 1)


def test_a_foreign_id_links_by_source_name_and_by_kind() -> None:
    rows = [
        one(1, "sf_main", "001A", kind="salesforce"),
        one(2, "billing", "cus_9", links=(("salesforce", "001A"),)),
        one(3, "helpdesk", "77", links=(("sf_main", "001A"),)),
        one(4, "helpdesk", "001A"),
    ]

    found = partition(rows)

    assert sets(found) == {frozenset({1, 2, 3}), frozenset({4})}
    assert found.why[2].rule == "foreign_id"
    assert found.conflicts == []


def test_two_billing_customers_of_one_account_are_not_merged_but_reviewed() -> None:
    rows = [
        one(1, "crm", "A"),
        one(2, "billing", "x", links=(("crm", "A"),)),
        one(3, "billing", "y", links=(("crm", "A"),)),
    ]

    found = partition(rows)

    assert sets(found) == {frozenset({1, 2}), frozenset({3})}
    (conflict,) = found.conflicts
    assert "same source" in conflict.reason


def test_a_domain_shared_inside_one_source_links_nobody() -> None:
    rows = [
        one(1, "crm", "A", domain="agency.example"),
        one(2, "crm", "B", domain="agency.example"),
        one(3, "product", "w", domain="agency.example"),
    ]

    found = partition(rows)

    assert len(found.entities) == 3
    assert [c.rule for c in found.conflicts] == ["domain"]


def test_free_mail_and_role_addresses_link_nobody() -> None:
    rows = [
        one(1, "crm", "A", email="anna@gmail.com", domain="gmail.com"),
        one(2, "billing", "B", email="bob@gmail.com"),
        one(3, "product", "C", email="info@gmail.com"),
        one(4, "support", "D", email="info@gmail.com"),
    ]

    assert len(partition(rows).entities) == 4


def test_the_same_personal_mailbox_links_even_at_free_mail() -> None:
    rows = [
        one(1, "billing", "B", email="bob.w@gmail.com"),
        one(2, "product", "C", email="Bob.W@gmail.com "),
    ]

    assert sets(partition(rows)) == {frozenset({1, 2})}


def test_people_overrule_evidence_both_ways() -> None:
    rows = [
        one(1, "crm", "A", domain="acme.example"),
        one(2, "billing", "B", domain="acme.example"),
        one(3, "crm", "C", domain="other.example"),
    ]

    apart = partition(rows, cannot=[(1, 2)])
    together = partition(rows, must=[(1, 3)])

    assert frozenset({1, 2}) not in sets(apart)
    assert apart.conflicts[0].reason == "a person said these are different"
    assert sets(together) == {frozenset({1, 2, 3})}


NAMES = st.sampled_from(["a", "b", "c", "d"])
IDENTITIES = st.lists(
    st.tuples(
        st.sampled_from(["crm", "billing", "product", "support"]),
        NAMES,
        st.sampled_from(["", "acme.example", "birch.example", "gmail.com"]),
        st.sampled_from(["", "x@acme.example", "y@gmail.com", "info@acme.example"]),
        st.lists(st.tuples(st.sampled_from(["crm", "billing"]), NAMES), max_size=2),
    ),
    max_size=12,
    unique_by=lambda row: (row[0], row[1]),
)


@given(IDENTITIES, st.randoms(use_true_random=False))
@settings(max_examples=examples.out_of(200))
def test_every_order_gives_the_same_entities(
    raw: list[tuple[str, str, str, str, list[tuple[str, str]]]], dice: random.Random
) -> None:
    rows = [
        Identity(n, source, "", name, domain, email, tuple(sorted(set(links))))
        for n, (source, name, domain, email, links) in enumerate(raw)
    ]
    must = [(0, 1)] if len(rows) > 4 else []
    cannot = [(1, 2)] if len(rows) > 5 else []
    wanted = partition(rows, must=must, cannot=cannot)
    for _ in range(3):
        dice.shuffle(rows)
        found = partition(rows, must=must[::-1], cannot=cannot[::-1])
        assert found == wanted
    for entity in wanted.entities:
        sources = [one.source for one in rows if one.id in entity]
        confirmed = set(entity) & {0, 1} == {0, 1} and bool(must)
        assert confirmed or len(sources) == len(set(sources))
