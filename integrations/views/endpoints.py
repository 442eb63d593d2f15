"""The endpoints of a REST API as fields to fill in, a set for each, in place of JSON.

In the form `{name}-as` says which was meant: "form" = the fields `{name}-{n}-{part}`,
n from 0; anything else = the JSON in `{name}` itself. Sets without name and path, and
those with `drop`, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms

from integrations import storable
from integrations.views.endpoint_parts import PARTS, Part
from integrations.views.pairs import pair_lines, parse_pairs

BLANK_SETS = 2
_MOST_SETS = 100
_FIELDS, _MORE, _DROP = "fields", "more", "drop"
_NESTED = ("pagination", "incremental")
Endpoint = dict[str, Any]
Texts = dict[str, str]


TEXTS = (*(part.name for part in PARTS), _FIELDS, _MORE, _DROP)
"""What a set of fields holds."""


class EndpointsWidget(forms.Widget):
    """Takes both ways to write endpoints: JSON as text, sets as a list of texts."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        if data.get(f"{name}-as") != "form":
            return data.get(name)
        sets: list[Texts] = []
        while f"{name}-{len(sets)}-name" in data and len(sets) < _MOST_SETS:
            start = f"{name}-{len(sets)}-"
            texts = {text: data.get(start + text, "") for text in TEXTS}
            sets.append({k: v.replace("\x00", "").strip() for k, v in texts.items()})
        return sets


class EndpointsField(forms.JSONField):
    """Endpoints as a list of objects, however they were written. example: shown where
    JSON goes while there is none."""

    widget = EndpointsWidget

    def __init__(self, *, example: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.example = example

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def prepare_value(self, value: Any) -> Any:
        return value

    def validate(self, value: Any) -> None:
        super().validate(value)
        if fault := storable.why_not(value):
            raise forms.ValidationError(fault)

    def to_python(self, value: Any) -> Any:
        if not isinstance(value, list):
            return super().to_python(value)
        found = [
            join(texts, number)
            for number, texts in enumerate(_filled(value), start=1)
            if not texts[_DROP]
        ]
        if not found:
            raise forms.ValidationError("Name at least one endpoint.")
        return found


def editor(bound: forms.BoundField) -> dict[str, Any]:
    """{mode, json, sets} of a field of a form, for the template; a set is {number,
    title, is_new, is_dropped, parts, folded, is_folded_used, fields, lines, more}, a
    part {name, label, help, example, choices, value, pages}."""
    value = bound.value()
    is_typed = bound.form.is_bound and isinstance(value, list)
    sets = _filled(value) if is_typed else _sets_of(value)
    blank = [dict.fromkeys(TEXTS, "")] * (BLANK_SETS if sets else BLANK_SETS + 1)
    return {
        "mode": "json" if bound.form.is_bound and not is_typed else "form",
        "json": "" if is_typed else _as_json(value),
        "sets": [_set(n, texts) for n, texts in enumerate([*sets, *blank])],
    }


def join(texts: Texts, number: int) -> Endpoint:
    """The endpoint that a set of fields describes. Raises ValidationError that counts
    the set from 1."""
    made: Endpoint = {}
    kind = texts["pages"] or "none"
    for part in PARTS:
        text = texts[part.name]
        is_default = bool(part.choices) and text == part.choices[0][0]
        if text and not is_default and (not part.pages or kind in part.pages):
            _put(made, part.path, _value(part, text, number))
    try:
        mappings = parse_pairs(texts[_FIELDS])
    except forms.ValidationError as exc:
        raise forms.ValidationError(f"Endpoint {number}: {exc.messages[0]}") from exc
    if mappings:
        made["field_mappings"] = mappings
    for name, value in _more(texts[_MORE], number).items():
        if name in _NESTED and isinstance(value, dict):
            made[name] = {**value, **made.get(name, {})}
        else:
            made.setdefault(name, value)
    return made


def split(endpoint: Mapping[str, Any]) -> Texts:
    """The texts of a set for an endpoint; what no field shows is JSON in `more`."""
    rest: Endpoint = json.loads(json.dumps(endpoint))
    texts = dict.fromkeys(TEXTS, "")
    for part in PARTS:
        value = _take(rest, part.path)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        texts[part.name] = "" if value is None else str(value)
    texts[_FIELDS] = pair_lines(rest.pop("field_mappings", None) or {})
    left = {name: value for name, value in rest.items() if value not in (None, {})}
    texts[_MORE] = _pretty(left) if left else ""
    return texts


def _sets_of(value: Any) -> list[Texts]:
    """The sets of stored or typed endpoints; [] for what is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return []
    found = [value] if isinstance(value, dict) else value or []
    if not isinstance(found, list):
        return []
    return [split(each) for each in found if isinstance(each, dict)]


def _filled(sets: list[Texts]) -> list[Texts]:
    return [texts for texts in sets if texts["name"] or texts["path"]]


def _as_json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return _pretty(value) if value else ""


def _set(number: int, texts: Texts) -> dict[str, Any]:
    is_empty = not (texts["name"] or texts["path"])
    return {
        "number": str(number),
        "title": texts["name"],
        "is_new": is_empty and number > 0,
        "is_dropped": bool(texts[_DROP]),
        "parts": [_shown(part, texts) for part in PARTS if not part.is_folded],
        "folded": [_shown(part, texts) for part in PARTS if part.is_folded],
        "is_folded_used": any(
            texts[part.name] not in ("", part.choices[0][0])
            for part in PARTS
            if part.is_folded
        ),
        "fields": texts[_FIELDS],
        "lines": max(3, texts[_FIELDS].count("\n") + 2),
        "more": texts[_MORE],
    }


def _shown(part: Part, texts: Texts) -> dict[str, Any]:
    value = texts[part.name]
    return {
        "name": part.name,
        "label": part.label,
        "help": part.help,
        "example": part.example,
        "choices": part.choices,
        "value": value or (part.choices[0][0] if part.choices else ""),
        "pages": " ".join(part.pages),
    }


def _value(part: Part, text: str, number: int) -> Any:
    if part.name == "id" and "," in text:
        return [word.strip() for word in text.split(",") if word.strip()]
    if part.name != "size":
        return text
    if not text.isdecimal():
        raise forms.ValidationError(
            f"Endpoint {number}: “{text}” is no number of rows."
        )
    return int(text)


def _more(text: str, number: int) -> Endpoint:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as exc:
        raise forms.ValidationError(
            f"Endpoint {number}: {exc.msg} in what else was written as JSON."
        ) from exc
    if not isinstance(value, dict):
        raise forms.ValidationError(
            f'Endpoint {number}: write what else there is as an object: {{"params": '
            '{"active": true}}.'
        )
    return value


def _put(endpoint: Endpoint, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        endpoint = endpoint.setdefault(name, {})
    endpoint[path[-1]] = value


def _take(endpoint: Endpoint, path: tuple[str, ...]) -> Any:
    for name in path[:-1]:
        endpoint = endpoint.get(name) or {}
    return endpoint.pop(path[-1], None)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
