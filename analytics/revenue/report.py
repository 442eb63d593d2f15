"""MRR by period: movements day by day, ratios, groups, the customers behind them.

The state of a day is what counts just before its end in the organisation's time zone.
A movement is what a customer's MRR did from one day to the next, at the earlier day's
exchange rates; what the rates did is `fx`, so the identity of `Summary` holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import connection

from analytics.revenue import pieces
from analytics.revenue.movements import Summary, kind_of
from analytics.revenue.periods import Period, Question
from analytics.revenue.rates import RateTable
from analytics.segments.members import read_members
from churnguard.models import Organization

KINDS = ("new", "reactivation", "expansion", "contraction", "churn")
Amounts = tuple[tuple[str, int], ...]
"""(currency, minor units), sorted, without zeros."""

_STEPS = (
    "WITH {pieces}, days AS ("
    "  SELECT customer_id, currency, plan, mrr_minor, starts_at, "
    "    (starts_at AT TIME ZONE %(zone)s)::date AS from_day, "
    "    CASE WHEN ends_at <= %(now)s THEN (ends_at AT TIME ZONE %(zone)s)::date "
    "    END AS to_day "
    "  FROM pieces WHERE state IN ('active', 'past_due') AND mrr_minor > 0 "
    "  AND customer_id IS NOT NULL"
    "), held AS (SELECT * FROM days WHERE to_day IS NULL OR from_day < to_day"
    "), who AS (SELECT customer_id, min(from_day) AS paid_from, "
    "    (array_agg(plan ORDER BY starts_at DESC, mrr_minor DESC))[1] AS plan "
    "  FROM held GROUP BY 1"
    "), steps AS ("
    "  SELECT customer_id, currency, greatest(from_day, %(eve)s) AS day, "
    "    mrr_minor AS minor FROM held "
    "  WHERE from_day <= %(last)s AND (to_day IS NULL OR to_day > %(eve)s) "
    "  UNION ALL SELECT customer_id, currency, to_day, -mrr_minor FROM held "
    "  WHERE to_day > %(eve)s AND to_day <= %(last)s"
    ") SELECT s.day, s.customer_id, s.currency, sum(s.minor)::bigint, w.paid_from, "
    "  w.plan, c.segment "
    "FROM steps s JOIN who w USING (customer_id) "
    "JOIN cg_customer c ON c.id = s.customer_id "
    "GROUP BY 1, 2, 3, 5, 6, 7 HAVING sum(s.minor) <> 0 ORDER BY 1, 2, 3"
)


class Moved(NamedTuple):
    """One movement; a tuple, because a report may make 100,000. amount: positive;
    before, after: the customer's MRR at the rates of the day before. All in minor units
    of the base currency."""

    day: date
    customer_id: int
    kind: str
    amount: int
    before: int
    after: int
    group: str


@dataclass(frozen=True, slots=True)
class PeriodSummary:
    """flow: the movements of all days. kept_minor: what the customers of the start
    are worth at the end at the start's rates; kept_at_most_minor: without what each
    of them grew."""

    period: Period
    flow: Summary
    kept_minor: int
    kept_at_most_minor: int


@dataclass(slots=True)
class Report:
    """totals: the whole range as one period; groups: group -> its periods, the last
    one being the whole range; unconverted: currency -> (minor units, customers) at
    the end of the range."""

    periods: list[PeriodSummary]
    totals: PeriodSummary
    groups: dict[str, list[PeriodSummary]]
    moved: list[Moved]
    unconverted: dict[str, tuple[int, int]]


@dataclass(slots=True)
class _Book:
    """States of customers: how many of a group hold the same amounts."""

    rates: RateTable
    held: dict[int, Amounts] = field(default_factory=dict)
    counts: dict[str, dict[Amounts, int]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def put(self, customer_id: int, group: str, amounts: Amounts) -> None:
        before = self.held.get(customer_id, ())
        counts = self.counts[group]
        if before:
            counts[before] -= 1
            if not counts[before]:
                del counts[before]
        if amounts:
            counts[amounts] = counts.get(amounts, 0) + 1
            self.held[customer_id] = amounts
        else:
            self.held.pop(customer_id, None)

    def value(self, amounts: Amounts, day: date) -> int:
        """What can be converted of `amounts`, at the rates of `day`."""
        base, total = self.rates.base, 0
        for currency, minor in amounts:
            if currency == base:
                total += minor
            else:
                total += self.rates.convert(minor, currency, day) or 0
        return total

    def total(self, group: str, day: date) -> tuple[int, int]:
        """(MRR, paying customers) of a group at the rates of `day`."""
        minor = paying = 0
        for amounts, count in self.counts[group].items():
            worth = self.value(amounts, day)
            minor += worth * count
            paying += count if worth > 0 else 0
        return minor, paying


@dataclass(slots=True)
class _Span:
    """One period of one group while its days are read."""

    period: Period
    start: int
    at_start: int
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    before: dict[int, Amounts] = field(default_factory=dict)
    """What each customer that changed held at the start."""


class _Change(NamedTuple):
    """A customer's new amounts on a day."""

    day: date
    customer_id: int
    amounts: Amounts
    group: str
    paid_from: date


