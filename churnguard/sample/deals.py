"""Deals of one customer: the first sale, renewals of yearly contracts, expansions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from churnguard.sample.billing import Version
from churnguard.sample.calendar import add_months
from churnguard.sample.world import Customer


@dataclass(frozen=True, slots=True)
class Deal:
    """amount_minor: of a year. stage as in the CRM."""

    number: int
    name: str
    kind: str
    stage: str
    amount_minor: int
    opened_at: datetime
    close_at: datetime
    changed_at: datetime


def deals(one: Customer) -> Iterator[Deal]:
    """The first sale first; open ones close after now."""
    found = [_first(one), *_grown(one)]
    if one.who.months == 12:
        found += _renewals(one)
    found += _upsell(one)
    for number, deal in enumerate(found):
        yield Deal(number, *deal)


_Deal = tuple[str, str, str, int, datetime, datetime, datetime]


def _first(one: Customer) -> _Deal:
    version, closed = one.account.versions[0], one.who.joined_at
    rng = one.rng(9)
    opened = closed - timedelta(days=int(rng.integers(14, 75)))
    name = f"{one.who.name} – New business"
    amount = version.mrr_minor * 12
    return name, "New Business", "Closed Won", amount, opened, closed, closed


def _grown(one: Customer) -> Iterator[_Deal]:
    before: Version | None = None
    for version in one.account.versions:
        if before is not None and version.seats > before.seats:
            added = (version.seats - before.seats) * version.unit_minor * 12
            opened = version.at - timedelta(days=21)
            name = f"{one.who.name} – {version.seats - before.seats} more seats"
            yield name, "Expansion", "Closed Won", added, opened, version.at, version.at
        before = version


def _renewals(one: Customer) -> Iterator[_Deal]:
    """Opened 90 days ahead; lost where the customer ended."""
    for number in range(1, 6):
        due = add_months(one.who.joined_at, number * 12)
        opened = due - timedelta(days=90)
        if opened > one.span.now or (one.path.left_at and due > one.path.left_at):
            return
        if due < one.span.start:
            continue
        ends = one.path.left_at == due
        known = one.path.decided_at
        stage, changed = "Negotiation", max(opened, one.span.start)
        if ends and known is not None:
            stage, changed = "Closed Lost", max(opened, known)
        elif due <= one.span.now:
            stage, changed = "Closed Won", due
        amount = [v for v in one.account.versions if v.at <= due][-1].mrr_minor * 12
        name = f"{one.who.name} – Renewal {due:%Y}"
        yield name, "Renewal", stage, amount, opened, due, changed


def _upsell(one: Customer) -> Iterator[_Deal]:
    """An offer of more, to about a third; those in trouble turn it down."""
    rng = one.rng(10)
    opened = one.office_hour(rng, int(rng.integers(10, one.span.days - 10)))
    closes = opened + timedelta(days=int(rng.integers(30, 80)))
    wants, luck = rng.random() < 0.35, rng.random()
    if not wants or not one.is_on(opened):
        return
    amount = next(iter(one.account.versions)).mrr_minor * 4
    stage, changed = "Proposal", opened
    if closes <= one.span.now:
        is_lost = luck < 0.45 + 0.5 * one.severity(closes)
        stage, changed = ("Closed Lost" if is_lost else "Closed Won"), closes
    name = f"{one.who.name} – Analytics add-on"
    yield name, "Add-on", stage, amount, opened, closes, changed


__all__ = ["Deal", "deals"]
