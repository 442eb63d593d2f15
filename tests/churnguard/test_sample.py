"""The sample company: the same twice, true to its causes, right to the cent."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from churnguard import sample
from churnguard.records import RECORD_TYPES
from churnguard.sample import SampleCompany
from integrations import quality
from integrations.connectors.base import ReadRequest
from integrations.connectors.file import FileConnector
from integrations.mapping import compile_mapping

NOW = datetime(2026, 3, 17, 14, 25, 9, tzinfo=UTC)
SEED = 7
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def company() -> SampleCompany:
    return sample.generate(SEED, NOW)


@pytest.fixture(scope="module")
def folder(company: SampleCompany, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sample")
    company.write_files(place)
    return place


@pytest.fixture(scope="module")
def events(company: SampleCompany) -> list[dict[str, Any]]:
    return list(company.events())


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of one export."""
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    text = data.decode()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(text)))
    if path.name.endswith(".json"):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines()]


def minor(amount: str) -> int:
    return round(float(amount.replace(",", "")) * 100)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def auc(scores: list[float], labels: list[bool]) -> float:
    """Chance that a leaver scores above a stayer; ties count half."""
    values, truth = np.array(scores), np.array(labels)
    bad, good = values[truth][:, None], values[~truth][None, :]
    return float((bad > good).mean() + 0.5 * (bad == good).mean())


