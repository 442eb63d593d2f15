"""User mappings: what each transform does, and what is said when it cannot."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.errors import ConfigError, RecordError
from churnguard.records import (
    RECORD_TYPES,
    CustomerRecord,
    EventRecord,
    InvoiceRecord,
    TicketRecord,
)
from integrations.mapping import (
    TRANSFORMS,
    apply_mapping,
    compile_entity_mappings,
    compile_mapping,
    preview,
    record_from_mapping,
    records_from_mapping,
    spec_from_field_mappings,
)

DAY = datetime(2026, 3, 4, tzinfo=UTC)
ID = {"target": "external_id", "source": "id"}


def spec(*rules, record_type="customer", **more):
    return {"record_type": record_type, "rules": list(rules), **more}


def mapped(raw, transform, *, target="custom.x", record_type="customer", **rule):
    """What one rule makes of raw["v"]; None where nothing came."""
    rule = {"target": target, "source": "v", "transform": transform} | rule
    values = apply_mapping(raw, spec(rule, record_type=record_type))
    bag, dot, key = target.partition(".")
    return values.get(bag, {}).get(key) if dot else values.get(target)


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


def test_several_sources():
    rules = [
        {
            "target": "name",
            "sources": ["company", "account.name", "email"],
            "transform": {"kind": "first_non_empty"},
        },
        {
            "target": "owner",
            "sources": ["first", "last"],
            "transform": {"kind": "join"},
        },
    ]
    raw = {"company": " ", "account": {"name": "Acme"}, "first": "Ann", "last": "Lee"}

    assert apply_mapping(raw, spec(*rules)) == {"name": "Acme", "owner": "Ann Lee"}


def test_money_by_the_currency_of_the_row():
    rule = {
        "target": "total_minor",
        "source": "total",
        "transform": {"kind": "money", "currency_source": "cur"},
    }
    mapping = compile_mapping(spec(rule, record_type="invoice"))

    assert mapping.values({"total": "10.5", "cur": "usd"}) == {"total_minor": 1050}
    assert mapping.values({"total": "10", "cur": "JPY"}) == {"total_minor": 10}


def test_paths_reach_into_objects_and_lists():
    raw = {"a": {"b": [{"c": "deep"}]}, "x.y": "flat"}

    assert mapped(raw, {"kind": "rename"}, source="a.b.0.c") == "deep"
    assert mapped(raw, {"kind": "rename"}, source="a.b.9.c") is None
    assert mapped(raw, {"kind": "rename"}, source="x.y") == "flat"


def test_default_and_required():
    assert mapped({}, {"kind": "rename"}, default="none") == "none"
    with pytest.raises(RecordError, match="v has no value") as caught:
        mapped({"v": ""}, {"kind": "rename"}, required=True)
    assert caught.value.code == "missing_field"


def test_custom_fields_are_kept_by_name_or_all():
    raw = {"id": "1", "Tier__c": "A", "Score__c": None, "Name": "Acme"}

    named = apply_mapping(raw, spec(ID, custom=["Tier__c", "Score__c"]))
    assert named == {"external_id": "1", "custom": {"Tier__c": "A"}}
    everything = apply_mapping(
        raw, spec(ID, {"target": "custom.n", "source": "Name"}, custom=["*"])
    )
    assert everything["custom"] == {"Tier__c": "A", "n": "Acme"}


def test_a_whole_object_may_go_into_custom():
    raw = {"id": "1", "attributes": {"a": 1}, "b": 2}
    rules = [
        {"target": "custom.b", "source": "b"},
        {"target": "custom", "source": "attributes"},
    ]

    found = apply_mapping(raw, spec(ID, *rules, custom=["b"]))

    assert found["custom"] == {"a": 1, "b": 2}
    assert raw["attributes"] == {"a": 1}
    with pytest.raises(RecordError, match="is not an object"):
        apply_mapping({"attributes": [1]}, spec(*rules))


def test_record_of_a_raw_object():
    mapping = compile_mapping(
        spec(
            ID,
            {"target": "seats", "source": "seats"},
            {"target": "signup_at", "source": "since"},
            {"target": "links.stripe", "source": "stripe_id"},
        )
    )
    raw = {"id": 17, "seats": "12", "since": "2026-03-04", "stripe_id": "cus_1"}

    assert mapping.record(raw) == CustomerRecord(
        external_id="17",
        seats=12,
        signup_at=DAY,
        links={"stripe": "cus_1"},
        raw=raw,
    )


def test_mapping_over_a_connectors_record():
    record = TicketRecord(
        external_id="1",
        subject="Help",
        priority="normal",
        custom={"kept": 1},
        raw={"id": 1, "prio": "P1", "opened": "2026-03-04"},
    )
    mapping = compile_mapping(
        spec(
            {
                "target": "priority",
                "source": "prio",
                "transform": {"kind": "lookup", "table": {"p1": "urgent"}},
            },
            {"target": "opened_at", "source": "opened"},
            {"target": "custom.prio", "source": "prio"},
            {"target": "team", "source": "missing"},
            record_type="ticket",
        )
    )

    changed = mapping.apply(record)

    assert changed.priority == "urgent"
    assert changed.opened_at == DAY
    assert changed.custom == {"kept": 1, "prio": "P1"}
    assert (changed.subject, changed.team) == ("Help", None)
    assert record.priority == "normal"


def test_events_keep_their_properties():
    mapping = compile_mapping(
        spec_from_field_mappings(
            {"user_id": "uid", "event_name": "action_type", "timestamp": "event_ts"},
            "event",
        )
        | {"custom": ["*"]}
    )
    raw = {"uid": 5, "action_type": "login", "event_ts": 1772582400, "plan": "pro"}

    values = mapping.values(raw | {"id": "e1"})
    assert values["event"] == "login"
    assert values["properties"] == {"plan": "pro", "id": "e1"}
    event = record_from_mapping(values | {"event_id": "e1"}, "event")
    assert event == EventRecord(
        event_id="e1",
        event="login",
        timestamp=DAY,
        user_id="5",
        properties={"plan": "pro", "id": "e1"},
    )


@pytest.mark.parametrize(
    ("rules", "place", "words"),
    [
        ([{"target": "nope", "source": "a"}], "rules.0.target", "not a field"),
        ([{"target": "links", "source": ""}], "rules.0.source", "field name"),
        ([ID, ID], "rules.1.target", "has a rule already"),
        ([{"target": "name"}], "rules.0.source", "field name"),
        ([{"target": "name", "source": "a", "x": 1}], "rules.0.x", "Not a part"),
        (["name"], "rules.0", "A rule is an object"),
        (
            [{"target": "name", "source": "a", "transform": {"kind": "magic"}}],
            "rules.0.transform",
            "Choose a kind",
        ),
        (
            [{"target": "name", "source": "a", "transform": {"kind": "prefix"}}],
            "rules.0.transform",
            "value is missing",
        ),
        (
            [{"target": "name", "source": "a", "transform": {"kind": "trim", "a": 1}}],
            "rules.0.transform",
            "not a parameter",
        ),
        (
            [
                {
                    "target": "signup_at",
                    "source": "a",
                    "transform": {"kind": "date", "zone": "Mars"},
                }
            ],
            "rules.0.transform",
            "not a time zone",
        ),
        (
            [
                {
                    "target": "name",
                    "source": "a",
                    "transform": [{"kind": "split", "separator": ""}],
                }
            ],
            "rules.0.transform.0",
            "separator must be text",
        ),
        (
            [{"target": "name", "sources": ["a", "b"], "transform": {"kind": "trim"}}],
            "rules.0.sources",
            "takes one source",
        ),
    ],
)
def test_wrong_specifications_say_where(rules, place, words):
    with pytest.raises(ConfigError) as caught:
        compile_mapping(spec(*rules))

    assert caught.value.code == "invalid_mapping"
    assert words in caught.value.fields[place]


def test_wrong_outer_parts():
    with pytest.raises(ConfigError) as caught:
        compile_mapping(spec(ID, version=2, extra=1, custom=[1]))
    assert set(caught.value.fields) == {"extra", "version", "custom"}
    with pytest.raises(ConfigError) as caught:
        compile_mapping({"record_type": "planet", "rules": []})
    assert caught.value.code == "unknown_record_type"


def test_field_mappings_as_the_specification_writes_them():
    """Ours on the left, theirs on the right."""
    found = spec_from_field_mappings(
        {
            "customer_id": "external_customer_id",
            "email": "customer_email",
            "created_at": "registration_date",
        },
        "customer",
    )
    record = compile_mapping(found).record(
        {
            "external_customer_id": 9,
            "customer_email": "a@example.com",
            "registration_date": "2026-03-04",
        }
    )

    assert (record.external_id, record.email) == ("9", "a@example.com")
    assert record.signup_at == DAY


@pytest.mark.parametrize(
    ("given", "pairs"),
    [
        ({"Website": "domain", "Name": "name"}, {"domain": "Website", "name": "Name"}),
        ({"name": "domain"}, {"name": "domain"}),
        ({"tier": "Tier__c"}, {"custom.tier": "Tier__c"}),
        ({"Name": "name", "X": "Y"}, {"custom.Name": "name", "custom.X": "Y"}),
        ({"custom.tier": "Tier__c"}, {"custom.tier": "Tier__c"}),
        ({"A": "name", "B": "name"}, {"custom.A": "name", "custom.B": "name"}),
    ],
)
def test_direction_of_field_mappings(given, pairs):
    found = spec_from_field_mappings(given, "customer")

    assert {rule["target"]: rule["source"] for rule in found["rules"]} == pairs
    compile_mapping(found)


def test_field_mappings_may_carry_transforms():
    found = spec_from_field_mappings(
        {"name": {"sources": ["a", "b"], "transform": {"kind": "join"}}}, "customer"
    )

    assert apply_mapping({"a": "x", "b": "y"}, found) == {"name": "x y"}
    with pytest.raises(ConfigError):
        spec_from_field_mappings({"name": 5}, "customer")


def test_entity_mappings_in_both_directions():
    streams = ["accounts", "Ticket", "users"]

    assert compile_entity_mappings(
        {"customer": "accounts", "Ticket": "tickets", "users": "contact"}, streams
    ) == {"accounts": "customer", "Ticket": "ticket", "users": "contact"}
    with pytest.raises(ConfigError, match="'planet' and 'accounts'"):
        compile_entity_mappings({"planet": "accounts"}, streams)


def test_preview_shows_values_and_errors():
    mapping = compile_mapping(spec(ID, {"target": "seats", "source": "n"}))

    good, bad = preview([{"id": 1, "n": "5"}, {"id": 2, "n": "x"}], mapping)

    assert good.values == {"external_id": "1", "seats": 5}
    assert good.error is None
    assert bad.values is None
    assert bad.error.field == "seats"


def test_page_of_objects_gives_records_and_rejects():
    mapping = compile_mapping(spec(ID, {"target": "seats", "source": "n"}))

    records, rejects = records_from_mapping(
        [{"id": 1}, {"n": 3}, {"id": 2, "n": []}, {"id": 3, "n": "1.5"}], mapping
    )

    assert [record.external_id for record in records] == ["1", "2"]
    assert [(r.code, r.field) for r in rejects] == [
        ("missing_field", "external_id"),
        ("bad_value", "seats"),
    ]
    assert rejects[1].raw == {"id": 3, "n": "1.5"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"external_id": "1", "seats": "many"}, "seats"),
        ({"external_id": "1", "seats": 1.5}, "seats"),
        ({"external_id": "1", "signup_at": "soon"}, "signup_at"),
        ({"external_id": "1", "name": {"a": 1}}, "name"),
        ({"external_id": "1", "deleted": "maybe"}, "deleted"),
        ({"external_id": "1", "links": "x"}, "links"),
        ({"external_id": "1", "custom": []}, "custom"),
        ({"external_id": "1", "raw": 5}, "raw"),
        ({"external_id": "1", "nope": 5}, "nope"),
        ({"external_id": ""}, "external_id"),
        ({}, "external_id"),
    ],
)
def test_record_errors_name_the_field(values, field):
    with pytest.raises(RecordError) as caught:
        record_from_mapping(values, "customer")

    assert caught.value.field == field


def test_record_types_put_values_right():
    record = record_from_mapping(
        {
            "external_id": 5,
            "total_minor": "1999",
            "failed_attempts": 2.0,
            "issued_at": "2026-03-04",
            "deleted": "no",
            "lines": [{"amount_minor": 1}],
            "number": 12,
            "currency": None,
        },
        "invoice",
        raw={"a": 1},
    )

    assert record == InvoiceRecord(
        external_id="5",
        total_minor=1999,
        failed_attempts=2,
        issued_at=DAY,
        deleted=False,
        lines=[{"amount_minor": 1}],
        number="12",
        raw={"a": 1},
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-03-04", "1e99", "12", "-0", "Infinity", "１２", "٣"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PARAMS = {
    "constant": {"value": 1},
    "prefix": {"value": "p"},
    "lookup": {"table": {"a": "b"}},
    "split": {"separator": "a", "index": -2},
    "money": {"currency_source": "a"},
}


@st.composite
def mappings(draw):
    record_type = draw(st.sampled_from(sorted(RECORD_TYPES)))
    fields = sorted(set(RECORD_TYPES[record_type].__struct_fields__) - {"raw"})
    targets = draw(st.lists(st.sampled_from(fields), unique=True, max_size=4))
    rules = []
    for target in targets:
        kinds = draw(st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=3))
        chain = [{"kind": kind, **PARAMS.get(kind, {})} for kind in kinds]
        source = draw(st.sampled_from(["a", "b", "id", "a.b", "a.0", "b.-1.a"]))
        rules.append({"target": target, "source": source, "transform": chain})
    return spec(
        *rules,
        record_type=record_type,
        custom=draw(st.sampled_from([[], ["*"], ["a", "b.a"]])),
    )


@given(mapping=mappings(), raw=JSON)
def test_no_object_ever_crashes_a_mapping(mapping, raw):
    compiled = compile_mapping(mapping)

    records, rejects = records_from_mapping([raw], compiled)

    assert len(records) + len(rejects) == 1
    assert len(preview([raw], compiled)) == 1
