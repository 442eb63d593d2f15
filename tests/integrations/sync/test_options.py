"""Options of a connection seen from the provider: what it is asked, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from churnguard.errors import RateLimitedError
from churnguard.models import Organization
from integrations import connecting, outbound, runs
from integrations.connectors.base import Stream
from integrations.http.waits import RetryPolicy
from integrations.models import Integration, RunStream
from tests.fakes.rest import PATH, RestFake
from tests.fakes.server import Response
from tests.integrations.contract import Bench
from tests.integrations.contract import connect as connect_fake
from tests.integrations.sync.conftest import sync
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]
Polled = Callable[..., Bench]
PAGES = 4


@pytest.fixture
def polled(
    org: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Polled]:
    """`polled(requests_per_minute=2)`: a REST API of 35 people, ten on a page."""
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    patient = RetryPolicy(max_wait_s=0.1)
    real = connecting.Client
    monkeypatch.setattr(
        connecting, "Client", lambda **options: real(retry=patient, **options)
    )
    fake = RestFake()
    fake.seed(35)
    with fake.serve() as server:
        yield lambda **options: Bench(
            fake, server, connect_fake(org, fake, server, **options)
        )


def test_requests_per_minute_holds_a_read_until_the_minute_is_over(
    polled: Polled,
) -> None:
    bench = polled(requests_per_minute=2)
    run = runs.start(bench.integration)

    runs.run_now(run.pk)

    assert bench.server.count(PATH) == 2
    run.refresh_from_db()
    bench.integration.refresh_from_db()
    assert (run.status, run.attempts) == ("pending", 0)
    assert bench.integration.status == "rate_limited"
    assert bench.integration.resumes_at is not None
    wait = bench.integration.resumes_at - datetime.now(UTC)
    assert timedelta(seconds=50) < wait < timedelta(seconds=65)

    bench.work(run, tries=2)
    assert (run.status, bench.server.count(PATH)) == ("completed", PAGES)
    assert len(bench.rows()) == 35


def test_with_room_in_the_minute_nothing_waits(polled: Polled) -> None:
    bench = polled(requests_per_minute=100)

    assert bench.sync().status == "completed"
    assert bench.server.count(PATH) == PAGES


@pytest.mark.parametrize("batch_size", [7, 20])
def test_batch_size_is_the_size_of_the_providers_pages(
    polled: Polled, batch_size: int
) -> None:
    bench = polled(batch_size=batch_size)

    part = bench.sync()

    pages = -(-35 // batch_size)
    asked = [int(c.query["limit"]) for c in bench.server.calls if c.path == PATH]
    assert asked == [batch_size] * pages
    assert (part.fetched, part.pages) == (35, pages)


def test_a_person_waits_for_two_short_tries_and_a_run_for_more(
    polled: Polled,
) -> None:
    bench = polled()
    bench.server.fail("reply", PATH, response=Response(503), times=99)

    told = connecting.check(bench.integration)

    assert (told.ok, told.code) == (False, "provider_unavailable")
    assert bench.server.count(PATH) == 2
    with connecting.opened(bench.integration, interactive=True) as connector:
        assert connector.client.read_timeout_s == 20
    runs.run_now(runs.start(bench.integration).pk)
    assert bench.server.count(PATH) == 2 + 4


@pytest.mark.parametrize("places", [1, 2])
def test_concurrent_requests_are_places_of_all_workers(
    connect: Connect, places: int
) -> None:
    (one,) = outbound.run_budget(connect(concurrent_requests=places))
    held = [one.acquire(max_wait_s=0.01) for _ in range(places)]

    with pytest.raises(RateLimitedError):
        one.acquire(max_wait_s=0.01)

    held[0].release()
    one.acquire(max_wait_s=0.01).release()


@pytest.mark.parametrize(
    ("sync_mode", "read_as"),
    [
        ("full", "full"),
        ("incremental", "incremental"),
        ("scheduled", "incremental"),
        ("real_time", "incremental"),
    ],
)
def test_sync_mode_says_how_a_sync_reads(
    account: Account, connect: Connect, sync_mode: str, read_as: str
) -> None:
    account.streams = (Stream("companies", "customer", cursor_field="at"),)
    account.rows = {"companies": ids(2)}
    integration = connect(sync_mode=sync_mode)
    sync(integration)

    run = sync(integration)

    assert run.mode == read_as
    request = account.reads[-1][1]
    assert request.mode == read_as
    assert (request.cursor is None) == (read_as == "full")
    fetched = RunStream.objects.get(run=run).fetched
    assert fetched == (2 if read_as == "full" else 0)
