"""Rows made into columns at once are what the rows would become one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.records import ENTITY_TYPES, ObjectRecord
from integrations import shaping
from integrations.columns import LEAST, block_of
from integrations.connectors.base import Columns, RowPage
from integrations.load import (
    BLOCK_TYPES,
    Block,
    Lot,
    Sent,
    copying,
    encode_json,
    stored_id,
)
from integrations.load.lots import Entry, Tally
from integrations.load.sorting import sort_items
from integrations.load.statements import columns_of
from integrations.mapping import CompiledMapping, compile_mapping, record_fields
from integrations.shaping import Shape
from tests.integrations.mapping.specs import spec
from tests.integrations.mapping.test_robustness import PARAMS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMES = [
    "2026-03-04T05:06:07Z",
    "2026-03-04T05:06:07.123456+00:00",
    "2026-03-04 05:06:07+02:00",
    "2026-03-04T05:06:07",
    "2026-03-04",
    "1800-01-01T00:00:00Z",
    1_767_225_600,
]
TEXTS = ["", " ", "Ann", " Ann@Example.com ", "Ünal", "EUR", "usd", "open", "NUL\0"]
NUMBERS = [0, -1, 12, 2**63, 1.5, 100.5, float("nan"), "12", "1.50", "x", True, "yes"]
OTHERS: list[Any] = [None, {}, [], {"city": "Oslo"}, ["a"]]
USUAL = st.sampled_from([TIMES[0], TIMES[1], "Ann", "EUR", "open", 12, 1.5, True, None])
ANY = st.sampled_from([*TIMES, *TEXTS, *NUMBERS, *OTHERS])
TARGETS = {
    name: sorted({*cls.__struct_fields__, "custom.tier"} - {"raw", "external_id"})
    for name, cls in ENTITY_TYPES.items()
}


def page_of(rows: list[Any], mapping: CompiledMapping) -> RowPage:
    """A page as the REST connector makes it."""

    def made(given: list[Any]) -> Columns | None:
        fields = record_fields(mapping, given)
        return None if fields is None else Columns(mapping.record_type, fields)

    return RowPage(
        rows=rows,
        cursor={},
        make=mapping.record,
        key_of=lambda row: row["id"],
        recipe="",
        columns=made,
    )


def sent(rows: list[Any]) -> list[Sent]:
    return [Sent(row, encode_json(row), number) for number, row in enumerate(rows)]


def one_by_one(page: RowPage, rows: list[Sent], how: Shape) -> list[Entry]:
    """What the writer would be given; refused and deleted records are left out."""
    shaped = shaping.shape_rows(page, rows, how)
    lot = Lot(
        org_id=1,
        source_id=1,
        origin="sync",
        items=shaped.items,
        received_at=NOW,
        rows=shaped.rows,
    )
    tally = Tally(lot)
    sort_items(tally)
    return [
        entry
        for entries in tally.entities.values()
        for entry in entries
        if not entry.record.deleted
    ]


def ids_of(rows: list[Any], how: Shape) -> list[str]:
    prefix = f"{how.stream}:" if how.record_type == "object" else ""
    return [f"{prefix}{row['id']}" for row in rows]


def in_full(block: Block) -> list[Any]:
    """Everything a block holds, with what is left out filled in."""
    count = len(block.ids)
    own = columns_of(block.record_type)
    fields = {
        name: [each or None for each in block.fields.get(name) or [None] * count]
        if kind == "jsonb"
        else block.fields.get(name) or [None] * count
        for name, kind in [
            *own.items(),
            *(("updated_at", ""), ("version", ""), ("customer_id", "")),
        ]
    }
    customs = block.customs or [b"{}"] * count
    return [block.ids, block.contents, block.raws, customs, fields]


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any], Shape]:
    """Rows, the connector's mapping, and what a person asked for."""
    kind = draw(st.sampled_from(sorted(BLOCK_TYPES)))
    values = draw(st.sampled_from([USUAL, USUAL, ANY]))
    row = st.fixed_dictionaries({}, optional=dict.fromkeys("abcd", values))
    some = draw(st.lists(row, min_size=1, max_size=4))
    rows = [{"id": f"r{n:03}", **some[n % len(some)]} for n in range(LEAST)]

    def rules(targets: list[str]) -> list[dict[str, Any]]:
        made = []
        for target in draw(st.lists(st.sampled_from(targets), unique=True, max_size=5)):
            transform = draw(st.sampled_from([[], [], ["lower"], ["date"], ["number"]]))
            steps = [{"kind": step, **PARAMS.get(step, {})} for step in transform]
            rule = {"target": target, "source": draw(st.sampled_from("abcd"))}
            if draw(st.booleans()):
                rule |= {"default": draw(USUAL), "required": draw(st.booleans())}
            made.append(rule | {"transform": steps})
        return made

    own = draw(st.sampled_from([kind, kind, "object", "ticket", "contact"]))
    given = [{"target": "external_id", "source": "id"}, *rules(TARGETS[own])]
    if own == "object":
        named = {"kind": "constant", "value": "things"}
        given = [rule for rule in given if rule["target"] != "kind"]
        given.append({"target": "kind", "transform": named})
    connector = spec(*given, record_type=own, custom=draw(CUSTOM))
    mapping = None
    if draw(st.booleans()):
        mapping = compile_mapping(
            spec(*rules(TARGETS[kind]), record_type=kind, custom=draw(CUSTOM))
        )
    return rows, connector, Shape(stream="things", record_type=kind, mapping=mapping)


