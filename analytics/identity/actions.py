"""What people decide about identities: the same, different, undo.

A decision is rows of `Decision` between identities of customers or of people; the rows
of one act share who and when, and are revoked together. Identities are re-pointed in
the transaction that records the act, so revoking it gives back every link.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.http import Http404, HttpRequest
from psycopg import Cursor

from analytics.identity import resolve
from analytics.identity.levels import CUSTOMERS, Level, level_of
from analytics.models import Decision, Review
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Contact, Customer, CustomerSource, Organization, Person

MOST = 50
"""Identities one act may speak of."""

Pair = tuple[int, int]
Entity = Customer | Person
Member = CustomerSource | Contact


@dataclass(frozen=True, slots=True)
class Act:
    """decision_id: any row's id revokes the act, None where nothing was to decide;
    entity: who has the first identity now; moved: identities re-pointed."""

    decision_id: int | None
    entity: Any
    moved: int


@transaction.atomic
def merge(request: HttpRequest, one: Entity, other: Entity, now: datetime) -> Act:
    """Say that two customers (two people) are the same. The older one stays; the other
    leads to it.

    Raises ConfigError where they are one already, or where someone said before that
    identities of theirs are different (that decision must be revoked first).
    """
    act = _Act(request, one.organization, level_of(one), now)
    if one.pk == other.pk:
        raise ConfigError(
            f"These are the same {act.level.name} already.",
            code=f"same_{act.level.name}",
            fields={"into": f"the same {act.level.name}"},
        )
    ids = act.members(other.pk) + act.members(one.pk)
    done = act.say_same(ids)
    act.note("merged", one.public_id, other, done)
    return done


@transaction.atomic
def split(request: HttpRequest, entity: Entity, identity: int, now: datetime) -> Act:
    """Say that an identity is not this customer (person); the others stay together.

    Raises Http404 when it is not one of theirs, ConfigError when it is the only one.
    """
    act = _Act(request, entity.organization, level_of(entity), now)
    ids = act.members(entity.pk)
    if identity not in ids:
        raise Http404("No such identity.")
    rest = [pk for pk in ids if pk != identity]
    if not rest:
        raise ConfigError(
            f"This is the only identity of the {act.level.name}; there is nothing to "
            "split.",
            code="only_identity",
            fields={"identity": "the only one"},
        )
    _require_few(ids)
    apart = [(identity, pk) for pk in rest]
    done = act.decide(must=act.bonds(rest, apart), cannot=apart)
    done = Act(done.decision_id, act.entity_of(identity), done.moved)
    act.note("split", entity.public_id, done.entity, done)
    return done


@transaction.atomic
def decide(
    request: HttpRequest, review: Review, verdict: str, now: datetime
) -> Act | None:
    """Close a review. verdict: "same", "different", or "dismiss" (nothing is decided,
    and this evidence is not shown again). Raises ConfigError when it is closed."""
    act = _Act(request, review.organization, level_of(review), now)
    review.refresh_from_db()
    if review.resolved_at is not None:
        raise ConfigError("This review is closed already.", code="review_closed")
    ids = sorted(act.homes(review.members))
    if verdict != "dismiss" and len(ids) < 2:
        raise ConfigError(
            "The identities are gone; dismiss the review.", code="identities_gone"
        )
    # Closed before resolving, so that the same evidence does not open it again.
    review.resolved_at, review.resolved_by = now, audit.actor_of(request)
    review.save(update_fields=["resolved_at", "resolved_by"])
    done = None
    if verdict == "same":
        done = act.say_same(ids)
    elif verdict == "different":
        done = act.say_different(ids)
    audit.record(
        request,
        "identity.review_decided",
        organization=review.organization,
        target_type=review._meta.db_table.removeprefix("an_"),
        target_id=str(review.pk),
        after={"verdict": verdict, "decision_id": done.decision_id if done else None},
    )
    return done


@transaction.atomic
def judge(
    request: HttpRequest,
    organization: Organization,
    first: int,
    second: int,
    *,
    is_same: bool,
    now: datetime,
    level: Level = CUSTOMERS,
) -> Act:
    """Accept (is_same) or reject a suggestion about two identities. Raises Http404 when
    one is not the organisation's, ConfigError as `merge` does."""
    act = _Act(request, organization, level, now)
    homes = act.homes([first, second])
    if len(homes) != 2:
        raise Http404("No such identities.")
    if is_same:
        ids = [first, second]
        for entity_id in dict.fromkeys((homes[first], homes[second])):
            ids += act.members(entity_id)
        done = act.say_same(list(dict.fromkeys(ids)))
    else:
        if homes[first] == homes[second]:
            raise ConfigError(
                f"These are one {level.name}. Split the identity off instead.",
                code=f"same_{level.name}",
            )
        done = act.say_different([first, second])
    audit.record(
        request,
        "identity.suggestion_accepted" if is_same else "identity.suggestion_rejected",
        organization=organization,
        target_type=level.name,
        target_id=done.entity.public_id,
        after={"first": first, "second": second, "decision_id": done.decision_id},
    )
    return done