def revenue_report(
    organization: Organization, question: Question, now: datetime
) -> Report:
    """Everything about [question.start, question.end). now: aware; days after it have
    the state of now."""
    rates = RateTable.load(organization)
    book = _Book(rates)
    changes = list(_changes(organization, question, now, book))
    groups = sorted({change.group for change in changes} | set(book.counts))
    whole = Period(question.start, question.end)
    overall = {group: _open(book, group, whole) for group in groups}
    rows: dict[str, list[PeriodSummary]] = {group: [] for group in groups}
    moved: list[Moved] = []
    place = 0
    for period in question.periods():
        spans = {group: _open(book, group, period) for group in groups}
        while place < len(changes) and changes[place].day < period.end:
            change = changes[place]
            place += 1
            found = _apply(book, change, spans[change.group], overall[change.group])
            if found is not None:
                moved.append(found)
        for group, span in spans.items():
            rows[group].append(_close(book, group, span))
    for group, span in overall.items():
        rows[group].append(_close(book, group, span))
    merged = [
        _add([rows[group][i] for group in groups], period)
        for i, period in enumerate([*question.periods(), whole])
    ]
    return Report(
        periods=merged[:-1],
        totals=merged[-1],
        groups=rows if question.group else {},
        moved=moved,
        unconverted=_unconverted(book, question.end - timedelta(days=1)),
    )


def _changes(
    organization: Organization, question: Question, now: datetime, book: _Book
) -> Iterator[_Change]:
    """The changes in order of days; what was held before the range goes into the
    book first."""
    eve = question.start - timedelta(days=1)
    zone = ZoneInfo(organization.timezone)
    today = now.astimezone(zone).date()
    members = read_members(organization, question.segment_id, now)
    values = {
        **(members.values if members else {}),
        **pieces.parameters(organization, now),
        "zone": organization.timezone,
        "eve": eve,
        "last": min(question.end - timedelta(days=1), today),
    }
    statement = pieces.of_members(_STEPS.replace("{pieces}", pieces.PIECES), members)
    with connection.cursor() as cur:
        cur.execute(statement, values)
        rows = cur.fetchall()
    held: dict[int, dict[str, int]] = defaultdict(dict)
    for number, row in enumerate(rows):
        day, customer_id, currency, minor, paid_from, plan, segment = row
        mine = held[customer_id]
        mine[currency] = mine.get(currency, 0) + minor
        following = rows[number + 1][:2] if number + 1 < len(rows) else None
        if following == (day, customer_id):
            continue
        amounts = tuple(sorted(item for item in mine.items() if item[1]))
        group = {"plan": plan, "segment": segment}.get(question.group, "")
        if day == eve:
            book.put(customer_id, group, amounts)
        else:
            yield _Change(day, customer_id, amounts, group, paid_from)


def _open(book: _Book, group: str, period: Period) -> _Span:
    start, paying = book.total(group, period.start - timedelta(days=1))
    return _Span(period, start, paying)


def _apply(book: _Book, change: _Change, span: _Span, overall: _Span) -> Moved | None:
    """Take a change into the book; the movement it is, if it is one."""
    before = book.held.get(change.customer_id, ())
    eve = change.day - timedelta(days=1)
    start, end = book.value(before, eve), book.value(change.amounts, eve)
    span.before.setdefault(change.customer_id, before)
    overall.before.setdefault(change.customer_id, before)
    book.put(change.customer_id, change.group, change.amounts)
    kind = kind_of(start, end, paid_before=change.paid_from < change.day)
    if kind is None:
        return None
    amount = abs(end - start)
    span.sums[kind] += amount
    overall.sums[kind] += amount
    return Moved(change.day, change.customer_id, kind, amount, start, end, change.group)


def _close(book: _Book, group: str, span: _Span) -> PeriodSummary:
    eve = span.period.start - timedelta(days=1)
    last = span.period.end - timedelta(days=1)
    end, paying = book.total(group, last)
    lost = joined = 0
    kept = kept_at_most = span.start
    for customer_id, before in span.before.items():
        after = book.held.get(customer_id, ())
        start, then = book.value(before, eve), book.value(after, eve)
        lost += start > 0 and book.value(after, last) == 0
        joined += start == 0 and book.value(after, last) > 0
        if start > 0:
            kept += then - start
            kept_at_most += min(then - start, 0)
    moves = span.sums
    gained = moves["new"] + moves["reactivation"] + moves["expansion"]
    fx = end - span.start - gained + moves["contraction"] + moves["churn"]
    return PeriodSummary(
        span.period,
        Summary(
            start=span.start,
            fx=fx,
            end=end,
            customers_start=span.at_start,
            customers_end=paying,
            customers_lost=lost,
            customers_joined=joined,
            **moves,
        ),
        kept_minor=kept,
        kept_at_most_minor=kept_at_most,
    )


def _add(parts: list[PeriodSummary], period: Period) -> PeriodSummary:
    """The groups of one period as one; nothing gives zeros."""
    names = Summary.__dataclass_fields__
    sums = {name: sum(getattr(part.flow, name) for part in parts) for name in names}
    return PeriodSummary(
        period,
        Summary(**sums),
        kept_minor=sum(part.kept_minor for part in parts),
        kept_at_most_minor=sum(part.kept_at_most_minor for part in parts),
    )


def _unconverted(book: _Book, day: date) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for counts in book.counts.values():
        for amounts, count in counts.items():
            for currency, minor in amounts:
                if book.rates.factor(currency, day) is None:
                    sums, customers = found.get(currency, (0, 0))
                    found[currency] = (sums + minor * count, customers + count)
    return dict(sorted(found.items()))
