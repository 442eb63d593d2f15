"""The general checks on a real export: every fault, with the count the files give."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from churnguard.models import Organization, Source
from monitoring.models import QualityDay
from monitoring.quality import daily, rows
from tests import exports

pytestmark = pytest.mark.django_db(transaction=True)

Row = dict[str, str]


@pytest.fixture
def loaded(org: Organization, shared_data: Path) -> Organization:
    exports.sync(exports.connect_ravenstack(org, shared_data))
    # The planner is blind to rows this new.
    with connection.cursor() as cur:
        cur.execute("ANALYZE")
    return org


def true_faults(folder: Path) -> dict[str, int]:
    """Counted from the files alone, in plain Python."""
    accounts = {
        row["account_id"]: row for row in exports.read_ravenstack(folder, "accounts")
    }
    subscriptions = {
        row["subscription_id"]: row
        for row in exports.read_ravenstack(folder, "subscriptions")
    }
    churns = exports.read_ravenstack(folder, "churn_events")
    tickets = exports.read_ravenstack(folder, "support_tickets")
    usage = exports.read_ravenstack(folder, "feature_usage")
    of: dict[str, list[Row]] = defaultdict(list)
    for row in subscriptions.values():
        of[row["account_id"]].append(row)
    left: dict[str, list[Row]] = defaultdict(list)
    for row in churns:
        left[row["account_id"]].append(row)

    def open_ones(account: str) -> list[Row]:
        return [row for row in of[account] if not row["end_date"]]

    kept: dict[str, Row] = {}
    for row in usage:
        kept.setdefault(row["usage_id"], row)
    contents = {tuple(sorted(row.items())) for row in usage}
    used = [(row, subscriptions[row["subscription_id"]]) for row in kept.values()]
    natural_key = ["account_id", "plan_tier", "start_date", "mrr_amount"]
    natural_key += ["billing_frequency"]
    natural = Counter(
        tuple(row[name] for name in natural_key) for row in subscriptions.values()
    )
    churn_keys = Counter((row["account_id"], row["churn_date"]) for row in churns)
    return {
        "customer.left_without_event": sum(
            row["churn_flag"] == "True" and not left[key]
            for key, row in accounts.items()
        ),
        "customer.event_without_flag": sum(
            row["churn_flag"] == "False" and bool(left[key])
            for key, row in accounts.items()
        ),
        "customer.left_with_open_subscription": sum(
            row["churn_flag"] == "True" and bool(open_ones(key))
            for key, row in accounts.items()
        ),
        "customer.trial_with_paid_subscription": sum(
            row["is_trial"] == "True"
            and any(
                s["is_trial"] == "False" and float(s["mrr_amount"]) > 0
                for s in open_ones(key)
            )
            for key, row in accounts.items()
        ),
        "customer.plan_not_subscribed": sum(
            bool(open_ones(key))
            and row["plan_tier"] not in {s["plan_tier"] for s in open_ones(key)}
            for key, row in accounts.items()
        ),
        "subscription.flag_against_end": sum(
            (row["churn_flag"] == "True") != bool(row["end_date"])
            for row in subscriptions.values()
        ),
        "subscription.ended_at_before_started_at": sum(
            bool(row["end_date"]) and row["end_date"] < row["start_date"]
            for row in subscriptions.values()
        ),
        "subscription.before_customer": sum(
            row["start_date"] < accounts[row["account_id"]]["signup_date"]
            for row in subscriptions.values()
        ),
        "subscription.renews_after_end": sum(
            bool(row["end_date"]) and row["auto_renew_flag"] == "True"
            for row in subscriptions.values()
        ),
        "subscription.trial_with_revenue": sum(
            row["is_trial"] == "True" and float(row["mrr_amount"]) > 0
            for row in subscriptions.values()
        ),
        "subscription.paid_without_amount": sum(
            row["is_trial"] == "False"
            and not row["end_date"]
            and float(row["mrr_amount"]) <= 0
            for row in subscriptions.values()
        ),
        "subscription.customer_plan_start_amount_and_interval.unique": sum(
            natural.values()
        )
        - len(natural),
        "object.churn_without_ended_subscription": sum(
            bool(of[row["account_id"]])
            and not any(s["end_date"] for s in of[row["account_id"]])
            for row in churns
        ),
        "object.return_without_departure": sum(
            row["is_reactivation"] == "True"
            and not any(
                d["churn_date"] < row["churn_date"] for d in left[row["account_id"]]
            )
            for row in churns
        ),
        "object.before_customer": sum(
            row["churn_date"] < accounts[row["account_id"]]["signup_date"]
            for row in churns
        ),
        "object.churn.unique": sum(churn_keys.values()) - len(churn_keys),
        "ticket.before_customer": sum(
            row["submitted_at"][:10] < accounts[row["account_id"]]["signup_date"]
            for row in tickets
        ),
        "ticket.closed_at_before_opened_at": sum(
            row["closed_at"] < row["submitted_at"] for row in tickets
        ),
        "ticket.closed_at_before_first_replied_at": sum(
            datetime.fromisoformat(row["submitted_at"])
            + timedelta(minutes=float(row["first_response_time_minutes"]))
            > datetime.fromisoformat(row["closed_at"])
            for row in tickets
            if row["first_response_time_minutes"]
        ),
        "ticket.satisfaction_pct.filled": sum(
            bool(row["closed_at"]) and not row["satisfaction_score"] for row in tickets
        ),
        "event.before_subscription": sum(
            row["usage_date"] < sub["start_date"] for row, sub in used
        ),
        "event.after_subscription": sum(
            bool(sub["end_date"]) and row["usage_date"] > sub["end_date"]
            for row, sub in used
        ),
        "event.before_customer": sum(
            row["usage_date"] < accounts[sub["account_id"]]["signup_date"]
            for row, sub in used
        ),
        "event.unknown_subscription": sum(
            row["subscription_id"] not in subscriptions for row in usage
        ),
        "event.id.unique": len(contents) - len(kept),
    }


def test_every_fault_is_found_and_counted(
    loaded: Organization, shared_data: Path
) -> None:
    truth = true_faults(shared_data)
    # Which of two rows of one id is kept is the order of the file, not of the check.
    assert truth["event.id.unique"] == 21

    assert daily.measure_now(loaded, datetime.now(UTC)) == 1

    days = QualityDay.objects.filter(organization=loaded)
    found: dict[str, Any] = {
        check["code"]: check for day in days for check in day.checks
    }
    wrong = {
        code: (count, found.get(code, {}).get("failed"))
        for code, count in truth.items()
        if found.get(code, {}).get("failed", 0) != count
    }
    assert wrong == {}
    assert sum(bool(count) for count in truth.values()) >= 14
    # Nothing else fails but what the files lack altogether.
    others = {c for c, row in found.items() if row["failed"]} - truth.keys()
    assert others == {"customer.domain_or_email.filled", "event.count"}
    # The file has 25,000 rows of usage; those that wait in quarantine did not land.
    assert found["event.count"]["failed"] == truth["event.id.unique"]

    source = Source.objects.get(organization=loaded)
    for code, count in truth.items():
        if not count:
            continue
        listed, cursor = [], None
        while True:
            page, cursor = rows.list_failing(
                loaded, code, source=source.name, cursor=cursor, limit=5000
            )
            listed += page
            if cursor is None:
                break
        assert len(listed) == count, code
        assert [row["external_id"] for row in listed[:5]] == found[code]["samples"]

    total = days.get(entity="")
    assert total.score is not None
    assert total.dimensions["timeliness"] is None
    assert total.coverage_pct < 100
