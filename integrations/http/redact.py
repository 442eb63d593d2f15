"""Takes secrets out of texts before a person, a log or a table sees them."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

# Shorter values would blank out ordinary words ("on", "eu", "1234").
MIN_SECRET_CHARS = 6

_NAMES = (
    r"(?:x[-_])?(?:api|app|access|auth|private|client|secret|session|user)?[-_]?"
    r"(?:key|token|secret|password|passwd|pwd|signature|assertion|credential)s?"
    r"|authorization|refresh_token|id_token|code_verifier|hapikey|sig|sid|jwt"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # With a digit, so that "token provided" stays readable.
    (
        re.compile(
            r"(?i)\b(bearer|basic|token)\s+(?=[a-z._~+/=\-]*\d)[a-z0-9._~+/=\-]{6,}"
        ),
        rf"\1 {MASK}",
    ),
    (re.compile(rf"(?i)([?&;\s]|^)({_NAMES})=([^&\s\"']+)"), rf"\1\2={MASK}"),
    (
        re.compile(rf"(?i)([\"'](?:{_NAMES})[\"']\s*:\s*)([\"'])(?:\\.|[^\"'\\])*\2"),
        rf"\1\2{MASK}\2",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://)[^/\s:@]+:[^/\s@]+@"), rf"\1{MASK}@"),
)


class Redactor:
    """Knows one connection's secret values and the parameter names that carry keys.

    Safe to share between threads; `add` grows it when a token is renewed.
    """

    def __init__(self, secrets: Any = ()) -> None:
        self._lock = threading.Lock()
        self._needles: tuple[str, ...] = ()
        self.add_all(secrets)

    def add_all(self, secrets: Any) -> None:
        """Remember every text inside a value, list or mapping of secrets."""
        for value in _leaves(secrets):
            self.add(value)

    def add(self, value: str) -> None:
        """Remember one more secret, with its URL-quoted and base64 forms."""
        if len(value) < MIN_SECRET_CHARS or value in self._needles:
            return
        forms = {value, quote(value, safe=""), quote_plus(value)}
        forms.add(base64.b64encode(value.encode()).decode())
        with self._lock:
            # Longest first, so that no tail of a longer secret stays behind.
            merged = forms.union(self._needles)
            self._needles = tuple(sorted(merged, key=len, reverse=True))

    def clean(self, text: str, *, limit: int = 500) -> str:
        """The text without secrets, at most `limit` characters long."""
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, MASK)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text if len(text) <= limit else text[: limit - 3] + "..."


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
        # A pasted private key reappears line by line in tracebacks and dumps.
        if "\n" in value:
            yield from (line.strip() for line in value.splitlines())
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
