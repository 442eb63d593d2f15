"""What a provider merged becomes one here: links re-pointed, and back again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from rest_framework.test import APIClient

from analytics.identity import resolve
from churnguard.models import (
    Contact,
    CustomerSource,
    IdentityLink,
    Organization,
    Source,
    SourceMerge,
    User,
)
from integrations.connectors.base import Page, ReadRequest, Stream
from integrations.load.customers import find_or_create
from integrations.models import Integration, StreamState
from tests import fakes
from tests.fakes.base import FakeProvider
from tests.integrations.contract import Bench
from tests.integrations.contract import connect as connect_fake
from tests.integrations.sync.conftest import account, connect, sync
from tests.integrations.sync.scripted import Account, ScriptedConnector, ids

__all__ = ["account", "connect"]

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def settle() -> None:
    """Let identity resolution come to rest."""
    while resolve.tick(datetime.now(UTC)):
        pass


def named(source: Source, external_id: str) -> None:
    """A customer that a fact names and nobody has described."""
    with transaction.atomic(), connection.cursor() as cur:
        find_or_create(
            cur.cursor,
            org_id=source.organization_id,
            source_id=source.pk,
            external_ids=[external_id],
            now=datetime.now(UTC),
        )


def entity(integration: Integration, external_id: str) -> int:
    return CustomerSource.objects.get(
        source=integration.source, external_id=external_id
    ).customer_id


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch, account: Account) -> dict[str, str]:
    """{loser: winner} the scripted provider reports on its last page."""
    told: dict[str, str] = {}
    read = ScriptedConnector.read

    def with_merges(
        self: ScriptedConnector, stream: Stream, request: ReadRequest
    ) -> Iterator[Page]:
        last = None
        for page in read(self, stream, request):
            if last is not None:
                yield last
            last = page
        if last is None:
            last = Page(records=[], cursor=request.cursor or {"seen": 0})
        if stream.name != "companies":
            yield last
            return
        yield Page(
            records=last.records,
            cursor=last.cursor,
            deleted_ids=list(told),
            merged_ids=dict(told),
        )

    monkeypatch.setattr(ScriptedConnector, "read", with_merges)
    return told


def test_a_merge_at_the_source_repoints_the_loser_to_the_winner(
    account: Account, connect: Connect, merging: dict[str, str]
) -> None:
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    settle()
    assert entity(integration, "c2") != entity(integration, "c3")

    merging["c2"] = "c3"
    sync(integration)
    settle()

    # The older of the two customers stays; both identities are its own.
    assert entity(integration, "c2") == entity(integration, "c3")
    assert len({entity(integration, f"c{n}") for n in range(1, 5)}) == 3
    link = IdentityLink.objects.get(
        customer_source__external_id="c3", valid_to__isnull=True
    )
    assert (link.rule, link.created_by) == ("merged", "system")
    assert link.evidence == {"key": f"{integration.source.name}: c2 into c3"}
    loser = CustomerSource.objects.get(external_id="c2")
    assert loser.deleted_at is not None
    merge = SourceMerge.objects.get()
    assert (merge.record_type, merge.loser, merge.winner) == ("customer", "c2", "c3")

    seen_at = merge.seen_at
    links = IdentityLink.objects.count()
    sync(integration)
    settle()
    merge.refresh_from_db()
    assert (merge.seen_at, IdentityLink.objects.count()) == (seen_at, links)


def test_a_loser_that_comes_back_is_itself_again(
    account: Account, connect: Connect, merging: dict[str, str]
) -> None:
    account.rows = {"companies": ids(3)}
    integration = connect()
    sync(integration)
    homes = {n: entity(integration, f"c{n}") for n in (1, 2, 3)}
    merging["c2"] = "c3"
    sync(integration)
    settle()
    assert entity(integration, "c2") == entity(integration, "c3")

    merging.clear()
    account.raws["c2"] = {"id": "c2", "name": "Back again"}
    sync(integration, mode="full")
    settle()

    assert {n: entity(integration, f"c{n}") for n in (1, 2, 3)} == homes
    assert not SourceMerge.objects.exists()
    rules = IdentityLink.objects.filter(customer_source__external_id="c3").order_by(
        "pk"
    )
    assert [link.rule for link in rules] == ["created", "merged", "separate"]
    assert sum(link.valid_to is None for link in rules) == 1


def test_a_person_may_take_a_merge_apart(
    account: Account,
    connect: Connect,
    merging: dict[str, str],
    api: Callable[..., APIClient],
    alice: User,
) -> None:
    account.rows = {"companies": ids(3)}
    integration = connect()
    sync(integration)
    merging["c2"] = "c3"
    sync(integration)
    settle()
    loser = CustomerSource.objects.select_related("customer").get(external_id="c2")
    client = api(alice)

    split = client.post(
        f"/api/v1/customers/{loser.customer.public_id}/split",
        {"identity": loser.pk},
        format="json",
    )

    assert split.status_code == 200, split.json()
    settle()
    assert entity(integration, "c2") != entity(integration, "c3")
    # The provider says it again, but the person's word stands.
    sync(integration)
    settle()
    assert entity(integration, "c2") != entity(integration, "c3")


def test_a_chain_and_an_old_name_lead_to_the_last_winner(
    account: Account, connect: Connect, merging: dict[str, str]
) -> None:
    """c1 -> c2 -> c3; and `gone` was merged before we ever read it, but a contact
    still names it."""
    account.rows = {"companies": ids(3), "people": ["p1"]}
    integration = connect()
    merging |= {"c1": "c2", "c2": "c3", "gone": "c3", "c3": "c3"}
    sync(integration)
    named(integration.source, "gone")
    settle()

    assert len({entity(integration, each) for each in ("c1", "c2", "c3", "gone")}) == 1
    assert set(SourceMerge.objects.values_list("loser", "winner")) == {
        ("c1", "c2"),
        ("c2", "c3"),
        ("gone", "c3"),
    }


def test_merges_of_one_source_say_nothing_of_another(
    account: Account,
    connect: Connect,
    merging: dict[str, str],
    other_org: Organization,
) -> None:
    account.rows = {"companies": ids(2)}
    integration = connect()
    theirs = Source.objects.create(organization=other_org, name="theirs")
    for external_id in ("c1", "c2"):
        named(theirs, external_id)
    merging["c1"] = "c2"
    sync(integration)
    settle()

    assert entity(integration, "c1") == entity(integration, "c2")
    homes = CustomerSource.objects.filter(source=theirs).values_list("customer_id")
    assert len(set(homes)) == 2


@pytest.mark.parametrize("name", ["hubspot", "salesforce"])
def test_real_providers_merges_end_in_one_identity(
    name: str, org: Organization, settings: LazySettings
) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    fake: FakeProvider = fakes.load(name)()
    with fake.serve() as server:
        bench = Bench(fake, server, connect_fake(org, fake, server))
        made = fake.seed(6)
        bench.sync()
        settle()
        StreamState.objects.update(checked_deletes_at=None)
        fake.tick()
        fake.merge(made[1], made[4])

        for mode in ("incremental", "full"):
            assert bench.sync(mode).status == "completed"
        settle()

    merge = SourceMerge.objects.get()
    assert (merge.loser, merge.winner) == (made[1], made[4])
    Member = Contact if fake.record_type == "contact" else CustomerSource
    pointer = "person_id" if Member is Contact else "customer_id"
    homes = dict(Member.objects.values_list("external_id", pointer))
    assert homes[made[1]] == homes[made[4]]
    assert len({homes[each] for each in made}) == 5
