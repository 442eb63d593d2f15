"""The rows of each export, as the tools would write them: lists of cells, in order.

A row matches the columns of its file in `exports`. Every file has its own way to
write dates; amounts carry thousands separators.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from churnguard.sample import service
from churnguard.sample.billing import Invoice, Line, Version
from churnguard.sample.deals import deals
from churnguard.sample.world import BILLING, CRM, SUPPORT, Customer

Row = list[Any]
LEGAL = {"US": "Inc.", "CA": "Inc.", "GB": "Ltd", "IE": "Ltd", "DE": "GmbH"} | {
    "FR": "SAS",
    "NL": "B.V.",
    "SE": "AB",
    "AU": "Pty Ltd",
}
PRIVATE_MAIL = "mail.example"
"""Where those live whose tools give no hint of their firm."""


def money(minor: int) -> str:
    """1299.5 as "1,299.50"."""
    return f"{minor / 100:,.2f}"


def us_day(at: datetime | None) -> str:
    return at.strftime("%m/%d/%Y") if at else ""


def us_time(at: datetime | None) -> str:
    return at.strftime("%m/%d/%Y %I:%M %p") if at else ""


def day(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d") if at else ""


def plain_time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S") if at else ""


def iso_time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def epoch(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


def crm_accounts(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        who, path = one.who, one.path
        left = path.left_at if not one.is_living else None
        seats = one.account.versions[-1].seats
        changed = max(v.at for v in one.account.versions)
        yield [
            who.ids[CRM],
            who.name,
            f"https://www.{who.domain}",
            who.phone,
            who.country,
            who.industry,
            who.segment,
            who.employees,
            who.owner,
            "Former Customer" if left else "Customer",
            who.parent,
            seats,
            who.plan,
            us_day(who.joined_at),
            us_day(left),
            us_time(changed + timedelta(minutes=20)),
        ]


def crm_contacts(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        seen: dict[str, datetime] = {}
        for talk in service.talks(one):
            if talk.direction == "both":
                seen[talk.person.crm_id] = talk.last_at
        gone = one.path.champion_left_at
        for person in one.who.people:
            has_left = gone is not None and person.role == "Champion"
            yield [
                person.crm_id,
                one.who.ids[CRM],
                person.name,
                person.email,
                person.phone,
                person.title,
                person.role,
                "Yes" if person.role == "Champion" else "No",
                "Left company" if has_left else "Active",
                "false",
                day(seen.get(person.crm_id)),
                day(one.who.joined_at),
            ]


def crm_deals(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        for deal in deals(one):
            yield [
                f"006{one.who.ids[CRM][3:14]}{deal.number:04d}",
                one.who.ids[CRM],
                deal.name,
                deal.kind,
                deal.stage,
                money(deal.amount_minor),
                one.who.currency,
                iso_time(deal.opened_at),
                day(deal.close_at),
                one.who.owner,
                iso_time(deal.changed_at),
            ]


def campaign_engagement(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    rows = [(mail.at, one, mail) for one in all_of_them for mail in service.mails(one)]
    rows.sort(key=lambda row: (row[0], row[1].who.index, row[2].number))
    for at, one, mail in rows:
        yield [
            f"{one.who.key[5:]}-{mail.number:05d}",
            one.who.ids[CRM],
            mail.person.crm_id,
            mail.campaign,
            mail.kind.capitalize(),
            at.strftime("%b %d, %Y %I:%M %p"),
        ]


def billing_customers(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        who, link = one.who, one.who.links[BILLING]
        buyer = who.people[1]
        yield [
            who.ids[BILLING],
            f"{who.name} {LEGAL[who.country]}",
            buyer.email if link else private_email(one),
            who.currency.lower(),
            who.country,
            who.ids[CRM] if link == "crm_id" else "",
            plain_time(who.joined_at),
        ]


def billing_subscriptions(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    """The history: one row per version, oldest first."""
    rows = [(v.at, one, v) for one in all_of_them for v in one.account.versions]
    rows.sort(key=lambda row: (row[0], row[1].who.index))
    for _at, one, version in rows:
        yield _subscription(one, version)


def billing_invoices(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    rows = [
        (bill.issued_at, one, bill)
        for one in all_of_them
        for bill in one.account.invoices
    ]
    rows.sort(key=lambda row: (row[0], row[1].who.index))
    for _at, one, bill in rows:
        yield _invoice(one, bill)


def support_organizations(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        link = one.who.links[SUPPORT]
        yield [
            one.who.ids[SUPPORT],
            one.who.name,
            one.who.domain if link else "",
            one.who.ids[CRM] if link == "crm_id" else "",
            iso_time(one.who.joined_at),
        ]


def support_tickets(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    rows = [(t.opened_at, one, t) for one in all_of_them for t in service.tickets(one)]
    rows.sort(key=lambda row: (row[0], row[1].who.index, row[2].number))
    for at, one, ticket in rows:
        touched = ticket.solved_at or ticket.replied_at or at
        yield [
            str(100_000 + one.who.index * 1000 + ticket.number),
            one.who.ids[SUPPORT],
            ticket.requester.support_id,
            ticket.subject,
            ticket.status.capitalize(),
            ticket.priority.capitalize(),
            ticket.channel,
            ticket.agent,
            iso_time(at),
            iso_time(ticket.replied_at),
            iso_time(ticket.solved_at),
            ticket.reopens,
            ticket.replies,
            "yes" if ticket.is_escalated else "no",
            "yes" if ticket.replies == 1 and ticket.solved_at else "no",
            ticket.rating.capitalize() or "Unoffered",
            iso_time(touched),
        ]


def support_conversations(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    rows = [(t.started_at, one, t) for one in all_of_them for t in service.talks(one)]
    rows.sort(key=lambda row: (row[0], row[1].who.index))
    for at, one, talk in rows:
        yield [
            f"conv_{one.who.key[5:]}{talk.number:04d}",
            one.who.ids[SUPPORT],
            talk.person.support_id,
            talk.kind,
            talk.subject,
            "closed",
            talk.direction,
            one.who.owner,
            epoch(at),
            epoch(talk.last_at),
            talk.messages,
            None if talk.rating is None else talk.rating * 20,
        ]


def surveys(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    rows = [(a.at, one, a) for one in all_of_them for a in service.answers(one)]
    rows.sort(key=lambda row: (row[0], row[1].who.index))
    for at, one, answer in rows:
        least, most = (0, 10) if answer.kind == "nps" else (1, 5)
        yield [
            f"R-{one.who.key[5:]}-{answer.number:03d}",
            one.who.ids[SUPPORT],
            answer.person.support_id,
            answer.kind.upper(),
            answer.score,
            least,
            most,
            answer.comment,
            at.strftime("%d.%m.%Y %H:%M"),
        ]


def private_email(one: Customer) -> str:
    """An address that says nothing of the firm."""
    return one.who.people[0].email.split("@")[0] + "@" + PRIVATE_MAIL


def _subscription(one: Customer, version: Version) -> Row:
    return [
        version.subscription_id,
        one.who.ids[BILLING],
        version.status,
        version.plan,
        version.seats,
        one.who.currency,
        money(version.mrr_minor),
        "year" if one.who.months == 12 else "month",
        "true" if version.auto_renew and version.cancel_at is None else "false",
        plain_time(version.started_at),
        plain_time(version.period_start),
        plain_time(version.period_end),
        plain_time(version.cancel_at),
        plain_time(version.canceled_at),
        plain_time(version.ended_at),
        version.reason,
        plain_time(version.at),
    ]


def _invoice(one: Customer, bill: Invoice) -> Row:
    paid = bill.total_minor if bill.status == "paid" else 0
    return [
        bill.id,
        bill.number,
        one.who.ids[BILLING],
        bill.subscription_id,
        bill.status,
        one.who.currency.lower(),
        money(bill.total_minor),
        money(paid),
        money(bill.refunded_minor),
        epoch(bill.issued_at),
        epoch(bill.due_at),
        epoch(bill.paid_at),
        bill.failed,
        epoch(bill.last_failed_at),
        [_line(line, one.who.currency) for line in bill.lines],
        epoch(bill.paid_at or bill.last_failed_at or bill.issued_at),
    ]


def _line(line: Line, currency: str) -> dict[str, Any]:
    return {
        "amount_minor": line.amount_minor,
        "currency": currency,
        "period_start": iso_time(line.start),
        "period_end": iso_time(line.end),
        "description": line.text,
        "proration": line.is_proration,
    }
