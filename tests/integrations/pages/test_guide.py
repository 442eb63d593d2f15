"""The documentation of each connector, readable where it is connected."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from churnguard.models import User
from integrations import connectors

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", sorted(connectors.REGISTRY))
def test_every_connector_has_a_guide_that_its_form_leads_to(
    client: Client, bob: User, alice: User, name: str
) -> None:
    client.force_login(alice)
    place = f"/integrations/new/{name}/guide/"
    assert place in client.get(f"/integrations/new/{name}/").content.decode()

    # Whoever may read may read this too.
    client.force_login(bob)
    page = client.get(place)

    html = page.content.decode()
    assert page.status_code == 200
    assert f"Guide to {connectors.get(name).label}" in html
    body = html.partition('class="card-body prose"')[2].partition("</article>")[0]
    assert body.count("<h2>") >= 2
    assert '<table class="data cards">' in body
    assert '<td class="wide" data-label="' in body
    assert "<h1" not in body
    assert not re.search(r"^\s*\|[ -]", body, re.MULTILINE)
    assert ".md" not in re.sub(r"<code>.*?</code>", "", body)


def test_an_unknown_connector_has_none(client: Client, bob: User) -> None:
    client.force_login(bob)

    assert client.get("/integrations/new/nonesuch/guide/").status_code == 404