CUSTOM = st.sampled_from([[], ["*"], ["a"], ["a", "b.city"]])


@given(pages())
def test_a_block_is_what_the_rows_become(page: tuple[Any, ...]) -> None:
    rows, connector, how = page
    made, given_rows = page_of(rows, compile_mapping(connector)), sent(rows)

    block = block_of(made, given_rows, ids_of(rows, how), how, now=NOW)

    entries = one_by_one(made, given_rows, how)
    if block is None:
        return
    assert len(entries) == len(rows)
    assert in_full(block) == in_full(copying.block_of(how.record_type, entries))
    assert [stored_id(entry.record) for entry in entries] == block.ids


@pytest.mark.parametrize("kind", sorted(BLOCK_TYPES))
def test_usual_pages_are_blocks(kind: str) -> None:
    """Every field filled as providers fill it, some left out, texts in any script."""
    usual = {
        "customer_id": "a1",
        "email": " Ann@Example.com",
        "name": "Ünal & Søn",
        "currency": "eur",
        "amount_minor": 1250,
        "total_minor": 1250,
        "paid_minor": None,
        "status": {"invoice": "paid", "deal": "won"}.get(kind, "open"),
        "score": 9.0,
        "updated_at": "2026-03-04T05:06:07Z",
        "joined_at": "2026-03-04T05:06:07.5+00:00",
        "occurred_at": "2026-03-04 05:06:07",
        "is_champion": True,
    }
    fields = [name for name in usual if name in TARGETS[kind]]
    named = [{"target": "kind", "source": "type"}] if "kind" in TARGETS[kind] else []
    mapping = compile_mapping(
        spec(
            {"target": "external_id", "source": "id"},
            *named,
            *({"target": name, "source": name} for name in fields),
            record_type=kind,
            custom=["*"],
        )
    )
    rows = [
        {"id": f"r{n:03}", "type": "things", "tier": {"n": n}, **usual}
        | ({} if n % 3 else {"email": None, "joined_at": None})
        for n in range(LEAST)
    ]
    how = Shape(stream="things", record_type=kind)
    made = page_of(rows, mapping)

    block = block_of(made, sent(rows), ids_of(rows, how), how, now=NOW)

    assert block is not None
    entries = one_by_one(made, sent(rows), how)
    assert in_full(block) == in_full(copying.block_of(kind, entries))


