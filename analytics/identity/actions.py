"""What people decide about identities: the same, different, undo.

A decision is rows of `IdentityDecision` between identities; the rows of one act share
who and when, and are revoked together. Identities are re-pointed in the transaction
that records the act, so revoking it gives back every link.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from django.db import connection, transaction
from django.db.models import Q
from django.http import Http404, HttpRequest
from psycopg import Cursor

from analytics.identity import resolve
from analytics.models import IdentityDecision, IdentityReview
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Customer, CustomerSource, Organization

MOST = 50
"""Identities one act may speak of."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Act:
    """decision_id: any row's id revokes the act, None where nothing was to decide;
    customer: who has the first identity now; moved: identities re-pointed."""

    decision_id: int | None
    customer: Customer
    moved: int


@transaction.atomic
def merge(request: HttpRequest, one: Customer, other: Customer, now: datetime) -> Act:
    """Say that two customers are the same. The older one stays; the other leads to it.

    Raises ConfigError where they are one already, or where someone said before that
    identities of theirs are different (that decision must be revoked first).
    """
    organization = one.organization
    cur = _lock(organization)
    if one.pk == other.pk:
        raise ConfigError(
            "These are the same customer already.",
            code="same_customer",
            fields={"into": "the same customer"},
        )
    ids = _identities(organization, [other.pk]) + _identities(organization, [one.pk])
    act = _say_same(cur, request, organization, ids, now)
    _note(request, organization, "customer.merged", one.public_id, other, act)
    return act


@transaction.atomic
def split(
    request: HttpRequest, customer: Customer, identity: int, now: datetime
) -> Act:
    """Say that an identity is not this customer; the others stay together.

    Raises Http404 when it is not the customer's, ConfigError when it is its only one.
    """
    organization = customer.organization
    cur = _lock(organization)
    ids = _identities(organization, [customer.pk])
    if identity not in ids:
        raise Http404("No such identity.")
    rest = [pk for pk in ids if pk != identity]
    if not rest:
        raise ConfigError(
            "This is the only identity of the customer; there is nothing to split.",
            code="only_identity",
            fields={"identity": "the only one"},
        )
    _require_few(ids)
    apart = [(identity, pk) for pk in rest]
    together = _bonds(cur, organization, rest, apart)
    act = _decide(cur, request, organization, must=together, cannot=apart, now=now)
    act = Act(act.decision_id, _customer_of(identity), act.moved)
    _note(
        request, organization, "customer.split", customer.public_id, act.customer, act
    )
    return act


