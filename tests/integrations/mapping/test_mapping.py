"""User mappings: what each transform does, and what is said when it cannot."""

from __future__ import annotations

import pytest

from churnguard.errors import ConfigError, RecordError
from churnguard.records import (
    CustomerRecord,
    EventRecord,
    InvoiceRecord,
    TicketRecord,
)
from integrations.mapping import (
    apply_mapping,
    compile_entity_mappings,
    compile_mapping,
    preview,
    record_from_mapping,
    records_from_mapping,
    spec_from_field_mappings,
)
from tests.integrations.mapping.specs import DAY, ID, mapped, spec


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


def test_a_wrong_target_is_told_what_there_is():
    rule = {"target": "nope", "source": "a"}
    with pytest.raises(ConfigError) as caught:
        compile_mapping(spec(rule, record_type="deal"))

    assert caught.value.fields["rules.0.target"] == (
        "'nope' is not a field; known: amount_minor, close_at, currency, customer_id, "
        "external_id, name, opened_at, owner, stage, status, updated_at, and "
        "custom.<name>."
    )
    with pytest.raises(ConfigError) as caught:
        compile_mapping(spec(rule, record_type="event"))
    assert "custom.<name>" not in caught.value.fields["rules.0.target"]
