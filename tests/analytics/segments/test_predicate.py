"""A definition finds whom plain Python finds, whatever it says."""

from __future__ import annotations

import json
import random

import pytest
from django.db import connection

from analytics.segments.fields import FIELDS
from analytics.segments.predicate import compile_node
from analytics.segments.tree import parse
from churnguard.models import Customer, Organization
from tests.analytics.segments.definitions import random_condition, random_definition
from tests.analytics.segments.world import NOW, World, evaluate, make_world


def found(world: World, definition: object) -> set[int]:
    predicate = compile_node(parse(definition), world.org, NOW)
    with connection.cursor() as cur:
        cur.execute(predicate.sql, predicate.values)
        rows = [row[0] for row in cur.fetchall()]
    assert len(rows) == len(set(rows)), "a customer comes twice"
    by_orm = Customer.objects.filter(pk__in=predicate.ids).values_list("pk", flat=True)
    assert set(by_orm) == set(rows)
    return set(rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_definitions_equal_a_plain_evaluation(
    org: Organization, other_org: Organization, seed: int
) -> None:
    world = make_world(org, seed)
    Customer.objects.create(organization=other_org, name="Ash 100%", plan="Pro")
    dice = random.Random(seed)
    sizes = set()

    for _ in range(250):
        definition = random_definition(dice)
        expected = evaluate(world, definition)
        assert found(world, definition) == expected, json.dumps(definition)
        sizes.add(len(expected))

    # Neither everybody nor nobody all the time.
    assert len(sizes) > 8


def test_every_operator_of_every_field_equals_a_plain_evaluation(
    org: Organization,
) -> None:
    world = make_world(org, 11, count=20)
    dice = random.Random(4)
    tried = 0

    for field in FIELDS:
        for op in field.ops:
            for _ in range(3):
                definition = random_condition(dice, field, op)
                expected = evaluate(world, definition)
                assert found(world, definition) == expected, json.dumps(definition)
                tried += 1

    assert tried > 800
