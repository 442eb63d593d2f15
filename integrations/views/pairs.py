"""Mappings of fields as people write them: our field = source field, one a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms


def parse_pairs(text: str) -> dict[str, Any]:
    """{our field: source field} of lines like `name = full_name`; a source may be an
    object in JSON. Raises ValidationError that names the line."""
    pairs: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        target, sign, source = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not (target and sign and source):
            raise forms.ValidationError(
                f"Line {number} must look like: name = company_name."
            )
        if target in pairs:
            raise forms.ValidationError(f"Line {number} repeats “{target}”.")
        pairs[target] = _source(source, number)
    return pairs


def pair_lines(pairs: Mapping[str, Any]) -> str:
    """What `parse_pairs` takes; objects stay JSON."""
    return "\n".join(
        f"{name} = {source if isinstance(source, str) else json.dumps(source)}"
        for name, source in pairs.items()
    )


def _source(text: str, number: int) -> Any:
    """A source field, or an object with source, transform and default."""
    if not text.startswith("{"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise forms.ValidationError(f"Line {number}: {exc.msg} in the JSON.") from exc
