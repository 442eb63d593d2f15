"""Checks requests and objects against an OpenAPI description, in this process.

Only what connectors need: query parameters (plain, deepObject, arrays), and whether
objects have fields the description does not know.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

_DEEP = re.compile(r"^(?P<name>[^\[]+)\[(?P<key>[^\]]*)\](?P<rest>.*)$")


def load(name: str) -> Spec:
    """The description `openapi/<name>` of the shared folder; skips where missing."""
    checkout = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("CHURNGUARD_SHARED", checkout.parent / "shared"))
    path = folder / "openapi" / name
    if not path.is_file():
        pytest.skip(f"no OpenAPI description {path} (set CHURNGUARD_SHARED)")
    text = path.read_text()
    return Spec(json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))


@dataclass(frozen=True)
class Spec:
    """An OpenAPI 3 document."""

    document: dict[str, Any]

    def request_problems(
        self, method: str, path: str, queries: dict[str, list[str]]
    ) -> list[str]:
        """What is wrong with a request; [] = nothing."""
        operation = self._operation(method, path)
        if operation is None:
            return [f"{method} {path}: no such operation"]
        parameters = map(self._resolved, operation.get("parameters", []))
        known = {parameter["name"]: parameter for parameter in parameters}
        given = {_plain(name, known) for name in queries}
        problems = [
            f"{path}: {name} is required"
            for name, parameter in known.items()
            if parameter.get("required")
            and parameter["in"] == "query"
            and name not in given
        ]
        for name, values in queries.items():
            plain = _plain(name, known)
            if plain not in known:
                problems.append(f"{path}: unknown parameter {name}")
                continue
            schema = known[plain]["schema"]
            deep = _DEEP.match(name)
            if deep and not plain.endswith("[]"):
                schema = _property(schema, deep["key"])
            elif plain.endswith("[]"):
                schema = schema["items"]
            if schema is None:
                problems.append(f"{path}: unknown parameter {name}")
                continue
            problems += [
                f"{path}: {name}={value} does not fit {schema}"
                for value in values
                if not _fits(value, schema)
            ]
        return problems

    def form_problems(self, method: str, path: str, form: dict[str, str]) -> list[str]:
        """What is wrong with a form body; [] = nothing."""
        operation = self._operation(method, path) or {}
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/x-www-form-urlencoded", {}).get("schema", {})
        known = schema.get("properties", {})
        return [
            f"{path}: {name}={value} is unknown or does not fit"
            for name, value in form.items()
            if name not in known or not _fits(value, known[name])
        ]

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node, or what its $ref names."""
        if "$ref" not in node:
            return node
        found: Any = self.document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return self._resolved(found)

    def unknown_fields(self, name: str, value: dict[str, Any]) -> list[str]:
        """Fields of an object that its schema does not have."""
        schema = self.document["components"]["schemas"][name]
        return sorted(set(value) - set(schema["properties"]))

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for template in sorted(self.document["paths"], key=lambda t: t.count("{")):
            pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
            if re.fullmatch(pattern, path):
                return self.document["paths"][template].get(method.lower())
        return None


def _plain(name: str, known: dict[str, Any]) -> str:
    """The declared name of "created[gte]", "expand[0]" or "limit"."""
    if name in known:
        return name
    deep = _DEEP.match(name)
    if deep is None:
        return name
    if f"{deep['name']}[]" in known and deep["key"].isdigit():
        return f"{deep['name']}[]"
    return deep["name"]


def _property(schema: dict[str, Any], key: str) -> dict[str, Any] | None:
    for option in [schema, *schema.get("anyOf", [])]:
        if key in option.get("properties", {}):
            return option["properties"][key]
    return None


def _fits(value: str, schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(_fits(value, option) for option in schema["anyOf"])
    if "enum" in schema and value not in map(str, schema["enum"]):
        return False
    kind = schema.get("type")
    if kind == "integer":
        return re.fullmatch(r"-?\d+", value) is not None
    if kind == "boolean":
        return value in ("true", "false")
    return kind in ("string", "number", None)
