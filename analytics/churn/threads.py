"""Bounds the threads of OpenMP and BLAS: two pools on few cores wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

THREADS = 1
"""With two, a fit beside another busy process was measured 20 times slower."""

_held = threading.local()


@contextmanager
def limited_threads(threads: int = THREADS) -> Iterator[None]:
    """Inside, numeric libraries use at most `threads` threads each.

    Setting limits looks at every library of the process (14 ms measured), so inside
    another one of the same thread, at least as strict, nothing is done.
    """
    outer = getattr(_held, "limit", None)
    if outer is not None and outer <= threads:
        yield
        return
    _held.limit = threads
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        _held.limit = outer
