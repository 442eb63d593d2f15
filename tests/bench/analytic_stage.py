"""Large companies for the analytic benches, generated straight into the tables in SQL.

The rows are what the product's writer and fold leave; which tables a bench fills
itself and which it has the product fill is said in its docstring.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.bench.ingest_stage import KEY, Stage, show

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = ("login", "report", "export", "invite", "search")
USERS = 4
"""User keys of a customer, the first of them empty."""
_CHUNK = 500_000

_SOURCE = (
    "INSERT INTO cg_source (organization_id, name, kind, first_seen_at) "
    "VALUES (%(org)s, 'bench', 'ingest', now()) RETURNING id"
)
_CUSTOMERS = """
WITH c AS (
    INSERT INTO cg_customer (public_id, organization_id, name, domain, email, country,
        industry, segment, plan, owner, lifecycle_stage, custom, band, created_at,
        updated_at, score, seats, signup_at, mrr_minor, churn_probability, risk_minor)
    SELECT 'cus_bench' || n, %(org)s, 'Customer ' || (n * 7919) %% 1000003,
        'c' || n || '.example', 'mail' || n || '@example.com', '', '',
        (ARRAY['smb', 'mid', 'large'])[1 + n %% 3], (ARRAY['team', 'pro'])[1 + n %% 2],
        '', '', '{}', (ARRAY['healthy', 'watch', 'at_risk', 'unknown'])[1 + n %% 4],
        now(), now(), CASE WHEN n %% 4 < 3 THEN (n * 31) %% 101 END, 5 + n %% 40,
        %(now)s - (100 + n %% 900) * interval '1 day', (n * 271) %% 900000,
        ((n * 613) %% 1000) / 1000.0, (n * 97) %% 500000
    FROM generate_series(%(begin)s::bigint, %(end)s) n RETURNING id, public_id
)
INSERT INTO cg_customer_source (organization_id, source_id, external_id, customer_id,
    is_stub, links, custom, raw, created_at, updated_at)
SELECT %(org)s, %(source)s, 'ext' || substr(public_id, 10), id, true, '{}', '{}', '{}',
    now(), now()
FROM c ORDER BY id RETURNING id
"""
# Each identity has a life of 30 to 364 days that ends on or before today; k counts its
# rows in order of time, and twenty rows running differ in name or user.
_USAGE_DAYS = """
INSERT INTO made_days
SELECT %(org)s, %(first)s + c, day, (%(names)s::text[])[1 + k %% 5],
    CASE WHEN k / 5 %% 4 = 0 THEN '' ELSE 'u' || k / 5 %% 4 END, 1 + (c + k) %% 3, 0,
    day + interval '9 hours' + k %% 20 * interval '1 minute',
    day + interval '10 hours' + k %% 20 * interval '1 minute'
FROM (
    SELECT n %% %(customers)s AS c, (n / %(customers)s)::int AS k
    FROM generate_series(%(begin)s::bigint, %(end)s) n
) x CROSS JOIN LATERAL (
    SELECT 30 + c * 7919 %% 335 AS span, c * 104729 %% 200 AS ended
) life CROSS JOIN LATERAL (
    SELECT %(today)s::date - least(ended, 364 - span)::int
        - (span - k * span / %(each)s)::int + 1 AS day
) dated
"""
_USAGE_COLUMNS = (
    "organization_id, customer_source_id, day, name, user_key, n, value_sum, first_at, "
    "last_at"
)
_IN_ORDER = (
    f"INSERT INTO cg_usage_day ({_USAGE_COLUMNS}) SELECT {_USAGE_COLUMNS} "
    "FROM made_days ORDER BY day"
)
_USAGE_SEEN = """
INSERT INTO an_usage_seen (organization_id, customer_source_id, name, user_key,
    first_at, last_at, n)
SELECT organization_id, customer_source_id, name, user_key, min(first_at),
    max(last_at), sum(n)
