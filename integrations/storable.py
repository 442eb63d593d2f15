"""What PostgreSQL can keep as JSON: no NUL, no lone surrogates, nothing boundless."""

from __future__ import annotations

import json
from typing import Any

MOST_CHARS = 1_000_000


def why_not(value: Any) -> str:
    """Why a value cannot be kept, as a sentence; "" where it can."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        return "This cannot be stored as JSON."
    if "\\u0000" in text or len(text) > MOST_CHARS:
        return "Too large, or with NUL characters."
    return ""
