"""How the rows of one file become records: guessed, shown, edited, then kept.

A `Layout` is JSON-safe, so a person can change it and it is stored with the settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from churnguard.errors import ConfigError, RecordError
from churnguard.records import RECORD_TYPES
from integrations.tabular.cells import Kind, guess, reader
from integrations.tabular.headers import (
    CUSTOMER_COLUMNS,
    FIELDS,
    ID_COLUMNS,
    MINUTES_AFTER,
    SINGULAR,
    TYPE_WORDS,
)

SAMPLE_ROWS = 2000
_SPECIAL = frozenset({"external_id", "event_id", "custom", "raw", "deleted", "version"})
_SCALES = ((1, 5), (0, 10), (0, 100))


class ColumnUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """field: the unified field this column fills; empty = kept among the custom ones.
    scale: lowest and highest value, where the field is a percentage. after: the field
    its minutes count from. samples: a few cells, to look at."""

    column: str
    kind: Kind = Kind()
    field: str = ""
    scale: tuple[float, float] | None = None
    after: str = ""
    samples: tuple[str, ...] = ()


class Link(msgspec.Struct, frozen=True):
    """The customer stands in another file: our `column` is the id there."""

    column: str
    stream: str


class Layout(msgspec.Struct, frozen=True, omit_defaults=True):
    """id_column: what identifies a row (empty: events get a hash, other rows are
    refused). customer_column: whose row it is. event_name: of events without a column
    that names them. currency: of money columns without one. notes: what a person
    should look at."""

    record_type: str
    columns: tuple[ColumnUse, ...]
    id_column: str = ""
    customer_column: str = ""
    link: Link | None = None
    event_name: str = ""
    currency: str = "USD"
    notes: tuple[str, ...] = ()

    def column_of(self, field: str) -> ColumnUse | None:
        """The column that fills a field."""
        return next((use for use in self.columns if use.field == field), None)


# msgspec crashes where threads work out a type for the first time together.
msgspec.json.Decoder(Layout)


def guess_mapping(
    headers: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    *,
    name: str = "",
    record_type: str = "",
    currency: str = "USD",
) -> Layout:
    """The most likely layout of a file called `name` with these rows."""
    kinds = {h: guess(h, (row.get(h) for row in sample)) for h in headers}
    plain = {_plain(header): header for header in reversed(headers)}
    record_type = record_type or guess_type(name, list(plain))
    id_column = _guess_id(record_type, name, plain, headers, sample)
    customer = _guess_customer(record_type, plain, id_column)
    fields = _assign(record_type, plain, kinds, {id_column, customer} - {""})
    uses = []
    for header in headers:
        values = [row.get(header) for row in islice(sample, SAMPLE_ROWS)]
        field, after = fields.get(header, ("", ""))
        uses.append(
            ColumnUse(
                column=header,
                kind=kinds[header],
                field=field,
                after=after,
                scale=_scale(field, values),
                samples=_samples(values),
            )
        )
    money = next((k.currency for k in kinds.values() if k.currency), "")
    return Layout(
        record_type=record_type,
        columns=tuple(uses),
        id_column=id_column,
        customer_column=customer,
        event_name=_event_name(name) if record_type in ("event", "object") else "",
        currency=money or _currency_in(headers) or currency,
        notes=(
            *_notes(record_type, uses, id_column, customer, fields),
            *_misfits(uses, sample),
        ),
    )


def guess_type(name: str, columns: Sequence[str]) -> str:
    """The record type a file name says, else the one its columns say, else object."""
    words = re.findall(r"[a-z]+", name.lower())
    # The most telling word stands last: "support_tickets", "feature_usage".
    best, best_at = "", -1
    for record_type, known in TYPE_WORDS.items():
        for position, word in enumerate(words):
            if word in known and record_type == "object":
                return "object"
            if word in known and position > best_at:
                best, best_at = record_type, position
    if best:
        return best
    scores = {
        record_type: sum(
            any(option in columns for option in options.split())
            for options in fields.values()
        )
        for record_type, fields in FIELDS.items()
        if record_type != "object"
    }
    if "timestamp" in columns or "event" in columns:
        scores["event"] += 2
    best = max(scores, key=lambda each: scores[each])
    return best if scores[best] >= 2 else "object"


def with_link(layout: Layout, others: Mapping[str, Layout]) -> Layout:
    """The layout with its customer found through another file of the same source,
    where it names none itself."""
    if layout.customer_column or layout.link or layout.record_type == "customer":
        return layout
    names = {_plain(use.column): use.column for use in layout.columns}
    for stream, other in others.items():
        if other is layout or not other.id_column:
            continue
        if not other.customer_column and other.record_type != "customer":
            continue
        column = names.get(_plain(other.id_column))
        if column and column != layout.id_column:
            notes = tuple(n for n in layout.notes if "no customer" not in n)
            return msgspec.structs.replace(
                layout, link=Link(column=column, stream=stream), notes=notes
            )
    return layout


def parse_layout(value: Mapping[str, Any]) -> Layout:
    """A layout from JSON. Raises ConfigError that names what is wrong."""
    try:
        layout = msgspec.convert(value, Layout)
    except msgspec.ValidationError as exc:
        raise ConfigError(
            f"The column mapping is not valid: {exc}", code="invalid_layout"
        ) from exc
    struct = RECORD_TYPES.get(layout.record_type)
    if struct is None:
        raise ConfigError(
            f"“{layout.record_type}” is no record type; known are "
            f"{', '.join(sorted(RECORD_TYPES))}.",
            code="invalid_layout",
        )
    legal = set(struct.__struct_fields__) - _SPECIAL
    columns = {use.column for use in layout.columns}
    taken: set[str] = set()
    for use in layout.columns:
        if use.field and (use.field not in legal or use.field in taken):
            why = "is taken twice" if use.field in taken else "does not exist"
            raise ConfigError(
                f"Column “{use.column}”: the field “{use.field}” {why}.",
                code="invalid_layout",
            )
        taken.add(use.field)
    for name in (layout.id_column, layout.customer_column):
        if name and name not in columns:
            raise ConfigError(f"There is no column “{name}”.", code="invalid_layout")
    return layout


def _plain(name: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _guess_id(
    record_type: str,
    name: str,
    plain: Mapping[str, str],
    headers: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
) -> str:
    own = [f"{word}_id" for word in SINGULAR[record_type]]
    stem = _event_name(name)
    wanted = [*own, f"{stem}_id", stem, *ID_COLUMNS]
    if record_type == "customer":
        wanted += list(CUSTOMER_COLUMNS)
    for option in wanted:
        if option in plain:
            return plain[option]
    # Otherwise the first column called .._id whose values do not repeat.
    for header in headers:
        if not _plain(header).endswith("id") or _plain(header) in CUSTOMER_COLUMNS:
            continue
        values = [row.get(header) for row in sample]
        filled = [value for value in values if value not in (None, "")]
        if filled and len(filled) == len(values) and _mostly_once(filled):
            return header
    return ""


def _mostly_once(values: Sequence[Any]) -> bool:
    return len({str(value) for value in values}) >= 0.98 * len(values)


def _guess_customer(record_type: str, plain: Mapping[str, str], id_column: str) -> str:
    if record_type == "customer":
        return ""
    for option in CUSTOMER_COLUMNS:
        if option in plain and plain[option] != id_column:
            return plain[option]
    return ""


def _assign(
    record_type: str,
    plain: Mapping[str, str],
    kinds: Mapping[str, Kind],
    taken: set[str],
) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    struct = RECORD_TYPES[record_type]
    for field, options in FIELDS[record_type].items():
        for option in options.split():
            header = plain.get(option)
            if header is None or header in found or header in taken:
                continue
            if _fits(struct, field, kinds[header]):
                found[header] = (field, "")
                break
    used = {field for field, _after in found.values()}
    for option, (field, after) in MINUTES_AFTER.items():
        header = plain.get(option)
        fits = record_type == "ticket" and field not in used and after in used
        if header and fits and kinds[header].type in ("integer", "number"):
            found[header] = (field, after)
            used.add(field)
    return found


def _fits(struct: Any, field: str, kind: Kind) -> bool:
    """Whether cells of this kind can fill the field."""
    hint = str(struct.__annotations__.get(field, ""))
    if "datetime" in hint or field == "updated_at":
        return kind.type in ("datetime", "date")
    if "bool" in hint:
        return kind.type == "boolean"
    if "int" in hint or "float" in hint:
        return kind.type in ("integer", "number")
    return kind.type not in ("datetime", "date", "json")


def _scale(field: str, values: Sequence[Any]) -> tuple[float, float] | None:
    if not field.endswith("_pct"):
        return None
    numbers = []
    for value in values:
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            continue
    if not numbers:
        return None
    for low, high in _SCALES:
        if min(numbers) >= low and max(numbers) <= high:
            return (low, high)
    return None


def _samples(values: Sequence[Any]) -> tuple[str, ...]:
    seen: dict[str, None] = {}
    for value in values:
        if value not in (None, "") and len(seen) < 5:
            seen[str(value)[:80]] = None
    return tuple(seen)


def _event_name(name: str) -> str:
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    if not words:
        return "event"
    last = words[-1]
    if last.endswith("ies"):
        words[-1] = last[:-3] + "y"
    elif last.endswith("s") and not last.endswith("ss"):
        words[-1] = last[:-1]
    return "_".join(words[-2:])


def _currency_in(headers: Sequence[str]) -> str:
    for header in headers:
        tail = _plain(header).rsplit("_", 1)[-1]
        if tail in ("usd", "eur", "gbp", "chf"):
            return tail.upper()
    return ""


def _misfits(
    uses: Sequence[ColumnUse], sample: Sequence[Mapping[str, Any]]
) -> list[str]:
    """A note per mapped column with cells that would be refused."""
    notes = []
    for use in uses:
        if not use.field or use.kind.type == "string":
            continue
        read = reader(use.kind)
        bad = [cell for row in sample if _refuses(read, cell := row.get(use.column))]
        if bad:
            notes.append(
                f"“{use.column}”: {len(bad)} of {len(sample)} sampled rows would be "
                f"refused, e.g. for “{str(bad[0])[:40]}”."
            )
    return notes


def _refuses(read: Callable[[Any], Any], cell: Any) -> bool:
    try:
        read(cell)
    except RecordError:
        return True
    return False


def _notes(
    record_type: str,
    uses: Sequence[ColumnUse],
    id_column: str,
    customer: str,
    fields: Mapping[str, tuple[str, str]],
) -> tuple[str, ...]:
    notes = [
        f"“{use.column}”: day and month could be swapped; nothing in the sample "
        "decides."
        for use in uses
        if use.kind.is_ambiguous
    ]
    if not id_column and record_type != "event":
        notes.append("No column identifies a row; without one every row is refused.")
    if not customer and record_type != "customer":
        notes.append("There is no customer in these rows.")
    if record_type == "event" and "timestamp" not in {f for f, _a in fields.values()}:
        notes.append("No column says when it happened; without one rows are refused.")
    return tuple(notes)
