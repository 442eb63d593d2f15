"""Salesforce and HubSpot through the whole engine, beyond the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.test import RequestFactory

from churnguard.models import Organization, User
from integrations import connect as connect_flow
from integrations import controls, credentials
from integrations.models import StreamState
from tests import fakes
from tests.integrations.contract import Bench, connect

TOKENS = ("/services/oauth2/token", "/oauth/2026-09/token")


@pytest.fixture
def bench(name: str, org: Organization, settings: LazySettings) -> Iterator[Bench]:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1", "unix"]
    fake = fakes.load(name)()
    with fake.serve() as server:
        yield Bench(fake, server, connect(org, fake, server))


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("salesforce", "incremental"),
        ("salesforce", "full"),
        # HubSpot does not say that restoring is a change.
        ("hubspot", "full"),
    ],
)
def test_a_restored_object_is_alive_again(bench: Bench, mode: str) -> None:
    ids = bench.fake.seed(5)
    bench.sync()
    StreamState.objects.update(checked_deletes_at=None)
    bench.fake.tick()
    bench.fake.remove(ids[2])
    bench.sync("full")
    gone = bench.rows(alive=False) - bench.rows()

    for _minute in range(10):
        bench.fake.tick()
    bench.fake.restore(ids[2])
    bench.sync(mode)

    assert gone == {ids[2]}
    assert bench.rows() == set(ids)


@pytest.mark.parametrize(
    ("name", "field"),
    [("salesforce", "CreatedDate"), ("hubspot", "properties.createdate")],
)
def test_a_field_chosen_from_those_discovered_orders_the_changes(
    bench: Bench, field: str
) -> None:
    bench.fake.seed(5)
    bench.sync()
    state = StreamState.objects.get(name=bench.fake.stream)
    controls.update_stream(state, {"incremental_field": field}, by="a person")

    anew = bench.sync()
    bench.fake.tick()
    late = bench.fake.add(99)
    found = bench.sync()

    assert (anew.status, anew.inserted) == ("completed", 0), anew.error_detail
    assert (found.status, found.inserted) == ("completed", 1), found.error_detail
    assert late in bench.rows()


@pytest.mark.parametrize("name", ["salesforce", "hubspot"])
def test_a_person_connects_by_code_and_stays_connected(
    bench: Bench, alice: User, rf: RequestFactory
) -> None:
    made = bench.integration
    nothing = {"access_token": None, "refresh_token": None}
    credentials.save(made, nothing)
    bench.fake.seed(5)
    request = rf.get("/")
    request.user = alice

    back = "https://cg.example/integrations/oauth/callback/"
    url = connect_flow.begin(made, user=alice, redirect_uri=back)
    connected = connect_flow.finish(
        **bench.fake.codes.authorize(url),
        user=alice,
        organization=made.organization,
        request=request,
    )
    first = bench.sync("full")
    bench.fake.expire_token()
    later = bench.sync("full")

    assert connected.status == "active"
    assert (first.status, first.inserted) == ("completed", 5), first.error_detail
    assert later.status == "completed", later.error_detail
    grants = [c.form()["grant_type"] for c in bench.server.calls if c.path in TOKENS]
    assert grants == ["authorization_code", "refresh_token"]
