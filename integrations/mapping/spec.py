"""Mapping specifications: checked, compiled, applied.

A specification is JSON:
    {"version": 1, "record_type": "customer",
     "rules": [{"target": "name", "source": "Name", "transform": {"kind": "trim"}}],
     "custom": ["Tier__c"]}
target: a field of the record type, or "custom.x", "links.x", "properties.x". source or
sources: dotted paths in the provider's object. transform: one, or a list applied in
order; rename if left out. default: used where nothing is found; required: true makes
that an error. custom: fields kept under their own name, "*" for all without a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from churnguard.errors import ConfigError, RecordError
from churnguard.records import AnyRecord, EventRecord
from integrations.connectors.base import Reject
from integrations.mapping.dates import show
from integrations.mapping.paths import getter
from integrations.mapping.records import (
    UNFIT,
    converter_of,
    misfit,
    record_class,
    record_from_mapping,
)
from integrations.mapping.transforms import TRANSFORMS, Transform, is_empty

VERSION = 1
BAGS = ("custom", "links", "properties")

_NOT_OFFERED = {*BAGS, "raw", "deleted", "version"}
"""Fields that a rule may have as its target, but few want."""
_RULE_KEYS = {"target", "source", "sources", "transform", "default", "required"}
_SPEC_KEYS = {"version", "record_type", "rules", "custom"}
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool) or value is None,
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "any": lambda _value: True,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule."""

    target: str
    bag: str
    key: str
    sources: tuple[str, ...]
    pull: Callable[[Any], Any]
    """What the rule finds in a raw object; ValueError for a value it cannot use."""
    name: str
    """The key whose value it takes as it is; "" where it does more than that."""
    default: Any
    required: bool


@dataclass(frozen=True, slots=True)
class CompiledMapping:
    """A checked specification, ready for many records. Immutable, thread-safe."""

    record_type: str
    rules: tuple[Rule, ...]
    custom: tuple[str, ...]
    keeps_all: bool
    consumed: frozenset[str]
    recipe: str
    """The same for the same specification."""

    def values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Our fields of one provider object; nothing else than RecordError is raised.

        Fields without a value are left out.
        """
        if type(raw) is not dict and not isinstance(raw, Mapping):
            raise RecordError(
                f"An object was expected, but {show(raw)} came.", code="bad_record"
            )
        found: dict[str, Any] = {}
        for rule in self.rules:
            try:
                value = rule.pull(raw)
            except UNFIT as exc:
                raise misfit(rule.target, raw, exc) from None
            if is_empty(value):
                value = rule.default
                if is_empty(value):
                    if rule.required:
                        raise _missing(rule)
                    continue
            if rule.bag:
                found.setdefault(rule.bag, {})[rule.key] = value
            elif rule.target in BAGS:
                found[rule.target] = found.get(rule.target, {}) | _object(rule, value)
            else:
                found[rule.target] = value
        kept = self.kept(raw)
        if kept:
            found[self.bag] = kept | found.get(self.bag, {})
        return found

    def record(self, raw: Mapping[str, Any]) -> AnyRecord:
        """A new record made of raw. Raises RecordError."""
        return record_from_mapping(self.values(raw), self.record_type, raw=_plain(raw))

    def apply(self, record: AnyRecord) -> AnyRecord:
        """A connector's record with the mapped fields laid over it.

        Sources are looked up in the provider's object the record carries (in the
        record itself if it carries none). Raises RecordError.
        """
        raw = record.properties if isinstance(record, EventRecord) else record.raw
        raw = raw or msgspec.to_builtins(record)
        changes: dict[str, Any] = {}
        for name, value in self.values(raw).items():
            convert = converter_of(record.TYPE, name)
            if convert is None:
                raise RecordError(
                    f"A {record.TYPE} has no field {name!r}.",
                    code="unknown_field",
                    field=name,
                )
            if name in BAGS:
                value = getattr(record, name) | value
            try:
                changes[name] = convert(value)
            except UNFIT as exc:
                raise misfit(name, value, exc) from None
        return msgspec.structs.replace(record, **changes) if changes else record

    @property
    def bag(self) -> str:
        """Where fields without a place of their own go."""
        return "properties" if self.record_type == "event" else "custom"

    def kept(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of an object that are kept under their own names."""
        if self.keeps_all:
            return {
                str(name): value
                for name, value in raw.items()
                if name not in self.consumed and value is not None
            }
        found = {name: getter(name)(raw) for name in self.custom}
        return {name: value for name, value in found.items() if value is not None}


