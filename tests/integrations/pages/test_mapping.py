"""The mapping editor: tried on real records, told what is wrong, kept as versions."""

from __future__ import annotations

import pytest
from django.test import Client

from churnguard.models import User
from integrations import mappings
from integrations.models import MappingVersion, StreamState
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)


def mapping_place(world: World) -> str:
    return f"/integrations/{world.files.public_id}/mapping/?stream=accounts"


RULE = {
    "source-0": "account_name",
    "transform-0": "upper",
    "target-0": "name",
    "custom": "",
}


def test_a_mapping_is_previewed_and_tried_before_it_is_saved(
    world: World, pages: Client
) -> None:
    shown = pages.post(mapping_place(world), {**RULE, "do": "preview"})
    tried = pages.post(mapping_place(world), {**RULE, "do": "dry"})

    changes = {row["external_id"]: row["changes"] for row in shown.context["preview"]}
    assert changes["A-1"] == [("name", "Birch", "BIRCH")]
    assert tried.context["result"]["changed"] == 3
    assert not MappingVersion.objects.exists()


def test_versions_are_saved_and_rolled_back(world: World, pages: Client) -> None:
    pages.post(mapping_place(world), {**RULE, "do": "save", "note": "Loud"})
    lower = {**RULE, "transform-0": "lower", "do": "save"}
    pages.post(mapping_place(world), lower)
    state = StreamState.objects.get(integration=world.files, name="accounts")
    assert state.mapping_version == 2

    pages.post(
        f"/integrations/{world.files.public_id}/mapping/roll-back/",
        {"stream": "accounts", "version": "1"},
    )

    state.refresh_from_db()
    spec = mappings.describe(state)["spec"]
    assert spec["rules"][0]["transform"] == {"kind": "upper"}
    page = pages.get(mapping_place(world))
    assert page.context["rows"][0]["kind"] == "upper"
    assert b"Back to version 1" in page.content


def test_a_rule_that_cannot_be_used_is_answered_with_422(
    world: World, pages: Client
) -> None:
    unknown = pages.post(
        mapping_place(world), {**RULE, "target-0": "nosuch", "do": "save"}
    )
    no_json = pages.post(mapping_place(world), {**RULE, "params-0": "{", "do": "save"})

    assert unknown.status_code == no_json.status_code == 422
    assert b"nosuch" in unknown.content
    assert not MappingVersion.objects.exists()


def test_several_transforms_survive_the_form(world: World, pages: Client) -> None:
    state = StreamState.objects.get(integration=world.files, name="accounts")
    chain = [{"kind": "trim"}, {"kind": "upper"}]
    rule = {"target": "name", "source": "account_name", "transform": chain}
    mappings.save(state, {"rules": [rule]}, by="test")
    row = pages.get(mapping_place(world)).context["rows"][0]

    pages.post(
        mapping_place(world),
        {
            "source-0": row["source"],
            "target-0": row["target"],
            "transform-0": row["kind"],
            "chain-0": row["chain"],
            "do": "save",
        },
    )

    assert mappings.describe(state)["spec"]["rules"][0]["transform"] == chain


def test_a_viewer_may_preview_but_not_save(
    world: World, client: Client, bob: User
) -> None:
    client.force_login(bob)

    seen = client.post(mapping_place(world), {**RULE, "do": "preview"})
    kept = client.post(mapping_place(world), {**RULE, "do": "save"})

    assert seen.status_code == 200
    assert kept.status_code == 403
    assert not MappingVersion.objects.exists()


def test_custom_fields_are_previewed_by_their_names(
    world: World, pages: Client
) -> None:
    rule = {**RULE, "transform-0": "rename", "target-0": "custom.title"}

    shown = pages.post(mapping_place(world), {**rule, "do": "preview"})

    changes = {row["external_id"]: row["changes"] for row in shown.context["preview"]}
    assert changes["A-1"] == [("custom.title", None, "Birch")]


def test_each_wrong_rule_says_so_beside_itself(world: World, pages: Client) -> None:
    rules = {
        **RULE,
        "target-0": "nosuch",
        "target-1": "",
        "target-2": "segment",
        "source-2": "plan",
        "transform-2": "rename",
        "target-3": "domain",
        "source-3": "plan",
        "transform-3": "lookup",
    }

    for do in ("preview", "dry", "save"):
        told = pages.post(mapping_place(world), {**rules, "do": do})

        page = told.content.decode()
        assert told.status_code == 422
        assert "Rules 1 and 3 cannot be used." in page
        faults = [row["faults"] for row in told.context["rows"]]
        assert [fault and list(fault) for fault in faults] == [
            ["target"], None, ["transform"], None, None,
        ]  # fmt: skip
        assert page.count('aria-invalid="true"') == 3
        assert 'name="target-0" aria-invalid="true" aria-describedby="faults-0"' in page
