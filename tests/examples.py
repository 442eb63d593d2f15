"""How many examples property tests draw: all of them in the slow lane and by name, a
quarter in the fast lane."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FAST, SLOW = "fast", "slow"

# A child of what is loaded already: where CI is set, that repeats the same examples.
for _name, _most in ((FAST, 25), (SLOW, 100)):
    settings.register_profile(
        _name,
        settings.default,
        max_examples=_most,
        # A busy machine is no fault of what is tested.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def out_of(most: int) -> int:
    """The lane's share of `most` examples."""
    return max(1, most * settings.default.max_examples // 100)