def _plain(raw: Mapping[str, Any]) -> dict[str, Any]:
    return raw if type(raw) is dict else dict(raw)


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """What a mapping makes of one object: values, or the error it ends with."""

    raw: Mapping[str, Any]
    values: dict[str, Any] | None
    error: RecordError | None


def compile_mapping(spec: Mapping[str, Any]) -> CompiledMapping:
    """Check a specification and make it fast.

    Raises ConfigError `invalid_mapping`; `fields` has one sentence per wrong place,
    e.g. {"rules.2.transform": "..."}.
    """
    problems: dict[str, str] = {}
    for name in sorted(set(spec) - _SPEC_KEYS):
        problems[name] = "Not a part of a mapping."
    if spec.get("version", VERSION) != VERSION:
        problems["version"] = f"Only version {VERSION} is known."
    record_type = str(spec.get("record_type") or "")
    fields = set(record_class(record_type).__struct_fields__)
    given = spec.get("rules", [])
    if not isinstance(given, list):
        given, problems["rules"] = [], "A list of rules is needed."
    rules: list[Rule] = []
    targets: set[str] = set()
    for number, entry in enumerate(given):
        rule = _rule(entry, f"rules.{number}", fields, problems)
        if rule is None:
            continue
        if rule.target in targets:
            problems[f"rules.{number}.target"] = f"{rule.target} has a rule already."
        targets.add(rule.target)
        rules.append(rule)
    custom = _custom(spec.get("custom") or [], problems)
    if problems:
        place, sentence = next(iter(problems.items()))
        raise ConfigError(
            f"The mapping cannot be used: {place}: {sentence}",
            code="invalid_mapping",
            fields=problems,
        )
    consumed = {path.split(".")[0] for rule in rules for path in rule.sources}
    return CompiledMapping(
        record_type=record_type,
        rules=tuple(rules),
        custom=tuple(name for name in custom if name != "*"),
        keeps_all="*" in custom,
        consumed=frozenset(consumed),
        recipe=msgspec.json.encode(spec, order="deterministic").decode(),
    )


def apply_mapping(
    raw: Mapping[str, Any], mapping: CompiledMapping | Mapping[str, Any]
) -> dict[str, Any]:
    """Our fields of one object. RecordError for the object, ConfigError for a spec."""
    if not isinstance(mapping, CompiledMapping):
        mapping = compile_mapping(mapping)
    return mapping.values(raw)


def records_from_mapping(
    raws: Iterable[Mapping[str, Any]], mapping: CompiledMapping
) -> tuple[list[AnyRecord], list[Reject]]:
    """Records of a page, and what could not become one."""
    records: list[AnyRecord] = []
    rejects: list[Reject] = []
    for raw in raws:
        try:
            records.append(mapping.record(raw))
        except RecordError as error:
            kept = dict(raw) if isinstance(raw, Mapping) else {"value": raw}
            rejects.append(Reject.of(error, kept))
    return records, rejects


def preview(
    raws: Iterable[Mapping[str, Any]], mapping: CompiledMapping
) -> list[PreviewRow]:
    """Try a mapping on objects without storing anything; dates come as datetimes."""
    rows = []
    for raw in raws:
        try:
            record = mapping.record(raw)
        except RecordError as error:
            rows.append(PreviewRow(raw, None, error))
            continue
        names = mapping.values(raw)
        rows.append(PreviewRow(raw, {n: getattr(record, n) for n in names}, None))
    return rows