FROM cg_usage_day WHERE organization_id = %(org)s GROUP BY 1, 2, 3, 4
"""
_ORG_DAYS = """
INSERT INTO cg_org_day (organization_id, day, name, n, value_sum)
SELECT organization_id, day, name, sum(n), sum(value_sum)
FROM cg_usage_day WHERE organization_id = %(org)s GROUP BY 1, 2, 3
"""
_EVENTS = """
INSERT INTO cg_usage_event (event_key, organization_id, source_id, customer_source_id,
    batch_id, name, event_id, user_key, ts, received_at, value, properties)
SELECT gen_random_uuid(), organization_id, %(source)s, customer_source_id, 1, name,
    id::text, user_key, first_at, first_at, 1, '{}'
FROM cg_usage_day WHERE organization_id = %(org)s AND day > %(today)s::date - 45
ORDER BY first_at
"""
_SUBSCRIPTIONS = """
WITH b AS (
    INSERT INTO cg_subscription (organization_id, source_id, external_id,
        customer_source_id, custom, raw, created_at, updated_at, status, plan,
        quantity, currency, mrr_minor, interval, started_at, period_ends_at, ended_at)
    SELECT %(org)s, %(source)s, 'sub' || n, %(first)s + n %% %(customers)s, '{}', '{}',
        now(), now(), CASE WHEN n %% 5 = 0 THEN 'canceled' ELSE 'active' END,
        (ARRAY['team', 'pro'])[1 + n %% 2], 1 + n %% 9, 'USD', 1000 + n * 37 %% 90000,
        'month', %(now)s - (60 + n * 13 %% 700) * interval '1 day',
        %(now)s + n %% 30 * interval '1 day',
        CASE WHEN n %% 5 = 0 THEN %(now)s - n %% 50 * interval '1 day' END
    FROM generate_series(1, %(n)s) n RETURNING id, started_at, ended_at, mrr_minor
)
INSERT INTO cg_subscription_change (organization_id, subscription_id, effective_at,
    known_at, status, plan, quantity, currency, mrr_minor)
SELECT %(org)s, id, at, at, CASE WHEN at = ended_at THEN 'canceled' ELSE 'active' END,
    'pro', 1, 'USD', minor
FROM b CROSS JOIN LATERAL (VALUES (started_at, mrr_minor / 2),
    (started_at + interval '40 days', mrr_minor),
    (ended_at, mrr_minor)) v (at, minor)
WHERE at IS NOT NULL
"""
_TICKETS = """
INSERT INTO cg_ticket (organization_id, source_id, external_id, customer_source_id,
    custom, raw, created_at, updated_at, status, priority, team, opened_at,
    first_replied_at, solved_at, satisfaction_pct)
SELECT %(org)s, %(source)s, 'ticket' || n, %(first)s + n %% %(customers)s, '{}', '{}',
    now(), now(), 'solved', 'normal', (ARRAY['one', 'two', 'three'])[1 + n %% 3], t,
    t + n %% 30 * interval '1 hour', t + n %% 90 * interval '1 hour',
    CASE WHEN n %% 2 = 0 THEN n %% 101 END
FROM generate_series(1, %(n)s) n,
    LATERAL (SELECT %(now)s - (n * 17 %% 364) * interval '1 day') v (t)
