"""The sample company: files, events, mappings, and the truth behind them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from heapq import merge
from pathlib import Path
from typing import Any

import numpy as np

from churnguard.sample import live
from churnguard.sample.billing import make_billing
from churnguard.sample.calendar import Span
from churnguard.sample.exports import EXPORTS, Export, mappings
from churnguard.sample.faults import EVENT_REPEATS, FileFacts, plant
from churnguard.sample.paths import make_path
from churnguard.sample.profiles import make_profiles
from churnguard.sample.tables import Row, iso_time, private_email
from churnguard.sample.usage import Usage, events_of, make_usage
from churnguard.sample.world import PRODUCT, Customer


@dataclass(frozen=True, slots=True)
class Truth:
    """What really is the matter with one customer; for tests and the model page only.

    account: the key, "acct-0001". ids: source -> id there. links: source -> what that
    tool says of the firm: crm_id, domain, email, or "" for nothing. onset_at: the
    first sign of trouble. decided_at: when it made up its mind. churned_at: the end
    of the subscription if it is past. returned_at: when a lost customer came back.
    hazard, severity: per week from the span's start.
    """

    account: str
    name: str
    cause: str
    ids: dict[str, str]
    links: dict[str, str]
    joined_at: datetime
    onset_at: datetime | None
    decided_at: datetime | None
    churned_at: datetime | None
    returned_at: datetime | None
    hazard: tuple[float, ...] = field(repr=False)
    severity: tuple[float, ...] = field(repr=False)

    @property
    def is_living(self) -> bool:
        """Whether it is a customer now."""
        return self.churned_at is None or self.returned_at is not None


@dataclass(frozen=True)
class SampleCompany:
    """One generated company. Same seed, now and size: equal to the byte."""

    seed: int
    span: Span
    customers: tuple[Customer, ...]

    @property
    def now(self) -> datetime:
        return self.span.now

    def write_files(self, folder: Path) -> list[Path]:
        """Write every export to folder/<source>/<name>; the paths, in loading order."""
        written = []
        for export in EXPORTS:
            path = Path(folder) / export.source / export.name
            path.parent.mkdir(parents=True, exist_ok=True)
            rows, _facts = self._tables[export.name]
            path.write_bytes(_encode(export, rows))
            written.append(path)
        return written

    def mappings(self) -> dict[str, dict[str, Any]]:
        """File name -> {"record_type", "rules"} for the file connector."""
        return mappings()

    def workspaces(self) -> list[dict[str, Any]]:
        """The product's own customer records, in the form the ingest API takes."""
        return [_workspace(one) for one in self.customers]

    def events(self) -> Iterator[dict[str, Any]]:
        """All product events in the form the ingest API takes, in order of time; a
        few come twice, as after a client's retry."""
        streams = [
            events_of(self.span, one.who, one.account, usage)
            for one, usage in zip(self.customers, self._usage, strict=True)
        ]
        repeats = self._repeated
        ordered = merge(*streams, key=lambda pair: pair[0])
        for number, (_second, event) in enumerate(ordered):
            yield event
            if number in repeats:
                yield event

    def truth(self) -> list[Truth]:
        """The hidden causes, in order of the accounts. Never load these."""
        return [_truth(one) for one in self.customers]

    def facts(self) -> dict[str, FileFacts]:
        """Exact counts of every file, and of "events", planted faults included."""
        found = {name: facts for name, (_rows, facts) in self._tables.items()}
        events = sum(len(usage.second) for usage in self._usage)
        repeats = len(self._repeated)
        found["events"] = FileFacts(events + repeats, events, 0, repeats, {}, {})
        return found

    def live_events(
        self, now: datetime, *, window_s: float = 60.0
    ) -> Iterator[dict[str, Any]]:
        """What happens in the `window_s` seconds before `now`; see `live.trickle`."""
        return live.trickle(self.seed, self.customers, now, window_s=window_s)

    @cached_property
    def _tables(self) -> dict[str, tuple[list[Row], FileFacts]]:
        return {
            export.name: plant(
                np.random.default_rng([self.seed, 90, number]),
                export,
                list(export.rows(self.customers)),
            )
            for number, export in enumerate(EXPORTS)
        }

    @cached_property
    def _usage(self) -> list[Usage]:
        return [
            make_usage(one.seed, one.span, one.who, one.path, one.account)
            for one in self.customers
        ]

    @cached_property
    def _repeated(self) -> frozenset[int]:
        total = sum(len(usage.second) for usage in self._usage)
        rng = np.random.default_rng([self.seed, 91])
        return frozenset(
            rng.choice(total, min(EVENT_REPEATS, total), replace=False).tolist()
        )


def generate(seed: int, now: datetime, accounts: int = 240) -> SampleCompany:
    """A company of `accounts` customers over the eighteen months before `now`.

    Raises ValueError for a naive `now`.
    """
    span = Span.ending(now)
    customers = []
    for who in make_profiles(seed, span, accounts):
        path = make_path(seed, span, who)
        billing = make_billing(seed, span, who, path)
        customers.append(Customer(seed, span, who, path, billing))
    return SampleCompany(seed, span, tuple(customers))


def live_events(
    seed: int,
    now: datetime,
    *,
    made_at: datetime,
    accounts: int = 240,
    window_s: float = 60.0,
) -> Iterator[dict[str, Any]]:
    """`SampleCompany.live_events` of the company generated at `made_at`."""
    company = _made(seed, made_at, accounts)
    return company.live_events(now, window_s=window_s)


@lru_cache(maxsize=2)
def _made(seed: int, made_at: datetime, accounts: int) -> SampleCompany:
    return generate(seed, made_at, accounts)


def _encode(export: Export, rows: list[Row]) -> bytes:
    """The file's bytes, by the ending of its name."""
    headers = [column.header for column in export.columns]
    name = export.name.removesuffix(".gz")
    if name.endswith(".csv"):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(headers)
        writer.writerows(rows)
        data = text.getvalue().encode()
    else:
        objects = [dict(zip(headers, row, strict=True)) for row in rows]
        lines = [json.dumps(one, ensure_ascii=False) for one in objects]
        if name.endswith(".ndjson"):
            data = ("\n".join(lines) + "\n").encode()
        else:
            data = ("[\n" + ",\n".join(lines) + "\n]\n").encode()
    return gzip.compress(data, mtime=0) if export.name.endswith(".gz") else data


def _workspace(one: Customer) -> dict[str, Any]:
    """A workspace knows its firm's domain, or its owner's address, or nothing."""
    who, link = one.who, one.who.links[PRODUCT]
    known = {"domain": who.people[0].email, "email": who.people[0].email}
    record: dict[str, Any] = {
        "type": "customer",
        "external_id": who.ids[PRODUCT],
        "name": who.name.split()[0],
        "email": known.get(link) or private_email(one),
        "plan": who.plan,
        "seats": one.account.versions[-1].seats,
        "signup_at": iso_time(who.joined_at),
    }
    if link == "domain":
        record["domain"] = who.domain
    return record


def _truth(one: Customer) -> Truth:
    who, path, now = one.who, one.path, one.span.now
    left_at = path.left_at if path.left_at and path.left_at <= now else None
    back_at = path.returned_at
    return Truth(
        account=who.key,
        name=who.name,
        cause=who.cause,
        ids=dict(who.ids),
        links=dict(who.links),
        joined_at=who.joined_at,
        onset_at=path.onset_at,
        decided_at=path.decided_at,
        churned_at=left_at,
        returned_at=back_at if back_at and back_at <= now else None,
        hazard=tuple(path.hazard.tolist()),
        severity=tuple(path.severity.tolist()),
    )