@transaction.atomic
def decide(
    request: HttpRequest, review: IdentityReview, verdict: str, now: datetime
) -> Act | None:
    """Close a review. verdict: "same", "different", or "dismiss" (nothing is decided,
    and this evidence is not shown again). Raises ConfigError when it is closed."""
    organization = review.organization
    cur = _lock(organization)
    review.refresh_from_db()
    if review.resolved_at is not None:
        raise ConfigError("This review is closed already.", code="review_closed")
    ids = list(
        CustomerSource.objects.filter(organization=organization, pk__in=review.members)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    if verdict != "dismiss" and len(ids) < 2:
        raise ConfigError(
            "The identities are gone; dismiss the review.", code="identities_gone"
        )
    # Closed before resolving, so that the same evidence does not open it again.
    review.resolved_at, review.resolved_by = now, audit.actor_of(request)
    review.save(update_fields=["resolved_at", "resolved_by"])
    act = None
    if verdict == "same":
        act = _say_same(cur, request, organization, ids, now)
    elif verdict == "different":
        act = _say_different(cur, request, organization, ids, now)
    audit.record(
        request,
        "identity.review_decided",
        organization=organization,
        target_type="identity_review",
        target_id=str(review.pk),
        after={"verdict": verdict, "decision_id": act.decision_id if act else None},
    )
    return act


@transaction.atomic
def judge(
    request: HttpRequest,
    organization: Organization,
    first: int,
    second: int,
    *,
    is_same: bool,
    now: datetime,
) -> Act:
    """Accept (is_same) or reject a suggestion about two identities. Raises Http404
    when one is not the organisation's, ConfigError as `merge` does."""
    cur = _lock(organization)
    found = CustomerSource.objects.filter(
        organization=organization, pk__in={first, second}
    )
    homes = dict(found.values_list("pk", "customer_id"))
    if len(homes) != 2:
        raise Http404("No such identities.")
    if is_same:
        ids = [first, second]
        for customer_id in dict.fromkeys((homes[first], homes[second])):
            ids += _identities(organization, [customer_id])
        act = _say_same(cur, request, organization, list(dict.fromkeys(ids)), now)
    else:
        if homes[first] == homes[second]:
            raise ConfigError(
                "These are one customer. Split the identity off instead.",
                code="same_customer",
            )
        act = _say_different(cur, request, organization, [first, second], now)
    audit.record(
        request,
        "identity.suggestion_accepted" if is_same else "identity.suggestion_rejected",
        organization=organization,
        target_type="customer",
        target_id=act.customer.public_id,
        after={"first": first, "second": second, "decision_id": act.decision_id},
    )
    return act


@transaction.atomic
def revoke(request: HttpRequest, decision: IdentityDecision, now: datetime) -> Act:
    """Take back the act this decision is part of. Raises ConfigError when it was
    taken back before."""
    organization = decision.organization
    cur = _lock(organization)
    rows = IdentityDecision.objects.filter(
        organization=organization,
        decided_by=decision.decided_by,
        decided_at=decision.decided_at,
        revoked_at__isnull=True,
    )
    pairs = list(rows.values_list("first_id", "second_id"))
    if not pairs:
        raise ConfigError("This decision was revoked already.", code="decision_revoked")
    rows.update(revoked_at=now)
    # A review that this act closed may open again.
    IdentityReview.objects.filter(
        organization=organization,
        resolved_at=decision.decided_at,
        resolved_by=decision.decided_by,
    ).update(resolved_by="system")
    ids = sorted({pk for pair in pairs for pk in pair})
    moved = resolve.resolve_block(cur, organization.pk, ids, now)
    act = Act(decision.pk, _customer_of(decision.first_id), moved)
    audit.record(
        request,
        "identity.decision_revoked",
        organization=organization,
        target_type="identity_decision",
        target_id=str(decision.pk),
        after={"pairs": len(pairs), "moved": moved},
    )
    return act


def _lock(organization: Organization) -> Cursor:
    cur: Cursor = connection.cursor().cursor
    cur.execute("SELECT pg_advisory_xact_lock(%s, %s)", [resolve.LOCK, organization.pk])
    return cur


def _say_same(
    cur: Cursor,
    request: HttpRequest,
    organization: Organization,
    ids: list[int],
    now: datetime,
) -> Act:
    _require_few(ids)
    against = IdentityDecision.objects.filter(
        organization=organization,
        first__in=ids,
        second__in=ids,
        verdict="cannot",
        revoked_at__isnull=True,
    ).order_by("pk")
    if against:
        raise ConfigError(
            "Someone said that identities of these are different. Revoke that decision "
            "first.",
            code="decided_different",
            fields={"decision_id": str(against[0].pk)},
        )
    bonds = _bonds(cur, organization, ids, ())
    return _decide(cur, request, organization, must=bonds, cannot=(), now=now, ids=ids)


def _say_different(
    cur: Cursor,
    request: HttpRequest,
    organization: Organization,
    ids: list[int],
    now: datetime,
) -> Act:
    """Between identities that are no one customer now; what is one stays one."""
    _require_few(ids)
    homes = dict(
        CustomerSource.objects.filter(pk__in=ids).values_list("pk", "customer_id")
    )
    apart = [(a, b) for a, b in combinations(ids, 2) if homes[a] != homes[b]]
    return _decide(cur, request, organization, must=(), cannot=apart, now=now, ids=ids)


def _bonds(
    cur: Cursor, organization: Organization, ids: list[int], apart: Iterable[Pair]
) -> list[Pair]:
    """The fewest pairs with the first of `ids` that keep all of them one entity. A
    pair may cost another identity the link it had, so it is tried until none is
    missing."""
    anchor = ids[0]
    bonds: list[Pair] = []
    while True:
        found = resolve.preview(cur, organization.pk, ids, must=bonds, cannot=apart)
        (home,) = [entity for entity in found.entities if anchor in entity]
        missing = [pk for pk in ids if pk not in home]
        if not missing:
            return bonds
        if (anchor, missing[0]) in bonds:
            raise ConfigError(
                "Other decisions keep these apart. Revoke those first.",
                code="decided_different",
            )
        bonds.append((anchor, missing[0]))


def _decide(
    cur: Cursor,
    request: HttpRequest,
    organization: Organization,
    *,
    must: Iterable[Pair],
    cannot: Iterable[Pair],
    now: datetime,
    ids: Iterable[int] = (),
) -> Act:
    rows = [("must", *pair) for pair in must] + [("cannot", *pair) for pair in cannot]
    by = audit.actor_of(request)[:254]
    first_id = None
    for verdict, first, second in rows:
        cur.execute(
            "INSERT INTO an_identity_decision (organization_id, first_id, second_id, "
            "verdict, decided_by, decided_at) VALUES (%s, %s, %s, %s, %s, %s) "
            "RETURNING id",
            [organization.pk, first, second, verdict, by, now],
        )
        first_id = first_id or cur.fetchone()[0]
    spoken = list(dict.fromkeys([*ids, *(pk for row in rows for pk in row[1:])]))
    moved = resolve.resolve_block(cur, organization.pk, sorted(spoken), now)
    return Act(first_id, _customer_of(spoken[0]), moved)


def _identities(organization: Organization, customer_ids: list[int]) -> list[int]:
    rows = CustomerSource.objects.filter(
        organization=organization, customer__in=customer_ids
    )
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _require_few(ids: list[int]) -> None:
    if len(ids) > MOST:
        raise ConfigError(
            f"One decision may speak of at most {MOST} identities; these are "
            f"{len(ids)}.",
            code="too_many_identities",
        )


def _customer_of(identity: int) -> Customer:
    return CustomerSource.objects.select_related("customer").get(pk=identity).customer


def _note(
    request: HttpRequest,
    organization: Organization,
    action: str,
    target_id: str,
    other: Customer,
    act: Act,
) -> None:
    audit.record(
        request,
        action,
        organization=organization,
        target_type="customer",
        target_id=target_id,
        after={"other": other.public_id, "decision_id": act.decision_id},
    )


def open_decisions(
    organization: Organization, ids: list[int]
) -> list[IdentityDecision]:
    """The decisions in force about these identities, one row per act, newest first."""
    rows = (
        IdentityDecision.objects.filter(
            Q(first__in=ids) | Q(second__in=ids),
            organization=organization,
            revoked_at__isnull=True,
        )
        .select_related("first__source", "second__source")
        .order_by("-decided_at", "-verdict", "pk")[:200]
    )
    acts: dict[tuple[str, datetime], IdentityDecision] = {}
    for row in rows:
        kept = acts.setdefault((row.decided_by, row.decided_at), row)
        # A split is told by what it separated, not by what it kept together.
        if kept.verdict == "must" and row.verdict == "cannot":
            acts[row.decided_by, row.decided_at] = row
    return list(acts.values())