"""


class AnalyticStage(Stage):
    """A stage whose organisation has one source and many customers.

    first: id of the first of the identities, which follow one another.
    """

    source: int
    first: int

    def __init__(self) -> None:
        super().__init__()
        # There is no bus here, and each commit would say so.
        logging.getLogger("churnguard").setLevel(logging.ERROR)
        self.customers = 0

    def fill_customers(self, customers: int) -> None:
        """One identity each, with made-up scores."""
        with self.connect() as conn:
            self.source = conn.execute(_SOURCE, {"org": self.org.pk}).fetchone()[0]
            refs: list[int] = []
            for begin, end in _chunks(1, customers):
                values = self._values(begin=begin, end=end)
                refs += [row[0] for row in conn.execute(_CUSTOMERS, values)]
                tell(f"{end:,} customers")
        self.first, self.customers = min(refs), customers
        assert max(refs) - self.first == customers - 1

    def fill_usage_days(self, rows: int) -> None:
        """Rows of the rollup per identity, day, name and user; of first and last use;
        and of the organisation's days."""
        each = max(1, rows // self.customers)
        with self.connect() as conn:
            conn.execute("SET work_mem = '512MB'")
            conn.execute(
                f"CREATE TEMP TABLE made_days AS SELECT {_USAGE_COLUMNS} "
                "FROM cg_usage_day LIMIT 0"
            )
            for begin, end in _chunks(0, each * self.customers - 1):
                values = self._values(begin=begin, end=end, each=each, today=NOW.date())
                conn.execute(_USAGE_DAYS, {**values, "names": list(NAMES)})
                tell(f"{end + 1:,} usage days made")
            # In order of time, as folding leaves them.
            conn.execute(_IN_ORDER)
            conn.execute("DROP TABLE made_days")
            tell("usage days stored")
            conn.execute(_USAGE_SEEN, self._values())
            conn.execute(_ORG_DAYS, self._values())

    def fill_events(self) -> None:
        """A stored event for each usage day of the last 45 days."""
        from churnguard import partitions

        with self.connect() as conn:
            months = [(2026, 10), (2026, 11)]
            partitions.create_months(
                conn.cursor(), [datetime(*m, 1, tzinfo=UTC).date() for m in months]
            )
            conn.execute(_EVENTS, self._values(today=NOW.date()))
        tell("events of 45 days")

    def fill_billing(self, subscriptions: int, tickets: int) -> None:
        """Subscriptions with two or three versions each, and tickets of a year."""
        with self.connect() as conn:
            conn.execute(_SUBSCRIPTIONS, self._values(n=subscriptions))
            conn.execute(_TICKETS, self._values(n=tickets))
        tell(f"{subscriptions:,} subscriptions, {tickets:,} tickets")

    def settle(self) -> None:
        """Statistics and visibility as autovacuum leaves them."""
        with self.connect() as conn:
            conn.execute("VACUUM ANALYZE")

    def _values(self, **more: Any) -> dict[str, Any]:
        own = {"org": self.org.pk, "now": NOW, "customers": self.customers}
        if hasattr(self, "first"):
            own["first"] = self.first
        return {**own, "source": self.source, **more}


class ApiClient:
    """Requests through Django's own test client, as the bench's key with all scopes."""

    def __init__(self, stage: Stage) -> None:
        from django.conf import settings
        from django.test import Client

        from churnguard.models import ApiKey

        settings.ALLOWED_HOSTS = ["*"]
        ApiKey.objects.filter(organization=stage.org).update(scopes=["read", "ingest"])
        self._client = Client()
        self._headers = {"authorization": f"Bearer {KEY}"}

    def sign_in(self, stage: Stage) -> None:
        """As an owner, for pages."""
        from django.contrib.auth import get_user_model

        from churnguard.models import Membership

        user = get_user_model().objects.create_user(email="bench@example.com")
        Membership.objects.create(organization=stage.org, user=user, role="owner")
        self._client.force_login(user)

    def fetch(self, path: str, query: Mapping[str, Any]) -> bytes:
        """The body of a 200: of the API by key, of a page as who has signed in."""
        headers = self._headers if path.startswith("/api/") else {}
        answer = self._client.get(path, query, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} {query}: {answer.status_code}")
        return answer.content

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a 200; anything else raises RuntimeError."""
        answer = self._client.get(path, query or {}, headers=self._headers)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} {query}: {answer.status_code} {answer.content}")
        return answer.json()


def median_and_p95_ms(work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Wall time of one call each, after one call to warm up."""
    work()
    return percentiles_ms([_timed_ms(work) for _number in range(times)])


def percentiles_ms(found: Sequence[float]) -> tuple[float, float]:
    """(median, 95th percentile)."""
    ordered = sorted(found)
    return statistics.median(ordered), ordered[
        min(len(ordered) - 1, int(len(ordered) * 0.95))
    ]


def tell(done: str) -> None:
    """Progress: one line with the time of day."""
    show(f"  {datetime.now(UTC):%H:%M:%S} {done}")


def _timed_ms(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def _chunks(first: int, last: int) -> list[tuple[int, int]]:
    return [
        (begin, min(begin + _CHUNK - 1, last))
        for begin in range(first, last + 1, _CHUNK)
    ]
