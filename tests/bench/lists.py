"""List pages and list answers of a large company: median and p95 of each request.

100,000 customers, 100 integrations with 100 runs each, 50,000 records in quarantine.
Through Django's test client (views, templates, middleware; no socket), signed in for
pages and by key for the API; the baseline is a page of the same length by plain SQL.
There is no cache on this stage.

    python -m tests.bench.lists [customers] [requests of each]
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.bench.analytic_stage import NOW, AnalyticStage, ApiClient, percentiles_ms
from tests.bench.ingest_stage import show

ORDERS = ("score", "-score", "name", "-name", "mrr", "-mrr", "risk", "-probability")
PAGE = (
    "SELECT * FROM cg_customer WHERE organization_id = %s AND merged_into_id IS NULL "
    "AND (score, id) > (%s, 0) ORDER BY score, id LIMIT 51"
)


def run(customers: int = 100_000, requests: int = 40) -> list[str]:
    """The lines of the result table."""
    stage = AnalyticStage()
    try:
        stage.fill_customers(customers)
        _fill_integrations(stage, max(2, customers // 1_000))
        stage.settle()
        return _measure(stage, requests)
    finally:
        stage.close()


def _measure(stage: AnalyticStage, requests: int) -> list[str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = ApiClient(stage)
    client.sign_in(stage)
    lines = [_baseline(stage, requests)]
    show(lines[0])
    for name, path, query in _requests(stage, client):
        times = []
        with CaptureQueriesContext(connection) as caught:
            client.fetch(path, query)
            statements = len(caught)
        for _number in range(requests):
            started = time.perf_counter()
            client.fetch(path, query)
            times.append((time.perf_counter() - started) * 1000)
        middle, slow = percentiles_ms(times)
        line = (
            f"{name}: median {middle:,.0f} ms, p95 {slow:,.0f} ms, {statements} "
            "statements"
        )
        show(line)
        lines.append(line)
    return lines


def _baseline(stage: AnalyticStage, requests: int) -> str:
    times = []
    with stage.connect() as conn:
        for number in range(requests):
            started = time.perf_counter()
            conn.execute(PAGE, [stage.org.pk, number % 100]).fetchall()
            times.append((time.perf_counter() - started) * 1000)
    middle, slow = percentiles_ms(times)
    return f"50 customers by plain SQL: median {middle:.1f} ms, p95 {slow:.1f} ms"


def _requests(
    stage: AnalyticStage, client: ApiClient
) -> list[tuple[str, str, dict[str, str]]]:
    """(name, path, query) of every list."""
    api = "/api/v1/customers"
    found = [(f"API customers by {one}", api, {"order": one}) for one in ORDERS]
    found += [
        (f"API customers by {one}, deep page", api, _deep(client, one))
        for one in ("score", "-mrr", "name")
    ]
    found += [
        ("API customers, search by name", api, {"search": "Customer 99"}),
        ("API customers, search without a hit", api, {"search": "nobody here"}),
        ("API customers, search by source id", api, {"search": "ext77"}),
        ("API customers, band and segment", api, {"band": "watch", "segment": "smb"}),
        ("API customers, 500 of them", api, {"limit": "500"}),
        ("page of customers", "/customers/", {}),
        ("page of customers, search", "/customers/", {"q": "Customer 99"}),
        ("page of customers, filters", "/customers/", {"band": "watch", "plan": "pro"}),
        ("one customer", f"/customers/{_one(stage)}/", {}),
        ("API integrations", "/api/integrations", {}),
        ("page of integrations", "/integrations/", {}),
        ("page of syncs", "/syncs/", {}),
        ("page of syncs, failed", "/syncs/", {"status": "failed"}),
        ("page of quarantine", "/quarantine/", {}),
        ("page of quarantine, one reason", "/quarantine/", {"code": "bad_time"}),
        ("overview", "/", {}),
    ]
    return found


def _deep(client: ApiClient, order: str) -> dict[str, str]:
    """The query of the page after 2,500 customers."""
    query = {"order": order, "limit": "500"}
    for _number in range(5):
        following = client.get("/api/v1/customers", query)["next"]
        if following is None:
            break
        query["cursor"] = following
    return {**query, "limit": "50"}


def _one(stage: AnalyticStage) -> str:
    from churnguard.models import Customer

    found = Customer.objects.filter(organization=stage.org, score__isnull=False).first()
    assert found is not None
    return found.public_id


def _fill_integrations(stage: AnalyticStage, integrations: int) -> None:
    from churnguard.models import Quarantine, Source
    from integrations.models import Integration, RunStatus, SyncRun
    from integrations.models.running import RunStream
    from integrations.models.streams import StreamState

    sources = Source.objects.bulk_create(
        [
            Source(organization=stage.org, name=f"source {n}", kind="rest")
            for n in range(integrations)
        ]
    )
    made = Integration.objects.bulk_create(
        [
            Integration(
                organization=stage.org,
                name=f"Integration {n}",
                provider_name="rest",
                source=source,
                status="active",
                tags=["bench"],
            )
            for n, source in enumerate(sources)
        ]
    )
    states = StreamState.objects.bulk_create(
        [
            StreamState(organization=stage.org, integration=one, name="accounts")
            for one in made
        ]
    )
    statuses = (RunStatus.COMPLETED, RunStatus.COMPLETED, RunStatus.FAILED)
    runs = SyncRun.objects.bulk_create(
        [
            SyncRun(
                organization=stage.org,
                integration=one,
                status=statuses[(n + place) % 3],
                run_at=NOW - timedelta(hours=n),
                started_at=NOW - timedelta(hours=n),
                finished_at=NOW - timedelta(hours=n) + timedelta(minutes=3),
            )
            for n in range(100, 0, -1)
            for place, one in enumerate(made)
        ]
    )
    state_of = {one.integration_id: one for one in states}
    RunStream.objects.bulk_create(
        [
            RunStream(
                run=one,
                state=state_of[one.integration_id],
                stream="accounts",
                status="completed",
                fetched=1000,
                inserted=1000,
            )
            for one in runs
        ]
    )
    Quarantine.objects.bulk_create(
        [
            Quarantine(
                organization=stage.org,
                source=sources[n % len(sources)],
                stream="accounts",
                record_type="customer",
                external_id=f"q{n}",
                code=("bad_time", "missing_id", "too_long")[n % 3],
                detail="A made-up reason.",
                raw={"id": n, "name": "somebody", "at": "not a time"},
                fingerprint=UUID(int=n),
            )
            for n in range(integrations * 500)
        ],
        batch_size=5_000,
    )


if __name__ == "__main__":
    sizes: list[Any] = [int(one) for one in sys.argv[1:]]
    run(*sizes)
