"""What each transform does, and what it says of a value it cannot use."""

from __future__ import annotations

import pytest

from churnguard.errors import RecordError
from tests.integrations.mapping.specs import DAY, mapped


@pytest.mark.parametrize(
    ("value", "transform", "expected"),
    [
        (" A ", {"kind": "rename"}, " A "),
        (7, {"kind": "rename"}, 7),
        ("x", {"kind": "constant", "value": "eu"}, "eu"),
        (None, {"kind": "constant", "value": "eu"}, "eu"),
        ("AbC", {"kind": "lower"}, "abc"),
        ("AbC", {"kind": "upper"}, "ABC"),
        ("  AbC ", {"kind": "trim"}, "AbC"),
        (12, {"kind": "prefix", "value": "sf:"}, "sf:12"),
        (12.0, {"kind": "prefix", "value": "sf:"}, "sf:12"),
        ("04.03.2026", {"kind": "date"}, DAY),
        ("03/04/2026", {"kind": "date", "day_first": False}, DAY),
        ("2026-03-04T01:00", {"kind": "date", "zone": "Europe/Berlin"}, DAY),
        ("4-3-26", {"kind": "date", "formats": ["%d-%m-%y"]}, DAY),
        ("12", {"kind": "number"}, 12),
        ("1,234.50", {"kind": "number"}, 1234.5),
        ("1.234,50", {"kind": "number", "decimal": ","}, 1234.5),
        ("(7)", {"kind": "number"}, -7),
        ("15 %", {"kind": "number"}, 15),
        ("2.5", {"kind": "number", "integer": True}, 3),
        ("19.99", {"kind": "money", "currency": "EUR"}, 1999),
        ("€ 1 234,50", {"kind": "money", "currency": "EUR", "decimal": ","}, 123450),
        ("USD 19.999", {"kind": "money", "currency": "usd"}, 2000),
        (19.99, {"kind": "money"}, 1999),
        (500, {"kind": "money", "currency": "JPY"}, 500),
        ("1.5", {"kind": "money", "currency": "KWD"}, 1500),
        (1999, {"kind": "money", "unit": "minor"}, 1999),
        ("Yes", {"kind": "boolean"}, True),
        (0, {"kind": "boolean"}, False),
        ("aktiv", {"kind": "boolean", "true": ["Aktiv"], "false": ["weg"]}, True),
        ("GOLD", {"kind": "lookup", "table": {"gold": "enterprise"}}, "enterprise"),
        (3, {"kind": "lookup", "table": {"3": "high"}}, "high"),
        ("new", {"kind": "lookup", "table": {}, "default": "other"}, "other"),
        ("new", {"kind": "lookup", "table": {}, "default": None}, None),
        ("new", {"kind": "lookup", "table": {}, "keep": True}, "new"),
        ("a, b", {"kind": "split", "separator": ",", "index": 1}, "b"),
        ("a, b", {"kind": "split", "separator": ",", "index": -1}, "b"),
        ("a", {"kind": "split", "separator": ",", "index": 4}, None),
        (["a", None, "b"], {"kind": "join", "separator": "/"}, "a/b"),
        ([{"kind": "x"}], {"kind": "rename"}, [{"kind": "x"}]),
        ("  ", {"kind": "lower"}, None),
        (None, {"kind": "date"}, None),
        (" Gold ", [{"kind": "trim"}, {"kind": "lower"}], "gold"),
        (
            "A-2026-03-04",
            [{"kind": "split", "separator": "A-", "index": 1}, {"kind": "date"}],
            DAY,
        ),
    ],
)
def test_transforms(value, transform, expected):
    found = mapped({"v": value}, transform)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "transform", "words"),
    [
        ("soon", {"kind": "date"}, "'soon' is not a date"),
        ("03/04/2026", {"kind": "date"}, "two ways"),
        ("many", {"kind": "number"}, "'many' is not a number"),
        (True, {"kind": "number"}, "True is not a number"),
        ("1e999999999", {"kind": "money"}, "not a usable number"),
        (10**19, {"kind": "money"}, "too large"),
        ("maybe", {"kind": "boolean"}, "neither true nor false"),
        ("new", {"kind": "lookup", "table": {"old": 1}}, "not in the lookup table"),
        ({"a": 1}, {"kind": "lower"}, "is not text"),
    ],
)
def test_values_that_do_not_fit_name_their_field(value, transform, words):
    with pytest.raises(RecordError, match=words) as caught:
        mapped({"v": value}, transform)

    assert caught.value.field == "custom.x"
    assert caught.value.code == "bad_value"
