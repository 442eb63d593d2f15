"""The API as a page to browse, drawn from the same schema as /api/schema/."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

_METHODS = ("get", "post", "put", "patch", "delete")


@lru_cache(maxsize=1)
def _groups() -> list[dict[str, Any]]:
    """Tags with their operations; made once per process, the code does not change."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in sorted(schema["paths"].items()):
        for method in _METHODS:
            if method not in item:
                continue
            operation = item[method]
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append(
                {
                    "id": operation["operationId"],
                    "method": method.upper(),
                    "path": path,
                    "title": _first_sentence(operation.get("description", "")),
                    "text": operation.get("description", ""),
                    "parameters": operation.get("parameters", []),
                    "body": _body(schema, operation.get("requestBody")),
                    "answers": [
                        {
                            "status": status,
                            "text": answer.get("description") or "",
                            "fields": _fields(schema, answer),
                        }
                        for status, answer in operation["responses"].items()
                    ],
                }
            )
    return [{"tag": tag, "operations": found} for tag, found in sorted(groups.items())]


def _first_sentence(text: str) -> str:
    return text.partition("\n")[0].partition(". ")[0].rstrip(".")


def _body(schema: Any, body: Any) -> list[dict[str, str]]:
    return _fields(schema, body) if body else []


def _fields(schema: Any, part: Any) -> list[dict[str, str]]:
    content = part.get("content", {})
    found: Any = content.get("application/json") or next(iter(content.values()), {})
    model = _resolve(schema, found.get("schema", {}))
    if model.get("type") == "array":
        model = _resolve(schema, model.get("items", {}))
    required = set(model.get("required", []))
    return [
        {
            "name": name,
            "type": _type(schema, item),
            "required": "required" if name in required else "",
            "text": item.get("description", ""),
        }
        for name, item in model.get("properties", {}).items()
    ]


def _resolve(schema: Any, item: Any) -> Any:
    ref = item.get("$ref")
    if not ref:
        return item
    return schema["components"]["schemas"][ref.rsplit("/", 1)[1]]


def _type(schema: Any, item: Any) -> str:
    if item.get("type") == "array":
        return f"list of {_type(schema, item.get('items', {}))}"
    for key in ("allOf", "oneOf", "anyOf"):
        if key in item:
            return _type(schema, item[key][0])
    resolved = _resolve(schema, item)
    text = resolved.get("format") or resolved.get("type") or "any"
    if resolved.get("enum"):
        text = " | ".join(str(value) for value in resolved["enum"] if value is not None)
    return f"{text} or null" if item.get("nullable") else str(text)


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """Every endpoint with its parameters, body, answers and errors."""
    return render(request, "kernel/api_docs.html", {"groups": _groups()})