def usage_by_day(events: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Workspace -> events per day; the last place is today."""
    days: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(549))
    today = NOW.date()
    for event in events:
        age = (today - when(event["timestamp"][:10]).date()).days
        days[event["customer_id"]][548 - age] += 1
    return days


def test_same_seed_and_now_give_the_same_bytes(
    company: SampleCompany, folder: Path, events: list[dict[str, Any]], tmp_path: Path
) -> None:
    again = sample.generate(SEED, NOW)

    paths = again.write_files(tmp_path)

    assert len(paths) == 12
    for path in paths:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()
    assert list(again.events()) == events
    assert again.workspaces() == company.workspaces()
    assert again.truth() == company.truth()


def test_another_seed_gives_another_company(company: SampleCompany) -> None:
    other = sample.generate(SEED + 1, NOW)

    mine = {one.ids["crm"] for one in company.truth()}
    assert mine.isdisjoint(one.ids["crm"] for one in other.truth())


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        sample.generate(SEED, datetime(2026, 3, 17))


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_about_a_fifth_has_left_and_most_of_the_rest_are_fine(seed: int) -> None:
    truth = sample.generate(seed, NOW).truth()

    left = [one for one in truth if not one.is_living]
    living = [one for one in truth if one.is_living]
    troubled = [one for one in living if one.severity[-1] > 0.35]
    assert len(truth) == 240
    assert 0.12 <= len(left) / 240 <= 0.24
    assert 0.10 <= len(troubled) / len(living) <= 0.40
    assert {one.cause for one in truth} == set(sample.CAUSES)


def test_hazard_goes_before_leaving(company: SampleCompany) -> None:
    truth = company.truth()
    start = company.span.start

    ratios = []
    for one in truth:
        if one.decided_at is not None and one.cause not in ("healthy", "win_back"):
            week = int((one.decided_at - start).days // 7)
            ratios.append(one.hazard[week] / (np.mean(one.hazard) + 1e-9))
    assert np.median(ratios) > 1.5


def test_most_people_are_known_to_two_tools_by_one_address(folder: Path) -> None:
    crm = {row["Email"]: row for row in read(folder / "crm" / "crm_contacts.csv")}
    desk = read(folder / "support" / "support_users.csv")
    times = Counter(row["Email"].lower() for row in desk if row["Email"])

    joined = [row for row in desk if row["Email"].lower() in crm]
    private = [row for row in desk if row["Email"].endswith("@mail.example")]
    twice = [address for address, count in times.items() if count > 1]
    assert 0.9 < len(joined) / len(desk) < 0.98
    assert len(twice) == 3
    assert all(crm[address]["Champion"] == "Yes" for address in twice)
    assert 5 < len(private) < 40
    assert all(row["Name"][1:3] == ". " for row in private)
    users = [row["External ID"] for row in desk if row["External ID"]]
    assert len(set(users)) == len(users) == len(desk) - len(twice)


def test_every_row_and_fault_of_every_file_is_counted(
    company: SampleCompany, folder: Path
) -> None:
    facts = company.facts()

    for export in sample.EXPORTS:
        rows = read(folder / export.source / export.name)
        known = facts[export.name]
        keys = [json.dumps(row, sort_keys=True) for row in rows]
        id_header = export.columns[0].header
        assert list(rows[0]) == [column.header for column in export.columns]
        assert len(rows) == known.rows
        assert len(keys) - len(set(keys)) == known.duplicates
        assert sum(not row[id_header] for row in rows) == known.quarantined.get(
            "no_id", 0
        )
        for header, count in known.blanks.items():
            unique = dict(zip(keys, rows, strict=True)).values()
            assert sum(not row[header] for row in unique) == count
        assert known.rows == (
            known.records
            + known.versions
            + known.duplicates
            + sum(known.quarantined.values())
        )
    planted = sum(f.duplicates + sum(f.quarantined.values()) for f in facts.values())
    assert planted == 3 + 5 + 2 + 2 + 2 + 4 + 1 + 40


@pytest.mark.parametrize("source", ["crm", "billing", "support"])
def test_the_file_connector_reads_everything_but_the_planted_faults(
    company: SampleCompany, folder: Path, source: str
) -> None:
    place = str(folder / source)
    connector = FileConnector(
        settings={"path": place, "roots": [place]}, secrets={}, now=lambda: NOW
    )
    by_stem = {export.name.split(".")[0]: export for export in sample.EXPORTS}
    streams = connector.discover()

    assert {s.name for s in streams} == {
        stem for stem, export in by_stem.items() if export.source == source
    }
    for stream in streams:
        export = by_stem[stream.name]
        mapping = compile_mapping(company.mappings()[export.name])
        facts = company.facts()[export.name]
        refused, seen = 0, Counter()
        for page in connector.read(stream, ReadRequest(mode="full")):
            refused += len(page.rejects)
            for record in map(mapping.apply, page.records):
                assert isinstance(record, RECORD_TYPES[export.record_type])
                checked = quality.validate(record, now=NOW)
                if isinstance(checked, quality.Reject):
                    refused += 1
                else:
                    seen[checked.external_id] += 1
        assert refused == sum(facts.quarantined.values())
        assert len(seen) == facts.records
        assert seen.total() == facts.records + facts.versions + facts.duplicates


def test_amounts_come_out_in_minor_units(company: SampleCompany, folder: Path) -> None:
    mapping = compile_mapping(company.mappings()["billing_invoices.ndjson"])

    for row in read(folder / "billing" / "billing_invoices.ndjson")[:200]:
        invoice = mapping.record(row)
        assert invoice.total_minor == sum(line["amount_minor"] for line in row["lines"])
        assert invoice.currency.upper() in ("USD", "EUR", "GBP")


def test_invoices_add_up_to_the_subscriptions(folder: Path) -> None:
    history = defaultdict(list)
    for row in read(folder / "billing" / "billing_subscriptions.csv"):
        history[row["Subscription ID"]].append(row)
    invoices = {
        row["id"]: row for row in read(folder / "billing" / "billing_invoices.ndjson")
    }.values()

    kinds = Counter()
    for bill in invoices:
        issued = datetime.fromtimestamp(bill["created"], UTC)
        versions = history[bill["subscription"]]
        known = [row for row in versions if when(row["Updated"]) <= issued]
        now, (line,) = known[-1], bill["lines"]
        months = 12 if now["Interval"] == "year" else 1
        due = minor(now["MRR"]) * months
        if line["proration"]:
            begin, end = (
                datetime.fromisoformat(line[key])
                for key in ("period_start", "period_end")
            )
            left = (end.year - begin.year) * 12 + end.month - begin.month
            due = (minor(now["MRR"]) - minor(known[-2]["MRR"])) * left
        assert line["amount_minor"] == due
        assert minor(bill["total"]) == due
        assert bill["currency"].upper() == now["Currency"] == line["currency"]
        assert bill["customer"] == now["Customer ID"]
        assert minor(bill["amount_refunded"]) <= minor(bill["amount_paid"]) <= due
        kinds[bill["status"]] += 1
        kinds["refund"] += bill["amount_refunded"] != "0.00"
        kinds["proration"] += line["proration"]
    assert set(kinds) == {"paid", "open", "uncollectible", "refund", "proration"}
    assert min(kinds.values()) >= 1


def test_subscriptions_follow_the_truth(company: SampleCompany, folder: Path) -> None:
    last: dict[str, dict[str, str]] = {}
    rows = read(folder / "billing" / "billing_subscriptions.csv")
    for row in rows:
        last[row["Customer ID"]] = row

    assert [row["Updated"] for row in rows] == sorted(row["Updated"] for row in rows)
    assert all(when(row["Updated"]) <= NOW for row in rows)
    for one in company.truth():
        row = last[one.ids["billing"]]
        assert (row["Status"] == "canceled") == (not one.is_living)
        if one.is_living:
            assert when(row["Current Period End"]) > NOW
        else:
            assert when(row["Ended At"]) == one.churned_at
    assert {row["Currency"] for row in rows} == {"USD", "EUR", "GBP"}
    changes = [
        minor(b["MRR"]) - minor(a["MRR"])
        for _id, group in itertools.groupby(
            sorted(rows, key=lambda row: (row["Subscription ID"], row["Updated"])),
            key=lambda row: row["Subscription ID"],
        )
        for a, b in itertools.pairwise(group)
    ]
    assert sum(change > 0 for change in changes) >= 20
    assert sum(change < 0 for change in changes) >= 5


def test_events_are_in_order_and_of_known_customers(
    company: SampleCompany, events: list[dict[str, Any]]
) -> None:
    stamps = [event["timestamp"] for event in events]
    ids = Counter(event["event_id"] for event in events)
    workspaces = {one["external_id"] for one in company.workspaces()}

    facts = company.facts()["events"]
    assert stamps == sorted(stamps)
    assert when(stamps[-1][:19]) <= NOW
    assert 60_000 <= len(events) <= 90_000
    assert (len(events), len(ids)) == (facts.rows, facts.records)
    assert sum(count - 1 for count in ids.values()) == facts.duplicates == 40
    assert {event["customer_id"] for event in events} <= workspaces
    assert len({event["event"] for event in events}) == 11


def test_people_work_on_weekdays_by_day(events: list[dict[str, Any]]) -> None:
    american = [event for event in events if event["event"] == "login"]
    weekend = sum(when(e["timestamp"][:19]).weekday() >= 5 for e in american)
    hours = Counter(int(event["timestamp"][11:13]) for event in american)

    assert weekend / len(american) < 0.06
    assert sum(hours[h] for h in range(8, 23)) / len(american) > 0.85


def test_nobody_uses_the_product_after_leaving(
    company: SampleCompany, events: list[dict[str, Any]]
) -> None:
    last = {event["customer_id"]: event["timestamp"] for event in events}

    for one in company.truth():
        if not one.is_living:
            assert when(last[one.ids["product"]][:19]) < one.churned_at


def test_usage_of_a_decaying_account_falls_before_it_leaves(
    company: SampleCompany, events: list[dict[str, Any]]
) -> None:
    days = usage_by_day(events)
    falls = []
    for one in company.truth():
        if one.cause == "usage_decay" and one.churned_at and one.onset_at:
            end = 548 - (NOW - one.churned_at).days
            onset = 548 - (NOW - one.onset_at).days
            before = days[one.ids["product"]][max(0, onset - 84) : onset].mean()
            falls.append(days[one.ids["product"]][end - 28 : end].mean() / before)

    assert len(falls) >= 3
    assert np.median(falls) < 0.4


def test_unhappy_customers_write_and_pay_late_before_they_leave(
    company: SampleCompany, folder: Path
) -> None:
    truth = company.truth()
    tickets = Counter(
        row["Organization ID"]
        for row in read(folder / "support" / "support_tickets.csv.gz")
        if row["Priority"] == "Urgent"
    )
    failed = Counter()
    for bill in read(folder / "billing" / "billing_invoices.ndjson"):
        late = (bill["paid_at"] or NOW.timestamp()) - bill["due_date"] > 10 * 86_400
        failed[bill["customer"]] += bool(late or bill["failed_attempts"])

    def mean(cause: str, source: str, counts: Counter[str]) -> float:
        return float(
            np.mean([counts[o.ids[source]] for o in truth if o.cause == cause])
        )

    assert mean("support_pain", "support", tickets) > 3 * mean(
        "healthy", "support", tickets
    )
    assert mean("late_payment", "billing", failed) > 2 * mean(
        "healthy", "billing", failed
    )


def test_a_simple_rule_finds_leavers_but_not_all(
    company: SampleCompany, events: list[dict[str, Any]]
) -> None:
    days = usage_by_day(events)
    scores, labels = [], []
    for back in (90, 150, 210, 270, 330, 390):
        cutoff, place = NOW - back * DAY, 548 - back
        for one in company.truth():
            is_customer = one.joined_at < cutoff - 60 * DAY and (
                one.churned_at is None or one.churned_at > cutoff
            )
            if is_customer:
                seen = days[one.ids["product"]]
                recent = seen[place - 28 : place].mean()
                usual = seen[max(0, place - 118) : place - 28].mean()
                scores.append(-recent / (usual + 0.1))
                gone = (
                    one.churned_at is not None and one.churned_at <= cutoff + 90 * DAY
                )
                labels.append(gone)

    assert sum(labels) >= 20
    assert 0.7 < auc(scores, labels) < 0.97


def test_tools_name_the_same_firm_by_honest_links(
    company: SampleCompany, folder: Path
) -> None:
    truth = company.truth()
    billing = {
        row["Customer ID"]: row
        for row in read(folder / "billing" / "billing_customers.csv")
    }
    support = {
        row["Organization ID"]: row
        for row in read(folder / "support" / "support_organizations.csv")
    }

    without = Counter()
    for one in truth:
        row, org = billing[one.ids["billing"]], support[one.ids["support"]]
        assert row["CRM Account (metadata)"] in ("", one.ids["crm"])
        assert org["External ID"] in ("", one.ids["crm"])
        for source, link in one.links.items():
            without[source] += link == ""
    assert all(1 <= count <= 25 for count in without.values())
    assert len({tuple(one.ids.values()) for one in truth}) == 240
    emails = [row["Email"] for row in billing.values()]
    assert all(email.endswith(".example") for email in emails)


def test_live_events_go_on_and_can_be_asked_twice(company: SampleCompany) -> None:
    later = NOW + timedelta(minutes=30)

    minute = list(company.live_events(later, window_s=60))
    two = list(company.live_events(later, window_s=120))
    again = list(
        sample.live_events(SEED, later, made_at=NOW, accounts=240, window_s=60)
    )

    living = {one.ids["product"] for one in company.truth() if one.is_living}
    assert minute == again
    assert two[-len(minute) :] == minute
    assert 5 <= len(minute) <= 60
    assert {event["customer_id"] for event in two} <= living
    assert len({event["event_id"] for event in two}) == len(two)
    assert list(company.live_events(NOW, window_s=60)) == []
