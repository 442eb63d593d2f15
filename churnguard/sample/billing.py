"""Subscriptions with their history, and invoices that add up to them.

Seats and prices change at billing dates; on a yearly contract more seats start on a
month's border and are charged for the months that are left. So every invoice line is
MRR times whole months, and MRR can be checked against the invoices to the cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from churnguard.sample.calendar import Span, add_months
from churnguard.sample.paths import Change, Path
from churnguard.sample.profiles import Profile, make_id

RETRY_DAYS = (0, 3, 5, 7)
"""When a card is tried again after the first failure."""


@dataclass(frozen=True, slots=True)
class Version:
    """A subscription as it was from `at` on. Money in minor units."""

    subscription_id: str
    at: datetime
    status: str
    plan: str
    seats: int
    unit_minor: int
    started_at: datetime
    period_start: datetime
    period_end: datetime
    auto_renew: bool
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""

    @property
    def mrr_minor(self) -> int:
        return self.seats * self.unit_minor


@dataclass(frozen=True, slots=True)
class Line:
    """amount_minor = MRR times `months`; of a proration: the MRR added."""

    amount_minor: int
    months: int
    start: datetime
    end: datetime
    text: str
    is_proration: bool = False


@dataclass(frozen=True, slots=True)
class Invoice:
    """One bill. status: open, paid, uncollectible."""

    id: str
    number: str
    subscription_id: str
    issued_at: datetime
    due_at: datetime
    lines: tuple[Line, ...]
    status: str = "open"
    paid_at: datetime | None = None
    failed: int = 0
    last_failed_at: datetime | None = None
    refunded_minor: int = 0

    @property
    def total_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)


@dataclass(slots=True)
class Account:
    """What the billing tool knows of one customer; versions in order of time."""

    versions: list[Version] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)

    def seats_at(self, moment: datetime) -> int:
        """Paid seats; those of the first version before the first."""
        known = [v for v in self.versions if v.at <= moment] or self.versions[:1]
        return known[-1].seats


_REASONS = {
    "onboarding_failure": "unused",
    "champion_left": "other",
    "support_pain": "customer_service",
    "price": "too_expensive",
    "late_payment": "payment_failed",
    "usage_decay": "unused",
    "win_back": "missing_features",
}


def make_billing(seed: int, span: Span, who: Profile, path: Path) -> Account:
    """Everything billed to one customer until now."""
    rng = np.random.default_rng([seed, 3, who.index])
    account = Account()
    book = _Book(rng, span, who, path, account)
    _run_subscription(book, who.joined_at, path.left_at)
    if path.returned_at is not None and path.returned_at <= span.now:
        _run_subscription(book, path.returned_at, None)
    account.versions.sort(key=lambda version: version.at)
    account.invoices.sort(key=lambda invoice: invoice.issued_at)
    return account


@dataclass(frozen=True, slots=True)
class _Book:
    """What every step of billing one customer needs."""

    rng: np.random.Generator
    span: Span
    who: Profile
    path: Path
    account: Account


def _run_subscription(
    book: _Book,
    start: datetime,
    end: datetime | None,
) -> None:
    """Walk the billing periods of one subscription and note what happens in each."""
    seats, unit = book.who.seats, book.who.unit_minor
    if book.account.versions:
        seats, unit = (
            book.account.versions[-1].seats,
            book.account.versions[-1].unit_minor,
        )
    wishes = [change for change in book.path.changes if change.at > start]
    now = Version(
        subscription_id=make_id(book.rng, "sub_", 14),
        at=start,
        status="active",
        plan=book.who.plan,
        seats=seats,
        unit_minor=unit,
        started_at=start,
        period_start=start,
        period_end=add_months(start, book.who.months),
        auto_renew=book.who.months == 1 or bool(book.rng.random() < 0.6),
    )
    book.account.versions.append(now)
    for begin in _periods(start, book.who.months):
        if begin > book.span.now or (end is not None and begin >= end):
            break
        stop = add_months(begin, book.who.months)
        while wishes and wishes[0].at <= begin:
            wish = wishes.pop(0)
            now = _grow(now, wish.seats, wish.unit, begin)
        now = replace(now, period_start=begin, period_end=stop)
        if now.at == begin and now.at != book.account.versions[-1].at:
            book.account.versions.append(now)
        months = (begin, stop)
        _bill(book, now, months, end)
        now = _add_seats_within(book, now, wishes, end)
    _finish(book, now, end)


def _periods(start: datetime, months: int) -> Iterator[datetime]:
    number = 0
    while True:
        yield add_months(start, number * months)
        number += 1


def _grow(version: Version, seats: float, unit: float, at: datetime) -> Version:
    new_seats = max(2, round(version.seats * seats))
    return replace(
        version, at=at, seats=new_seats, unit_minor=round(version.unit_minor * unit)
    )


def _bill(
    book: _Book,
    version: Version,
    period: tuple[datetime, datetime],
    end: datetime | None,
) -> None:
    """The invoice of a period, unless it was over before the span began."""
    if period[1] <= book.span.start:
        return
    text = f"{version.seats} × {version.plan} seat, {book.who.months} month(s)"
    line = Line(version.mrr_minor * book.who.months, book.who.months, *period, text)
    _issue(book, version, (line,), period[0], end)


def _add_seats_within(
    book: _Book,
    version: Version,
    wishes: list[Change],
    end: datetime | None,
) -> Version:
    """More seats in the middle of a yearly term; fewer wait for its end."""
    for number in range(1, book.who.months):
        border = add_months(version.period_start, number)
        if border > book.span.now or (end is not None and border >= end):
            break
        if wishes and wishes[0].at <= border and wishes[0].seats > 1:
            wish = wishes.pop(0)
            before = version
            version = _grow(version, wish.seats, 1.0, border)
            added = version.seats - before.seats
            if not added:
                version = before
                continue
            left = book.who.months - number
            book.account.versions.append(version)
            line = Line(
                added * version.unit_minor * left,
                left,
                border,
                version.period_end,
                f"{added} more seat(s) for {left} month(s)",
                is_proration=True,
            )
            _issue(book, version, (line,), border, end)
    return version


def _issue(
    book: _Book,
    version: Version,
    lines: tuple[Line, ...],
    issued_at: datetime,
    end: datetime | None,
) -> None:
    number = f"{book.who.index + 1:04d}-{len(book.account.invoices) + 1:03d}"
    terms = 0 if book.who.pays_by == "card" else 30
    invoice = Invoice(
        id=make_id(book.rng, "in_", 14),
        number=number,
        subscription_id=version.subscription_id,
        issued_at=issued_at,
        due_at=issued_at + timedelta(days=terms),
        lines=lines,
    )
    strain = book.path.cause.late * book.path.severity[book.span.week_of(issued_at)]
    if issued_at < book.span.start:
        strain = 0.0
    stops = (
        book.who.cause == "late_payment"
        and book.path.decided_at is not None
        and issued_at >= book.path.decided_at
    )
    pay = _pay_by_card if book.who.pays_by == "card" else _pay_by_transfer
    invoice = pay(book, invoice, float(strain), stops=stops)
    if stops and end is not None and end <= book.span.now:
        invoice = replace(invoice, status="uncollectible")
    book.account.invoices.append(invoice)


def _pay_by_card(
    book: _Book, invoice: Invoice, strain: float, *, stops: bool
) -> Invoice:
    """Charged at once, and again on `RETRY_DAYS` where that fails."""
    odds = 0.05 + 0.85 * strain
    failed = int(book.rng.random() < odds)
    while (
        failed and failed < len(RETRY_DAYS) and book.rng.random() < 0.3 + 0.4 * strain
    ):
        failed += 1
    gives_up = stops or (strain > 0.5 and failed == len(RETRY_DAYS))
    if gives_up:
        failed = len(RETRY_DAYS)
    tries = [invoice.issued_at + timedelta(days=d, minutes=4) for d in RETRY_DAYS]
    happened = [at for at in tries[:failed] if at <= book.span.now]
    invoice = replace(
        invoice,
        failed=len(happened),
        last_failed_at=happened[-1] if happened else None,
    )
    wait = timedelta(days=float(book.rng.uniform(25, 75)))
    if stops:
        return invoice
    if failed == len(RETRY_DAYS):
        return _paid(book.span, invoice, tries[-1] + wait)
    return _paid(book.span, invoice, tries[failed])


def _pay_by_transfer(
    book: _Book, invoice: Invoice, strain: float, *, stops: bool
) -> Invoice:
    """Paid around the due date; under strain later, by weeks."""
    late = book.rng.normal(-5.0, 4.0) + strain * book.rng.exponential(60.0)
    if book.rng.random() < 0.04:
        late += book.rng.uniform(3, 12)
    days = max(2.0, 30.0 + late)
    if stops:
        return invoice
    return _paid(book.span, invoice, invoice.issued_at + timedelta(days=round(days, 3)))


def _paid(span: Span, invoice: Invoice, at: datetime) -> Invoice:
    if at > span.now:
        return invoice
    return replace(invoice, status="paid", paid_at=at.replace(microsecond=0))


def _finish(
    book: _Book,
    version: Version,
    end: datetime | None,
) -> None:
    """The last versions: notice given, payment missing, over, or just renewed."""
    reason = _REASONS.get(book.who.cause, "other")
    dunned = book.who.cause == "late_payment"
    decided = book.path.decided_at
    if end is not None and decided is not None and not dunned:
        notice = max(decided, version.at + timedelta(hours=1))
        version = replace(
            version, at=notice, cancel_at=end, canceled_at=notice, reason=reason
        )
        book.account.versions.append(version)
    elif (due := _overdue(book.account, version, book.span)) is not None:
        version = replace(version, at=max(due, version.at), status="past_due")
        book.account.versions.append(version)
    if end is None or end > book.span.now:
        if version.period_start > book.account.versions[-1].at:
            book.account.versions.append(replace(version, at=version.period_start))
        return
    status = "canceled"
    canceled_at = end if dunned else version.canceled_at
    book.account.versions.append(
        replace(
            version,
            at=end,
            status=status,
            canceled_at=canceled_at,
            ended_at=end,
            reason=reason,
        )
    )
    if not dunned and book.rng.random() < 0.15:
        _refund_last(book.account, version.subscription_id)


def _overdue(account: Account, version: Version, span: Span) -> datetime | None:
    """When the oldest unpaid invoice of a subscription became a week late, or was
    given up; None if none is."""
    late = [
        one.due_at + timedelta(days=7)
        for one in account.invoices
        if one.subscription_id == version.subscription_id and one.status != "paid"
    ]
    past = [at for at in late if at <= span.now]
    return min(past) if past else None


def _refund_last(account: Account, subscription_id: str) -> None:
    """Give back what the last invoice took."""
    for place in range(len(account.invoices) - 1, -1, -1):
        invoice = account.invoices[place]
        if invoice.subscription_id == subscription_id and invoice.status == "paid":
            account.invoices[place] = replace(
                invoice, refunded_minor=invoice.total_minor
            )
            return


__all__ = ["Account", "Invoice", "Line", "Version", "make_billing"]
