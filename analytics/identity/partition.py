"""Identities into entities: pure, and the same for any order of the input.

Evidence is taken in a fixed order: what people said, merges in a source, explicit
foreign ids, the id of a
product's user (people only), e-mail, company domain (customers only); inside a rule by
the key. A key that several identities of one source
carry says nothing about which is meant, so it links nobody and becomes a conflict, as
does evidence that would put two identities of one source into one entity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from analytics.identity.keys import (
    BLOCKED,
    company_domain,
    mailbox,
    product_user,
)

RULES = ("manual", "merged", "foreign_id", "user_id", "email", "domain")
DECIDED = "a person said these are different"
DOMAIN_MOST = 3
"""Identities of one source under a domain; with more it is an agency's, a group's or an
access provider's, names nobody, and is no question either."""
"""Reason of a conflict that needs no review any more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One customer or person as one source knows it. kind: the source's provider;
    links: {source name or kind: id there}. A person's domain says nothing of them."""

    id: int
    source: str
    kind: str
    external_id: str
    domain: str = ""
    email: str = ""
    links: tuple[tuple[str, str], ...] = ()
    user_id: str = ""
    is_person: bool = False

    @property
    def order(self) -> tuple[str, str]:
        return (self.source, self.external_id)


@dataclass(frozen=True, slots=True)
class Why:
    """The evidence that brought an identity to the others."""

    rule: str
    key: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Evidence not followed. members: ids of the identities it speaks of."""

    rule: str
    key: str
    members: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Partition:
    """entities: lists of identity ids, in canonical order; why: identity id -> the
    evidence that first joined it; conflicts: for review."""

    entities: list[list[int]]
    why: dict[int, Why] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)


def keys_of(identity: Identity) -> list[tuple[str, str]]:
    """The (rule, key) pairs an identity carries; equal pairs are evidence. An
    identity's own id is a key too, since others may name it."""
    pairs = [("foreign_id", key) for key in _own_keys(identity)]
    for source, external_id in identity.links:
        if external_id.strip().lower() not in BLOCKED:
            pairs.append(("foreign_id", f"{source}:{external_id.strip()}"))
    user = product_user(identity.user_id)
    if user:
        pairs.append(("user_id", user))
    address = mailbox(identity.email)
    if address:
        pairs.append(("email", address))
    domain = company_domain(identity.domain) or company_domain(identity.email)
    if domain and not identity.is_person:
        pairs.append(("domain", domain))
    return sorted(set(pairs), key=lambda pair: (RULES.index(pair[0]), pair[1]))


def partition(
    identities: Iterable[Identity],
    *,
    must: Iterable[tuple[int, int]] = (),
    cannot: Iterable[tuple[int, int]] = (),
    merged: Iterable[tuple[int, int, str]] = (),
) -> Partition:
    """Group the identities. must, cannot: pairs of ids people decided on; a pair in
    both counts as cannot. merged: (loser, winner, key) as a source says; only a
    decision of people stands against it."""
    rows = sorted(identities, key=lambda one: one.order)
    by_id = {one.id: one for one in rows}
    groups = _Groups(by_id, cannot)
    for a, b in sorted(must, key=lambda p: _pair_order(by_id, p)):
        if a in by_id and b in by_id:
            groups.join(a, b, Why("manual", ""), is_manual=True)
    for a, b, key in sorted(merged, key=lambda m: (m[2], _pair_order(by_id, m[:2]))):
        if a in by_id and b in by_id:
            groups.join(a, b, Why("merged", key), is_manual=True)
    carriers: dict[tuple[str, str], list[Identity]] = {}
    for one in rows:
        for pair in keys_of(one):
            carriers.setdefault(pair, []).append(one)
    conflicts: list[Conflict] = []
    for rule, key in sorted(carriers, key=lambda p: (RULES.index(p[0]), p[1])):
        members = carriers[rule, key]
        if len(members) > 1:
            conflicts += _follow(groups, rule, key, members)
    entities: dict[int, list[int]] = {}
    for one in rows:
        entities.setdefault(groups.root(one.id), []).append(one.id)
    return Partition(
        entities=list(entities.values()), why=groups.why, conflicts=conflicts
    )


def _follow(
    groups: _Groups, rule: str, key: str, members: list[Identity]
) -> list[Conflict]:
    roots = {groups.root(one.id) for one in members}
    if len(roots) == 1:
        return []
    everyone = tuple(one.id for one in members)
    if rule == "foreign_id":
        owners = [one for one in members if key in _own_keys(one)]
        if len(owners) > 1:
            return [Conflict(rule, key, everyone, "several identities have this id")]
    else:
        most = max(Counter(one.source for one in members).values())
        if rule == "domain" and most > DOMAIN_MOST:
            return []
        if most > 1:
            return [
                Conflict(
                    rule, key, everyone, "several identities of one source share it"
                )
            ]
    found = []
    first = members[0].id
    for one in members[1:]:
        refusal = groups.join(first, one.id, Why(rule, key))
        if refusal:
            found.append(Conflict(rule, key, (first, one.id), refusal))
    return found


def _own_keys(identity: Identity) -> set[str]:
    """How others may name this identity: by the source's name or by its kind."""
    names = {identity.source, identity.kind} - {""}
    return {f"{name}:{identity.external_id}" for name in names}


def _pair_order(
    by_id: dict[int, Identity], pair: tuple[int, int]
) -> list[tuple[str, str]]:
    return sorted(by_id[i].order for i in pair if i in by_id)


class _Groups:
    """Union-find that keeps one identity per source and obeys cannot-pairs."""

    def __init__(
        self, by_id: dict[int, Identity], cannot: Iterable[tuple[int, int]]
    ) -> None:
        self.by_id = by_id
        self.parent = {i: i for i in by_id}
        self.members = {i: {i} for i in by_id}
        self.cannot: dict[int, set[int]] = {}
        for a, b in cannot:
            self.cannot.setdefault(a, set()).add(b)
            self.cannot.setdefault(b, set()).add(a)
        self.why: dict[int, Why] = {}

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int, why: Why, *, is_manual: bool = False) -> str:
        """Join two groups; returns why not, or "" when they are one now."""
        one, other = self.root(a), self.root(b)
        if one == other:
            return ""
        left, right = self.members[one], self.members[other]
        if any(self.cannot.get(i, set()) & right for i in left):
            return DECIDED
        if not is_manual:
            sources = {self.by_id[i].source for i in left}
            if any(self.by_id[i].source in sources for i in right):
                return "both sides have an identity of the same source"
        for i in (a, b):
            self.why.setdefault(i, why)
        keep, drop = sorted((one, other), key=lambda i: self.by_id[i].order)
        self.parent[drop] = keep
        self.members[keep] = left | right
        del self.members[drop]
        return ""
