"""MRR of stored subscriptions: worked examples, statuses, dates, currencies."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from analytics.revenue import body, mrr
from analytics.revenue.periods import Question
from churnguard.models import Customer, Organization
from tests.analytics.revenue.worlds import (
    customer_pk,
    day,
    invoice,
    line,
    rate,
    version,
    write,
)

NOW = day(100)
JANUARY = Question(date(2026, 1, 1), date(2026, 2, 1))
FEBRUARY = Question(date(2026, 2, 1), date(2026, 3, 1))
MOVES = ("new", "reactivation", "expansion", "contraction", "churn", "fx")


def moves(row: dict[str, Any]) -> dict[str, int]:
    return {name: row[f"{name}_minor"] for name in MOVES if row[f"{name}_minor"]}


def report(org: Organization, question: Question = FEBRUARY) -> dict[str, Any]:
    return body.report_body(org, question, NOW)


def ended(sub: str, customer: str, at: Any, minor: int, **more: Any) -> Any:
    return version(
        sub, customer, at, minor, status="canceled", canceled_at=at, ended_at=at, **more
    )


def test_the_worked_month_comes_out_of_stored_subscriptions(org: Organization) -> None:
    before, then = day(10), day(40)
    for name, start, end in (
        ("a", 10000, 15000),
        ("b", 5000, 0),
        ("c", 20000, 16000),
        ("d", 3000, 3000),
    ):
        write(org, version(name, name, before, start), at=before)
        if end:
            write(org, version(name, name, then, end), at=then)
        else:
            write(org, ended(name, name, then, start), at=then)
    write(org, version("e", "e", then, 4000), at=then)
    write(org, version("f1", "f", day(2), 900), at=day(2))
    write(org, ended("f1", "f", day(20), 900), at=day(20))
    write(org, version("f2", "f", then, 2500), at=then)

    row = report(org)["totals"]

    assert (row["mrr_start_minor"], row["mrr_end_minor"]) == (38000, 40500)
    assert moves(row) == {
        "new": 4000,
        "reactivation": 2500,
        "expansion": 5000,
        "contraction": 4000,
        "churn": 5000,
    }
    assert round(row["nrr"], 4) == 0.8947
    assert round(row["grr"], 4) == 0.7632
    assert row["logo_churn"] == 0.25
    assert row["quick_ratio"] == 1
    assert row["arr_minor"] == 486000


def test_who_joins_and_leaves_within_a_month_is_in_both_columns(
    org: Organization,
) -> None:
    write(org, version("s", "c", day(33), 700), at=day(33))
    write(org, ended("s", "c", day(40), 700), at=day(40))

    row = report(org)["totals"]

    assert moves(row) == {"new": 700, "churn": 700}
    assert row["customers_lost"] == row["customers_joined"] == 0
    assert row["nrr"] is row["logo_churn"] is None


def test_an_end_at_midnight_belongs_to_the_month_that_begins(
    org: Organization,
) -> None:
    write(org, version("s", "c", day(0), 700), at=day(0))
    write(org, ended("s", "c", day(31), 700), at=day(31))

    assert report(org, JANUARY)["totals"]["mrr_end_minor"] == 700
    assert moves(report(org)["totals"]) == {"churn": 700}


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        ("active", 700),
        ("trialing", None),
        ("paused", None),
        ("incomplete", None),
        ("canceled", None),
    ],
)
def test_only_active_and_past_due_count(
    org: Organization, status: str, counted: int | None
) -> None:
    write(org, version("s", "c", day(5), 700, status=status), at=day(5))

    assert mrr.customer_mrr(org, NOW, NOW).get(customer_pk(org, "c")) == counted


def test_the_published_story_of_plans_and_cancellations(org: Organization) -> None:
    """ChartMogul's: 4 Gold yearly at 500, 2 Silver monthly at 30 more, both cancelled
    in turn, and 3 Gold monthly at 50 a while later."""
    gold, silver = {"plan": "Gold", "interval": "year"}, {"plan": "Silver"}
    yearly = round(4 * 50000 / 12)
    write(org, version("g", "c", day(5), yearly, **gold), at=day(5))
    write(org, version("s", "c", day(12), 6000, **silver), at=day(12))
    write(org, ended("s", "c", day(19), 6000, **silver), at=day(19))
    write(org, ended("g", "c", day(26), yearly, **gold), at=day(26))
    write(org, version("m", "c", day(40), 15000, plan="Gold"), at=day(40))

    rows = report(org, Question(date(2026, 1, 1), date(2026, 3, 1), "day"))["periods"]

    assert [moves(row) for row in rows if moves(row)] == [
        {"new": 16667},
        {"expansion": 6000},
        {"contraction": 6000},
        {"churn": 16667},
        {"reactivation": 15000},
    ]


def test_a_loss_says_why(org: Organization) -> None:
    for name in "abcd":
        write(org, version(name, name, day(5), 700), at=day(5))
    write(org, version("a", "a", day(40), 700, status="past_due"), at=day(40))
    write(org, version("b", "b", day(45), 700, status="paused"), at=day(45))
    write(org, ended("c", "c", day(46), 700, cancel_reason="too_expensive"), at=day(46))
    write(org, ended("d", "d", day(47), 700), at=day(47))
    write(org, version("d2", "d", day(47), 300), at=day(47))
    org.settings = {"revenue": {"past_due_grace_days": 10}}

    rows = body.movements_body(org, FEBRUARY, NOW)["results"]

    assert [(row["name"], row["kind"], row["reason"]) for row in rows] == [
        ("a", "churn", "delinquent"),
        ("d", "contraction", "canceled"),
        ("c", "churn", "canceled: too_expensive"),
        ("b", "churn", "paused"),
    ]
    january = body.movements_body(org, JANUARY, NOW)["results"]
    assert {row["reason"] for row in january} == {""}


def test_revenue_by_use_is_the_mean_of_whole_months(org: Organization) -> None:
    def used(minor: int, **more: Any) -> dict[str, Any]:
        return {"amount_minor": minor, "usage": True, **more}

    write(
        org,
        version("s", "c", day(1), 700),
        # 31 December is outside, 1 January the first day of three months.
        invoice("0", "c", day(-1), lines=[used(77777)]),
        invoice("1", "c", day(0), lines=[used(3000), {"amount_minor": 9}]),
        invoice("2", "c", day(40), currency="EUR", lines=[used(1000)]),
        invoice("3", "c", day(70), currency="GBP", lines=[used(500)]),
        invoice("4", "c", day(70), status="void", lines=[used(88888)]),
        invoice("5", "c", day(95), lines=[used(99999)]),
        at=day(96),
    )
    rate(org, "EUR", "2026-01-01", "1.20")
    org.base_currency = "USD"
    april = Question(date(2026, 4, 1), date(2026, 5, 1))

    found = report(org, april)["usage"]

    assert found == {
        "months": 3,
        "from": "2026-01-01",
        "to": "2026-04-01",
        "mean_minor": 1400,
        "missing_rates": [{"currency": "GBP", "billed_minor": 500}],
    }
    org.settings = {"revenue": {"usage_mean_months": 4}}
    assert report(org, april)["usage"]["mean_minor"] == round((77777 + 4200) / 4)
    assert report(org, JANUARY)["usage"]["from"] == "2025-10-01"
    assert report(org)["totals"]["mrr_end_minor"] == 700


def test_no_metered_line_is_no_zero(org: Organization) -> None:
    write(org, invoice("1", "c", day(40), lines=[{"amount_minor": 9}]), at=day(41))

    assert report(org)["usage"]["mean_minor"] is None


def test_settings_choose_logo_churn_and_margin(org: Organization) -> None:
    for name in "ab":
        write(org, version(name, name, day(5), 1000), at=day(5))
    write(org, ended("a", "a", day(40), 1000), at=day(40))
    for name in "cd":
        write(org, version(name, name, day(45), 1000), at=day(45))

    plain = report(org)["totals"]
    org.settings = {
        "revenue": {"logo_churn": "start_and_joined", "gross_margin_pct": 80}
    }
    chosen = report(org)["totals"]

    # ARPA 10.00; one of two, or one of four, lost in the month.
    assert (plain["logo_churn"], plain["ltv_minor"]) == (0.5, 2000)
    assert (chosen["logo_churn"], chosen["ltv_minor"]) == (0.25, 3200)


def test_past_due_counts_for_the_days_of_grace(org: Organization) -> None:
    write(org, version("s", "c", day(5), 700), at=day(5))
    write(org, version("s", "c", day(40), 700, status="past_due"), at=day(40))
    org.settings = {"revenue": {"past_due_grace_days": 10}}
    question = Question(date(2026, 2, 1), date(2026, 3, 1), "day")

    rows = report(org, question)["periods"]

    churned = [row["start"] for row in rows if row["churn_minor"]]
    assert churned == [day(50).date().isoformat()]
    found = {line["code"]: line["base_minor"] for line in report(org)["differences"]}
    assert found["past_due_over"] == 700


def test_a_cancellation_counts_at_the_end_or_when_it_was_asked_for(
    org: Organization,
) -> None:
    write(org, version("s", "c", day(5), 700), at=day(5))
    write(
        org,
        version("s", "c", day(10), 700, canceled_at=day(10), cancel_at=day(40)),
        at=day(10),
    )
    write(
        org,
        version(
            "s",
            "c",
            day(40),
            700,
            status="canceled",
            canceled_at=day(10),
            ended_at=day(40),
        ),
        at=day(40),
    )

    assert moves(report(org)["totals"]) == {"churn": 700}
    org.settings = {"revenue": {"churn_date": "canceled_at"}}
    assert moves(report(org, JANUARY)["totals"]) == {"new": 700, "churn": 700}
    assert moves(report(org)["totals"]) == {}


def test_a_subscription_first_seen_late_counts_from_its_start(
    org: Organization,
) -> None:
    write(org, version("s", "c", day(90), 700, started_at=day(12)), at=day(90))
    write(
        org,
        version(
            "t",
            "d",
            day(90),
            300,
            status="canceled",
            started_at=day(12),
            ended_at=day(45),
        ),
        at=day(90),
    )

    assert moves(report(org, JANUARY)["totals"]) == {"new": 1000}
    assert moves(report(org)["totals"]) == {"churn": 300}


def test_rates_are_dated_and_what_they_move_is_its_own_line(org: Organization) -> None:
    rate(org, "EUR", "2026-01-01", "1.10")
    rate(org, "EUR", "2026-02-10", "1.20")
    rate(org, "JPY", "2026-01-01", "0.0065")
    write(org, version("s", "c", day(5), 10000, currency="EUR"), at=day(5))
    write(org, version("j", "j", day(5), 1000, currency="JPY"), at=day(5))
    write(org, version("s", "c", day(45), 15000, currency="EUR"), at=day(45))

    row = report(org)["totals"]

    # 1 000 yen have no minor unit: 6.50 dollars.
    assert row["mrr_start_minor"] == 11000 + 650
    # 5 000 more on 15 February at that eve's rate of 1.20.
    assert moves(row) == {"expansion": 6000, "fx": 1000}
    assert row["mrr_end_minor"] == 18000 + 650
    # At the start's rate: 16 500 + 650 of 11 650.
    assert row["nrr"] == 17150 / 11650


def test_what_has_no_rate_is_shown_apart_and_never_counted(org: Organization) -> None:
    write(org, version("s", "c", day(5), 10000, currency="EUR"), at=day(5))
    write(org, version("t", "d", day(5), 500), at=day(5))
    rate(org, "EUR", "2026-03-15", "1.10")

    found = report(org)

    assert found["totals"]["mrr_end_minor"] == 500
    assert found["missing_rates"] == [
        {"currency": "EUR", "mrr_minor": 10000, "customers": 1}
    ]
    missing = [x for x in found["differences"] if x["code"] == "missing_rate"]
    assert [(x["amount_minor"], x["base_minor"]) for x in missing] == [(10000, None)]
    assert mrr.customer_mrr(org, day(60), NOW) == {customer_pk(org, "d"): 500}
    assert mrr.customer_mrr(org, NOW, NOW)[customer_pk(org, "c")] == 11000


def test_groups_add_up_to_the_whole(org: Organization) -> None:
    write(org, version("s", "c", day(5), 700, plan="basic"), at=day(5))
    write(org, version("t", "d", day(35), 300, plan="team"), at=day(35))

    question = Question(date(2026, 2, 1), date(2026, 3, 1), group="plan")
    found = report(org, question)

    assert [(g["group"], g["totals"]["mrr_end_minor"]) for g in found["groups"]] == [
        ("basic", 700),
        ("team", 300),
    ]
    behind = body.movements_body(org, question, NOW, kind="new", value="team")
    assert (behind["count"], behind["amount_minor"]) == (1, 300)


def test_merged_customers_have_one_mrr(org: Organization) -> None:
    write(org, version("s", "c", day(5), 700), at=day(5))
    write(org, version("t", "d", day(35), 300), at=day(35))
    one, two = customer_pk(org, "c"), customer_pk(org, "d")
    Customer.objects.get(pk=two).sources.update(customer_id=one)

    assert moves(report(org)["totals"]) == {"expansion": 300}
    assert mrr.customer_mrr(org, NOW, NOW) == {one: 1000}


def test_recognised_and_deferred_revenue_by_month(org: Organization) -> None:
    write(
        org,
        invoice("1", "c", day(14), lines=[line(120000, "2026-01-15", "2027-01-15")]),
        invoice("2", "c", day(14), lines=[line(3100, "2026-01-15", "2026-02-15")]),
        invoice("3", "c", day(14), status="draft", total_minor=999),
        at=day(15),
    )
    question = Question(date(2026, 1, 1), date(2027, 2, 1))

    rows = body.recognition_body(org, question, day(400))["periods"]

    year = [5589, 9206, 10191, 9863, 10192, 9863, 10192, 10192, 9863, 10191, 9863]
    year += [10192, 4603]
    month = [1700, 1400] + [0] * 11
    assert [row["recognised_minor"] for row in rows] == [
        a + b for a, b in zip(year, month, strict=True)
    ]
    assert rows[0]["billed_minor"] == 123100
    assert rows[0]["deferred_end_minor"] == 123100 - 5589 - 1700
    assert rows[-1]["deferred_end_minor"] == 0


def test_a_full_refund_takes_back_what_was_earned_and_clears_the_rest(
    org: Organization,
) -> None:
    refunded_at = day(0) + timedelta(days=181)  # 1 July 2026
    write(
        org,
        invoice(
            "1",
            "c",
            day(14),
            updated_at=refunded_at,
            total_minor=120000,
            refunded_minor=120000,
            lines=[line(120000, "2026-01-15", "2027-01-15")],
        ),
        at=refunded_at,
    )
    question = Question(date(2026, 7, 1), date(2026, 9, 1))

    july, august = body.recognition_body(org, question, day(300))["periods"]

    assert july["deferred_start_minor"] == 65096
    assert (july["contra_minor"], july["cleared_minor"]) == (54904, 65096)
    assert july["recognised_minor"] == july["deferred_end_minor"] == 0
    assert august["recognised_minor"] == august["net_recognised_minor"] == 0
