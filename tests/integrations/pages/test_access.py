"""Every page and button: the owner may, members by role, a stranger finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from churnguard.models import User
from integrations.models import Integration
from integrations.views import urls as pages
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

# Page -> the lowest role that may see it.
SEEN = {
    "/integrations/": "viewer",
    "/integrations/new/": "admin",
    "/integrations/new/postgresql/": "admin",
    "/integrations/new/file/": "admin",
    "/integrations/new/file/guide/": "viewer",
    "/integrations/{crm}/": "viewer",
    "/integrations/{crm}/runs/": "viewer",
    "/integrations/{crm}/ledger/": "viewer",
    "/integrations/{crm}/mapping/": "viewer",
    "/integrations/{crm}/settings/": "admin",
    "/integrations/{crm}/setup/": "admin",
    "/integrations/{files}/files/": "analyst",
    "/syncs/": "viewer",
    "/syncs/{run}/": "viewer",
    "/quarantine/": "viewer",
    "/quarantine/{refused}/": "viewer",
}
# Button -> the lowest role that may press it.
PRESSED = {
    "/integrations/{crm}/sync/": "analyst",
    "/integrations/{crm}/cancel/": "analyst",
    "/integrations/{crm}/drift/": "analyst",
    "/integrations/{crm}/mapping/roll-back/": "analyst",
    "/integrations/{files}/files/upload/": "analyst",
    "/integrations/{files}/files/upl_none/remove/": "analyst",
    "/integrations/bulk/": "admin",
    "/integrations/{crm}/pause/": "admin",
    "/integrations/{crm}/resume/": "admin",
    "/integrations/{crm}/test/": "admin",
    "/integrations/{crm}/authorize/": "admin",
    "/integrations/{crm}/discover/": "admin",
    "/integrations/{crm}/reset/": "admin",
    "/integrations/{crm}/delete/": "admin",
    "/integrations/{crm}/stream/": "admin",
    "/integrations/{crm}/brake/": "admin",
    "/syncs/{run}/cancel/": "analyst",
    "/syncs/{run}/retry/": "analyst",
    "/quarantine/bulk/": "analyst",
}
RANKS = ("viewer", "analyst", "admin", "owner")


def address(path: str, world: World) -> str:
    return path.format(
        crm=world.crm.public_id,
        files=world.files.public_id,
        run=world.run.public_id,
        refused=world.refused.pk,
    )


def test_every_address_is_in_one_of_the_two_tables() -> None:
    assert len(SEEN) + len(PRESSED) == len(pages.urlpatterns) + 1
    # "+ 1": the form of files and the form of a database share one pattern.


@pytest.mark.parametrize("role", RANKS)
def test_pages_open_by_role(
    world: World, client: Client, member: Callable[..., User], role: str
) -> None:
    client.force_login(member(role))

    for path, least in SEEN.items():
        answer = client.get(address(path, world))
        may = RANKS.index(role) >= RANKS.index(least)
        assert answer.status_code == (200 if may else 403), path


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_buttons_are_refused_below_their_role(
    world: World, client: Client, member: Callable[..., User], role: str
) -> None:
    client.force_login(member(role))

    for path, least in PRESSED.items():
        if RANKS.index(role) < RANKS.index(least):
            assert client.post(address(path, world)).status_code == 403, path
    assert Integration.objects.filter(status="authentication_failed").exists()


def test_a_stranger_finds_nothing(world: World, client: Client, charlie: User) -> None:
    client.force_login(charlie)

    for path in SEEN:
        if "{" in path:
            assert client.get(address(path, world)).status_code == 404, path
    for path in PRESSED:
        if "{" in path:
            assert client.post(address(path, world)).status_code == 404, path
    assert world.crm.name.encode() not in client.get("/integrations/").content
    assert b"Exports" not in client.get("/syncs/").content
    assert b"Nothing was refused" in client.get("/quarantine/").content


def test_nobody_is_sent_to_the_sign_in(world: World, client: Client) -> None:
    for path in SEEN:
        place = address(path, world)
        assert client.get(place)["Location"] == f"/sign-in/?next={place}"


def test_a_form_without_its_token_is_refused(world: World, alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)

    for path in PRESSED:
        assert strict.post(address(path, world)).status_code == 403, path


def test_ids_that_are_none_are_404(
    world: World, signed: Callable[[Any], Client], alice: User
) -> None:
    client = signed(alice)

    assert client.get("/integrations/int_none/").status_code == 404
    assert client.get("/integrations/new/nosuch/").status_code == 404
    assert client.get("/syncs/sync_none/").status_code == 404
    assert client.get("/quarantine/999999999999999999999/").status_code == 404
    assert client.get(f"/integrations/{world.crm.public_id}/files/").status_code == 404
    no_stream = {"stream": "a\x00b"}
    place = f"/integrations/{world.crm.public_id}/stream/"
    assert client.post(place, no_stream).status_code == 404