def _rule(
    entry: Any, place: str, fields: set[str], problems: dict[str, str]
) -> Rule | None:
    if not isinstance(entry, Mapping):
        problems[place] = "A rule is an object with target and source."
        return None
    before = len(problems)
    for name in sorted(set(entry) - _RULE_KEYS):
        problems[f"{place}.{name}"] = "Not a part of a rule."
    target = str(entry.get("target") or "")
    bag, dot, key = target.partition(".")
    is_bagged = bool(dot and key and bag in BAGS and bag in fields)
    if not is_bagged and target not in fields:
        known = ", ".join(sorted(fields - _NOT_OFFERED))
        known += ", and custom.<name>" if "custom" in fields else ""
        problems[f"{place}.target"] = f"{show(target)} is not a field; known: {known}."
    sources = _sources(entry, place, problems)
    steps = _steps(entry.get("transform"), place, len(sources), problems)
    if len(problems) > before:
        return None
    return Rule(
        target=target,
        bag=bag if is_bagged else "",
        key=key if is_bagged else "",
        sources=sources,
        pull=_pull(sources, steps),
        name=sources[0]
        if len(sources) == 1 and not steps and "." not in sources[0]
        else "",
        default=entry.get("default"),
        required=bool(entry.get("required")),
    )


def _missing(rule: Rule) -> RecordError:
    return RecordError(
        f"{rule.target}: {' or '.join(rule.sources)} has no value.",
        code="missing_field",
        field=rule.target,
    )


def _object(rule: Rule, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise RecordError(
        f"{rule.target}: {show(value)} is not an object.",
        code="bad_value",
        field=rule.target,
    )


def _pull(
    sources: tuple[str, ...], steps: tuple[Transform, ...]
) -> Callable[[Any], Any]:
    gets = tuple(getter(path) for path in sources)
    if not steps:
        return gets[0] if len(gets) == 1 else lambda _raw: None

    def pull(raw: Any) -> Any:
        found: Any = None
        values = [get(raw) for get in gets]
        for step in steps:
            found = step(values, raw)
            values = [found]
        return found

    return pull


def _sources(
    entry: Mapping[str, Any], place: str, problems: dict[str, str]
) -> tuple[str, ...]:
    given = entry.get("sources", entry.get("source", []))
    paths = [given] if isinstance(given, str) else given
    if not isinstance(paths, list) or not all(
        isinstance(path, str) and path for path in paths
    ):
        problems[f"{place}.source"] = "A field name of the source is needed."
        return ()
    return tuple(paths)


def _steps(
    given: Any, place: str, source_count: int, problems: dict[str, str]
) -> tuple[Transform, ...]:
    entries = given if isinstance(given, list) else [given or {"kind": "rename"}]
    steps: list[Transform] = []
    for number, entry in enumerate(entries):
        at = f"{place}.transform" + (f".{number}" if isinstance(given, list) else "")
        if not isinstance(entry, Mapping) or entry.get("kind") not in TRANSFORMS:
            problems[at] = f"Choose a kind: {', '.join(TRANSFORMS)}."
            continue
        kind = TRANSFORMS[entry["kind"]]
        if number == 0 and source_count == 0 and entry["kind"] != "constant":
            problems[f"{place}.source"] = "A field name of the source is needed."
        if number == 0 and source_count > 1 and not kind.many:
            problems[f"{place}.sources"] = f"{entry['kind']} takes one source."
        params = {name: value for name, value in entry.items() if name != "kind"}
        if entry["kind"] == "rename" and not params:
            continue
        problem = _param_problem(kind.params, kind.required, params)
        if problem:
            problems[at] = problem
            continue
        try:
            steps.append(kind.build(params))
        except ValueError as exc:
            problems[at] = str(exc)
    return tuple(steps)


def _param_problem(
    known: Mapping[str, str], required: tuple[str, ...], params: Mapping[str, Any]
) -> str:
    for name in required:
        if name not in params:
            return f"{name} is missing."
    for name, value in params.items():
        if name not in known:
            return f"{name} is not a parameter of this kind."
        if not _CHECKS[known[name]](value):
            return f"{name} must be {known[name]}."
    return ""


def _custom(given: Any, problems: dict[str, str]) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
        problems["custom"] = "A list of field names, or *."
        return []
    return names