@transaction.atomic
def revoke(request: HttpRequest, decision: Decision, now: datetime) -> Act:
    """Take back the act this decision is part of. Raises ConfigError when it was
    taken back before."""
    organization = decision.organization
    act = _Act(request, organization, level_of(decision), now)
    rows = act.level.Decision.objects.filter(
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
    act.level.Review.objects.filter(
        organization=organization,
        resolved_at=decision.decided_at,
        resolved_by=decision.decided_by,
    ).update(resolved_by="system")
    moved = act.resolve({pk for pair in pairs for pk in pair})
    done = Act(decision.pk, act.entity_of(pairs[0][0]), moved)
    audit.record(
        request,
        "identity.decision_revoked",
        organization=organization,
        target_type=decision._meta.db_table.removeprefix("an_"),
        target_id=str(decision.pk),
        after={"pairs": len(pairs), "moved": moved},
    )
    return done


class _Act:
    """One person's act, under the lock of its organisation and level."""

    def __init__(
        self,
        request: HttpRequest,
        organization: Organization,
        level: Level,
        now: datetime,
    ) -> None:
        self.request, self.organization = request, organization
        self.level, self.now = level, now
        self.cur: Cursor = connection.cursor().cursor
        self.cur.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)", [level.lock, organization.pk]
        )

    def members(self, entity_id: int) -> list[int]:
        """The identities of a customer or person."""
        rows = self.level.Member.objects.filter(
            **{"organization": self.organization, self.level.pointer: entity_id}
        )
        return list(rows.order_by("pk").values_list("pk", flat=True))

    def homes(self, ids: Iterable[int]) -> dict[int, int]:
        """Identity -> customer or person; those of other organisations are left out,
        and those that are nobody's yet."""
        rows = self.level.Member.objects.filter(
            organization=self.organization, pk__in=set(ids)
        ).exclude(**{self.level.pointer: None})
        return dict(rows.values_list("pk", self.level.pointer))

    def entity_of(self, identity: int) -> Any:
        pointer = self.level.pointer.removesuffix("_id")
        row = self.level.Member.objects.select_related(pointer).get(pk=identity)
        return getattr(row, pointer)

    def say_same(self, ids: list[int]) -> Act:
        _require_few(ids)
        against = self.level.Decision.objects.filter(
            organization=self.organization,
            first__in=ids,
            second__in=ids,
            verdict="cannot",
            revoked_at__isnull=True,
        ).order_by("pk")
        if against:
            raise ConfigError(
                "Someone said that identities of these are different. Revoke that "
                "decision first.",
                code="decided_different",
                fields={"decision_id": str(against[0].pk)},
            )
        return self.decide(must=self.bonds(ids, ()), cannot=(), ids=ids)

    def say_different(self, ids: list[int]) -> Act:
        """Between identities that are no one entity now; what is one stays one."""
        _require_few(ids)
        homes = self.homes(ids)
        apart = [(a, b) for a, b in combinations(ids, 2) if homes[a] != homes[b]]
        return self.decide(must=(), cannot=apart, ids=ids)

    def bonds(self, ids: list[int], apart: Iterable[Pair]) -> list[Pair]:
        """The fewest pairs with the first of `ids` that keep all of them one entity. A
        pair may cost another identity the link it had, so it is tried until none is
        missing."""
        anchor = ids[0]
        bonds: list[Pair] = []
        while True:
            found = resolve.preview(
                self.cur,
                self.organization.pk,
                ids,
                level=self.level,
                must=bonds,
                cannot=apart,
            )
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

    def decide(
        self, *, must: Iterable[Pair], cannot: Iterable[Pair], ids: Iterable[int] = ()
    ) -> Act:
        rows = [("must", *pair) for pair in must] + [
            ("cannot", *pair) for pair in cannot
        ]
        by = audit.actor_of(self.request)[:254]
        first_id = None
        for verdict, first, second in rows:
            self.cur.execute(
                self.level.sql(
                    "INSERT INTO {decisions} (organization_id, first_id, second_id, "
                    "verdict, decided_by, decided_at) VALUES (%s, %s, %s, %s, %s, %s) "
                    "RETURNING id"
                ),
                [self.organization.pk, first, second, verdict, by, self.now],
            )
            (made,) = self.cur.fetchone() or ()
            first_id = first_id or made
        spoken = list(dict.fromkeys([*ids, *(pk for row in rows for pk in row[1:])]))
        moved = self.resolve(spoken)
        return Act(first_id, self.entity_of(spoken[0]), moved)

    def resolve(self, ids: Iterable[int]) -> int:
        return resolve.resolve_block(
            self.cur, self.organization.pk, sorted(ids), self.now, self.level
        )

    def note(self, verb: str, target_id: str, other: Any, done: Act) -> None:
        audit.record(
            self.request,
            f"{self.level.name}.{verb}",
            organization=self.organization,
            target_type=self.level.name,
            target_id=target_id,
            after={"other": other.public_id, "decision_id": done.decision_id},
        )


def _require_few(ids: list[int]) -> None:
    if len(ids) > MOST:
        raise ConfigError(
            f"One decision may speak of at most {MOST} identities; these are "
            f"{len(ids)}.",
            code="too_many_identities",
        )


def open_decisions(
    organization: Organization, ids: list[int], level: Level = CUSTOMERS
) -> list[Any]:
    """The decisions in force about these identities, one row per act, newest first."""
    rows = (
        level.Decision.objects.filter(
            Q(first__in=ids) | Q(second__in=ids),
            organization=organization,
            revoked_at__isnull=True,
        )
        .select_related("first__source", "second__source")
        .order_by("-decided_at", "-verdict", "pk")[:200]
    )
    acts: dict[tuple[str, datetime], Any] = {}
    for row in rows:
        kept = acts.setdefault((row.decided_by, row.decided_at), row)
        # A split is told by what it separated, not by what it kept together.
        if kept.verdict == "must" and row.verdict == "cannot":
            acts[row.decided_by, row.decided_at] = row
    return list(acts.values())
