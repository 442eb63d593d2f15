"""Public ids: a prefix that says the kind, then 26 time-ordered base32 characters."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """`new_id("org")` -> "org_01hf..": 48 bits of milliseconds, 80 random bits.

    Sorts by creation time, like a ULID (github.com/ulid/spec), in lower case.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    chars = []
    for _ in range(26):
        chars.append(_ALPHABET[value & 31])
        value >>= 5
    return f"{prefix}_{''.join(reversed(chars))}"
