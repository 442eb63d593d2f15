"""Text that PostgreSQL cannot keep is refused by every form, and breaks none."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from churnguard.models import Quarantine
from integrations.models import MappingVersion
from tests.integrations.pages.test_fields import LIMITS
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)

NUL = "a\x00b"
NUL_IN_JSON = json.dumps({"value": NUL})
RULE = {"source-0": "plan", "target-0": "name", "transform-0": "upper", "do": "save"}


@pytest.mark.parametrize(
    "given",
    [
        {"source-0": NUL},
        {"default-0": NUL},
        {"custom": NUL},
        {"params-0": NUL_IN_JSON, "transform-0": "constant"},
        {"chain-0": "{", "transform-0": "chain"},
    ],
)
def test_a_mapping_is_refused_with_a_sentence(
    world: World, pages: Client, given: dict[str, str]
) -> None:
    place = f"/integrations/{world.files.public_id}/mapping/?stream=accounts"

    answer = pages.post(place, {**RULE, **given})

    assert answer.status_code == 422
    assert answer.context["problem"]
    assert not MappingVersion.objects.exists()


def test_a_note_loses_what_cannot_be_kept(world: World, pages: Client) -> None:
    place = f"/integrations/{world.files.public_id}/mapping/?stream=accounts"

    pages.post(place, {**RULE, "note": NUL})

    assert MappingVersion.objects.get().note == "ab"


@pytest.mark.parametrize("name", ["data_filters", "field_mappings"])
def test_json_of_the_settings_is_refused_at_its_field(
    world: World, pages: Client, place: str, name: str
) -> None:
    if name == "data_filters":
        form = {**LIMITS, "data_filters": NUL_IN_JSON}
        answer = pages.post(f"{place}settings/", form)
        errors = answer.context["sync_form"].errors
    else:
        form = {"field_mappings": f"name = {NUL_IN_JSON}", "do": "shared"}
        answer = pages.post(f"{place}mapping/", form)
        errors = answer.context["shared"].errors

    assert answer.status_code == 422
    assert errors == {name: ["Too large, or with NUL characters."]}


def test_nobody_is_sent_to_an_address_that_is_none(world: World, pages: Client) -> None:
    home = f"/integrations/{world.files.public_id}/"

    answer = pages.post(f"{home}cancel/", {"next": f"/integrations/?q={NUL}"})

    assert answer["Location"] == home


def test_a_reason_loses_what_cannot_be_kept(world: World, pages: Client) -> None:
    place = f"/quarantine/{world.refused.pk}/"

    pages.post(place, {"do": "discard", "reason": NUL})

    assert Quarantine.objects.get().state == "discarded"
