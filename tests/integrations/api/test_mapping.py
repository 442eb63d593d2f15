"""Field mappings over HTTP: preview, dry run, versions, back again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from churnguard.models import CustomerSource
from integrations.models import Integration
from tests.integrations.sync.conftest import sync
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)

RULE = {"target": "industry", "source": "Trade", "transform": {"kind": "lower"}}
SPEC = {"version": 1, "record_type": "customer", "rules": [RULE], "custom": ["Size"]}


@pytest.fixture
def made(account: Account, connect: Callable[..., Integration]) -> Integration:
    account.rows = {"companies": ids(30)}
    account.raws = {
        each: {"id": each, "name": each, "Trade": f"TOYS {each}", "Size": 3}
        for each in ids(30)
    }
    integration = connect(batch_size=10)
    sync(integration)
    return integration


def url(made: Integration, tail: str = "") -> str:
    return f"/api/integrations/{made.public_id}/streams/companies/mapping{tail}"


def test_preview_shows_20_real_records_and_stores_nothing(
    owner: APIClient, made: Integration
) -> None:
    rows = owner.post(url(made, "/preview"), {"spec": SPEC}, format="json").json()

    assert len(rows["results"]) == 20
    first = rows["results"][0]
    assert "industry" not in first["before"]
    assert first["after"]["industry"] == f"toys {first['raw']['id']}"
    assert first["after"]["custom"] == {"Size": 3}
    assert not CustomerSource.objects.exclude(industry=None).exists()
    assert owner.get(url(made)).json()["version"] is None


def test_a_dry_run_counts(owner: APIClient, made: Integration) -> None:
    spec = {**SPEC, "rules": [RULE, {"target": "seats", "source": "name"}]}

    counts = owner.post(url(made, "/dry-run"), {"spec": spec}, format="json").json()

    assert (counts["records"], counts["refused"], counts["changed"]) == (30, 30, 0)
    assert counts["errors"][0]["field"] == "seats"
    good = owner.post(url(made, "/dry-run"), {"spec": SPEC}, format="json").json()
    assert (good["changed"], good["fields"]) == (30, {"industry": 30, "custom": 30})


def test_save_apply_and_roll_back(owner: APIClient, made: Integration) -> None:
    first = owner.put(url(made), {"spec": SPEC, "note": "trades"}, format="json").json()
    assert first["version"] == 1
    sync(made, mode="full")
    row = CustomerSource.objects.get(source=made.source, external_id="c7")
    assert (row.industry, row.custom) == ("toys c7", {"Size": 3})
    empty = {"version": 1, "record_type": "customer", "rules": [], "custom": []}
    assert owner.put(url(made), {"spec": empty}, format="json").json()["version"] == 2

    back = owner.post(url(made, "/rollback"), {"version": 1}, format="json").json()

    assert (back["version"], back["note"]) == (3, "Back to version 1")
    versions = owner.get(url(made, "/versions")).json()["results"]
    assert [row["version"] for row in versions] == [3, 2, 1]
    assert owner.get(url(made)).json()["spec"]["rules"] == [RULE]
    unknown = owner.post(url(made, "/rollback"), {"version": 99}, format="json")
    assert unknown.json()["code"] == "unknown_version"


def test_a_mapping_that_cannot_work_is_refused_with_its_place(
    owner: APIClient, made: Integration
) -> None:
    spec: dict[str, Any] = {"rules": [{"target": "nonesuch", "source": "a"}]}

    answer = owner.put(url(made), {"spec": spec}, format="json")

    assert answer.status_code == 400
    assert "rules.0.target" in answer.json()["fields"]
    other = {**SPEC, "record_type": "invoice"}
    assert owner.put(url(made), {"spec": other}, format="json").status_code == 400


def test_roles_and_strangers(
    viewer: APIClient, stranger: APIClient, made: Integration
) -> None:
    assert viewer.get(url(made)).status_code == 200
    assert viewer.put(url(made), {"spec": SPEC}, format="json").status_code == 403
    for tail in ("", "/versions"):
        assert stranger.get(url(made, tail)).status_code == 404
    for tail in ("/preview", "/dry-run", "/rollback"):
        assert stranger.post(url(made, tail)).status_code == 404