@pytest.mark.parametrize(
    "odd",
    [
        {"id": ""},
        {"id": "x" * 256},
        {"id": "half \ud800"},
        {"email": "x" * 321},
        {"email": "NUL \0"},
        {"note": "NUL \0"},
        {"joined": "soon"},
        {"joined": "1800-01-01T00:00:00Z"},
        {"changed": "2027-01-01T00:00:00Z"},
        {"gone": True},
        {"account": ""},
        "no object",
    ],
    ids=str,
)
def test_one_odd_row_sends_the_page_the_other_way(odd: Any) -> None:
    """Alone it would be refused or deleted, and a block can say neither; a customer id
    that is empty is left out, as in a single row."""
    rules = {
        "external_id": "id",
        "email": "email",
        "joined_at": "joined",
        "updated_at": "changed",
        "deleted": "gone",
        "customer_id": "account",
    }
    mapping = compile_mapping(
        spec(
            *({"target": name, "source": source} for name, source in rules.items()),
            record_type="contact",
            custom=["*"],
        )
    )
    rows: list[Any] = [{"id": f"r{n:03}"} for n in range(LEAST)]
    rows[7] = rows[7] | odd if isinstance(odd, dict) else odd
    how = Shape(stream="people", record_type="contact")
    ids = [row["id"] if isinstance(row, dict) else "r007" for row in rows]
    given_rows = [Sent(row, b"{}", n) for n, row in enumerate(rows)]
    if isinstance(odd, dict) and "note" in odd:
        given_rows[7] = Sent(rows[7], rb'{"note":"NUL \u0000"}', 7)

    block = block_of(page_of(rows, mapping), given_rows, ids, how, now=NOW)

    assert (block is None) == (odd != {"account": ""})


def test_a_row_of_a_table_becomes_a_contact() -> None:
    """Another record type and a mapping over it; what has no place goes to custom."""
    rows = [{"id": n, "mail": f"P{n}@X.example", "left": None} for n in range(LEAST)]

    def made(given_rows: list[Any]) -> Columns:
        changed = [NOW] * len(given_rows)
        fields = {
            "external_id": [str(row["id"]) for row in given_rows],
            "kind": ["public.people"] * len(given_rows),
            "updated_at": changed,
            "occurred_at": changed,
        }
        return Columns(ObjectRecord.TYPE, fields)

    def make(row: dict[str, Any]) -> ObjectRecord:
        return ObjectRecord(
            external_id=str(row["id"]),
            kind="public.people",
            updated_at=NOW,
            occurred_at=NOW,
            raw=row,
        )

    page = RowPage(
        rows=rows,
        cursor={},
        make=make,
        key_of=lambda row: str(row["id"]),
        recipe="",
        columns=made,
    )
    mapping = compile_mapping(
        spec({"target": "email", "source": "mail"}, record_type="contact", custom=["*"])
    )
    how = Shape(stream="public.people", record_type="contact", mapping=mapping)

    block = block_of(page, sent(rows), [str(n) for n in range(LEAST)], how, now=NOW)

    assert block is not None
    assert block.customs is not None
    assert block.fields["email"][3] == "p3@x.example"
    assert block.customs[3] == (
        b'{"id":3,"kind":"public.people","occurred_at":"2026-11-21T12:00:00Z"}'
    )
    entries = one_by_one(page, sent(rows), how)
    assert in_full(block) == in_full(copying.block_of("contact", entries))


@pytest.mark.parametrize("kind", ["customer", "subscription", "event"])
def test_types_with_more_to_do_than_a_row_are_no_blocks(kind: str) -> None:
    mapping = compile_mapping(spec({"target": "external_id", "source": "id"}))
    rows = [{"id": f"r{n}"} for n in range(LEAST)]
    how = Shape(stream="things", record_type=kind)
    block = partial(block_of, page_of(rows, mapping), sent(rows), ids_of(rows, how))

    assert block(how, now=NOW) is None
