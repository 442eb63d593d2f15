"""How many examples property tests draw: all of them in the slow lane and by name, a
quarter in the fast lane."""

from __future__ import annotations

from hypothesis import settings

FAST, SLOW = "fast", "slow"

# A child of what is loaded already: where CI is set, that repeats the same examples.
settings.register_profile(FAST, settings.default, max_examples=25)
settings.register_profile(SLOW, settings.default, max_examples=100)


def out_of(most: int) -> int:
    """The lane's share of `most` examples."""
    return max(1, most * settings.default.max_examples // 100)
