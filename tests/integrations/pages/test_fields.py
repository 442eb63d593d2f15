"""Fields of a whole integration on its pages: what tells a change, what means what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from churnguard.models import AuditEntry, User
from integrations import mappings, registry
from integrations.models import StreamState
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

LIMITS = {
    "form": "sync",
    "sync_frequency": "3600",
    "sync_mode": "incremental",
    "batch_size": "1000",
    "requests_per_minute": "60",
    "concurrent_requests": "5",
    "retry_attempts": "3",
    "retry_backoff": "60",
    "tags": "",
    "data_filters": "",
}


@pytest.fixture
def accounts(world: World) -> StreamState:
    """A stream with the columns id and tier that has been read up to somewhere."""
    state = StreamState.objects.get(integration=world.crm, name="crm.accounts")
    state.cursor = {"at": 7}
    state.save(update_fields=["cursor"])
    return state


def test_the_field_that_tells_a_change_is_chosen_for_all(
    world: World, pages: Client, place: str, accounts: StreamState
) -> None:
    page = pages.get(f"{place}settings/").content.decode()
    assert '<option value="tier"></option>' in page

    saved = pages.post(f"{place}settings/", {**LIMITS, "incremental_field": "tier"})

    assert saved.status_code == 302
    world.crm.refresh_from_db()
    accounts.refresh_from_db()
    assert world.crm.incremental_field == "tier"
    assert accounts.cursor is None
    page = pages.get(f"{place}settings/").content.decode()
    assert 'name="incremental_field" value="tier"' in page
    assert ">By tier</option>" in page


def test_a_field_that_a_kind_of_data_lacks_is_refused(
    world: World, pages: Client, place: str, accounts: StreamState
) -> None:
    answer = pages.post(f"{place}settings/", {**LIMITS, "incremental_field": "changed"})

    assert answer.status_code == 422
    assert answer.context["sync_form"].errors["incremental_field"] == [
        "No field “changed” in Accounts. Leave it empty here and choose it for the "
        "single kinds of data that have it."
    ]
    world.crm.refresh_from_db()
    accounts.refresh_from_db()
    assert world.crm.incremental_field == ""
    assert accounts.cursor == {"at": 7}


def test_saving_other_limits_leaves_the_position_alone(
    pages: Client, place: str, accounts: StreamState
) -> None:
    answer = pages.post(f"{place}settings/", {**LIMITS, "batch_size": "50"})

    assert answer.status_code == 302
    accounts.refresh_from_db()
    assert accounts.cursor == {"at": 7}


def test_a_kind_of_data_has_a_field_of_its_own(
    world: World, pages: Client, place: str, accounts: StreamState
) -> None:
    sent = {
        "stream": "crm.accounts",
        "record_type": "object",
        "sync_frequency": "",
        "incremental_field": "tier",
    }
    pages.post(f"{place}stream/", sent)
    accounts.refresh_from_db()
    assert (accounts.incremental_field, accounts.cursor) == ("tier", None)

    said = pages.post(
        f"{place}stream/", {**sent, "incremental_field": "no"}, follow=True
    )

    assert "The stream has no field “no”." in said.content.decode()
    accounts.refresh_from_db()
    assert accounts.incremental_field == "tier"


def test_fields_of_every_kind_of_data_are_written_as_lines(
    world: World, pages: Client, place: str, accounts: StreamState
) -> None:
    lines = (
        'name = company\n\nplan = {"source": "tier", "transform": {"kind": "lower"}}\n'
    )

    saved = pages.post(f"{place}mapping/", {"do": "shared", "field_mappings": lines})

    assert saved.status_code == 302
    world.crm.refresh_from_db()
    assert world.crm.field_mappings == {
        "name": "company",
        "plan": {"source": "tier", "transform": {"kind": "lower"}},
    }
    rules = mappings.effective(world.crm, accounts)["rules"]
    assert [rule["target"] for rule in rules] == ["custom.name", "custom.plan"]
    shown = pages.get(f"{place}mapping/").context["shared"]["field_mappings"].value()
    assert shown == (
        'name = company\nplan = {"source": "tier", "transform": {"kind": "lower"}}'
    )
    entry = AuditEntry.objects.filter(action="integration.updated").latest("pk")
    assert entry.actor == "alice@example.com"
    assert entry.after["field_mappings"]["name"] == "company"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("name", "Line 1 must look like: name = company_name."),
        ("name = a\nname = b", "Line 2 repeats “name”."),
        ("name =", "Line 1 must look like: name = company_name."),
        ("name = {bad", "Line 1: Expecting property name"),
        ('name = {"source": "a", "transform": "nonesuch"}', "Choose a kind"),
    ],
)
def test_lines_that_mean_nothing_are_refused_and_stay_to_be_mended(
    world: World, pages: Client, place: str, lines: str, told: str
) -> None:
    registry.update(
        world.crm, {"sync_config": {"field_mappings": {"name": "kept"}}}, by="test"
    )

    answer = pages.post(f"{place}mapping/", {"do": "shared", "field_mappings": lines})

    assert answer.status_code == 422
    (error,) = answer.context["shared"].errors["field_mappings"]
    assert told in error
    assert answer.context["shared"]["field_mappings"].value() == lines
    world.crm.refresh_from_db()
    assert world.crm.field_mappings == {"name": "kept"}


def test_only_an_admin_changes_them(
    world: World, signed: Callable[[User], Client], bob: User, place: str
) -> None:
    viewer = signed(bob)
    assert "An admin can name some." in viewer.get(f"{place}mapping/").content.decode()

    answer = viewer.post(
        f"{place}mapping/", {"do": "shared", "field_mappings": "name = x"}
    )

    assert answer.status_code == 403
    world.crm.refresh_from_db()
    assert world.crm.field_mappings == {}
