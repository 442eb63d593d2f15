"""Garbage collection for processes that live long and make many objects that do not."""

from __future__ import annotations

import gc

_YOUNG = 20_000


def settle() -> None:
    """Call when all is loaded: what there is now is never looked at again.

    A full collection over all of Django's objects stops everything for a tenth of a
    second, and a page of records would make one necessary every few pages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
